"""Conversations in the shape that a template expects: every key that it looks up, where it does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from plmscan.templates.conversations import CALL_ID, Named, Scenario, says

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from plmscan.templates.conversations import Said

__all__ = ["Shape"]

_DEEPEST = 3
_MOST_KINDS = 12
_MOST_TOOLS = 4
_WORDS = frozenset({"content", "role", "type"})
"""Keys of a message that every conversation gives by itself."""
_HOLDERS = frozenset(
    {"arguments", "documents", "function", "items", "messages", "parameters", "properties"}
    | {"required", "tool_calls", "tools"}
)
"""Keys of which programs decide what they hold."""


@dataclass(frozen=True)
class Shape:
    """What a template looks up, as far as it can be read off it."""

    keys: tuple[str, ...]
    """Keys that it looks up anywhere."""
    children: Mapping[str, tuple[str, ...]]
    """Those of them that it looks up in what is found under another key, by that key."""
    names: tuple[str, ...]
    """Names of parameters that it compares with."""
    tools: tuple[str, ...]
    """Names of tools and people that it compares with."""
    kinds: tuple[str, ...]
    """Types of parts that it knows."""

    def scenarios(self) -> tuple[Scenario, ...]:
        """Kinds of conversations in this shape."""
        tools = self.tools[:_MOST_TOOLS]
        return (
            Scenario("shaped", self.given, is_made_up=True),
            Scenario("shaped flat", self.flat, is_made_up=True),
            Scenario("shaped parts", self.in_parts, is_made_up=True),
            Scenario("shaped results", self.with_results, is_made_up=True),
            *(Scenario(f"with {n}", partial(self.named, n), is_made_up=True) for n in tools),
        )

    def named(self, name: str, said: Said) -> dict[str, Any]:
        """The conversation of `given` where everything that has a name has the same."""
        return self.given(lambda field: name if field == "name" else said(field))

    def flat(self, said: Said) -> dict[str, Any]:
        """The same with a call and a tool that are not wrapped in mappings of their own."""
        given = self.given(said)
        for message in given["messages"]:
            if "tool_calls" in message:
                message["tool_calls"] = [call["function"] for call in message["tool_calls"]]
        return {**given, "tools": [tool["function"] for tool in given["tools"]]}

    def of(self, key: str, said: Callable[[], object], depth: int = 0) -> object:
        """What stands under ``key``: a mapping where something is looked up in it."""
        inner = [child for child in self.children.get(key, ()) if child not in _HOLDERS]
        if not inner or depth == _DEEPEST:
            return said()
        return {child: self.of(child, said, depth + 1) for child in inner}

    def filled(self, held: dict[str, Any], said: Callable[[], object]) -> dict[str, Any]:
        """``held``, with every key that the template looks up anywhere."""
        more = {key: self.of(key, said) for key in self.keys if key not in _HOLDERS | _WORDS}
        return {**more, **held}

    def arguments(self, said: Said) -> dict[str, Any]:
        """The arguments of a call: whatever is looked up in them, or in anything."""
        keys = {**dict.fromkeys(self.children.get("arguments", ())), **dict.fromkeys(self.names)}
        held: dict[str, Any] = {
            Named(key): self.of(key, lambda: _number(said("argument"))) for key in keys
        }
        return {"zz_place": said("argument"), Named(said("property")): said("argument"), **held}

    def properties(self, said: Said) -> dict[str, Any]:
        """The parameters of a tool: each with all that is looked up anywhere."""
        one = self.filled(
            {"type": "string", "description": said("description"), "enum": [said("description")]},
            lambda: said("description"),
        )
        others = [*self.children.get("properties", ()), *self.names]
        return {"zz_place": one, Named(said("property")): one, **{Named(k): one for k in others}}

    def parts(self, said: Said) -> list[dict[str, Any]]:
        """Parts of a message, of every kind that the template knows."""
        kinds = dict.fromkeys(("image", "image_url", "file", *self.kinds[:_MOST_KINDS]))

        def words() -> str:
            """What is said in a part."""
            return said("extra")

        return [self.filled({"type": kind, kind: self.of(kind, words)}, words) for kind in kinds]

    def given(self, said: Said) -> dict[str, Any]:
        """A conversation with a tool, its call and result, documents, and keys everywhere."""
        function = {"name": said("name"), "arguments": self.arguments(said)}
        messages = self._messages(said, function)
        return {
            "messages": [self.filled(message, lambda: said("extra")) for message in messages],
            "tools": [self._tool(said)],
            "documents": [self._document(said)],
        }

    def _messages(self, said: Said, function: dict[str, Any]) -> Sequence[dict[str, Any]]:
        """The messages of that."""
        call = {"id": CALL_ID, "type": "function", "function": function}
        return (
            says("system", said("system")),
            says("user", said("user"), name=said("name")),
            says("assistant", said("assistant"), tool_calls=[call]),
            says("tool", said("tool"), name=said("name"), tool_call_id=CALL_ID),
            says("assistant", said("assistant")),
            says("user", said("last"), name=said("name")),
        )

    def _tool(self, said: Said) -> dict[str, Any]:
        """The description of the tool."""
        parameters = {
            "type": "object",
            "properties": self.properties(said),
            "required": [said("property")],
        }
        function = {
            "name": said("name"),
            "description": said("description"),
            "parameters": parameters,
        }
        return {"type": "function", "function": self.filled(function, lambda: said("description"))}

    def _document(self, said: Said) -> dict[str, Any]:
        """A document to answer from."""
        words = dict.fromkeys(("title", "text", "contents", "content"), said("document"))
        return self.filled(words, lambda: said("document"))

    def in_parts(self, said: Said) -> dict[str, Any]:
        """A conversation whose contents are parts of every kind, with keys everywhere."""
        parts = self.parts(said)

        def words(field: str) -> dict[str, str]:
            """A part with words."""
            return {"type": "text", "text": said(field)}

        return {
            "messages": [
                says("system", [words("system")]),
                says("user", [words("user"), *parts]),
                says("assistant", said("assistant")),
                says("tool", [*parts, words("tool")]),
                says("user", [*parts, words("last")]),
            ],
            "tools": [self._tool(said)],
        }

    def with_results(self, said: Said) -> dict[str, Any]:
        """A conversation in which a tool gave a mapping."""
        held = self.filled({}, lambda: said("tool"))
        inner = {
            key: self.of(key, lambda: said("tool")) for key in self.children.get("content", ())
        }
        return {
            "messages": [
                says("user", said("user")),
                says("tool", {**held, **inner}, name=said("name"), tool_call_id=CALL_ID),
                says("user", said("last")),
            ]
        }


def _number(text: str) -> object:
    """A number, where a text is nothing else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < len("10" * 8) else text
