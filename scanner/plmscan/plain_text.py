"""Text files as people's editors write them: a byte order mark and any line ends are no matter."""

from __future__ import annotations

import codecs

__all__ = ["NotTextError", "decoded", "require_narrow"]

_WIDE = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""How texts begin that have two or four bytes a letter."""


class NotTextError(ValueError):
    """Bytes that are no UTF-8 text; the message says what they are instead, as in "it is ..."."""

    def __init__(self, reason: str, line: int = 1) -> None:
        """Keep the reason, and the line on which it shows."""
        super().__init__(reason)
        self.line = line


def decoded(data: bytes) -> str:
    """The text in ``data`` without byte order mark, in which a line ends with a newline alone.

    Raises:
        NotTextError: it is UTF-16 text, or no text at all.
    """
    require_narrow(data)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = "it is not UTF-8 text"
        raise NotTextError(msg, data[: error.start].count(b"\n") + 1) from error
    if "\0" in text:
        msg = "it holds NUL bytes, which UTF-8 text does not"
        raise NotTextError(msg, text[: text.index("\0")].count("\n") + 1)
    return text.replace("\r\n", "\n")


def require_narrow(data: bytes) -> None:
    """Refuse bytes that begin as UTF-16 text does, which some editors and shells write.

    Raises:
        NotTextError: they do.
    """
    if data.startswith(_WIDE):
        msg = "it is UTF-16 text, not UTF-8"
        raise NotTextError(msg)
