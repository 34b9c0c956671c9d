"""SentencePiece model files: the few fields that matter here."""

from __future__ import annotations

from functools import cache
from typing import Any

__all__ = ["read_pieces"]

_USER_DEFINED = 4  # SentencePiece.Type
_FORM = {
    "Piece": {"text": (1, "TYPE_BYTES", ""), "type": (3, "TYPE_INT32", "")},
    "Normalizer": {"charsmap": (2, "TYPE_BYTES", "")},
    "Model": {
        "pieces": (1, "TYPE_MESSAGE", "Piece"),
        "normalizer": (3, "TYPE_MESSAGE", "Normalizer"),
        "decoder": (5, "TYPE_MESSAGE", "Normalizer"),
    },
}
"""Message -> field -> its number, its type, and the message in it (sentencepiece_model.proto)."""


def read_pieces(data: bytes) -> tuple[list[str], list[str], dict[str, bytes]]:
    """All pieces in the order of their ids, those that users defined, and character maps by use.

    Raises:
        ValueError: ``data`` is no SentencePiece model.
    """
    # Few models hold such a file, and it takes a moment.
    from google.protobuf.message import DecodeError  # noqa: PLC0415

    try:
        model = _message("Model").FromString(data)
    except DecodeError as error:
        msg = "it is cut short, or no SentencePiece model"
        raise ValueError(msg) from error
    if not model.pieces:
        msg = "it holds no pieces"
        raise ValueError(msg)
    texts = [piece.text.decode("utf-8", "replace") for piece in model.pieces]
    kinds = (piece.type for piece in model.pieces)
    defined = [text for text, kind in zip(texts, kinds, strict=True) if kind == _USER_DEFINED]
    places = (place for place in ("normalizer", "decoder") if model.HasField(place))
    return texts, defined, {place: getattr(model, place).charsmap for place in places}


@cache
def _message(name: str) -> Any:  # noqa: ANN401 - a class that protobuf makes
    """The class of messages of that name.

    It is in a pool of its own: in the common one, sentencepiece and transformers each describe the
    whole file under one name, and the second to be imported would be refused for any difference.
    """
    from google.protobuf import descriptor_pool, message_factory  # noqa: PLC0415
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto  # noqa: PLC0415

    file = FileDescriptorProto(name="pieces.proto", package="pieces")
    for message, fields in _FORM.items():
        described = file.message_type.add(name=message)
        for field, (number, kind, inner) in fields.items():
            described.field.add(
                name=field,
                number=number,
                type=FieldDescriptorProto.Type.Value(kind),
                type_name=f".pieces.{inner}" if inner else None,
                label=FieldDescriptorProto.Label.Value(
                    "LABEL_REPEATED" if field == "pieces" else "LABEL_OPTIONAL"
                ),
            )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"pieces.{name}"))
