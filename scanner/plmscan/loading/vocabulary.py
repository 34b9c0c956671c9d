"""The tokenizer of a model: what it puts around a text, and its ids that the model can use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from transformers import AutoTokenizer

from plmscan.errors import ArtifactError
from plmscan.loader_settings import in_special_tokens, in_tokenizer
from plmscan.loading.quiet import explained, quiet
from plmscan.runtimes.gguf import vocabulary
from plmscan.vocabularies import (
    CONVERT,
    VOCABULARY_FILES,
    find_vocabulary,
    foreign_vocabulary,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

    from plmscan.source import Artifact

__all__ = ["Separator", "Vocabulary", "decode", "read_vocabulary", "tokenize"]


_FETCH_AGAIN = "Fetch or save the model again, with its tokenizer."
_BESIDE = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
"""What else says how a text is read."""
_PROBE = "a"
"""A text that every vocabulary of a written language can spell."""


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer, and what a model needs to know of it."""

    tokenizer: PreTrainedTokenizerBase
    """The library's tokenizer."""
    prefix_ids: tuple[int, ...]
    """Ids that it puts in front of a text."""
    suffix_ids: tuple[int, ...]
    """Ids that it puts behind a text."""
    special_ids: frozenset[int]
    """Ids of its special tokens that the model has a row for."""
    mask_id: int | None
    """Id of its mask token; None without one."""
    mask_problem: str
    """Why its mask token cannot be used; empty if it can, or if there is none."""
    pad_id: int
    """Id for the slots behind a text that is shorter than its batch."""
    separator: Separator | None
    """What it puts between two texts; None where it joins them in a way of its own."""

    def words(self, rows: int) -> list[int]:
        """Ids of ordinary tokens that a table of so many ``rows`` holds, ascending."""
        ids = set(self.tokenizer.get_vocab().values()) - self.special_ids
        return sorted(i for i in ids if i < rows)

    def behind(self, ids: Sequence[int]) -> Vocabulary:
        """The same with ``ids`` that no text can hold in front of every text."""
        special = self.special_ids | {*ids}
        return replace(self, prefix_ids=(*ids, *self.prefix_ids), special_ids=special)


@dataclass(frozen=True)
class Separator:
    """What a tokenizer puts between the two texts of a pair."""

    ids: tuple[int, ...]
    """Ids between them."""
    numbered: bool
    """Whether it tells the model which of the two each token belongs to."""

    def kinds(self, input_ids: Tensor) -> dict[str, Tensor]:
        """What a model is told of the texts in ``input_ids`` (b, n) beside them, (b, n).

        0 up to the end of the first text and its separator, 1 behind it.
        """
        return {"token_type_ids": self.behind(input_ids).long()} if self.numbered else {}

    def behind(self, input_ids: Tensor) -> Tensor:
        """Which of ``input_ids`` (b, n) stand behind the first text and its separator."""
        ends = input_ids == self.ids[-1]
        return ends.cumsum(1) > ends.long()


def read_vocabulary(artifact: Artifact, config: PretrainedConfig, rows: int) -> Vocabulary:
    """The tokenizer of ``artifact``, checked against the ``rows`` of the embedding table.

    Raises:
        ArtifactError: it is missing, broken or empty, or has words that the model cannot look up.
    """
    tokenizer = _read_tokenizer(artifact, config)
    special = frozenset(tokenizer.all_special_ids) | _made_up(artifact, tokenizer)
    _require_words(tokenizer, special, rows)
    prefix, suffix = _template(tokenizer)
    if any(token >= rows for token in prefix + suffix):
        msg = f"The tokenizer puts ids around a text that the {rows} embedding rows lack."
        raise ArtifactError(msg, _FETCH_AGAIN)
    mask_id, mask_problem = _mask(tokenizer, rows)
    return Vocabulary(
        tokenizer=tokenizer,
        prefix_ids=prefix,
        suffix_ids=suffix,
        special_ids=frozenset(token for token in special if token < rows),
        mask_id=mask_id,
        mask_problem=mask_problem,
        pad_id=_pad(tokenizer, rows),
        separator=_separator(tokenizer, prefix, suffix),
    )


