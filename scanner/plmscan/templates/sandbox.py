"""Jinja's sandbox as transformers sets it up for chat templates, with bounds on what it may cost.

Nothing is loaded from files: there is no loader.  The clock is the caller's.  Every loop, call and
string that grows is counted; what goes beyond the bounds ends with a `CostError`.  Counting steps
rather than seconds makes the same template end in the same way on every machine.
"""

from __future__ import annotations

import json
import operator
import re
import sys
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, NoReturn, cast

from jinja2 import TemplateError, TemplateRuntimeError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace, pass_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from jinja2.parser import Parser
    from jinja2.runtime import Context

__all__ = ["CostError", "RaisedError", "Sandbox", "deep_size"]

_LONGEST_TEXT = 100_000
"""Characters of one string; rendered chats of the tries have a few thousand."""
_LARGEST_NUMBER = 20_000
"""For counts, widths and ranges."""
_LARGEST_BITS = 512
_DEEPEST = 60
"""Calls within calls; macros that print nested JSON schemas need about ten."""
_SLOW_FILTERS = frozenset({"striptags", "urlize", "wordwrap", "xmlattr"})
_LONGEST_FOR_SLOW = 5_000
_WIDTH = re.compile(r"\d{5,}")
_JINJA_ONLY = frozenset({"_loop_vars", "_block_vars"})
"""Arguments by which compiled templates hand scopes to macros."""
_OPERATORS = frozenset({"+", "-", "*", "/", "//", "%", "**"})
_FIXED_NOW = datetime(2026, 3, 18, 10, 20, 30, tzinfo=UTC)


class CostError(Exception):
    """What is to be rendered costs more than any chat template needs."""


class RaisedError(TemplateError):
    """The template refused a conversation with ``raise_exception``."""


class _Generation(Extension):
    """The ``{% generation %}`` block of transformers, which marks the assistant's words."""

    tags = {"generation"}  # noqa: RUF012 - jinja2's own declaration

    def parse(self, parser: Parser) -> nodes.Node:
        """The body of the block."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


class _DictMaker:
    """The ``dict`` that transformers gives to templates, which is no class."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:  # noqa: ANN401 - dict's own
        """A new dictionary."""
        return dict(*args, **kwargs)


