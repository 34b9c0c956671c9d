"""Conversations to try a template with: small, of every kind that chat templates know."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Said = Callable[[str], str]
    Build = Callable[[Said], dict[str, Any]]

__all__ = [
    "ASSISTANT", "CALL_ID", "FIELDS", "GIVEN", "IDENTIFIERS", "Key", "Named", "Said", "Scenario",
    "Vocabulary", "says", "scenarios",
]  # fmt: skip

FIELDS = (
    "system", "user", "last", "assistant", "thinking", "tool", "argument", "document",
    "description", "extra", "name", "property",
)  # fmt: skip
"""Where in a conversation people, programs and documents put their words."""
ASSISTANT = frozenset({"assistant", "thinking"})
"""Those of them that the model wrote: what it thought aloud is often left out later."""
IDENTIFIERS = frozenset({"name", "property"})
"""Those that hold an identifier rather than a text."""
CALL_ID = "abcdef123"
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
_USUAL_ROLES = frozenset({"assistant", "system", "tool", "user"})
# Names of parameters that nobody chose begin with zz: what sorts them leaves the others in place.
_MOST_ROLES = 6
_MOST_TYPES = 12


class Key(str):
    """A key of a mapping that programs write: nobody's words, also where a loop meets it."""

    __slots__ = ()


class Named(str):
    """A key of a mapping that people choose, such as the name of a tool's parameter."""

    __slots__ = ()


@dataclass(frozen=True)
class Vocabulary:
    """What a template asks for, so that there are conversations which hold it."""

    keys: tuple[str, ...] = ()
    """Keys that it looks up anywhere."""
    roles: tuple[str, ...] = ()
    """Roles that it knows."""
    types: tuple[str, ...] = ()
    """Types of parts, tools and parameters that it knows."""


@dataclass(frozen=True)
class Scenario:
    """One kind of conversation."""

    name: str
    """What kind."""
    build: Build
    """What the template is rendered with, from what is said in a field."""
    is_usual: bool = False
    """Whether most programs have such conversations, so that more is tried with it."""
    is_made_up: bool = False
    """Whether it holds keys that the template asks for, which nobody else may have."""

    def given(self, said: Said) -> dict[str, Any]:
        """The variables of the template, with every key that programs write known as such."""
        built: dict[str, Any] = _keyed(self.build(said))
        return {**GIVEN, **built}


def scenarios(vocabulary: Vocabulary) -> tuple[Scenario, ...]:
    """All kinds of conversations, the most usual first."""
    types = [t for t in vocabulary.types if t != "text"][:_MOST_TYPES]
    roles = [role for role in vocabulary.roles if role not in _USUAL_ROLES][:_MOST_ROLES]
    return (
        Scenario("plain", _plain, is_usual=True),
        Scenario("bare", _bare),
        Scenario("tools", _with_tools, is_usual=True),
        Scenario("tools-bare", _tools_bare),
        Scenario("continued", _continued),
        Scenario("tool-last", _tool_last),
        Scenario("parts", lambda said: _parts(said, types)),
        Scenario("flat", lambda said: _flat(said, types)),
        Scenario("schema", lambda said: _schema_only(said, types)),
        Scenario("nested", lambda said: _nested(said, vocabulary), is_made_up=True),
        Scenario("extended", lambda said: _extended(said, vocabulary), is_made_up=True),
        Scenario("mapped", lambda said: _mapped(said, vocabulary), is_made_up=True),
        *(Scenario(f"role {role}", partial(_of_role, role)) for role in roles),
    )