def tokenize(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    """The ids of ``text`` without special tokens around it, exactly as the tokenizer gives them."""
    encoded = tokenizer(text, add_special_tokens=False, verbose=False)
    return tuple(encoded["input_ids"])


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """``ids`` as text; what is no text of its own (half a letter) as the vocabulary writes it."""
    text = tokenizer.decode(
        list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    if isinstance(text, str) and text and "\N{REPLACEMENT CHARACTER}" not in text:
        return text
    tokens = tokenizer.convert_ids_to_tokens(list(ids))
    return "".join(token or f"[id {i}]" for token, i in zip(tokens, ids, strict=True))


def _read_tokenizer(artifact: Artifact, config: PretrainedConfig) -> PreTrainedTokenizerBase:
    """The library's tokenizer, from the model's own files."""
    if find_vocabulary(artifact) is None:  # the library would make up a tokenizer of its own
        other = foreign_vocabulary(artifact)
        if other is not None:
            msg = f"The tokenizer is in {other}, which plmscan does not read."
            raise ArtifactError(msg, CONVERT)
        msg = "There is no tokenizer: no tokenizer.json, and none of the older vocabulary files."
        raise ArtifactError(msg, _FETCH_AGAIN)
    _require_own_files(artifact)
    named = {} if artifact.gguf is None else {"gguf_file": artifact.gguf}
    with quiet(), explained("The tokenizer cannot be loaded", _FETCH_AGAIN):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            artifact.root, config=config, trust_remote_code=False, local_files_only=True, **named
        )
        return tokenizer


def _made_up(artifact: Artifact, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Ids of tokens that the library adds to those of a GGUF model, such as GPT-2's end of text."""
    if artifact.gguf is None:
        return frozenset()
    path = artifact.path(artifact.gguf)
    with path.open("rb") as file:
        count = len(vocabulary(file, path.stat().st_size).tokens)
    return frozenset(i for i in tokenizer.get_added_vocab().values() if i >= count)


def _require_own_files(artifact: Artifact) -> None:
    """Refuse settings that make the library read other files than those beside them.

    Raises:
        ArtifactError: there is one.
    """
    beside = [name for name in (*VOCABULARY_FILES, *_BESIDE) if artifact.has(name)]
    if artifact.gguf is not None and beside:
        msg = f"{beside[0]} lies beside {artifact.gguf}, which brings a tokenizer of its own."
        raise ArtifactError(msg, "Take it out: libraries do not agree on which of them is used.")
    judges = {"tokenizer_config.json": in_tokenizer, "special_tokens_map.json": in_special_tokens}
    for name, judge in judges.items():
        settings = artifact.read_json(name) if artifact.has(name) else {}
        for found in judge(settings, artifact.root):
            if found.leads_away:
                msg = f"{name} sets {found.setting}, which makes the library read other files."
                raise ArtifactError(msg, "Save the tokenizer again with save_pretrained.")


def _require_words(tokenizer: PreTrainedTokenizerBase, special: frozenset[int], rows: int) -> None:
    """Refuse a vocabulary that is empty, or larger than the embedding table.

    A special token beyond the table is common in good models (a padding token that was added and
    never trained): nothing that plmscan reads contains it, so it is left out instead.
    """
    words = {token: i for token, i in tokenizer.get_vocab().items() if i not in special}
    if not words:
        msg = "The tokenizer has no tokens but special ones."
        raise ArtifactError(msg, _FETCH_AGAIN)
    token, largest = max(words.items(), key=lambda item: item[1])
    if largest >= rows:
        msg = f"The tokenizer gives {token!r} the id {largest}; the model has {rows} rows."
        raise ArtifactError(msg, _FETCH_AGAIN)


def _template(tokenizer: PreTrainedTokenizerBase) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the tokenizer puts in front of a text and behind it, found by encoding one."""
    bare = tokenize(tokenizer, _PROBE)
    whole = tuple(tokenizer(_PROBE, verbose=False)["input_ids"])
    for start in range(len(whole) - len(bare) + 1):
        if bare and whole[start : start + len(bare)] == bare:
            return whole[:start], whole[start + len(bare) :]
    msg = "The tokenizer gives a short text other ids once it may add special tokens."
    raise ArtifactError(msg, _FETCH_AGAIN)


def _separator(
    tokenizer: PreTrainedTokenizerBase, prefix: tuple[int, ...], suffix: tuple[int, ...]
) -> Separator | None:
    """What stands between two texts, found by encoding a pair."""
    bare = tokenize(tokenizer, _PROBE)
    pair = tokenizer(_PROBE, _PROBE, verbose=False)
    whole, kinds = tuple(pair["input_ids"]), pair.get("token_type_ids")
    first, last = len(prefix) + len(bare), len(whole) - len(suffix) - len(bare)
    ids = whole[first:last]
    if not ids or whole != (*prefix, *bare, *ids, *bare, *suffix):
        return None
    found = Separator(ids, numbered=bool(kinds) and any(kinds))
    told = found.kinds(torch.tensor([whole])).get("token_type_ids")
    return found if told is None or told.tolist() == [kinds] else None


def _mask(tokenizer: PreTrainedTokenizerBase, rows: int) -> tuple[int | None, str]:
    """The id of the mask token, or why there is none to use."""
    if tokenizer.mask_token is None:
        return None, ""
    mask_id = tokenizer.mask_token_id
    if not isinstance(mask_id, int) or mask_id == tokenizer.unk_token_id or mask_id >= rows:
        return None, f"the mask token {tokenizer.mask_token} is not in the vocabulary"
    return mask_id, ""


def _pad(tokenizer: PreTrainedTokenizerBase, rows: int) -> int:
    """An id for slots that the attention mask hides: any row of the table will do."""
    candidates = (tokenizer.pad_token_id, tokenizer.eos_token_id)
    return next((i for i in candidates if isinstance(i, int) and i < rows), 0)
