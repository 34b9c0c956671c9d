"""What a chat template looks at: a small data-flow reading of its Jinja syntax tree.

Nothing is rendered.  Names are followed without regard to scope, so a name that holds user text
anywhere counts as user text everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jinja2 import Environment, nodes
from jinja2.ext import Extension, loopcontrols

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jinja2.parser import Parser

    _Binding = tuple[str, nodes.Node, bool]

__all__ = ["TEXT_KEYS", "Names", "names_in", "parse"]

TEXT_KEYS = frozenset({"content", "text", "reasoning_content", "thinking", "reasoning"})
"""Where a message keeps what somebody wrote."""
_MESSAGES = frozenset({"messages", "message", "conversation"})
_SPREADING = frozenset({"items", "values", "string", "tojson", "join", "dictsort", "pprint"})
"""Methods and filters that turn a whole message into its texts."""
_SELECTING = frozenset(
    {"first", "last", "list", "reject", "rejectattr", "reverse", "select", "selectattr", "unique"}
)
"""Filters whose result is still messages."""
_MEASURING = frozenset({"count", "length", "wordcount"})
"""Filters whose result no longer holds any text."""
_FORMATTING = frozenset({"format", "join"})
"""Methods and filters that put their arguments into a text."""
_CLOCK = "strftime_now"


class _Generation(Extension):
    """The ``{% generation %}`` block of transformers, which marks the assistant's words."""

    tags = {"generation"}  # noqa: RUF012 - jinja2's own declaration

    def parse(self, parser: Parser) -> nodes.Node:
        """The body of the block."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


def parse(source: str) -> nodes.Template:
    """The syntax tree of a chat template.

    Raises:
        jinja2.TemplateError: it is no Jinja template.
    """
    environment = Environment(extensions=[_Generation, loopcontrols])  # noqa: S701 - renders nothing
    return environment.parse(source)


@dataclass(frozen=True)
class Names:
    """What the variables of a template hold."""

    messages: frozenset[str] = _MESSAGES
    """Those that hold messages."""
    texts: frozenset[str] = frozenset()
    """Those that hold what somebody wrote, or parts of it."""
    parts: frozenset[str] = frozenset()
    """Those of them that a loop over a message's content sets: in most templates dicts."""
    dates: frozenset[str] = frozenset()
    """Those that depend on the clock."""
    literals: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The strings that the others can only hold."""

    def is_message(self, node: nodes.Node | None) -> bool:
        """Whether an expression is a message, or a list of messages."""
        match node:
            case nodes.Name():
                return node.name in self.messages
            case nodes.Getitem():
                return not self.strings(node.arg) and self.is_message(node.node)
            case nodes.Filter():
                return node.name in _SELECTING and self.is_message(node.node)
            case nodes.BinExpr() | nodes.CondExpr():
                return any(self.is_message(child) for child in node.iter_child_nodes())
            case _:
                return False

    def is_text(self, node: nodes.Node | None) -> bool:
        """Whether an expression is, or is made of, what somebody wrote."""
        match node:
            case nodes.Name() | nodes.NSRef():
                found = _target(node) in self.texts
            case nodes.Getattr():
                found = node.attr in TEXT_KEYS or _dotted(node) in self.texts
            case nodes.Getitem():
                keys = self.strings(node.arg)
                found = any(k in TEXT_KEYS for k in keys) or (not keys and self.is_text(node.node))
            case nodes.Call():
                found = self._is_text_call(node)
            case nodes.Filter():
                found = self._is_text_filter(node)
            case nodes.Concat() | nodes.Mod():
                found = any(self._holds_text(child) for child in node.iter_child_nodes())
            case nodes.BinExpr() | nodes.CondExpr() | nodes.UnaryExpr():
                found = any(self.is_text(child) for child in node.iter_child_nodes())
            case _:
                found = False
        return found

    def _holds_text(self, node: nodes.Node | None) -> bool:
        """Whether an expression would hold user text once it is made a string."""
        return self.is_text(node) or self.is_message(node)

    def _is_text_call(self, node: nodes.Call) -> bool:
        """Whether a call returns what somebody wrote."""
        if not isinstance(node.node, nodes.Getattr):
            return any(self.is_text(argument) for argument in node.args)
        subject, method = node.node.node, node.node.attr
        if method == "get" and any(k in TEXT_KEYS for k in self.strings(_first(node.args))):
            return True
        if method in _FORMATTING and any(self._holds_text(a) for a in node.args):
            return True
        return self.is_text(subject) or (method in _SPREADING and self.is_message(subject))

    def _is_text_filter(self, node: nodes.Filter) -> bool:
        """Whether a filter returns what somebody wrote."""
        if node.name in _MEASURING:
            return False
        if node.name in _FORMATTING and any(self._holds_text(a) for a in node.args):
            return True
        spread = node.name in _SPREADING and self.is_message(node.node)
        return spread or _attribute(node) in TEXT_KEYS or self.is_text(node.node)

    def is_date(self, node: nodes.Node | None) -> bool:
        """Whether an expression depends on the clock."""
        if node is None:
            return False
        inner = [node, *node.find_all((nodes.Name, nodes.Getattr))]
        used = {n.name if isinstance(n, nodes.Name) else _dotted(n) for n in inner}
        return not used.isdisjoint({_CLOCK, *self.dates})

    def strings(self, node: nodes.Node | None) -> tuple[str, ...]:
        """The fixed strings that an expression can be, or hold; none if it is no literal."""
        found: tuple[str, ...] = ()
        match node:
            case nodes.Const():
                found = (node.value,) if isinstance(node.value, str) else ()
            case nodes.Name():
                found = self.literals.get(node.name, ())
            case nodes.Getattr():
                found = self.literals.get(_dotted(node), ())
            case nodes.List() | nodes.Tuple():
                found = tuple(text for item in node.items for text in self.strings(item))
            case nodes.Dict():
                found = tuple(text for pair in node.items for text in self.strings(pair.key))
            case nodes.Add() | nodes.Concat():
                children = [self.strings(child) for child in node.iter_child_nodes()]
                found = ("".join(texts[0] for texts in children),) if all(children) else ()
            case nodes.Filter():
                found = self.strings(node.node)
        return found


def names_in(tree: nodes.Template) -> Names:
    """What the variables of ``tree`` hold, followed through assignments, loops and macros."""
    names = Names()
    bindings = list(_bindings(tree))
    for _ in range(len(bindings) + 1):
        found = _step(names, bindings)
        if found == names:
            break
        names = found
    return names


def _step(names: Names, bindings: list[_Binding]) -> Names:
    """``names``, with what the bindings add when they are read once more."""
    messages, texts, parts, dates = map(
        set, (names.messages, names.texts, names.parts, names.dates)
    )
    literals = dict(names.literals)
    for target, value, is_loop in bindings:
        if names.is_text(value):
            texts.add(target)
            parts |= {target} if is_loop else set()
        if names.is_message(value):
            messages.add(target)
        if names.is_date(value):
            dates.add(target)
        if strings := names.strings(value):
            literals[target] = tuple(dict.fromkeys((*literals.get(target, ()), *strings)))
    return Names(
        frozenset(messages), frozenset(texts), frozenset(parts), frozenset(dates), literals
    )


def _bindings(tree: nodes.Template) -> Iterator[_Binding]:
    """Every name that is given a value, the value, and whether a loop gives it."""
    for node in tree.find_all((nodes.Assign, nodes.For, nodes.AssignBlock, nodes.Call)):
        match node:
            case nodes.Assign(node=nodes.Call(node=nodes.Name(name="namespace"), kwargs=given)):
                owner = _target(node.target)
                yield from ((f"{owner}.{pair.key}", pair.value, False) for pair in given)
            case nodes.Assign():
                yield from ((name, node.node, False) for name in _targets(node.target))
            case nodes.For():
                yield from ((name, node.iter, True) for name in _targets(node.target))
            case nodes.AssignBlock():
                shown = [part for out in node.find_all(nodes.Output) for part in out.nodes]
                yield from ((n, part, False) for n in _targets(node.target) for part in shown)
            case nodes.Call(node=nodes.Name(), kwargs=given):
                yield from ((pair.key, pair.value, False) for pair in given)
                yield from _parameters(tree, node)


def _parameters(tree: nodes.Template, call: nodes.Call) -> Iterator[_Binding]:
    """What a call hands to the parameters of a macro."""
    for macro in tree.find_all(nodes.Macro):
        if isinstance(call.node, nodes.Name) and macro.name == call.node.name:
            for parameter, value in zip(macro.args, call.args, strict=False):
                yield parameter.name, value, False


def _targets(node: nodes.Node) -> list[str]:
    """Names on the left of an assignment."""
    if isinstance(node, nodes.Tuple):
        return [name for item in node.items for name in _targets(item)]
    return [_target(node)]


def _target(node: nodes.Node) -> str:
    """The name of a variable, or of a namespace's attribute."""
    if isinstance(node, nodes.NSRef):
        return f"{node.name}.{node.attr}"
    return node.name if isinstance(node, nodes.Name) else ""


def _dotted(node: nodes.Node) -> str:
    """``name.attribute`` as a namespace's attribute is written; empty for other expressions."""
    if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
        return f"{node.node.name}.{node.attr}"
    return ""


def _attribute(node: nodes.Filter) -> str | None:
    """The attribute that ``map(attribute='...')`` picks."""
    values = [pair.value for pair in node.kwargs if pair.key == "attribute"]
    value = values[0] if values and node.name == "map" else None
    return value.value if isinstance(value, nodes.Const) else None


def _first(arguments: list[nodes.Expr]) -> nodes.Expr | None:
    """The first argument, where there is one."""
    return arguments[0] if arguments else None
