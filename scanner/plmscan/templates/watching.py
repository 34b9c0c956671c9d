"""A template that can be rendered many times while its questions are watched."""

from __future__ import annotations

from collections.abc import KeysView, ValuesView
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from jinja2 import Template, TemplateError, Undefined, nodes
from jinja2.visitor import NodeTransformer

from plmscan.templates.conversations import Key, Named
from plmscan.templates.sandbox import CostError, RaisedError, Sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from plmscan.templates.dataflow import Asking

__all__ = ["Rendered", "Seen", "Watched"]

_STEPS = 60_000
"""Of one rendering."""
_MOST_WORDS = 40
_LONGEST_WORD = 200


@dataclass
class Seen:
    """What happened at a place that asks."""

    was_scalar: bool = False
    """Whether a text, number or list of texts was asked; a mapping is only asked for its keys."""
    was_reached: bool = False
    """Whether it was reached at all."""
    outcomes: set[bool] = field(default_factory=set)
    """The answers."""
    words: dict[str, None] = field(default_factory=dict)
    """What it asked for."""


@dataclass(frozen=True)
class Rendered:
    """What came out."""

    text: str
    """The text; for a refusal, the message."""
    error: str = ""
    """``refusal`` if the template raised, the name of the error if it broke, empty otherwise."""
    met: Mapping[int, Sequence[object]] = field(default_factory=dict, compare=False)
    """Texts and the like that questions were put to, by the key of the question."""
    reached: frozenset[int] = field(default=frozenset(), compare=False)
    """Keys of all questions that were reached."""


class _Watching(Sandbox):
    """A sandbox with the functions that a watched template calls."""

    def __init__(self) -> None:
        """An environment that has seen nothing."""
        super().__init__(_STEPS)
        self.noted: dict[int, Seen] = {}
        self.met: dict[int, list[object]] = {}

    def asked(self, key: int, value: object) -> object:
        """Note that ``value``, made of the user's text or the date, is asked; not that it lacks."""
        if value is None or isinstance(value, Undefined):
            return value
        seen = self.noted.setdefault(key, Seen())
        seen.was_reached = True
        if _is_scalar(value):
            seen.was_scalar = True
            met = self.met.setdefault(key, [])
            met += [value] if len(met) < _MOST_WORDS else []
        return value

    def sought(self, key: int, value: object) -> object:
        """Note what it is asked for."""
        seen = self.noted.setdefault(key, Seen())
        for word in _words(value):
            if len(seen.words) < _MOST_WORDS:
                seen.words[word] = None
        return value

    def answered(self, key: int, value: object) -> object:
        """Note the answer."""
        with suppress(TemplateError):
            self.noted.setdefault(key, Seen()).outcomes.add(bool(value))
        return value


class Watched:
    """A compiled template."""

    def __init__(self, tree: nodes.Template, askings: Mapping[nodes.Node, Asking]) -> None:
        """Compile ``tree``, which is changed by it.

        Raises:
            SyntaxError: Python cannot compile what jinja made of it.
            jinja2.TemplateError: jinja cannot compile it.
        """
        self._sandbox = _Watching()
        self._seen: dict[int, Seen] = {}
        self._sandbox.refill()
        self.keys = {id(node): key for key, node in enumerate(askings)}
        self.size = sum(1 for _ in tree.find_all(nodes.Node))
        self.used = 0
        watcher = _Watcher(
            {node: (self.keys[id(node)], asking) for node, asking in askings.items()}
        )
        changed = cast("nodes.Template", watcher.visit(tree))
        changed.set_environment(self._sandbox)
        code = self._sandbox.compile(changed)
        self._template = Template.from_code(self._sandbox, code, self._sandbox.make_globals(None))

    def seen(self, key: int) -> Seen:
        """What happened at one place until now."""
        return self._seen.get(key, Seen())

    def _remember(self) -> None:
        """Add what happened in the last rendering to what happened before."""
        for key, new in self._sandbox.noted.items():
            seen = self._seen.setdefault(key, Seen())
            seen.was_scalar |= new.was_scalar
            seen.was_reached |= new.was_reached
            seen.outcomes |= new.outcomes
            for word in new.words:
                if len(seen.words) < _MOST_WORDS:
                    seen.words[word] = None

    def render(self, given: Mapping[str, object], now: datetime | None = None) -> Rendered:
        """Render it; an output that costs too much is an error like others.

        What happened at the places that ask only counts where something came out.

        Raises:
            CostError: it calls itself without end, or takes more memory than there is.
        """
        self._sandbox.refill()
        met = self._sandbox.met = {}
        self._sandbox.noted = {}
        if now is not None:
            self._sandbox.now = now
        try:
            rendered = Rendered(self._template.render(given), met=met)
        except RaisedError as error:
            rendered = Rendered(str(error), "refusal", met)
        except MemoryError as error:
            raise CostError(str(error)) from error
        except RecursionError as error:
            msg = "calls nested deeper than a chat template needs"
            raise CostError(msg) from error
        except Exception as error:  # noqa: BLE001 - a template can raise whatever Python can
            rendered = Rendered("", type(error).__name__, met)
        if rendered.error in ("", "refusal"):
            self._remember()
            rendered = replace(rendered, reached=frozenset(self._sandbox.noted))
        self.used += self.size // 2 + self._sandbox.allowance - self._sandbox.left
        return rendered


