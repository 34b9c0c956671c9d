"""SentencePiece model files: the few fields that matter here, read from their wire format."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read_pieces"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10
_PIECES, _NORMALIZER, _DENORMALIZER = 1, 3, 5  # fields of ModelProto
_TEXT, _TYPE = 1, 3  # fields of SentencePiece
_CHARSMAP = 2  # field of NormalizerSpec
_USER_DEFINED = 4  # SentencePiece.Type


def read_pieces(data: bytes) -> tuple[list[str], list[str], dict[str, bytes]]:
    """All pieces in the order of their ids, those that users defined, and character maps by use.

    Raises:
        ValueError: ``data`` is no SentencePiece model.
    """
    pieces: list[str] = []
    defined: list[str] = []
    maps: dict[str, bytes] = {}
    for number, value in _fields(data):
        if not isinstance(value, bytes):
            continue
        if number == _PIECES:
            fields = dict(_fields(value))
            text = fields.get(_TEXT, b"")
            pieces.append(text.decode("utf-8", "replace") if isinstance(text, bytes) else "")
            if fields.get(_TYPE) == _USER_DEFINED:
                defined.append(pieces[-1])
        elif number in (_NORMALIZER, _DENORMALIZER):
            place = "normalizer" if number == _NORMALIZER else "decoder"
            blob = dict(_fields(value)).get(_CHARSMAP, b"")
            maps[place] = blob if isinstance(blob, bytes) else b""
    if not pieces:
        msg = "it holds no pieces"
        raise ValueError(msg)
    return pieces, defined, maps


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of every field of a message: numbers for varints, bytes for the rest."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        value: int | bytes
        if kind == _VARINT:
            value, at = _varint(data, at)
        else:
            length, at = _varint(data, at) if kind == _BYTES else (_width(kind), at)
            value, at = data[at : at + length], at + length
        if at > len(data):
            msg = "it is cut short"
            raise ValueError(msg)
        yield tag >> 3, value


def _width(kind: int) -> int:
    """Bytes of a number of fixed width."""
    if kind not in (_FIXED32, _FIXED64):
        msg = "it is no SentencePiece model"
        raise ValueError(msg)
    return 4 if kind == _FIXED32 else 8


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the place behind it."""
    value = 0
    for shift, byte in enumerate(data[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:  # noqa: PLR2004 - the bit that says "more follows"
            return value, at + shift + 1
    msg = "it is cut short"
    raise ValueError(msg)
