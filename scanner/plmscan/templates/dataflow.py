"""What in a template depends on what somebody wrote, or on the clock: an abstract interpretation.

Every statement is read once in order, both branches of each condition, the body of each loop until
nothing new comes out of it, macros where they are called.  What can be computed without a
conversation is computed in the `Sandbox`, whatever way it is written.  The result are the places
that *ask*: a comparison, test, search or lookup with the user's text or the date on one side.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError, Undefined, nodes

from plmscan.templates.sandbox import CostError, Sandbox, deep_size
from plmscan.templates.values import (
    KEYED,
    NAMESPACE,
    NOTHING,
    Value,
    combinations,
    either,
    mixed,
    of,
    sequence,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["SELECTORS", "Asking", "Flow", "flow_of"]

SELECTORS = frozenset({"id", "index", "role", "tool_call_id", "type"})
"""Keys whose values say what kind of thing something is: programs write them, not people."""
_KINDS = frozenset({"format", "mime_type"})
"""Keys whose values do so too, but may be chosen freely."""
_COLLECTIONS = frozenset(
    {"conversation", "custom_tools", "documents", "enum", "message", "messages", "parameters"}
    | {"properties", "required", "tool_calls", "tools"}
)
"""Inputs whose length is a number of things rather than of characters."""
_ITEMS = {
    "documents": "document", "messages": "message", "tool_calls": "tool_call", "tools": "tool",
}  # fmt: skip
_STRUCTURES = frozenset({*_ITEMS.values(), "function", "parameters"})
"""Mappings whose keys programs write."""
_NAMES = frozenset({"key", "name"})
"""Values that name something."""
_NAMED = frozenset({"arguments", "properties"})
"""Mappings whose keys people choose, such as the parameters of their tools."""
_INPUTS = re.compile(
    r"message|conversation|document|tools$|functions$|prompt|instruction|persona|query|question"
    r"|context|^text$|content|user_|_user|persona|profile|character",
    re.IGNORECASE,
)
_OPTIONS = re.compile(r"builtin|^(?:add|default|enable|has|is|tools_in|use)_", re.IGNORECASE)
_ALWAYS_GIVEN = frozenset({"documents", "messages", "tools"})
_CLOCKS = re.compile(r"(^|_)(date|datetime|today|now|time|year|month|day)(_|$)", re.IGNORECASE)
_TYPE_TESTS = frozenset(
    {"boolean", "callable", "defined", "escaped", "false", "filter", "float", "integer"}
    | {"iterable", "mapping", "none", "number", "sequence", "string", "test", "true", "undefined"}
)
_SEARCHES = frozenset(
    {"count", "endswith", "find", "index", "lstrip", "partition", "removeprefix", "removesuffix"}
    | {"replace", "rfind", "rindex", "rpartition", "rsplit", "rstrip", "split", "startswith"}
    | {"strip", "translate"}
)
_CHANGES = frozenset({"add", "append", "extend", "insert", "setdefault", "update"})
"""Methods that put something into a list or mapping; transformers refuses them, others do not."""
_CUTS = frozenset({"split", "rsplit", "partition", "rpartition", "strip", "lstrip", "rstrip"})
"""Searches that only take a text apart: with a date, what follows them decides."""
_SIZES = frozenset({"count", "find", "index", "rfind", "rindex", "length", "wordcount"})
_ANSWERS = frozenset({"startswith", "endswith"})
_ORDERS = frozenset({"gt", "gteq", "lt", "lteq"})
_ORDERING = frozenset({"max", "min", "sort", "unique"})
_GROUPING = _ORDERING | {"groupby"}
_FORMAT = "takes what somebody wrote for a format"
_PICKING = frozenset({"groupby", "map", "reject", "rejectattr", "select", "selectattr"})
_LENGTH_FILTERS = frozenset({"batch", "slice", "truncate"})
_SMALL = frozenset({-1, 0, 1})
"""Numbers that ask whether there is anything at all."""
_MOST_STEPS = 40_000
_MOST_TURNS = 200
_LONGEST_WORD = 200
_PAIR = 2
_MOST_PASSES = 4
_MOST_DEPTH = 6
_FAILURES = (
    ArithmeticError, AttributeError, LookupError, TypeError, ValueError, TemplateError, CostError,
    RecursionError,
)  # fmt: skip


@dataclass
class Asking:
    """A place in a template that asks for something in the user's text, or about the date."""

    line: int
    """Where it stands."""
    date: bool = False
    """Whether it asks about the date rather than about a text."""
    words: set[str] = field(default_factory=set)
    """Fixed strings that it asks for."""
    numbers: set[int] = field(default_factory=set)
    """Fixed numbers that it asks for."""
    is_open: bool = False
    """Whether it asks for something that could not be computed, or for a property of the text."""
    answers: bool = False
    """Whether it is a question with an answer of yes or no."""
    is_direct: bool = False
    """Whether it compares an input just as it was given, so that trying a word is enough."""
    is_mutual: bool = False
    """Whether it compares one input with another, such as two names."""
    is_structural: bool = False
    """Whether it looks for a key in a mapping whose keys programs write."""
    is_of_kind: bool = False
    """Whether it asks what kind of thing something is, as templates may."""
    inputs: set[int] = field(default_factory=set)
    """Which of its operands, by position, are made of the text or the date."""