class _Watcher(NodeTransformer):
    """Puts calls of the sandbox's functions into a tree."""

    def __init__(self, askings: Mapping[nodes.Node, tuple[int, Asking]]) -> None:
        """Watch the nodes of ``askings``."""
        self._askings = {id(node): found for node, found in askings.items()}

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - jinja's
        """The node that takes the place of ``node``."""
        found = self._askings.get(id(node))
        changed = super().visit(node, *args, **kwargs)
        if found is None or not isinstance(changed, nodes.Expr):
            return changed
        key, asking = found
        if not _watch_operands(changed, key, asking):
            changed = _called("asked", [nodes.Const(key), changed])
        return _called("answered", [nodes.Const(key), changed]) if asking.answers else changed

    def visit_Output(self, node: nodes.Output) -> nodes.Output:  # noqa: N802 - jinja's naming
        """Measure what is printed."""
        self.generic_visit(node)
        node.nodes = [
            part if isinstance(part, nodes.TemplateData) else _called("measured", [part])
            for part in node.nodes
        ]
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:  # noqa: N802
        """Measure what is joined."""
        self.generic_visit(node)
        return _called("joined", node.nodes)

    def visit_List(self, node: nodes.List) -> nodes.Expr:  # noqa: N802
        """Measure what is listed."""
        self.generic_visit(node)
        return _called("measured", [node])

    def visit_Dict(self, node: nodes.Dict) -> nodes.Expr:  # noqa: N802
        """Measure what is mapped."""
        self.generic_visit(node)
        return _called("measured", [node])

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Expr:  # noqa: N802
        """Measure what is listed, unless names are."""
        self.generic_visit(node)
        return _called("measured", [node]) if node.ctx == "load" else node

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802
        """Count the turns of a loop."""
        self.generic_visit(node)
        node.iter = _called("counted", [node.iter])
        node.body.insert(0, nodes.ExprStmt(_called("spend", [])))
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Macro:  # noqa: N802
        """Count calls of a macro."""
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_called("spend", [])))
        return node


def _called(name: str, arguments: Sequence[nodes.Node]) -> nodes.Call:
    """A call of one of the sandbox's functions."""
    return nodes.Call(nodes.EnvironmentAttribute(name), list(arguments), [], None, None)


def _watch_operands(node: nodes.Expr, key: int, asking: Asking) -> bool:
    """Let the operands of a question pass through the sandbox; False if it has none."""

    def watched(position: int, operand: nodes.Expr) -> nodes.Expr:
        """``operand``, noted on its way."""
        name = "asked" if position in asking.inputs else "sought"
        return _called(name, [nodes.Const(key), operand])

    match node:
        case nodes.Compare():
            node.expr = watched(0, node.expr)
            for position, operand in enumerate(node.ops, start=1):
                operand.expr = watched(position, operand.expr)
        case nodes.Test() | nodes.Filter():
            if node.node is not None:
                node.node = watched(0, node.node)
            node.args = [watched(i, argument) for i, argument in enumerate(node.args, start=1)]
        case nodes.Call(node=nodes.Getattr() as method):
            method.node = watched(0, method.node)
            node.args = [watched(i, argument) for i, argument in enumerate(node.args, start=1)]
        case nodes.Getitem() if not isinstance(node.arg, nodes.Slice):
            node.node = watched(0, node.node)
            node.arg = watched(1, node.arg)
        case nodes.Getitem() | nodes.Getattr():
            node.node = _called("asked", [nodes.Const(key), node.node])
        case nodes.BinExpr():
            node.left = watched(0, node.left)
            node.right = watched(1, node.right)
        case _:
            return False
    return True


def _is_scalar(value: object) -> bool:
    """Whether it is what somebody wrote: a text or number, several, or keys that people chose."""
    if isinstance(value, dict):
        return any(isinstance(key, Named) for key in value)
    if isinstance(value, (list, tuple, KeysView, ValuesView)):
        return any(isinstance(item, str) and not isinstance(item, Key) for item in value)
    return isinstance(value, (str, int, float, bytes)) and not isinstance(value, Key)


def _words(value: object) -> list[str]:
    """Strings in something that is asked for."""
    if isinstance(value, str):
        return [value] if 0 < len(value) <= _LONGEST_WORD else []
    if isinstance(value, (list, tuple, dict)):
        return [word for item in list(value)[:_MOST_WORDS] for word in _words(item)]
    return []
