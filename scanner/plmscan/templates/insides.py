"""What a template uses beside the conversation: Python's insides, and unusual calls."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jinja2 import nodes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["hidden_names", "invisible_characters", "unknown_calls"]

_HIDDEN_NAME = re.compile(r"^_|__")
_PYTHONS_OWN = re.compile(r"^__\w+__$")
"""A variable such as ``__builtins__``, which some programs hand to templates."""
_HIDDEN_FIELD = re.compile(r"\{[^{}]*[.\[]_[^{}]*\}")
"""A format such as ``{0.__class__}``."""
_METHODS = frozenset(
    {"append", "capitalize", "count", "endswith", "find", "format", "get", "index", "isalpha"}
    | {"isdigit", "isspace", "items", "join", "keys", "lower", "lstrip", "partition", "pop"}
    | {"removeprefix", "removesuffix", "replace", "rfind", "rindex", "rpartition", "rsplit"}
    | {"rstrip", "split", "splitlines", "startswith", "strftime", "strip", "title", "update"}
    | {"upper", "values"}
)
_FUNCTIONS = frozenset(
    {"caller", "dict", "loop", "namespace", "raise_exception", "range", "strftime_now"}
)
_LOADING = (nodes.Extends, nodes.FromImport, nodes.Import, nodes.Include)
_FLAG = "\U0001f3f4[\U000e0030-\U000e007a]{1,6}\U000e007f"
"""The flag of a region, whose name is spelt in tags behind a black one (Unicode TS 51, ED-14a)."""
_NEVER_SHOWN = "\u115f\u1160\u180e\u202d\u202e\u2061-\u2064\u3164\ufff9-\ufffb\U000e0000-\U000e0fff"
"""What no honest text needs: tags, fillers, operators without a sign, and reversed letters."""
_SELDOM_SHOWN = "\u00ad\u034f\u061c\u200b-\u200f\u202a-\u202c\u2060\u2066-\u206f\ufeff"
"""What some languages and emoji need one or two of in a row."""
_INVISIBLE = re.compile(f"{_FLAG}|([{_NEVER_SHOWN}]|[{_SELDOM_SHOWN}]{{3,}})")


def hidden_names(tree: nodes.Template, constants: Iterable[str]) -> Iterator[str]:
    """Names, attributes, keys and formats through which a template reaches into Python."""
    for node in tree.find_all((nodes.Getattr, nodes.Filter, nodes.Name)):
        match node:
            case nodes.Getattr() if _HIDDEN_NAME.search(node.attr):
                yield node.attr
            case nodes.Name() if _PYTHONS_OWN.search(node.name):
                yield node.name
            case nodes.Filter(name="attr"):
                yield "attr"
    for text in sorted(constants):
        if (text.startswith("__") and text.isidentifier()) or _HIDDEN_FIELD.search(text):
            yield text


def invisible_characters(source: str, constants: Iterable[str]) -> int:
    """How often text that nobody sees stands in ``source``, or in what it computes."""
    texts = (source, *(text for text in constants if text not in source))
    return sum(bool(found[1]) for text in texts for found in _INVISIBLE.finditer(text))


def unknown_calls(tree: nodes.Template) -> Iterator[str]:
    """Calls of what is no usual method, no function of transformers, and no macro."""
    macros = {macro.name for macro in tree.find_all(nodes.Macro)}
    for call in tree.find_all(nodes.Call):
        match call.node:
            case nodes.Getattr(attr=str(name)) if name not in _METHODS:
                yield name
            case nodes.Name(name=str(name)) if name not in _FUNCTIONS | macros:
                yield name
    for step in tree.find_all(nodes.Filter):
        if step.name == "random":
            yield step.name
    for load in tree.find_all(_LOADING):
        yield type(load).__name__.lower()
