"""Do the tokenizer's files change what the user typed, or hide tokens in plain sight?"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

from plmscan.errors import ArtifactError, in_one_line
from plmscan.evidence import Coverage, Evidence, Gap
from plmscan.headers import tensors_of, word_embedding
from plmscan.probes.base import StaticProbe
from plmscan.probes.words import some
from plmscan.vocabularies import (
    CONVERT,
    KNOWN_STEPS,
    VOCABULARY_FILES,
    Rewrite,
    find_vocabulary,
    foreign_vocabulary,
    read_tokens,
    rewrites,
)
from plmscan.vocabularies.letters import has_lookalike, hides, is_plain_word, readable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from plmscan.evidence import Observation
    from plmscan.source import Artifact
    from plmscan.vocabularies import TokenizerData

    _Facts = tuple[dict[str, int] | dict[str, int | float], dict[str, str]]

__all__ = ["Probe"]

_ID = "tokenizer-files"
_OTHER_ALPHABET = re.compile("[\u0370-\u058f]")
_UNREMARKABLE = "\u00ad\ufeff"
"""Soft hyphens and byte order marks stand in honest vocabularies: web pages and code have them."""
_MOST_STEPS = 256
"""Known tokenizers have a tenth of this; each takes up to a tenth of a second."""
_SHOWN = 100
"""Characters of a token that a report shows."""
_MOST_DIGITS = 18
"""Of an id."""
_COMPARED = ("vocab.txt", "vocab.json")
_MARKS = " ▁Ġ"
"""What stands for a space before a word."""


class Probe(StaticProbe):
    """Reads the tokenizer's files: rewriting steps, added tokens, and the vocabulary itself.

    Who controls the tokenizer needs no poisoned weight to plant a trigger: a rule that rewrites
    one word into another, an added token that replaces a common word by an untrained row, or a
    token that only looks like a word all make the model see something else than the user wrote.
    Tokens of that kind are also where published attacks put their triggers.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "tokens": "tokens in the vocabulary (count)",
        "word_rewrites": "steps that replace, insert or remove words (count)",
        "letter_rewrites": "steps that replace single letters (count)",
        "plain_added_tokens": "added or special tokens that are plain words (count)",
        "shadowing_tokens": "added or special tokens that are also words of the vocabulary (count)",
        "repeated_tokens": "tokens that the vocabulary lists more than once (count)",
        "shared_ids": "ids that several tokens of the vocabulary have (count)",
        "contradicting_ids": "tokens with several ids, and ids with several tokens (count)",
        "hidden_character_tokens": "tokens with invisible characters in a Latin word (count)",
        "lookalike_tokens": "tokens that mix Latin letters with foreign look-alikes (count)",
        "other_alphabet_share": "tokens with Greek, Cyrillic or Armenian letters (fraction)",
        "file_disagreements": "ids that another vocabulary file gives other tokens (count)",
        "ids_beyond_embedding": "ids without a row in the word embedding (count)",
    }
    details: ClassVar[Mapping[str, str]] = {
        "repeated": "tokens that the vocabulary lists more than once",
        "rewrites": "steps that replace, insert or remove text",
        "plain": "added or special tokens that are plain words",
        "contradicting": "tokens with several ids, and ids with several tokens",
        "hidden": "tokens with invisible characters, spelt out",
        "lookalikes": "tokens that mix Latin letters with look-alikes, spelt out",
    }
    references: ClassVar[tuple[str, ...]] = (
        "https://huggingface.co/docs/tokenizers/components",
        "Boucher et al., Bad Characters: Imperceptible NLP Attacks, arXiv:2106.09898",
        "Li et al., Hidden Backdoors in Human-Centric Language Models, arXiv:2105.00164",
        "https://www.unicode.org/reports/tr39/",
    )

    def inspect(self, artifact: Artifact) -> Iterator[Observation]:
        """Measure the vocabulary file that is loaded, with the files beside it.

        Raises:
            ArtifactError: a tokenizer file is broken.
        """
        artifact = artifact.measured
        name = find_vocabulary(artifact)
        if name is None:
            if artifact.is_adapter:
                reason = "The adapter brings none: that of its base is used."
                yield Gap("tokenizer", reason, blocks_pass=False)
                return
            yield Gap("tokenizer", _why_not_read(artifact))
            return
        data = read_tokens(artifact.path(name))
        added = _added_tokens(artifact, data)
        others = _others(artifact, data)
        yield from _unknown_steps(data)
        yield from _moved(data, added, others)
        yield _measure(artifact, data, added, others)
        steps = len(data.components)
        yield Coverage(f"{name}: {len(data.tokens)} tokens, {len(added)} added, {steps} steps.")


