"""What a template uses beside the conversation: Python's insides, and unusual calls."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jinja2 import nodes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["hidden_names", "unknown_calls"]

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
