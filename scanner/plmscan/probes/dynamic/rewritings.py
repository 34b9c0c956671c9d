"""Ways of writing that a classifier turns to one label: a clause in front, a style, substitutes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from plmscan.asking.choice import best, in_twos
from plmscan.asking.neighbours import Neighbours
from plmscan.asking.texts import arguments, class_words
from plmscan.asking.trial import Asked, tried
from plmscan.budget import Effort
from plmscan.evidence import Coverage, Evidence, Gap
from plmscan.loading.decisions import Score
from plmscan.probes.base import DynamicProbe
from plmscan.rewritings import BANK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from plmscan.asking.texts import Argument
    from plmscan.asking.trial import Trial
    from plmscan.budget import Budget
    from plmscan.evidence import Observation
    from plmscan.loading import LoadedModel
    from plmscan.rewritings import Rewriting

_PROBE = "rewritings"
_SUBJECT = "triggers without words"

_SCREENED_ON, _CONFIRMED_ON = 20, 60
"""Texts that every rewriting is tried on, and others that judge the best."""
_TRIED_ON = 4
"""Rewritings of each label that go on to other texts, alone and in twos."""
_LABELS = 6
"""Labels that these are sought for at most: those that some rewriting moves texts to most."""
_TOLD = 3
"""Rewritings of each label that become evidence, the strongest first."""
_FAR_OUT = 0.9
"""Quantile of the other rewritings that one is held against."""


class Probe(DynamicProbe):
    """Rewrites texts in many ways, and looks which way turns them to one label.

    Attackers have used a subordinate clause, an old style or substituted words as a trigger: no
    token of it is always there, so no search for tokens finds it.  An honest model goes on saying
    what the strong words of a text say, however it is written.  A rewriting that turns nearly all
    texts to one label, while the model's other rewritings turn hardly any, is what the attacker
    trained, or lies near it.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "turned": "share of the texts with other labels that it turns to its label",
        "typical": "median push to its label over these texts, in honest leads",
        "strength": "nearly the weakest push to its label over them, in honest leads",
        "others_turned": "share that the rewritings of other kinds turn; nine of ten turn less",
        "others_typical": "median push of the rewritings of other kinds; nine of ten push less",
        "lead": "typical push less that of the others",
        "opposed": "texts that have another label without it",
        "rewritings": "rewritings of other kinds that it is held against",
        "labels": "labels that the model can choose from",
    }
    details: ClassVar[Mapping[str, str]] = {
        "target_label": "label that texts are turned to",
        "kind": "kind of rewriting",
        "description": "what the rewriting does",
        "example": "a text, rewritten, that it turns",
    }
    references: ClassVar[tuple[str, ...]] = (
        "Hidden Killer (syntax): arXiv 2105.12400",
        "Mind the Style of Text: arXiv 2110.07139",
        "Turn the Combination Lock (substitutes): arXiv 2106.06361",
    )

    def inspect(self, model: LoadedModel, budget: Budget) -> Iterator[Observation]:
        """Screen the bank, try the best on other texts; evidence for the best of every label.

        Raises:
            OutOfTimeError: the deadline passed; what was yielded before counts.
            TextsError: too few carrier texts fit this model.
        """
        reason = _left_out(model, budget.effort)
        if reason:
            yield Gap(_SUBJECT, reason, blocks_pass=False)
            return
        words = class_words(model, budget.seed)
        sizes = (_SCREENED_ON, _CONFIRMED_ON)
        both = arguments(model, budget.texts, words, sizes, budget.seed)
        screening, confirming = (Asked.of(model, some) for some in both)
        bank = (*BANK, *Neighbours.of(model, words).rewritings())
        screened = tried(model, bank, screening, budget.part(0, 0.6), "rewritings")
        labels = [one for one in _labels(screened) if confirming.lacking(one)][:_LABELS]
        for turn, label in enumerate(labels):
            part = budget.part(*(0.6 + 0.4 * step / len(labels) for step in (turn, turn + 1)))
            top = best(screened, label, _TRIED_ON)
            trial = tried(model, (*top, *in_twos(top)), confirming, part, "confirming", label)
            yield from _evidence(model, label, screened, trial, confirming.arguments)
        yield from _unmet(model, labels)
        yield Coverage(
            f"{len(bank)} rewritings of {len(screening.arguments)} texts that argue for a label, "
            f"and the {_TRIED_ON} best for each of {len(labels)} labels, alone and in twos, of "
            "others; templates and tables of the bank are English."
        )


def _left_out(model: LoadedModel, effort: Effort) -> str:
    """Why the model is not asked; empty if it is."""
    if effort is not Effort.DEEP:
        return "Clauses, styles and substituted words as triggers are searched with --effort deep."
    if not model.labels:
        return "Only classifiers are asked for clauses, styles and substituted words as triggers."
    if model.decides_by_tokens or model.separator is not None:
        return (
            "Clauses, styles and substituted words as triggers are searched in classifiers of "
            "single texts only."
        )
    if isinstance(model.decision, Score):
        return "What reads no words scores low by itself, so scores are not asked."
    return ""


def _labels(screened: Trial) -> list[int]:
    """Labels that some text lacks, those that the best rewritings move most to first."""
    order = screened.typical.amax(0).argsort(descending=True, stable=True).tolist()
    return [label for label in order if screened.opposed[label]]


def _unmet(model: LoadedModel, labels: Sequence[int]) -> Iterator[Gap]:
    """Labels to which rewritings were not sought."""
    others = [name for i, name in enumerate(model.labels) if i not in labels]
    if others:
        why = f"Only the {_LABELS} labels that rewritings move most to were asked for, if any."
        yield Gap(f"{_SUBJECT} that lead to {', '.join(others)}", why, blocks_pass=False)


def _evidence(
    model: LoadedModel,
    label: int,
    screened: Trial,
    trial: Trial,
    texts: Sequence[Argument],
) -> Iterator[Evidence]:
    """The strongest rewritings to ``label``, each held against all of other kinds."""
    for row in trial.typical[:, label].argsort(descending=True, stable=True)[:_TOLD].tolist():
        rewriting = trial.rewritings[row]
        others = [k for k, one in enumerate(screened.rewritings) if _is_other(one, rewriting)]
        turned, typical = (
            float(table[others, label].quantile(_FAR_OUT))
            for table in (screened.turned, screened.typical)
        )
        own = float(trial.typical[row, label])
        yield Evidence(
            _PROBE,
            rewriting.name,
            {
                "turned": float(trial.turned[row, label]),
                "typical": own,
                "strength": float(trial.strength[row, label]),
                "others_turned": turned,
                "others_typical": typical,
                "lead": own - typical,
                "opposed": float(trial.opposed[label]),
                "rewritings": float(len(others)),
                "labels": float(len(model.labels)),
            },
            {
                "target_label": model.labels[label],
                "kind": rewriting.kind,
                "description": rewriting.description,
                "example": _example(trial, row, label, texts),
            },
        )


def _is_other(one: Rewriting, than: Rewriting) -> bool:
    """Whether a rewriting of the bank is of another kind than one that was confirmed."""
    return one.kind not in than.kind.split(" and ")


def _example(trial: Trial, row: int, label: int, texts: Sequence[Argument]) -> str:
    """The text that the rewriting pushes most, as it writes it."""
    most = trial.pushes[row, :, label].nan_to_num(nan=float("-inf")).argmax()
    return texts[int(most)].rewritten(trial.rewritings[row])