@dataclass
class Flow:
    """What is known about a template once it is read."""

    askings: dict[nodes.Node, Asking] = field(default_factory=dict)
    """Places that ask, by their node of the syntax tree."""
    keys: set[str] = field(default_factory=set)
    """Keys that are looked up in messages, tools and the like."""
    children: dict[str, set[str]] = field(default_factory=dict)
    """Those of them that are looked up in what is found under another key, by that key."""
    kinds: dict[str, set[str]] = field(default_factory=dict)
    """What roles, types and the like are compared with, by the key that holds these."""
    conjunctions: set[frozenset[str]] = field(default_factory=set)
    """Words that the conditions ask for which one part of the template stands behind."""
    names: dict[str, set[str]] = field(default_factory=dict)
    """What names are compared with: of tools under ``name``, of their parameters under ``key``."""
    options: dict[str, set[object]] = field(default_factory=dict)
    """Variables that nothing in the template sets, with the constants they are compared with."""
    lists: set[str] = field(default_factory=set)
    """Those of them in which something is sought."""
    clocks: set[str] = field(default_factory=set)
    """Those of them that hold a date, going by their name."""
    inputs: set[str] = field(default_factory=set)
    """Those of them that hold what somebody wrote."""
    unjudged: dict[str, int] = field(default_factory=dict)
    """What no try can show to be harmless, as a part of a sentence, and the line of each."""
    constants: set[str] = field(default_factory=set)
    """Strings that were computed, or stand in expressions."""
    numbers: set[int] = field(default_factory=set)
    """The same for whole numbers."""


def flow_of(tree: nodes.Template) -> Flow:
    """Read ``tree``.

    Raises:
        CostError: it takes more steps than any chat template needs.
    """
    reader = _Reader()
    reader.run(tree.body)
    return reader.flow


