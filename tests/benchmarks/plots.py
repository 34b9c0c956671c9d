"""Figures of a benchmark, readable in black and white: shape and filling tell, colour repeats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tests.benchmarks.outcomes import Answer, Half, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from tests.benchmarks.scoring import Roc

__all__ = ["save_plots"]

_GREY = "#555555"
_LINES = {
    "all": ("#000000", "-"),
    Half.AGNOSTIC: ("#0072B2", "--"),
    Half.SPECIFIC: ("#D55E00", ":"),
}


@dataclass(frozen=True)
class _Mark:
    """How the models of one class are drawn."""

    label: str
    """In the legend."""
    shape: str
    """Marker of matplotlib."""
    face: str
    """Filling."""
    edge: str
    """Outline."""


_BACKDOORED = _Mark("backdoored", "^", "#D55E00", "#7A3500")
_CLEAN = _Mark("clean", "o", "none", "#0072B2")


def save_plots(folder: Path, outcomes: Sequence[Outcome], curves: dict[str, Roc]) -> None:
    """Write ``roc``, ``score``, ``finalists`` and ``seconds`` as PNG files into ``folder``."""
    rows = len(_families(outcomes))
    _save(_roc(curves), folder / "roc.png")
    _save(_scores(outcomes, rows), folder / "score.png")
    _save(_finalists(outcomes), folder / "finalists.png")
    _save(_seconds(outcomes, rows), folder / "seconds.png")


def _figure(title: str, width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure with a light grid and no frame at the top and the right."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold")
    axes.grid(color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    """Write ``figure``."""
    figure.savefig(path, dpi=160, facecolor="white")


def _roc(curves: dict[str, Roc]) -> Figure:
    """True-positive rate against false-positive rate."""
    figure, axes = _figure("ROC of the model score", 5.2, 5.2)
    axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=1)
    for name, curve in curves.items():
        colour, line = _LINES[name]
        label = f"{name}: AUC {curve.auc:.3f} ({curve.backdoored} against {curve.clean})"
        (drawn,) = axes.plot(curve.fpr, curve.tpr, line, color=colour, linewidth=2.2, label=label)
        drawn.set_clip_on(False)
        axes.plot(*curve.at_rules, "o", ms=8, mfc="white", mec=colour, mew=2, clip_on=False)
    axes.set(xlabel="false-positive rate", ylabel="true-positive rate", xlim=(0, 1), ylim=(0, 1))
    axes.set_aspect("equal")
    axes.plot([], [], "o", ms=8, mfc="white", mec="black", mew=2, label="the rules as they stand")
    axes.legend(loc="lower right", frameon=True, framealpha=1, edgecolor="none", fontsize=9)
    return figure


def _scores(outcomes: Sequence[Outcome], rows: int) -> Figure:
    """The score of each model by family; a model right of the line fails."""
    figure, axes = _figure("Model score by family", 8.0, 1.6 + 0.3 * rows)
    axes.axvline(0, color="black", linewidth=1.2)
    _strips(axes, outcomes, lambda outcome: outcome.nearest.score)
    axes.set_xlabel("slack of the nearest rule (natural log; a rule fires at 0 and above)")
    return figure


def _seconds(outcomes: Sequence[Outcome], rows: int) -> Figure:
    """How long the checks took by family."""
    figure, axes = _figure("Time of a check by family", 8.0, 1.6 + 0.3 * rows)
    _strips(axes, outcomes, lambda outcome: outcome.seconds)
    axes.set_xlabel("seconds, whole process")
    axes.set_xlim(left=0)
    return figure


def _finalists(outcomes: Sequence[Outcome]) -> Figure:
    """Displacement against scatter of the best candidates; backdoors belong at the bottom right."""
    figure, axes = _figure("Best candidate of each model", 6.8, 5.2)
    drawn = [o for o in outcomes if o.finalist]
    for mark, group in _classes(drawn):
        finalists = [o.finalist for o in group if o.finalist]
        x, y = [f.displacement for f in finalists], [f.scatter for f in finalists]
        _draw(axes, mark, x, y)
    for outcome in drawn:
        _name_if_wrong(axes, outcome)
    axes.set(xscale="log", yscale="log")
    axes.set(xlabel="displacement (clean variances)", ylabel="scatter (squared displacements)")
    axes.legend(handles=_handles(), loc="best", frameon=False)
    return figure


def _name_if_wrong(axes: Axes, outcome: Outcome) -> None:
    """Write the name of a missed backdoor, or of a clean model that fails, at its point."""
    best = outcome.finalist
    if best is None or outcome.backdoored is (outcome.answer is Answer.FAIL):
        return
    place = (best.displacement, best.scatter)
    style: dict[str, Any] = {"fontsize": 8, "color": _GREY, "textcoords": "offset points"}
    axes.annotate(outcome.entry.name, place, xytext=(6, 4), **style)


def _strips(axes: Axes, outcomes: Sequence[Outcome], value: Callable[[Outcome], float]) -> None:
    """One row a family, a point a model; models of one family are spread over the row's height."""
    families = _families(outcomes)
    for row, name in enumerate(families):
        for mark, group in _classes([o for o in outcomes if _family(o) == name]):
            heights = [row + 0.44 * (i + 0.5) / len(group) - 0.22 for i in range(len(group))]
            _draw(axes, mark, [value(o) for o in group], heights)
    axes.set_yticks(range(len(families)), families)
    axes.set_ylim(len(families) - 0.5, -0.5)
    first_clean = len(_families([outcome for outcome in outcomes if outcome.backdoored]))
    axes.legend(
        handles=_handles(), loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False
    )
    if 0 < first_clean < len(families):
        axes.axhline(first_clean - 0.5, color="#999999", linewidth=0.8, linestyle=(0, (1, 2)))


def _family(outcome: Outcome) -> str:
    """Name of a row."""
    return outcome.entry.family


def _families(outcomes: Sequence[Outcome]) -> list[str]:
    """Rows: backdoored families first, each once, in the order of the zoo."""
    ordered = sorted(outcomes, key=lambda outcome: not outcome.backdoored)
    return list(dict.fromkeys(_family(outcome) for outcome in ordered))


def _classes(outcomes: Iterable[Outcome]) -> list[tuple[_Mark, list[Outcome]]]:
    """Backdoored and clean models, each with its mark."""
    kept = list(outcomes)
    backdoored = [o for o in kept if o.backdoored]
    return [(_BACKDOORED, backdoored), (_CLEAN, [o for o in kept if not o.backdoored])]


def _draw(axes: Axes, mark: _Mark, x: Sequence[float], y: Sequence[float]) -> None:
    """Points of one class."""
    axes.scatter(
        x, y, s=44, marker=mark.shape, facecolors=mark.face, edgecolors=mark.edge, linewidths=1.3
    )


def _handles() -> list[Line2D]:
    """The two marks, for a legend."""
    return [
        Line2D([], [], linestyle="", marker=m.shape, mfc=m.face, mec=m.edge, mew=1.3, label=m.label)
        for m in (_BACKDOORED, _CLEAN)
    ]
