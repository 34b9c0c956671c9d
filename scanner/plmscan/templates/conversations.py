"""Conversations to try a template with: small, of every kind that chat templates know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Said = Callable[[str], str]
    Build = Callable[[Said, Iterable[str]], dict[str, Any]]

__all__ = ["FIELDS", "GIVEN", "SCENARIOS", "Key", "Scenario"]

FIELDS = (
    "system", "user", "last", "assistant", "thinking", "tool", "argument", "document",
    "description", "name", "extra",
)  # fmt: skip
"""Where in a conversation people, programs and documents put their words."""
_CALL_ID = "abcdef123"
"""Nine characters, as some templates demand."""
GIVEN: Mapping[str, object] = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "add_generation_prompt": True,
}
"""What programs always hand to a template."""
_STRUCTURE = frozenset(
    {"additionalProperties", "arguments", "citations", "content", "documents", "enum", "function"}
    | {"items", "parameters", "properties", "required", "role", "tool_calls", "tools", "type"}
)
"""Keys that hold something else than a text; `_extended` leaves them alone."""
_LONG_ID = "call_0123456789"


class Key(str):
    """A key of a mapping: nobody's words, also where a loop makes an item of it."""

    __slots__ = ()


@dataclass(frozen=True)
class Scenario:
    """One kind of conversation."""

    name: str
    """What kind."""
    build: Build
    """What the template is rendered with, from what is said in a field and from keys to add."""


def _says(role: str, content: object, **more: object) -> dict[str, Any]:
    """One message."""
    return {"role": role, "content": content, **more}


def _plain(said: Said, _keys: Iterable[str]) -> dict[str, Any]:
    """System prompt, question, answer, question."""
    return {
        "messages": [
            _says("system", said("system")),
            _says("user", said("user"), name=said("name")),
            _says("assistant", said("assistant"), reasoning_content=said("thinking")),
            _says("user", said("last")),
        ],
    }


def _bare(said: Said, _keys: Iterable[str]) -> dict[str, Any]:
    """The same without a system prompt, and without thinking."""
    return {
        "messages": [
            _says("user", said("user")),
            _says("assistant", said("assistant")),
            _says("user", said("last")),
        ],
    }


def _continued(said: Said, _keys: Iterable[str]) -> dict[str, Any]:
    """A conversation that ends with the assistant's words, to which nothing is to be added."""
    return {
        "messages": [
            _says("developer", said("system")),
            _says("user", said("user")),
            _says("assistant", said("assistant"), thinking=said("thinking")),
        ],
        "add_generation_prompt": False,
    }


def _tool(said: Said) -> dict[str, Any]:
    """The description of a tool."""
    properties = {
        "place": {"type": "string", "description": said("description"), "enum": ["here", "there"]},
        "days": {"type": ["integer", "null"], "description": said("description"), "default": 3},
        "more": {
            "type": "object",
            "properties": {"deep": {"type": "array", "items": {"type": "string"}}},
            "required": ["deep"],
        },
    }
    parameters = {"type": "object", "properties": properties, "required": ["place"]}
    function = {
        "name": said("name"),
        "description": said("description"),
        "parameters": parameters,
        "return": {"type": "string", "description": said("description")},
    }
    return {"type": "function", "function": function}


def _call(said: Said, name: str) -> dict[str, Any]:
    """A tool call."""
    function = {"name": said("name"), "arguments": {"place": said("argument"), "days": 2}}
    return {"id": name, "type": "function", "function": function}


def _with_tools(said: Said, system: bool, arguments_as_text: bool) -> dict[str, Any]:  # noqa: FBT001
    """A conversation with a tool call, its result, documents and tools."""
    name = _LONG_ID if arguments_as_text else _CALL_ID
    call = _call(said, name)
    if arguments_as_text:
        call["function"]["arguments"] = '{"place": "' + said("argument") + '"}'
    first = [_says("system", said("system"))] if system else []
    return {
        "messages": [
            *first,
            _says("user", said("user")),
            _says("assistant", "", tool_calls=[call], reasoning_content=said("thinking")),
            _says("tool", said("tool"), name=said("name"), tool_call_id=name),
            _says("assistant", said("assistant")),
            _says("user", said("last")),
        ],
        "tools": [_tool(said)],
        "documents": [
            {"title": said("document"), "text": said("document"), "contents": said("document")}
        ],
    }


def _tools(said: Said, _keys: Iterable[str]) -> dict[str, Any]:
    """Tools, with a system prompt."""
    return _with_tools(said, system=True, arguments_as_text=False)


def _tools_bare(said: Said, _keys: Iterable[str]) -> dict[str, Any]:
    """Tools, without a system prompt, and with arguments as text."""
    return _with_tools(said, system=False, arguments_as_text=True)


def _tool_last(said: Said, _keys: Iterable[str]) -> dict[str, Any]:
    """A conversation that stops at the result of a tool."""
    given = _with_tools(said, system=True, arguments_as_text=False)
    return {**given, "messages": given["messages"][:-2]}


def _parts(said: Said, _keys: Iterable[str]) -> dict[str, Any]:
    """Contents made of parts: words and pictures."""
    picture = {"type": "image", "image": "picture"}

    def words(field: str) -> list[dict[str, Any]]:
        """A part with words."""
        return [{"type": "text", "text": said(field)}]

    return {
        "messages": [
            _says("system", words("system")),
            _says("user", [*words("user"), picture]),
            _says(
                "assistant",
                [{"type": "thinking", "thinking": said("thinking")}, *words("assistant")],
            ),
            _says("tool", [*words("tool"), picture], name="tool", tool_call_id=_CALL_ID),
            _says("user", [picture, {"type": "video", "video": "film"}, *words("last")]),
        ],
    }


def _extended(said: Said, keys: Iterable[str]) -> dict[str, Any]:
    """Tools and documents, with every key that the template looks up anywhere."""
    given = _tools(said, keys)
    more = {key: said("extra") for key in keys if key not in _STRUCTURE}
    for holder in (*given["messages"], *given["tools"], *given["documents"]):
        for key, value in more.items():
            holder.setdefault(key, value)
    return given


def _mapped(said: Said, keys: Iterable[str]) -> dict[str, Any]:
    """Contents that are mappings, with every key that the template looks up anywhere."""
    held: dict[str, Any] = {Key(key): said("extra") for key in (*keys, "text", "type")}
    return {
        "messages": [
            _says("system", {**held, "text": said("system"), "type": "text"}),
            _says("user", {**held, "text": said("user")}),
            _says("assistant", {**held, "text": said("assistant")}),
            _says("user", {**held, "text": said("last")}),
        ],
    }


SCENARIOS = (
    Scenario("plain", _plain),
    Scenario("bare", _bare),
    Scenario("tools", _tools),
    Scenario("tools-bare", _tools_bare),
    Scenario("continued", _continued),
    Scenario("tool-last", _tool_last),
    Scenario("parts", _parts),
    Scenario("extended", _extended),
    Scenario("mapped", _mapped),
)
"""All of them, the most usual first."""