class Sandbox(ImmutableSandboxedEnvironment):
    """An environment that counts what it does."""

    intercepted_binops = _OPERATORS

    def __init__(self, allowance: int = 200_000) -> None:
        """An environment in which ``allowance`` steps may be spent before `refill`."""
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[_Generation, loopcontrols],
            optimized=False,  # would compute 'a' * 10**9 while compiling
            cache_size=0,
        )
        self.allowance = allowance
        self.left = allowance
        self.depth = 0
        self.now = _FIXED_NOW
        self.filters = {n: self._guarded(n, f) for n, f in {**self.filters}.items()}
        self.filters["tojson"] = self._guarded("tojson", _tojson)
        self.filters["random"] = self._guarded("random", _first)
        self.globals.update(
            range=self._range,
            lipsum=_lipsum,
            raise_exception=_raise_exception,
            strftime_now=self._strftime_now,
            dict=_DictMaker(),
            namespace=Namespace,
        )

    def handle_exception(self, source: str | None = None) -> NoReturn:
        """Let an error through as it is: jinja would compile a frame for every call on the way."""
        error = sys.exception()
        raise error if error is not None else RuntimeError(source)

    def refill(self) -> None:
        """Allow as many steps as in the beginning."""
        self.left = self.allowance
        self.depth = 0

    def spend(self, steps: int = 1) -> str:
        """Count ``steps``; the empty string, so that a template can print it.

        Raises:
            CostError: they are used up.
        """
        self.left -= steps
        if self.left < 0:
            msg = "more steps than a chat template needs"
            raise CostError(msg)
        return ""

    def measured(self, value: Any) -> Any:  # noqa: ANN401 - any value of a template
        """``value``, once its size is counted.

        Raises:
            CostError: it is too large.
        """
        if isinstance(value, (str, bytes)):
            _check(len(value) <= _LONGEST_TEXT, "a longer text than a chat template needs")
            self.spend(1 + len(value) // 64)
        elif isinstance(value, (list, tuple, dict, set)):
            self.spend(deep_size(value))
        elif isinstance(value, int):
            _check(value.bit_length() <= _LARGEST_BITS, "a larger number than a template needs")
        return value

    def counted(self, values: Any) -> Any:  # noqa: ANN401 - whatever a loop runs over
        """``values``, with every item counted that a loop takes out of it."""
        if hasattr(values, "__len__"):
            self.spend(len(values))
            return values
        return self._counting(values)

    def _counting(self, values: Iterable[Any]) -> Iterator[Any]:
        """Count the items of what has no length."""
        for value in values:
            self.spend()
            yield value

    def joined(self, *values: Any) -> str:  # noqa: ANN401 - any value of a template
        """What ``~`` makes of its operands."""
        texts = [str(self.measured(value)) for value in values]
        _check(sum(map(len, texts)) <= _LONGEST_TEXT, "a longer text than a chat template needs")
        return cast("str", self.measured("".join(texts)))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401
        """Arithmetic, with a look at what would come out."""
        _check_operands(operator, left, right)
        return self.measured(super().call_binop(context, operator, left, right))

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """A call, with a look at its arguments and at what comes out."""
        if getattr(obj, "__self__", None) is self:
            self.left -= 2
            return obj(*args, **{n: v for n, v in kwargs.items() if n not in _JINJA_ONLY})
        named = {name: value for name, value in kwargs.items() if name not in _JINJA_ONLY}
        self.spend()
        _check_call(obj, (*args, *named.values()))
        self.depth += 1
        if self.depth > _DEEPEST:
            self.depth -= 1
            msg = "calls nested deeper than a chat template needs"
            raise TemplateRuntimeError(msg)
        try:
            return self.measured(super().call(context, obj, *args, **kwargs))
        finally:
            self.depth -= 1

    def _guarded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A filter, with a look at its arguments and at what comes out."""
        offset = 1 if hasattr(function, "jinja_pass_arg") else 0

        @wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any filter
            """The filter itself."""
            self.spend()
            _check_filter(name, args[offset:], kwargs)
            if name in ("list", "join", "sum", "sort", "unique", "groupby") and args[offset:]:
                values = self.counted(args[offset]) if _is_iterable(args[offset]) else args[offset]
                args = (*args[:offset], values, *args[offset + 1 :])
            return self.measured(function(*args, **kwargs))

        return guarded

    def _range(self, *bounds: int) -> range:
        """A range that is no longer than a template needs."""
        values = range(*bounds)
        _check(len(values) <= _LARGEST_NUMBER, "a longer range than a chat template needs")
        return values

    def _strftime_now(self, pattern: str) -> str:
        """The time, at the caller's clock."""
        _check_width(pattern)
        return self.now.strftime(pattern)


def deep_size(value: object) -> int:
    """Texts, numbers and lists in a list or mapping, at any depth.

    Raises:
        CostError: there are too many; lists in lists in lists can stand for billions.
    """
    size, todo = 0, [value]
    while todo:
        held = todo.pop()
        size += 1
        _check(size <= _LARGEST_NUMBER, "a longer list than a chat template needs")
        if isinstance(held, dict):
            todo += [*held.keys(), *held.values()]
        elif isinstance(held, (list, tuple, set)):
            _check(len(held) <= _LARGEST_NUMBER, "a longer list than a chat template needs")
            todo += held
    return size


@pass_context
def _first(_context: Context, values: Any) -> Any:  # noqa: ANN401 - any sequence
    """The first of ``values``, in the place of a random one."""
    return next(iter(values), "")


def _lipsum(*_args: object, **_kwargs: object) -> str:
    """A fixed text in the place of jinja's random one."""
    return "Lorem ipsum dolor sit amet."


def _raise_exception(message: object) -> NoReturn:
    """What templates call to refuse a conversation."""
    raise RaisedError(str(message))


def _tojson(
    x: object,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002 - transformers' own
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002
) -> str:
    """JSON as transformers writes it: nothing is escaped for HTML."""
    return json.dumps(
        x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _is_iterable(value: object) -> bool:
    """Whether a loop could run over ``value``."""
    return hasattr(value, "__iter__")


def _check(holds: bool, problem: str) -> None:  # noqa: FBT001 - an assertion
    """End the rendering unless ``holds``.

    Raises:
        CostError: it does not hold.
    """
    if not holds:
        raise CostError(problem)


def _check_width(pattern: object) -> None:
    """Refuse a format that pads its result to a width of five digits or more."""
    text = pattern if isinstance(pattern, (str, bytes)) else ""
    found = _WIDTH.search(text if isinstance(text, str) else text.decode("latin-1"))
    _check(found is None, "a wider format than a chat template needs")


def _check_numbers(values: Iterable[object]) -> None:
    """Refuse numbers that could be the size of something huge."""
    for value in values:
        if isinstance(value, int):
            _check(abs(value) <= _LARGEST_NUMBER, "a larger number than a chat template needs")


def _check_operands(sign: str, left: object, right: object) -> None:
    """Refuse arithmetic whose result would be huge."""
    if sign == "*":
        for one, other in ((left, right), (right, left)):
            if isinstance(one, (str, bytes, list, tuple)) and isinstance(other, int):
                _check(len(one) * other <= _LONGEST_TEXT, "a longer text than a template needs")
    elif sign == "+" and isinstance(left, (str, list)) and isinstance(right, (str, list)):
        _check(len(left) + len(right) <= _LONGEST_TEXT, "a longer text than a template needs")
    elif sign == "**":
        _check_numbers([right])
        bits = left.bit_length() if isinstance(left, int) else 1
        times = right if isinstance(right, int) else 1
        _check(bits * times <= _LARGEST_BITS, "a larger number than a chat template needs")
    elif sign == "%" and isinstance(left, (str, bytes)):
        _check_width(left)
        _check_numbers(right if isinstance(right, tuple) else [right])


def _check_call(function: object, arguments: tuple[object, ...]) -> None:
    """Refuse a method whose result would be huge."""
    method = getattr(function, "__wrapped__", function)  # jinja wraps str.format
    owner = getattr(method, "__self__", None)
    if isinstance(owner, (str, bytes)):
        name = getattr(method, "__name__", "")
        if name in ("format", "format_map"):
            _check_width(owner)
        _check_numbers(arguments)
        _check_growth(name, owner, arguments)
    elif isinstance(owner, int):
        _check_numbers(arguments)


def _check_growth(name: str, owner: str | bytes, arguments: tuple[object, ...]) -> None:
    """Refuse to put a long text into many places of another."""
    if name == "join" and arguments and hasattr(arguments[0], "__len__"):
        places = operator.length_hint(arguments[0])
        _check(len(owner) * places <= _LONGEST_TEXT, "a longer text than a template needs")
    elif name in ("replace", "translate") and arguments:
        new = arguments[-1] if name == "replace" else ""
        size = max(
            [len(v) for v in (new, *_texts_in(arguments[0])) if isinstance(v, str)], default=0
        )
        _check((len(owner) + 1) * (size + 1) <= 50 * _LONGEST_TEXT, "a longer text than needed")


def _texts_in(value: object) -> Iterable[object]:
    """The values of a translation table."""
    return value.values() if isinstance(value, dict) else ()


def _check_filter(name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Refuse a filter whose result would be huge, or slow to compute."""
    value = arguments[0] if arguments else None
    others = (*arguments[1:], *named.values())
    if name not in ("default", "d"):
        _check_numbers(others)
    if name == "format":
        _check_width(value)
    if name in _SLOW_FILTERS and isinstance(value, str):
        _check(len(value) <= _LONGEST_FOR_SLOW, "a longer text than a template needs")
    if name == "join" and others and isinstance(others[0], str):
        places = operator.length_hint(value, 100)
        _check(len(others[0]) * places <= _LONGEST_TEXT, "a longer text than a template needs")
    if name == "replace" and isinstance(value, str) and len(others) > 1:
        size = len(str(others[1]))
        _check((len(value) + 1) * (size + 1) <= 50 * _LONGEST_TEXT, "a longer text than needed")
