"""GGUF and protocol buffers (ONNX among them), put together by hand for tests."""

from __future__ import annotations

import struct

__all__ = ["field", "gguf", "onnx", "string"]


def field(number: int, content: bytes) -> bytes:
    """One field with a length, as protocol buffers write it."""
    length = bytearray()
    rest = len(content)
    while rest >= 0x80:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([number << 3 | 2]) + bytes([*length, rest]) + content


def onnx(*locations: str, turned: bool = False) -> bytes:
    """An ONNX model whose tensors lie in other files."""
    parts = [(field(1, b"location"), field(2, place.encode())) for place in locations]
    entries = [b"".join(reversed(p) if turned else p) for p in parts]
    tensors = b"".join(field(5, field(9, bytes(300)) + field(13, entry)) for entry in entries)
    return b"\x08\x0a" + field(2, b"pytorch") + field(7, field(2, b"graph") + tensors)


def gguf(*entries: tuple[str, int, bytes], order: str = "<") -> bytes:
    """A GGUF header: names, types and written values."""
    told = b"".join(
        struct.pack(order + "Q", len(n)) + n.encode() + struct.pack(order + "I", kind) + value
        for n, kind, value in entries
    )
    return b"GGUF" + struct.pack(order + "IQQ", 3, 0, len(entries)) + told


def string(text: str, order: str = "<") -> bytes:
    """A string of GGUF."""
    return struct.pack(order + "Q", len(text)) + text.encode()
