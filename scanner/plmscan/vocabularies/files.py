"""The vocabulary files that model folders hold, read into one form."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from plmscan.errors import ArtifactError, in_one_line
from plmscan.json_objects import object_of
from plmscan.json_objects import repeated as twice
from plmscan.runtimes import gguf
from plmscan.source import refuse_hollow
from plmscan.vocabularies.charsmap import charsmap_rules
from plmscan.vocabularies.pieces import read_pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from plmscan.source import Artifact

__all__ = [
    "CONVERT",
    "VOCABULARY_FILES",
    "Component",
    "TokenizerData",
    "find_vocabulary",
    "foreign_vocabulary",
    "read_tokens",
    "spelling",
]

VOCABULARY_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
"""Files with a vocabulary; transformers takes the first of them that is there."""

_PLACES = {
    "normalizer": "normalizers",
    "pre_tokenizer": "pretokenizers",
    "post_processor": "processors",
    "decoder": "decoders",
}
_REMEDY = "Save or download the tokenizer again."
CONVERT = (
    "Convert it to tokenizer.json: AutoTokenizer.from_pretrained(MODEL).save_pretrained(FOLDER) "
    "does so where tiktoken or mistral-common is installed."
)
"""How a vocabulary of another format becomes a tokenizer.json."""
_START = 64
"""Bytes that tell what else a file is."""
_TIKTOKEN = re.compile(rb"[A-Za-z0-9+/]+={0,2} [0-9]+\r?\n")
"""A line of tiktoken: a token in base64, and its rank."""


@dataclass(frozen=True)
class Component:
    """One step of a tokenizer, such as a normalizer."""

    place: str
    """``normalizer``, ``pre_tokenizer``, ``post_processor`` or ``decoder``."""
    kind: str
    """Its type, such as ``Replace``."""
    settings: Mapping[str, Any]
    """Its settings as the file has them."""

    def rules(self) -> tuple[tuple[str, str], ...]:
        """The replacements of a precompiled character map; none for other steps.

        Raises:
            ValueError: the map is broken.
        """
        blob = self.settings.get("precompiled_charsmap") or b""
        return tuple(charsmap_rules(b64decode(blob) if isinstance(blob, str) else bytes(blob)))


@dataclass(frozen=True)
class TokenizerData:
    """What one vocabulary file says."""

    file: str
    """Its name in the model."""
    tokens: Mapping[str, int]
    """Id by token, as the vocabulary writes tokens."""
    repeated: tuple[str, ...] = ()
    """Tokens that it lists more than once."""
    added: tuple[tuple[str, int], ...] = ()
    """Tokens that are cut out of a text before anything else, with their ids."""
    components: tuple[Component, ...] = field(default=())
    """All steps, those of a sequence one by one."""
    unknown: str = ""
    """The token that stands for what it cannot spell; empty where it says none."""


def find_vocabulary(artifact: Artifact) -> str | None:
    """The vocabulary file that transformers would take; None if there is none."""
    if artifact.gguf is not None:
        return artifact.gguf
    return next((name for name in VOCABULARY_FILES if artifact.has(name)), None)


def spelling(artifact: Artifact) -> Artifact:
    """Whose tokenizer is used: that of the last adapter that brings one, else the base's."""
    parts = [part.measured for part in artifact.stack[::-1]]
    return next((part for part in parts[:-1] if find_vocabulary(part) is not None), parts[-1])


def read_tokens(path: Path) -> TokenizerData:
    """The vocabulary in the file ``path``, one of `VOCABULARY_FILES` or a GGUF model.

    Raises:
        ArtifactError: the file is broken.
    """
    try:
        with path.open("rb") as file:
            refuse_hollow(path.name, start := file.read(_START))
        _refuse_tiktoken(path.name, start)
        return _reader(path.name)(path)
    except OSError as error:
        msg = f"{path.name} cannot be read: {error.strerror}."
    except RecursionError:
        msg = f"{path.name} is broken: it nests too deeply."
    except KeyError as error:
        msg = f"{path.name} is broken: it lacks {error}."
    except (ValueError, TypeError, AttributeError) as error:
        msg = f"{path.name} is broken: {in_one_line(error)}."
    raise ArtifactError(msg, _REMEDY)


def foreign_vocabulary(artifact: Artifact) -> str | None:
    """A vocabulary file of tiktoken or Mistral, which nothing here reads; None if there is none."""
    names = sorted(file.path for file in artifact.files)
    foreign = (n for n in names if n.endswith(".tiktoken") or n == "tekken.json")
    return next(foreign, None)


def _refuse_tiktoken(name: str, start: bytes) -> None:
    """Refuse a vocabulary of tiktoken under the name of another format, as Llama 3 has it.

    Raises:
        ArtifactError: the file begins like one.
    """
    if _TIKTOKEN.match(start):
        msg = f"{name} is a vocabulary of tiktoken, which plmscan does not read."
        raise ArtifactError(msg, CONVERT)