def _keyed(value: Any) -> Any:  # noqa: ANN401 - any part of a conversation
    """``value`` with a `Key` for every key that nobody chose."""
    if isinstance(value, dict):
        return {k if isinstance(k, Named) else Key(k): _keyed(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_keyed(item) for item in value]
    return value


def says(role: str, content: object, **more: object) -> dict[str, Any]:
    """One message."""
    return {"role": role, "content": content, **more}


def _plain(said: Said) -> dict[str, Any]:
    """System prompt, question, answer, question."""
    return {
        "messages": [
            says("system", said("system")),
            says("user", said("user"), name=said("name")),
            says("assistant", said("assistant"), reasoning_content=said("thinking")),
            says("user", said("last")),
        ],
    }


def _bare(said: Said) -> dict[str, Any]:
    """The same without a system prompt, and without thinking."""
    return {
        "messages": [
            says("user", said("user")),
            says("assistant", said("assistant")),
            says("user", said("last")),
        ],
    }


def _continued(said: Said) -> dict[str, Any]:
    """A conversation that ends with the assistant's words, to which nothing is to be added."""
    return {
        "messages": [
            says("developer", said("system")),
            says("user", said("user")),
            says("assistant", said("assistant"), thinking=said("thinking")),
        ],
        "add_generation_prompt": False,
        "continue_final_message": True,
    }


def _of_role(role: str, said: Said) -> dict[str, Any]:
    """A conversation with a role that only some templates know."""
    special = says(role, said("tool"), name=said("name"), tool_call_id=CALL_ID)
    call = _call(said, CALL_ID)
    return {
        "messages": [
            {**special, "content": said("system")},
            says("user", said("user")),
            says("assistant", said("assistant"), tool_calls=[call]),
            special,
            {**special, "content": [{"type": "text", "text": said("tool")}]},
            says("assistant", said("assistant")),
            says("user", said("last")),
            special,
        ],
        "tools": [_tool(said)],
    }


def _schema(said: Said, types: Sequence[str]) -> dict[str, Any]:
    """The parameters of a tool, of every type that JSON Schema has, or the template knows."""
    text = {"type": "string", "description": said("description")}
    inner = {
        "type": "object",
        "properties": {"deep": {"type": "array", "items": text}, "zz_far": dict(text)},
        "required": ["deep"],
        "additionalProperties": {"type": "number"},
    }
    properties: dict[str, Any] = {
        "zz_place": {**text, "enum": ["here", "there"], "nullable": True},
        Named(said("property")): {
            **text,
            "default": said("description"),
            "enum": [said("description")],
            "minLength": 1,
        },
        "zz_days": {"type": ["integer", "null"], "description": said("description"), "default": 3},
        "zz_more": inner,
        "zz_many": {"type": "array", "items": inner, "description": said("description")},
        "zz_texts": {"type": "array", "items": {"type": "string", "enum": ["one", "two"]}},
        "zz_lists": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
        "zz_any": {"type": "array"},
        "zz_either": {"oneOf": [{**text, "default": "a"}, {"type": "integer", "default": 2}]},
        "zz_objects": {"type": "array", "items": {"oneOf": [{"type": "object"}] * 2}},
        "zz_some": {"anyOf": [text, {"type": "null"}], "allOf": [text]},
        "zz_linked": {"$ref": "#/$defs/thing"},
        "zz_whole": {"type": "object"},
        "zz_yes": {"type": "boolean", "default": True},
        **{f"zz_{i}": {"type": kind, "nullable": True} for i, kind in enumerate(types)},
    }
    return {
        "type": "object",
        "properties": properties,
        "required": ["zz_place", said("property")],
        "$defs": {"thing": dict(inner)},
    }


def _simple(said: Said) -> dict[str, Any]:
    """The parameters of an ordinary tool."""
    text = {"type": "string", "description": said("description")}
    properties = {"zz_place": {**text, "enum": ["here"]}, Named(said("property")): text}
    return {"type": "object", "properties": properties, "required": ["zz_place", said("property")]}


def _tool(said: Said, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
    """The description of a tool."""
    function = {
        "name": said("name"),
        "description": said("description"),
        "parameters": parameters or _simple(said),
        "return": {"type": "string", "description": said("description")},
        "response": {"type": "object", "description": said("description")},
        "strict": True,
    }
    return {"type": "function", "function": function}


def _schema_only(said: Said, types: Sequence[str]) -> dict[str, Any]:
    """Tools with parameters of every type, and a question."""
    return {
        "messages": [says("user", said("last"))],
        "tools": [_tool(said, _schema(said, types)), _tool(said, {})],
    }


def _call(said: Said, name: str) -> dict[str, Any]:
    """A tool call."""
    arguments = {
        "zz_place": said("argument"),
        Named(said("property")): said("argument"),
        "zz_days": 2,
        "zz_far": 4.5,
        "zz_yes": True,
        "zz_none": None,
        "zz_many": [said("argument"), {"deep": said("argument")}],
    }
    function = {"name": said("name"), "arguments": arguments}
    return {"id": name, "type": "function", "function": function}


def _with_tools(said: Said) -> dict[str, Any]:
    """A conversation with tool calls, their results, documents and tools."""
    call = _call(said, CALL_ID)
    return {
        "messages": [
            says("system", said("system")),
            says("user", said("user")),
            says("assistant", "", tool_calls=[call], reasoning_content=said("thinking")),
            says("tool", said("tool"), name=said("name"), tool_call_id=CALL_ID),
            says("assistant", said("assistant")),
            says("user", said("last")),
        ],
        "tools": [_tool(said)],
        "documents": [_document(said)],
    }


def _document(said: Said) -> dict[str, Any]:
    """A document to answer from."""
    told = dict.fromkeys(("title", "text", "contents", "content", "data"), said("document"))
    return {**told, "doc_id": 1}


def _tools_bare(said: Said) -> dict[str, Any]:
    """Tools, without a system prompt, and with arguments as text."""
    given = _with_tools(said)
    call = _call(said, _LONG_ID)
    call["function"]["arguments"] = '{"zz_place": "' + said("argument") + '"}'
    messages = given["messages"][1:]
    messages[1] = says("assistant", None, tool_calls=[call], thinking=said("thinking"))
    messages[2] = {**messages[2], "tool_call_id": _LONG_ID}
    return {**given, "messages": messages}


def _tool_last(said: Said) -> dict[str, Any]:
    """A conversation that stops at the results of two calls of tools."""
    given = _with_tools(said)
    system, user, asks, answer = given["messages"][:4]
    calls = [*asks["tool_calls"], _call(said, CALL_ID)]
    asks = {**asks, "content": said("assistant"), "tool_calls": calls}
    return {**given, "messages": [system, user, asks, answer, answer]}


def _flat(said: Said, types: Sequence[str]) -> dict[str, Any]:
    """Tools, calls and results without the usual wrapping, and all contents in parts."""
    call = _call(said, CALL_ID)
    result = {"output": said("tool"), "call": call["function"], "outputs": [{"a": said("tool")}]}
    given = _parts(said, types)
    first, user, assistant, answer, last = given["messages"]
    return {
        "messages": [
            first,
            user,
            {**assistant, "tool_calls": [call["function"]]},
            {**answer, "content": [{"type": "text", "text": said("tool")}, result]},
            says("assistant", None, tool_calls=[call], function_call=call["function"]),
            says("tool", result, name=said("name"), tool_call_id=CALL_ID),
            last,
        ],
        "tools": [_tool(said)["function"], _tool(said)],
    }


def _part(said: Said, kind: str) -> dict[str, Any]:
    """A part of a message that is no text."""
    held: object = _document(said) if kind == "document" else said("extra")
    return {"type": kind, kind: held, "name": said("name")}


def _parts(said: Said, types: Sequence[str]) -> dict[str, Any]:
    """Contents made of parts: words, pictures, and whatever else the template knows."""
    kinds = dict.fromkeys(("image", "image_url", "video", "audio", *types))
    others = [_part(said, kind) for kind in kinds]

    def words(field: str) -> list[dict[str, Any]]:
        """A part with words."""
        return [{"type": "text", "text": said(field)}]

    thinking = {"type": "thinking", "thinking": said("thinking")}
    return {
        "messages": [
            says("system", words("system")),
            says("user", [*words("user"), others[0]]),
            says("assistant", [thinking, *words("assistant")]),
            says("tool", [*words("tool"), *others], name="tool", tool_call_id=CALL_ID),
            says("user", [*others, *words("last")]),
        ],
    }


def _extended(said: Said, vocabulary: Vocabulary) -> dict[str, Any]:
    """Tools and documents, with every key that the template looks up anywhere."""
    given = _with_tools(said)
    more = {key: said("extra") for key in vocabulary.keys if key not in _STRUCTURE}
    for holder in (*given["messages"], *given["tools"], *given["documents"]):
        for key, value in more.items():
            holder.setdefault(key, value)
    return given


def _mapped(said: Said, vocabulary: Vocabulary) -> dict[str, Any]:
    """Contents that are mappings, with every key that the template looks up anywhere."""
    keys = (*vocabulary.keys, "text", "type")

    def holds(field: str) -> dict[str, Any]:
        """A mapping with the words of a field."""
        other = "thinking" if field in ASSISTANT else "extra"
        return {**dict.fromkeys(keys, said(other)), "text": said(field)}

    return {
        "messages": [
            says("system", {**holds("system"), "type": "text"}),
            says("user", holds("user")),
            says("assistant", holds("assistant")),
            says("user", holds("last")),
        ],
    }


def _nested(said: Said, vocabulary: Vocabulary) -> dict[str, Any]:
    """Contents that are mappings of parts, of every type that the template knows."""
    call = _call(said, CALL_ID)["function"]
    texts = {key: said("thinking") for key in vocabulary.keys if not key.endswith("s")}
    lists = {key: [{**call, "output": said("tool")}] for key in vocabulary.keys if key[-1:] == "s"}
    blocks = [
        {**texts, **lists, "type": kind} for kind in (*vocabulary.types[:_MOST_TYPES], "text")
    ]
    content = dict.fromkeys(lists, blocks) or {"parts": blocks}
    parts = {key: [{"type": "text", "text": said("user")}] for key in content}
    return {
        "messages": [
            says("user", parts),
            says("assistant", content),
            says("user", said("last")),
        ],
    }