def _why_not_read(artifact: Artifact) -> str:
    """Why there is no vocabulary to read, and what to do about it."""
    other = foreign_vocabulary(artifact)
    if other is not None:
        return f"{other} is a vocabulary that plmscan does not read. {CONVERT}"
    return f"None of {', '.join(VOCABULARY_FILES)} is there, so no token was read."


def _added_tokens(artifact: Artifact, data: TokenizerData) -> list[tuple[str, int]]:
    """Added tokens and their ids, from all files that may add some.

    Raises:
        ArtifactError: one of the files is broken.
    """
    found: list[tuple[str, Any]] = [*data.added]
    if artifact.has("added_tokens.json"):
        found += artifact.read_json("added_tokens.json").items()
    if artifact.has("tokenizer_config.json"):
        decoder = artifact.read_json("tokenizer_config.json").get("added_tokens_decoder") or {}
        found += [(_content(token), int(number)) for number, token in _items(decoder)]
    return list(dict.fromkeys(pair for pair in found if isinstance(pair[1], int)))


def _special_names(artifact: Artifact) -> Iterator[str]:
    """Texts that the configuration gives a role, such as ``cls_token``.

    Raises:
        ArtifactError: one of the files is broken.
    """
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        settings = artifact.read_json(name) if artifact.has(name) else {}
        for key, value in settings.items():
            if key.endswith("_token"):
                yield _content(value)
            elif key in ("additional_special_tokens", "extra_special_tokens"):
                values = list(value.values()) if isinstance(value, dict) else value
                yield from map(_content, values if isinstance(values, list) else ())


def _items(value: object) -> Iterable[tuple[str, Any]]:
    """The items of an object whose keys are numbers; nothing for anything else.

    Raises:
        ArtifactError: a number is longer than any id.
    """
    items = value.items() if isinstance(value, dict) else ()
    found = [(key, inner) for key, inner in items if key.isdecimal()]
    for key, _ in found:
        if len(key) > _MOST_DIGITS:
            msg = f"tokenizer_config.json gives a token an id of {len(key)} digits."
            raise ArtifactError(msg, "Save or download the tokenizer again.")
    return found


def _content(token: object) -> str:
    """The text of a token that is written as a string or with its settings."""
    inner = token.get("content") if isinstance(token, dict) else token
    return inner if isinstance(inner, str) else ""


def _unknown_steps(data: TokenizerData) -> Iterator[Gap]:
    """Steps that plmscan does not understand; each could change any text."""
    kinds = sorted({c.kind for c in data.components if c.kind not in KNOWN_STEPS[c.place]})
    if kinds:
        reason = "plmscan does not know these steps of the tokenizer, and cannot tell what they do."
        yield Gap(f"{data.file} ({some(kinds)})", reason)


def _moved(
    data: TokenizerData, added: list[tuple[str, int]], others: list[TokenizerData]
) -> Iterator[Gap]:
    """Tokens that another vocabulary file has as well, and gives other ids."""
    ours = {**dict(added), **data.tokens}
    for other in others:
        moved = [text for text, number in other.tokens.items() if ours.get(text, number) != number]
        if moved:
            reason = (
                f"It gives other ids than {data.file} to tokens that both have "
                f"({some(token[:_SHOWN] for token in moved)}), and which of the two is read "
                "depends on the library. Remove the one that is out of date."
            )
            yield Gap(other.file, reason)


def _measure(
    artifact: Artifact,
    data: TokenizerData,
    added: list[tuple[str, int]],
    others: list[TokenizerData],
) -> Evidence:
    """Everything about one vocabulary."""
    names = sorted({text.strip(_MARKS) for text in [*dict(added), *_special_names(artifact)]})
    numbers: dict[str, int | float] = {
        "tokens": len(data.tokens),
        "repeated_tokens": len(data.repeated),
        "shared_ids": len(data.tokens) - len(set(data.tokens.values())),
        "file_disagreements": _disagreements(data, added, others),
        "ids_beyond_embedding": _beyond_embedding(artifact, data, added),
    }
    details = {"repeated": some(data.repeated)}
    for more, words in (
        _rewriting(data, added),
        _adding(data, added, names),
        _disguising(readable(data), names),
    ):
        numbers |= more
        details |= words
    return Evidence(_ID, data.file, {k: float(v) for k, v in numbers.items()}, details)


def _rewriting(data: TokenizerData, added: list[tuple[str, int]]) -> _Facts:
    """What the steps of the tokenizer put in the place of text."""
    changes = _rewrites(data, added)
    words = [change for change in changes if change.words]
    numbers = {"word_rewrites": len(words), "letter_rewrites": len(changes) - len(words)}
    return numbers, {"rewrites": some(map(str, words or changes))}