def _reader(name: str) -> Callable[[Path], TokenizerData]:
    """The function that reads a file of this name."""
    readers = {"tokenizer.json": _read_tokenizer, "vocab.txt": _read_lines, "vocab.json": _read_map}
    return _read_gguf if name.endswith(".gguf") else readers.get(name, _read_model)


def _read_tokenizer(path: Path) -> TokenizerData:
    """The form of the tokenizers library."""
    repeated: list[str] = []
    raw = json.loads(path.read_bytes(), object_pairs_hook=lambda p: _noting(p, repeated))
    tokens = _model_tokens(raw["model"]["vocab"], repeated)
    return TokenizerData(
        file=path.name,
        tokens=tokens,
        repeated=tuple(repeated),
        added=tuple((_text(a["content"]), _number(a["id"])) for a in raw.get("added_tokens") or ()),
        components=tuple(_components(raw)),
        unknown=_unknown(raw["model"], list(tokens)),
    )


def _unknown(model: Mapping[str, Any], tokens: Sequence[str]) -> str:
    """The token that stands for what a model cannot spell: Unigram has its place, others a text."""
    number = model.get("unk_id")
    named = model.get("unk_token")
    if isinstance(number, int) and 0 <= number < len(tokens):
        return tokens[number]
    return named if isinstance(named, str) else ""


def _noting(pairs: list[tuple[str, Any]], repeated: list[str]) -> dict[str, Any]:
    """A JSON object; names that stand in it twice go to ``repeated``."""
    found, again = object_of(pairs)
    repeated.extend(again)
    return found


def _model_tokens(vocab: object, repeated: list[str]) -> dict[str, int]:
    """Id by token: a Unigram vocabulary is a list of tokens with scores, the others are objects."""
    if isinstance(vocab, list):
        texts = [_text(entry[0]) for entry in vocab]
        repeated.extend(twice(texts))
        return {text: number for number, text in enumerate(texts)}
    if not isinstance(vocab, dict):
        msg = "its model has no vocabulary"
        raise TypeError(msg)
    return {text: _number(number) for text, number in vocab.items()}


def _components(raw: Mapping[str, Any]) -> Iterator[Component]:
    """All steps of a tokenizer, sequences taken apart."""
    for place, inner in _PLACES.items():
        waiting = [raw[place]] if raw.get(place) else []
        while waiting:
            step = waiting.pop()
            if step["type"] == "Sequence":
                waiting.extend(reversed(step[inner]))
            else:
                yield Component(place, _text(step["type"]), step)


def _read_lines(path: Path) -> TokenizerData:
    """One token a line, as BERT has it; the line is the id."""
    # Not splitlines(): some vocabularies hold line separators of Unicode as tokens.
    with path.open(encoding="utf-8", newline="") as file:
        lines = file.read().removesuffix("\n").split("\n")
    texts = [line.removesuffix("\r") for line in lines]
    tokens = {text: number for number, text in enumerate(texts)}
    return TokenizerData(path.name, tokens, twice(texts))


def _read_map(path: Path) -> TokenizerData:
    """One JSON object, as GPT-2 has it."""
    repeated: list[str] = []
    raw = json.loads(path.read_bytes(), object_pairs_hook=lambda p: _noting(p, repeated))
    return TokenizerData(path.name, _model_tokens(raw, repeated), tuple(repeated))


def _read_model(path: Path) -> TokenizerData:
    """A SentencePiece model."""
    pieces, defined, maps = read_pieces(path.read_bytes())
    tokens = {text: number for number, text in enumerate(pieces)}
    return TokenizerData(
        file=path.name,
        tokens=tokens,
        repeated=twice(pieces),
        added=tuple((text, tokens[text]) for text in defined),
        components=tuple(
            Component(place, "Precompiled", {"precompiled_charsmap": blob})
            for place, blob in maps.items()
        ),
    )


def _read_gguf(path: Path) -> TokenizerData:
    """The vocabulary in the metadata of a GGUF model."""
    with path.open("rb") as file:
        words = gguf.vocabulary(file, path.stat().st_size)
    if not words.tokens:
        msg = "its metadata has no vocabulary"
        raise ValueError(msg)
    known = (number for number in words.cut_out if number < len(words.tokens))
    charsmap = {"precompiled_charsmap": words.charsmap}
    return TokenizerData(
        file=path.name,
        tokens={text: number for number, text in enumerate(words.tokens)},
        repeated=twice(words.tokens),
        added=tuple((words.tokens[number], number) for number in known),
        components=(Component("normalizer", "Precompiled", charsmap),) if words.charsmap else (),
    )


def _text(value: object) -> str:
    """``value``, which must be a string."""
    if not isinstance(value, str):
        msg = f"{value!r:.40} is no text"
        raise TypeError(msg)
    return value


def _number(value: object) -> int:
    """``value``, which must be an id."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        msg = f"{value!r:.40} is no id"
        raise ValueError(msg)
    return value