class _Reader:
    """The abstract interpreter; one a template."""

    def __init__(self) -> None:
        """A reader that knows nothing yet."""
        self.flow = Flow()
        self.sandbox = Sandbox()
        self.context = self.sandbox.from_string("").new_context()
        self.eval_context = nodes.EvalContext(self.sandbox)
        self.scopes: list[dict[str, Value]] = [{}]
        self.branches = 0
        self.behind: frozenset[str] = frozenset()
        self.attributes: dict[str, Value] = {}
        self.macros: dict[str, tuple[nodes.Macro | nodes.CallBlock, list[dict[str, Value]]]] = {}
        self.loops: list[nodes.For] = []
        self.results: dict[tuple[object, ...], Value] = {}
        self.steps = 0
        self.depth = 0
        self.version = 0

    # Statements ------------------------------------------------------------------------------

    def run(self, body: Sequence[nodes.Node]) -> Value:
        """Read statements; what they print."""
        return sequence([self._statement(node) for node in body])

    def _statement(self, node: nodes.Node) -> Value:
        """Read one statement; what it prints."""
        self._step()
        method = getattr(self, f"_do_{type(node).__name__.lower()}", None)
        if method is not None:
            printed: Value = method(node)
            return printed
        body = getattr(node, "body", None)
        return self.run(body) if isinstance(body, list) else NOTHING

    def _step(self) -> None:
        """Count one step."""
        self.steps += 1
        if self.steps > _MOST_STEPS:
            msg = "more steps to read than a chat template needs"
            raise CostError(msg)

    def _do_loading(self, node: nodes.Stmt) -> Value:
        """Another template, which is not here."""
        self._cannot_judge(node, "takes in another template")
        return NOTHING

    _do_extends = _do_fromimport = _do_import = _do_include = _do_loading

    def _do_output(self, node: nodes.Output) -> Value:
        """Text, and expressions between braces."""
        return sequence([self.value(part) for part in node.nodes])

    def _do_exprstmt(self, node: nodes.ExprStmt) -> Value:
        """An expression that is only evaluated."""
        self.value(node.node)
        return NOTHING

    def _do_if(self, node: nodes.If) -> Value:
        """All branches of a condition."""
        printed = []
        self.branches += 1
        around = self.behind
        for branch in (node, *node.elif_):
            self._decide(branch.test)
            self.behind = around | self._asked_in(branch.test)
            self.flow.conjunctions.add(self.behind)
            printed.append(self.run(branch.body))
        self.behind = around
        printed.append(self.run(node.else_))
        self.branches -= 1
        return either(*printed)

    def _asked_in(self, test: nodes.Node) -> frozenset[str]:
        """Words that have to be there for a condition to hold."""
        if isinstance(test, nodes.Not):
            return frozenset()
        if isinstance(test, (nodes.And, nodes.Or)):
            return self._asked_in(test.left) | self._asked_in(test.right)
        if isinstance(test, nodes.Compare) and test.ops[0].op in ("notin", "ne"):
            return frozenset()
        askings = (self.flow.askings.get(one) for one in (test, *test.find_all(nodes.Expr)))
        return frozenset(word for asking in askings if asking for word in asking.words)

    def _do_assign(self, node: nodes.Assign) -> Value:
        """``{% set name = value %}``."""
        self._bind(node.target, self.value(node.node))
        return NOTHING

    def _do_assignblock(self, node: nodes.AssignBlock) -> Value:
        """``{% set name %}...{% endset %}``."""
        printed = self._scoped(node.body)
        if node.filter is not None:
            printed = self._filter(node.filter, printed)
        self._bind(node.target, printed)
        return NOTHING

    def _do_filterblock(self, node: nodes.FilterBlock) -> Value:
        """``{% filter name %}...{% endfilter %}``."""
        return self._filter(node.filter, self._scoped(node.body))

    def _do_with(self, node: nodes.With) -> Value:
        """``{% with name = value %}...{% endwith %}``."""
        values = [self.value(value) for value in node.values]
        with self._scope({}):
            for target, value in zip(node.targets, values, strict=True):
                self._bind(target, value)
            return self.run(node.body)

    def _do_macro(self, node: nodes.Macro) -> Value:
        """Remember a macro; it is read where it is called."""
        self.scopes[-1][node.name] = self._closure(node)
        return NOTHING

    def _do_callblock(self, node: nodes.CallBlock) -> Value:
        """``{% call macro() %}...{% endcall %}``."""
        return self._call(node.call, self._closure(node))

    def _closure(self, node: nodes.Macro | nodes.CallBlock) -> Value:
        """What a macro is bound to: its name for itself, and the scopes around it."""
        leaf = f"macro:{id(node)}"
        self.macros[leaf] = (node, list(self.scopes))
        return Value(leaf=leaf)

    def _do_for(self, node: nodes.For) -> Value:
        """A loop."""
        self._decide(node.iter, is_loop=True)
        return self._loop(node, self.value(node.iter))

    def _loop(self, node: nodes.For, values: Value) -> Value:
        """The body of a loop over ``values``."""
        self.loops.append(node)
        items = self._known_items(values)
        printed = [self._turn(node, item, values) for item in items or ()]
        if items is None:
            for _ in range(_MOST_PASSES):
                before = self.version
                printed.append(self._turn(node, _item(values), values))
                if self.version == before:
                    break
            printed = [either(NOTHING, mixed(*printed))]
        printed.append(self.run(node.else_))
        self.loops.pop()
        return either(NOTHING, sequence(printed))

    def _known_items(self, values: Value) -> list[Value] | None:
        """The items of a loop that can be computed; None otherwise."""
        if values.known is None or len(values.known) != 1 or values.text:
            return None
        held = values.known[0]
        if isinstance(held, (str, bytes, list, tuple, dict, range)) and len(held) <= _MOST_TURNS:
            return [replace(of(item), date=values.date, size=values.size) for item in held]
        return None

    def _turn(self, node: nodes.For, item: Value, values: Value) -> Value:
        """One turn of a loop."""
        counts = values.size or (values.text and values.leaf not in _COLLECTIONS)
        loop = Value(size=counts, text=values.text, leaf="loop")
        with self._scope({"loop": loop}):
            self._bind(node.target, item)
            if node.test is not None:
                self._decide(node.test)
            return self.run(node.body)

    def _scoped(self, body: Sequence[nodes.Node]) -> Value:
        """Statements in a scope of their own."""
        with self._scope({}):
            return self.run(body)

    @contextmanager
    def _scope(
        self, names: dict[str, Value], around: list[dict[str, Value]] | None = None
    ) -> Iterator[None]:
        """A scope of its own, in which nothing is conditional yet."""
        outside, branches = self.scopes, self.branches
        self.scopes = [*(outside if around is None else around), names]
        self.branches = 0
        yield
        self.scopes, self.branches = outside, branches

    def _bind(self, target: nodes.Node, value: Value) -> None:
        """Give ``value`` to what stands on the left of an assignment."""
        if isinstance(target, nodes.Tuple):
            for part, item in zip(target.items, _parts(value, len(target.items)), strict=True):
                self._bind(part, item)
        elif isinstance(target, nodes.NSRef):
            self._store(target.attr, value)
        elif isinstance(target, nodes.Name):
            old = self._visible(target.name) if self.branches else None
            self.scopes[-1][target.name] = value if old is None else either(value, old)

    def _visible(self, name: str) -> Value | None:
        """What a variable holds before it is set, if it is anything."""
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        was_read = name in self.flow.options or name in _ALWAYS_GIVEN
        return _given(name) if was_read else None

    def _store(self, attribute: str, value: Value) -> None:
        """Give ``value`` to an attribute of a namespace; what it was before is not forgotten."""
        old = self.attributes.get(attribute)
        new = value if old is None else either(old, value)
        if new != old:
            self.version += 1
        self.attributes[attribute] = new

    # Expressions -----------------------------------------------------------------------------

    def value(self, node: nodes.Node | None) -> Value:
        """What an expression can be."""
        self._step()
        method = getattr(self, f"_of_{type(node).__name__.lower()}", None)
        if method is not None:
            found: Value = method(node)
        elif isinstance(node, nodes.BinExpr):
            found = self._arithmetic(node)
        elif node is None:
            found = Value((None,))
        else:
            found = mixed(*(self.value(child) for child in node.iter_child_nodes()))
        self._note(found)
        return found

    def _note(self, value: Value) -> None:
        """Remember constants."""
        if value.known is not None:
            self.flow.constants.update(s for s in value.strings if len(s) <= _LONGEST_WORD)
            self.flow.numbers.update(value.numbers)

    def _of_const(self, node: nodes.Const) -> Value:
        """A literal."""
        return of(node.value)

    def _of_templatedata(self, node: nodes.TemplateData) -> Value:
        """Text between the tags."""
        return of(node.data)

    def _of_name(self, node: nodes.Name) -> Value:
        """A variable."""
        return self._name(node.name)

    def _name(self, name: str) -> Value:
        """What a variable holds."""
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        if name in self.sandbox.globals:
            return Value(leaf=name)
        self.flow.options.setdefault(name, set())
        given = _given(name)
        if given.date:
            self.flow.clocks.add(name)
        if given.text:
            self.flow.inputs.add(name)
        return given

    def _of_list(self, node: nodes.List) -> Value:
        """A list."""
        return self._fold(lambda *items: list(items), [self.value(item) for item in node.items])

    def _of_tuple(self, node: nodes.Tuple) -> Value:
        """A tuple."""
        return self._fold(lambda *items: items, [self.value(item) for item in node.items])

    def _of_dict(self, node: nodes.Dict) -> Value:
        """A dictionary."""
        flat = [self.value(part) for pair in node.items for part in (pair.key, pair.value)]
        found = self._fold(lambda *parts: dict(zip(parts[::2], parts[1::2], strict=True)), flat)
        is_keyed = any(key.text and key.leaf != "key" for key in flat[::2])
        return replace(found, leaf=KEYED) if is_keyed else found

    def _of_concat(self, node: nodes.Concat) -> Value:
        """``a ~ b``."""
        return self._fold(self.sandbox.joined, [self.value(part) for part in node.nodes])

    def _of_condexpr(self, node: nodes.CondExpr) -> Value:
        """``a if test else b``."""
        self._decide(node.test)
        return either(self.value(node.expr1), self.value(node.expr2))

    def _of_and(self, node: nodes.And) -> Value:
        """Either side, if it comes to that."""
        self._decide(node.left)
        return either(self.value(node.left), self.value(node.right))

    def _of_or(self, node: nodes.Or) -> Value:
        """Either side, if it comes to that."""
        self._decide(node.left)
        return either(self.value(node.left), self.value(node.right))

    def _of_not(self, node: nodes.Not) -> Value:
        """Yes or no."""
        self._decide(node.node)
        return Value()

    def _of_neg(self, node: nodes.Neg) -> Value:
        """A negative number."""
        return self._fold(lambda value: -value, [self.value(node.node)])

    def _of_getattr(self, node: nodes.Getattr) -> Value:
        """``a.b``."""
        held = self.value(node.node)
        self._look_up(node, held, of(node.attr))
        return self._child(held, node.attr)

    def _look_up(self, node: nodes.Node, held: Value, key: Value) -> None:
        """Whether a lookup asks for something: a key that somebody chose."""
        if held.leaf == KEYED or (held.leaf in _NAMED and held.text and key.strings):
            self._ask(node, [held, key], position=0, is_open=key.known is None)

    def _of_getitem(self, node: nodes.Getitem) -> Value:
        """``a[b]``."""
        held = self.value(node.node)
        if isinstance(node.arg, nodes.Slice):
            return self._slice(node, held)
        index = self.value(node.arg)
        if index.date or index.size or (index.text and not held.text):
            self._ask(node, [held, index], position=1, is_open=held.known is None)
        if index.size and held.known is not None:
            self._cannot_judge(node, "looks something up by the length of a text")
        keys = [key for key in index.known or () if isinstance(key, str)]
        if index.known is not None and held.known is not None:
            return self._fold(lambda a, b: _defined(self.sandbox.getitem(a, b)), [held, index])
        self._look_up(node, held, index)
        if len(keys) == 1:
            return self._child(held, keys[0])
        if held.text and index.known is not None:
            return _item(held) if held.leaf in _COLLECTIONS else held.computed()
        return mixed(held, index)

    def _slice(self, node: nodes.Getitem, held: Value) -> Value:
        """``a[b:c:d]``."""
        cut = node.arg
        ends = [self.value(end) for end in (cut.start, cut.stop, cut.step)]  # type: ignore[attr-defined]
        if any(end.date for end in ends) or (any(e.size for e in ends) and not held.text):
            self._ask(node, [held, *ends], is_open=True)
        if held.text:
            leaf = held.leaf if held.leaf in _COLLECTIONS else ""
            return replace(mixed(held, *ends), leaf=leaf, size=False)
        return self._fold(lambda v, a, b, c: v[slice(a, b, c)], [held, *ends])

    def _child(self, held: Value, key: str) -> Value:
        """What is found in ``held`` under a key or name."""
        if held.leaf == NAMESPACE:
            return self.attributes.get(key, Value())
        if held.leaf == "loop":
            return self._of_loop(held, key)
        if held.text:
            self.flow.keys.add(key)
            self.flow.children.setdefault(held.leaf, set()).add(key)
            return (
                Value(leaf=key)
                if key in SELECTORS
                else Value(text=True, date=held.date, leaf=key if held.leaf else "")
            )
        if held.known is not None:
            return self._fold(lambda v: _defined(self.sandbox.getattr(v, key)), [held])
        return held.computed()

    def _of_loop(self, loop: Value, key: str) -> Value:
        """What a loop says about itself."""
        if key in ("previtem", "nextitem"):
            return Value(text=loop.text)
        return Value(size=loop.size and key not in ("first", "last"))

    def _arithmetic(self, node: nodes.BinExpr) -> Value:
        """``a + b`` and the like."""
        sides = [self.value(node.left), self.value(node.right)]
        if node.operator == "%" and sides[0].text and not sides[0].size:
            is_number = sides[1].known is not None and bool(sides[1].numbers)
            if not is_number:
                self._cannot_judge(node, _FORMAT)
        numbers = {n for side in sides for n in side.numbers} - _SMALL
        if any(side.size for side in sides) and numbers:
            self._ask(node, sides)
        elif node.operator == "*" and any(s.size or s.date for s in sides):
            self._ask(node, sides, is_open=True)
        compute = self.sandbox.call_binop
        found = self._fold(lambda a, b: compute(self.context, node.operator, a, b), sides)
        held = [side for side in sides if side.text]
        return replace(found, leaf=held[0].leaf) if held and node.operator == "+" else found

    def _of_compare(self, node: nodes.Compare) -> Value:
        """``a == b``, ``a in b``, ``a < b < c``."""
        values = [self.value(node.expr), *(self.value(o.expr) for o in node.ops)]
        for position, operand in enumerate(node.ops):
            is_order = operand.op in _ORDERS
            left, right = values[position], values[position + 1]
            is_whole = operand.op in ("eq", "ne") and (_is_structure(left) or _is_structure(right))
            if operand.op in ("in", "notin") and right.text:
                self.flow.keys.update(w for w in left.strings if w.isidentifier())
            if operand.op in ("in", "notin") and right.leaf in self.flow.options:
                self.flow.lists.add(right.leaf)
            self._compare(node, left, right, position, is_order=is_order, is_whole=is_whole)
            if operand.op in ("in", "notin") and right.leaf in _STRUCTURES and len(values) == _PAIR:
                self._structural(node)
        return Value()

    def _structural(self, node: nodes.Node) -> None:
        """Note that a question is put to a mapping whose keys programs write."""
        if node in self.flow.askings:
            self.flow.askings[node].is_structural = True

    def _compare(
        self,
        node: nodes.Compare,
        left: Value,
        right: Value,
        position: int,
        *,
        is_order: bool,
        is_whole: bool,
    ) -> None:
        """One comparison; of an order, or with a whole structure."""
        for one, other in ((left, right), (right, left)):
            if one.leaf in SELECTORS:
                self.flow.kinds.setdefault(one.leaf, set()).update(other.strings)
            if one.leaf in _NAMES:
                self.flow.names.setdefault(one.leaf, set()).update(other.strings)
            is_option = one.leaf in self.flow.options and not (one.text or one.date)
            if is_option and other.known is not None:
                self.flow.options[one.leaf].update(other.strings, other.numbers)
        if left.date or right.date or left.text or right.text or left.size or right.size:
            is_open = (is_order and any(side.strings for side in (left, right))) or is_whole
            self._ask(node, [left, right], offset=position, is_open=is_open, answers=True)

    def _of_test(self, node: nodes.Test) -> Value:
        """``a is b``."""
        values = [self.value(node.node), *self._arguments(node)]
        if node.name not in _TYPE_TESTS or (values[0].date and node.name in ("true", "false")):
            is_open = len(values) == 1 or node.name == "divisibleby"
            self._ask(node, values, is_open=is_open, answers=True)
        return Value()

    def _of_filter(self, node: nodes.Filter) -> Value:
        """``a | b``."""
        return self._filter(node, None)

    def _filter(self, node: nodes.Filter, block: Value | None) -> Value:
        """A filter, on the printed ``block`` where the chain begins with none."""
        subject = node.node
        if subject is None:
            value = Value() if block is None else block
        elif block is not None and isinstance(subject, nodes.Filter):
            value = self._filter(subject, block)
        else:
            value = self.value(subject)
        arguments = self._arguments(node)
        self._filter_asks(node, value, arguments)
        if node.name in ("length", "count", "wordcount") and value.text:
            return Value(size=value.leaf not in _COLLECTIONS)
        if node.name in ("items", "dictsort") and value.text:
            return _members(value, "items")
        found = self._fold_filter(node, value, arguments)
        keeps = node.name in ("list", "reverse", "sort", "selectattr", "rejectattr", "default", "d")
        if node.name in ("default", "d") and arguments:
            found = either(value, arguments[0])
        keeps = keeps and (value.leaf in _COLLECTIONS or node.name in ("default", "d"))
        return replace(found, leaf=value.leaf) if keeps and value.text else found

    def _fold_filter(self, node: nodes.Filter, value: Value, arguments: list[Value]) -> Value:
        """What a filter makes of constants."""
        names = [str(pair.key) for pair in node.kwargs]

        def compute(*given: Any) -> object:  # noqa: ANN401 - any constants
            """The filter, in the sandbox."""
            cut = len(given) - len(names)
            named = dict(zip(names, given[cut:], strict=True))
            return self.sandbox.call_filter(
                node.name, given[0], given[1:cut], named, self.context, self.eval_context
            )

        return self._fold(compute, [value, *arguments])

    def _filter_asks(self, node: nodes.Filter, value: Value, arguments: list[Value]) -> None:
        """Whether a filter asks for something."""
        values = [value, *arguments]
        self._filter_cannot_be_judged(node, value, arguments)
        if node.name in _PICKING:
            self._picking_asks(node, value, arguments)
        elif node.name in ("replace", "trim") and arguments:
            self._ask(node, values)
        elif node.name in _ORDERING and value.text and not value.leaf:
            self._ask(node, values, is_open=True)
        elif node.name in _LENGTH_FILTERS and value.text:
            self._ask(node, [Value(size=True), *arguments], is_open=True)
        elif node.name == "attr" and arguments and arguments[0].text:
            self._ask(node, values, is_open=True)

    def _picking_asks(self, node: nodes.Filter, value: Value, arguments: list[Value]) -> None:
        """The same for a filter that picks some of many."""
        if arguments and not value.text and any(one.text for one in arguments):
            self._ask(node, [value, *arguments], is_open=True)
        if not arguments or not (value.text or value.date):
            return
        by_attribute = node.name in ("selectattr", "rejectattr")
        if by_attribute and SELECTORS.issuperset(arguments[0].strings):
            for key in arguments[0].strings:
                known = {word for one in arguments[1:] for word in one.strings}
                self.flow.kinds.setdefault(key, set()).update(known - {"equalto", "eq", "in"})
            return
        self.flow.keys.update(arguments[0].strings if by_attribute else ())
        skipped = 2 if by_attribute else 1
        if len(arguments) > skipped:
            self._ask(node, [value, *arguments[skipped:]])

    def _filter_cannot_be_judged(
        self, node: nodes.Filter, value: Value, arguments: list[Value]
    ) -> None:
        """Whether a filter puts things in an order, or makes a format, of what somebody wrote."""
        by = [pair.value for pair in node.kwargs if pair.key == "attribute"]
        by += node.args[:1] if node.name == "groupby" else []
        names = {name for one in by for name in self.value(one).strings}
        by_value = node.name == "dictsort" and "value" in {
            word for argument in arguments for word in argument.strings
        }
        mapped = value.text or value.leaf == KEYED
        if (node.name in _GROUPING and value.text and names - SELECTORS) or (by_value and mapped):
            self._cannot_judge(node, "puts things in an order by what somebody wrote")
        if node.name == "format" and value.text and arguments:
            self._cannot_judge(node, _FORMAT)
        if node.name == "random":
            self._cannot_judge(node, "draws at random")

    def _cannot_judge(self, node: nodes.Node, what: str) -> None:
        """Remember what no try can show to be harmless."""
        self.flow.unjudged.setdefault(what, node.lineno)

    def _arguments(self, node: nodes.Filter | nodes.Test | nodes.Call) -> list[Value]:
        """The arguments of a call; for a filter, those with names last."""
        given = [self.value(argument) for argument in node.args]
        given += [self.value(pair.value) for pair in node.kwargs]
        starred = [part for part in (node.dyn_args, node.dyn_kwargs) if part is not None]
        return given + [self.value(part).computed() for part in starred]

    # Calls -----------------------------------------------------------------------------------

    def _of_call(self, node: nodes.Call) -> Value:
        """``f(a)``."""
        return self._call(node, None)

    def _call(self, node: nodes.Call, caller: Value | None) -> Value:
        """A call of a function, macro or method."""
        if isinstance(node.node, nodes.Getattr):
            return self._method(node, node.node, self.value(node.node.node))
        function = self.value(node.node)
        arguments = self._arguments(node)
        if function.leaf in self.macros:
            return self._macro(node, function.leaf, arguments, caller)
        if function.leaf == "loop" and self.loops and arguments:
            return self._recursion(arguments[0])
        if function.leaf == NAMESPACE:
            return self._namespace(node, arguments)
        return self._function(node, function.leaf, arguments)

    def _function(self, node: nodes.Call, name: str, arguments: list[Value]) -> Value:
        """A call of what is no macro and no method."""
        if name == "strftime_now":
            return Value(date=True)
        if name == "range":
            return self._fold(_short_range, arguments)
        names = [pair.key for pair in node.kwargs]
        if name == "dict" and len(names) == len(arguments):
            return self._fold(lambda *given: dict(zip(names, given, strict=True)), arguments)
        found = mixed(*arguments)
        return replace(found, leaf=KEYED) if name == "dict" and found.text else found

    def _namespace(self, node: nodes.Call, arguments: list[Value]) -> Value:
        """A new namespace; all share their attributes, as far as this reading goes."""
        for pair, value in zip(node.kwargs, arguments[len(node.args) :], strict=False):
            self._store(pair.key, value)
        for value in arguments[: len(node.args)]:
            for held in value.known or ():
                for key, item in held.items() if isinstance(held, dict) else ():
                    self._store(str(key), of(item))
        return Value(leaf=NAMESPACE)

    def _recursion(self, values: Value) -> Value:
        """``loop(values)`` in a recursive loop."""
        if self.depth >= _MOST_DEPTH:
            return values.computed()
        self.depth += 1
        printed = self._loop(self.loops[-1], values)
        self.depth -= 1
        return printed

    def _macro(
        self, call: nodes.Call, leaf: str, arguments: list[Value], caller: Value | None
    ) -> Value:
        """The body of a macro, with its parameters set; the same call is read once."""
        node, scopes = self.macros[leaf]
        if self.depth >= _MOST_DEPTH:
            arguments = [value.computed() for value in arguments]
        key = (leaf, tuple(map(repr, arguments)), repr(caller), tuple(p.key for p in call.kwargs))
        stamped = (*key, self.version)
        if stamped in self.results:
            return self.results[stamped]
        self.results[stamped] = mixed(*arguments)
        self.depth += 1
        with self._scope({} if caller is None else {"caller": caller}, scopes):
            self._parameters(call, node, arguments)
            printed = self.run(node.body)
        self.depth -= 1
        self.results[stamped] = printed
        return printed

    def _parameters(
        self, call: nodes.Call, node: nodes.Macro | nodes.CallBlock, arguments: list[Value]
    ) -> None:
        """Bind the parameters of a macro."""
        scope = self.scopes[-1]
        for parameter, default in zip(node.args[::-1], node.defaults[::-1], strict=False):
            scope[parameter.name] = self.value(default)
        for parameter in node.args[: len(node.args) - len(node.defaults)]:
            scope[parameter.name] = Value()
        for parameter, value in zip(node.args, arguments[: len(call.args)], strict=False):
            scope[parameter.name] = value
        for pair, value in zip(call.kwargs, arguments[len(call.args) :], strict=False):
            scope[pair.key] = value
        rest = arguments[len(call.args) + len(call.kwargs) :]
        if rest:
            for parameter in node.args:
                scope[parameter.name] = mixed(scope[parameter.name], *rest)
        scope["varargs"] = scope["kwargs"] = mixed(*arguments)

    def _method(self, node: nodes.Call, method: nodes.Getattr, owner: Value) -> Value:
        """A call of a method."""
        arguments = self._arguments(node)
        values = [owner, *arguments]
        name = method.attr
        if owner.leaf in (NAMESPACE, "loop"):
            return self._own_method(node, name, owner, arguments)
        if name in _CHANGES:
            self._change(method.node, mixed(owner, *arguments))
        if name == "get" and arguments:
            return self._get(node, owner, arguments)
        if name in ("items", "keys", "values") and owner.text:
            return _members(owner, name)
        if any(value.text or value.date or value.size for value in values):
            self._method_asks(node, name, values)
        if name in _SIZES and any(value.text for value in values):
            return Value(size=True, date=owner.date)
        if (name in _ANSWERS or name.startswith("is")) and not owner.date:
            return Value()
        return self._fold_method(node, name, values)

    def _change(self, target: nodes.Node, value: Value) -> None:
        """A list or mapping also holds what a method put into it, wherever it was made."""
        if isinstance(target, nodes.Getattr) and self.value(target.node).leaf == NAMESPACE:
            self._store(target.attr, value)
        elif isinstance(target, nodes.Name):
            for scope in self.scopes:
                if target.name in scope:
                    new = either(scope[target.name], value)
                    self.version += new != scope[target.name]
                    scope[target.name] = new

    def _own_method(self, node: nodes.Call, name: str, owner: Value, given: list[Value]) -> Value:
        """A method of a namespace or of a loop."""
        if name == "changed" and any(value.text or value.date for value in given):
            self._ask(node, [owner, *given], is_open=True, answers=True)
            return Value()
        return either(*given) if name == "cycle" and given else mixed(*given)

    def _get(self, node: nodes.Call, owner: Value, arguments: list[Value]) -> Value:
        """``a.get(key, default)``."""
        key, others = arguments[0], arguments[1:]
        if (key.text and not owner.text) or key.date:
            self._ask(node, [owner, key], position=1, is_open=owner.known is None)
            return either(mixed(owner), *others)
        self._look_up(node, owner, key)
        if key.known is not None and owner.known is None and len(key.strings) == 1:
            return either(self._child(owner, key.strings[0]), *others)
        if owner.known is not None:
            return either(self._fold_method(node, "get", [owner, key]), *others)
        return either(_item(owner) if owner.text else mixed(owner), *others)

    def _method_asks(self, node: nodes.Call, name: str, values: list[Value]) -> None:
        """Whether a method with text, a size or a date on some side asks for something."""
        owner = values[0]
        if name in ("format", "format_map") and owner.text and len(values) > 1:
            self._cannot_judge(node, _FORMAT)
        if name.startswith("is"):
            self._ask(node, values, is_open=True, answers=True)
        elif name == "translate" and len(values) > 1:
            self._ask(node, [owner, self._fold(_translated, values[1:])], is_open=True)
        elif name in _SEARCHES and len(values) > 1:
            if not (owner.date and name in _CUTS):
                self._ask(node, values, answers=name in _ANSWERS)
        elif name in ("__eq__", "__contains__"):
            self._ask(node, values, answers=True)

    def _fold_method(self, node: nodes.Call, name: str, values: list[Value]) -> Value:
        """What a method makes of constants."""
        names = [pair.key for pair in node.kwargs]

        def compute(owner: Any, *given: Any) -> object:  # noqa: ANN401 - any constants
            """The method, in the sandbox."""
            cut = len(given) - len(names)
            named = dict(zip(names, given[cut:], strict=True))
            method = _defined(self.sandbox.getattr(owner, name))
            return self.sandbox.call(self.context, method, *given[:cut], **named)

        if node.dyn_args is not None or node.dyn_kwargs is not None:
            return mixed(*values)
        return self._fold(compute, values)

    # Asking ----------------------------------------------------------------------------------

    def _decide(self, node: nodes.Node, *, is_loop: bool = False) -> None:
        """What a condition or loop depends on, beside the questions in it."""
        value = self.value(node)
        computed = isinstance(node, (nodes.BinExpr, nodes.Filter)) and not isinstance(
            node, (nodes.And, nodes.Or)
        )
        is_number = isinstance(node, nodes.Filter) and node.name in ("int", "float", "abs", "round")
        is_number |= isinstance(node, nodes.BinExpr) and not isinstance(node, (nodes.And, nodes.Or))
        if is_loop and value.size:
            self._ask(node, [value], is_open=True)
        if value.date or (value.text and computed and is_number and not is_loop):
            is_add = isinstance(node, nodes.Add) and not value.date
            if not is_add:
                self._ask(node, [value], is_open=True)

    def _ask(
        self,
        node: nodes.Node,
        values: Sequence[Value],
        *,
        position: int | None = None,
        offset: int = 0,
        is_open: bool = False,
        answers: bool = False,
    ) -> None:
        """Record that ``node`` asks something, unless it only asks whether there is anything."""
        inputs = [i for i, value in enumerate(values) if value.text or value.size or value.date]
        if position is not None:
            inputs = [position]
        if not inputs:
            return
        date = any(values[i].date for i in inputs)
        others = [v for i, v in enumerate(values) if i not in inputs or v.known is not None]
        words = {word for value in others for word in value.strings if word}
        numbers = {number for value in others for number in value.numbers}
        if words or not any(values[i].text or values[i].date for i in inputs):
            numbers -= _SMALL
        empty = others and all(v.known is not None for v in others) and not (words or numbers)
        unknown = not others or any(v.known is None for v in others)
        if empty and not is_open:
            return
        asking = self.flow.askings.setdefault(node, Asking(node.lineno))
        asking.date |= date
        asking.words |= words
        asking.numbers |= numbers
        asking.is_open |= is_open or unknown
        is_plain = all(values[i].leaf and values[i].text for i in inputs)
        asking.is_direct |= is_plain and isinstance(node, nodes.Compare) and not is_open
        asking.is_of_kind |= all(values[i].leaf in _KINDS for i in inputs)
        asking.is_mutual |= asking.is_direct and all(value.leaf == "key" for value in others)
        asking.answers |= answers
        asking.inputs |= {i + offset for i in inputs}

    def _fold(self, compute: Callable[..., object], values: Sequence[Value]) -> Value:
        """What ``compute`` makes of known values; otherwise only what it depends on."""
        choices = combinations(values)
        if choices is not None:
            try:
                self.sandbox.refill()
                results = [_plain(compute(*choice)) for choice in choices]
                for result in results:
                    self.steps += deep_size(result) // 8
                found = of(*results)
            except _FAILURES:
                pass
            else:
                return replace(mixed(*values), known=found.known)
        return mixed(*values)