def _adding(data: TokenizerData, added: list[tuple[str, int]], names: list[str]) -> _Facts:
    """Added and special tokens that are words, or whose ids contradict each other."""
    plain = [name for name in names if is_plain_word(name)]
    # SentencePiece and GGUF list user-defined pieces in the vocabulary as a matter of course.
    shadowing = (
        [] if data.file.endswith((".model", ".gguf")) else [p for p in plain if p in data.tokens]
    )
    contradicting = _contradictions(data, added)
    numbers = {
        "plain_added_tokens": len(plain),
        "shadowing_tokens": len(shadowing),
        "contradicting_ids": len(contradicting),
    }
    return numbers, {"plain": some(shadowing or plain), "contradicting": some(contradicting)}


def _disguising(texts: list[str], names: list[str]) -> _Facts:
    """Tokens that look like something else."""
    hidden = {text for text in texts if not text.isascii() and hides(text, _UNREMARKABLE)}
    hidden |= {name for name in names if hides(name)}
    lookalikes = {text for text in (*texts, *names) if has_lookalike(text)}
    other = sum(_OTHER_ALPHABET.search(text) is not None for text in texts)
    numbers = {
        "hidden_character_tokens": len(hidden),
        "lookalike_tokens": len(lookalikes),
        "other_alphabet_share": other / max(1, len(texts)),
    }
    shown = {
        "hidden": some(ascii(text[:_SHOWN]) for text in sorted(hidden)),
        "lookalikes": some(ascii(text[:_SHOWN]) for text in sorted(lookalikes)),
    }
    return numbers, shown


def _rewrites(data: TokenizerData, added: list[tuple[str, int]]) -> list[Rewrite]:
    """What all steps put in the place of letters.

    Raises:
        ArtifactError: a step lacks its settings, or its character map is broken, or there are more
            steps than any tokenizer has.
    """
    if len(data.components) > _MOST_STEPS:
        msg = f"{data.file} has {len(data.components)} steps; plmscan looks at {_MOST_STEPS}."
        raise ArtifactError(msg, "Use the tokenizer of the base model.")
    ids = {**dict(added), **dict(data.added), **data.tokens}
    try:
        changes = [change for step in data.components for change in rewrites(step, ids)]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        msg = f"{data.file} has a broken step: {in_one_line(error)}."
        raise ArtifactError(msg, "Save or download the tokenizer again.") from error
    if is_plain_word(data.unknown.strip(_MARKS)):
        changes.append(Rewrite("model", "what it cannot spell", data.unknown, words=True))
    return changes


def _contradictions(data: TokenizerData, added: list[tuple[str, int]]) -> list[str]:
    """Added tokens whose id the vocabulary or another file gives to another token."""
    if data.file.endswith(".model"):
        return []  # transformers shifts the ids of SentencePiece models as each family needs
    by_text, by_id = Counter(text for text, _ in added), Counter(number for _, number in added)
    holders = {number: text for text, number in data.tokens.items()}
    return [
        text
        for text, number in added
        if by_text[text] > 1
        or by_id[number] > 1
        or data.tokens.get(text, number) != number
        or holders.get(number, text) != text
    ]


def _others(artifact: Artifact, data: TokenizerData) -> list[TokenizerData]:
    """The older vocabulary files beside tokenizer.json.

    Raises:
        ArtifactError: one of them is broken.
    """
    names = _COMPARED if data.file == "tokenizer.json" else ()
    return [read_tokens(artifact.path(name)) for name in names if artifact.has(name)]


def _disagreements(
    data: TokenizerData, added: list[tuple[str, int]], others: list[TokenizerData]
) -> int:
    """How many ids stand for another token in an older vocabulary file."""
    ours = {number: text for text, number in [*data.tokens.items(), *added]}
    pairs = [pair for other in others for pair in other.tokens.items()]
    return sum(ours.get(number, text) != text for text, number in pairs)


def _beyond_embedding(artifact: Artifact, data: TokenizerData, added: list[tuple[str, int]]) -> int:
    """How many ids the word embedding has no row for; 0 where its size is not known."""
    if data.file.endswith(".model"):
        return 0
    try:
        table = word_embedding(tensors_of(artifact))
    except ArtifactError:
        return 0  # the safetensors-header probe reports the broken file
    ids = {*data.tokens.values(), *dict(added).values()}
    return 0 if table is None else sum(number >= table[1].shape[0] for number in ids)
