"""Does a chat template treat some texts, or some days, differently from others?

`judge` answers for one template, in three steps.  `dataflow` reads the whole syntax tree and finds
every place that asks something about what somebody wrote, or about the date, and what it asks for.
`trials` renders the template, in `sandbox`, with pairs of conversations that differ only in that,
and compares what comes out.  A question that no try showed to be harmless leaves the template
unjudged.  Nothing is loaded, and every step is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jinja2 import TemplateError, nodes

from plmscan.errors import in_one_line
from plmscan.templates.dataflow import flow_of
from plmscan.templates.insides import hidden_names, invisible_characters, unknown_calls
from plmscan.templates.sandbox import CostError, Sandbox
from plmscan.templates.trials import Effect, Trials
from plmscan.templates.watching import Watched

if TYPE_CHECKING:
    from plmscan.templates.dataflow import Asking, Flow

__all__ = ["Effect", "Judgement", "judge", "parse"]

_LONGEST = 131_072
"""Characters; the longest template known has 17 000."""
_BROKEN = (TemplateError, RecursionError, SyntaxError, ValueError, MemoryError, OverflowError)
_MOST_NODES = 40_000
_REMEDY = "Read the template, or take that of the base model."


@dataclass(frozen=True)
class Judgement:
    """What is known about one template."""

    characters: int
    """How long it is."""
    effects: tuple[Effect, ...] = ()
    """What it does when it meets certain words or dates."""
    hidden: tuple[str, ...] = ()
    """Internal names of Python that it uses."""
    unknown: tuple[str, ...] = ()
    """Calls that no honest template is known to make."""
    invisible: int = 0
    """How often text that nobody sees stands in it, or comes out of it."""
    problems: tuple[str, ...] = field(default=())
    """Why it, or a part of it, could not be judged; each a sentence."""


def parse(source: str) -> nodes.Template:
    """The syntax tree of a chat template.

    Raises:
        jinja2.TemplateError: it is no Jinja template.
    """
    return Sandbox().parse(source)


def judge(source: str) -> Judgement:
    """Read a template, try it, and say what it reacts to; never raises for any text."""
    if len(source) > _LONGEST:
        problem = (
            f"It has {len(source):,} characters, more than any chat template, and was not read."
        )
        return Judgement(len(source), problems=(problem,))
    try:
        tree = parse(source)
        _check_size(tree)
        flow = flow_of(tree)
    except CostError as error:
        problem = f"It takes {error} to read, so what it does is unknown. {_REMEDY}"
        return Judgement(len(source), problems=(problem,))
    except _BROKEN as error:
        problem = f"It cannot be parsed, so it may do anything: {_said(error)}."
        return Judgement(len(source), problems=(problem,))
    hidden = tuple(hidden_names(tree, flow.constants))
    unknown = tuple(unknown_calls(tree))
    effects, problems = _tried(tree, flow)
    problems += () if effects else _unjudged(flow)
    invisible = invisible_characters(source, flow.constants)
    return Judgement(len(source), effects, hidden, unknown, invisible, problems)


def _unjudged(flow: Flow) -> tuple[str, ...]:
    """What a template does that no try can show to be harmless."""
    return tuple(
        f"In line {line} it {what}, and no try can show that this is harmless. {_REMEDY}"
        for what, line in flow.unjudged.items()
    )


def _check_size(tree: nodes.Template) -> None:
    """Refuse a tree that is too large to be read.

    Raises:
        CostError: it is.
    """
    if sum(1 for _ in tree.find_all(nodes.Node)) > _MOST_NODES:
        msg = "more steps than any chat template"
        raise CostError(msg)


def _tried(tree: nodes.Template, flow: Flow) -> tuple[tuple[Effect, ...], tuple[str, ...]]:
    """Effects that tries show, and what they leave open."""
    if not flow.askings:
        return (), ()
    trials = None
    try:
        template = Watched(tree, flow.askings)
        trials = Trials(template, flow)
        trials.run()
    except CostError as error:
        done = () if trials is None else tuple(trials.effects)
        return done, () if done else (
            f"Trying it takes {error}, so what it does is unknown. {_REMEDY}",
        )
    except _BROKEN as error:
        return (), (f"It cannot be compiled, so it may do anything: {_said(error)}.",)
    return tuple(trials.effects), () if trials.effects else tuple(
        map(_left_open, trials.open_ones())
    )


def _left_open(asking: Asking) -> str:
    """A question that no try showed to be harmless."""
    what = "the date" if asking.date else f"a text for {_asked_for(asking)}"
    return f"In line {asking.line} it asks {what}, and no try showed what it does then. {_REMEDY}"


def _asked_for(asking: Asking) -> str:
    """What a question asks for."""
    sought = [*sorted(map(repr, asking.words)), *map(str, sorted(asking.numbers))]
    return " or ".join(sought[:3]) if sought else "something that only rendering computes"


def _said(error: BaseException) -> str:
    """An error as a part of a sentence."""
    return in_one_line(error, 200).rstrip(".")