def _given(name: str) -> Value:
    """What a variable holds that the template does not set."""
    is_clock = _CLOCKS.search(name) is not None
    is_text = _INPUTS.search(name) is not None and not _OPTIONS.search(name) and not is_clock
    return Value(text=is_text, date=is_clock, leaf=name)


def _is_structure(value: Value) -> bool:
    """Whether it can be a fixed list or mapping that holds something."""
    return any(isinstance(known, (dict, list, tuple)) and known for known in value.known or ())


def _members(mapping: Value, name: str) -> Value:
    """What the method ``name`` makes of a mapping: its keys, values, or both."""
    is_structure = mapping.leaf in _STRUCTURES
    if name == "keys":
        return Value(text=not is_structure, leaf="key")
    return replace(mapping, leaf="fields" if is_structure else "items")


def _item(values: Value) -> Value:
    """One item of something unknown."""
    if values.leaf in _ITEMS:
        return replace(values, known=None, leaf=_ITEMS[values.leaf])
    if values.leaf in ("key", "items", "fields"):
        return replace(values, known=None)
    return replace(values, known=None, leaf="[]" if values.text and values.leaf else "")


def _parts(value: Value, number: int) -> Iterable[Value]:
    """What each of ``number`` names gets from a value that is taken apart."""
    if value.known is not None and all(
        isinstance(k, (list, tuple)) and len(k) == number for k in value.known
    ):
        return [
            replace(of(*(k[i] for k in value.known)), text=value.text, date=value.date)  # type: ignore[index]
            for i in range(number)
        ]
    if value.leaf in ("items", "fields") and number == _PAIR:
        key = Value(text=value.leaf == "items", leaf="key")
        return [key, replace(value.computed(), leaf="[]")]
    return [value.computed()] * number


def _defined(value: Any) -> Any:  # noqa: ANN401 - any constant
    """``value``, if there is one.

    Raises:
        LookupError: there is none.
    """
    if isinstance(value, Undefined):
        raise LookupError  # noqa: TRY004 - a missing key rather than a wrong type
    return value


def _translated(table: Any) -> list[str]:  # noqa: ANN401 - any constant
    """The letters that a table for ``str.translate`` replaces.

    Raises:
        TypeError: it is no table.
    """
    return [chr(letter) for letter in dict(table)]


def _short_range(*bounds: int) -> list[int]:
    """A range as a list.

    Raises:
        LookupError: it is too long to be followed.
    """
    values = range(*bounds)
    if len(values) > _MOST_TURNS:
        raise LookupError
    return list(values)


def _plain(value: object) -> object:
    """A constant that can be kept: iterators become lists."""
    if hasattr(value, "__next__"):
        items = []
        for item in value:  # type: ignore[attr-defined]
            items.append(item)
            if len(items) > _MOST_TURNS:
                raise LookupError
        return items
    if value is None or isinstance(value, (str, int, float, bytes, list, tuple, dict)):
        return value
    raise LookupError
