"""Triggers that a sweep of the vocabulary and gradients find, verified on natural carriers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from plmscan.budget import Effort
from plmscan.evidence import Coverage, Evidence, Gap, Trigger
from plmscan.loading.decisions import Answer, AnyOf, InText, Score
from plmscan.probes.base import DynamicProbe
from plmscan.search.measure.candidates import retokenizes, text_of
from plmscan.search.pipeline import search
from plmscan.search.plot_data import landscape
from plmscan.search.propose.gathering import LONGEST_BAG
from plmscan.search.propose.grow import LONGEST
from plmscan.search.propose.objectives import Corruption, Flip
from plmscan.search.recipes import RECIPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from plmscan.budget import Budget
    from plmscan.evidence import Observation
    from plmscan.loading import LoadedModel
    from plmscan.search.judge.profile import Candidate
    from plmscan.search.pipeline import Search
    from plmscan.search.propose.objectives import Objective
    from plmscan.search.recipes import Recipe
    from plmscan.search.verify.jointly import Jointly

_PROBE = "trigger-sweep"
_IDLE = (
    "The model says this of every item of its vocabulary and of every text that was tried, so a "
    "trigger has nothing to change; the other way was searched."
)


class Probe(DynamicProbe):
    """Reads every vocabulary item in a very short input, and the best of every kind in sentences.

    A task-agnostic backdoor maps any text with the trigger to one fixed output, so the trigger
    drags the features far (displacement) and leaves the carrier nothing to say (scatter).  In a
    classifier it overrides texts that argue for another label; in a masked language model it can
    corrupt what the model recalls of hidden words.  Benign tokens do some of that, too, so each
    candidate is compared with random items, and with what honest words with synonyms reach.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "z": "robust z of -log scatter against the null, each at its most invariant location",
        "p_value": "rank p-value of scatter in the null, each at its most invariant location",
        "null_size": "random vocabulary sequences of the same length in the null",
        "scatter": "spread of the triggered features in squared shifts; 0 is a fixed output",
        "displacement": "squared shift in clean variances",
        "null_scatter": "median scatter of the null",
        "echo": "scatter in multiples of the leader's, the clearest candidate with the same output",
        "kin": "1 if it shares tokens with the leader, or is its neighbour in the embedding",
        "gap": "scatter that synonyms reach towards the same output, in multiples of its own",
        "conjunction": "scatter with the least needed token exchanged, in multiples of its own",
        "strength": "nearly the weakest push to its label over opposed carriers, in honest leads",
        "strength_gap": "strength less what synonyms reach for the same label",
        "beyond_gap": "push beyond likeness to texts of its label, less that of honest words",
        "strength_p": "rank p-value of the strength in the null, each item for its own best label",
        "strength_z": "robust z of the strength against the same",
        "opposed": "texts that have another label without it, on which its strength is measured",
        "joint_push": "of words that are needed together: mean push to a label, in honest leads",
        "joint_gap": "that less the most that all but one of them do, or other such words",
        "joint_turned": "share of the ordinary texts of other labels that they turn",
        "corruption": "share of the recall of hidden words that is lost",
        "corruption_z": "robust z of corruption against the null",
        "labels": "labels that the model can choose from; 0 without a classifier",
        "score": "1 if its labels are the two ends of a score, low and high (flag)",
        "several": "1 if a text can get any number of its labels, 0 otherwise",
        "tokens": "1 if it gives labels to tokens, 0 otherwise",
        "spans": "1 if it says where in a text an answer is, 0 otherwise",
        "pieces": "tokens of the candidate",
        "sweep_rank": "best place in the sweep over all rankings, from 1; 0 if grown",
        "saturation": "largest share of pooler entries beyond 0.99 for one vocabulary item",
        "typical_saturation": "median of saturation over the vocabulary",
    }
    details: ClassVar[Mapping[str, str]] = {
        "trigger": "the candidate as a person can type it",
        "location": "where it is most invariant",
        "target_label": "label that a classifier is driven to",
        "leader": "most invariant candidate with the same output",
        "variants": "weaker candidates with the same output",
        "layers": "scatter in each layer",
        "text": "vocabulary item that saturates the pooler most",
    }
    references: ClassVar[tuple[str, ...]] = (
        "Patronus: arXiv 2512.06899 (input-side invariance)",
        "POR: arXiv 2111.00197",
        "Universal adversarial triggers: arXiv 1908.07125",
        "BadPre: arXiv 2110.02467",
        "NeuBA: arXiv 2101.06969",
        "max-T: Westfall and Young 1993",
    )

    def inspect(self, model: LoadedModel, budget: Budget) -> Iterator[Observation]:
        """Sweep, screen, grow, verify; evidence for every finalist, most invariant first.

        Raises:
            OutOfTimeError: the deadline passed; what was yielded before counts.
            TextsError: too few carrier texts fit this model.
        """
        recipe = RECIPES[budget.effort]
        yield _unsearched(model, recipe)
        yield from _less_sure(model, budget.effort)
        found = search(model, recipe, budget)
        yield from _unmet_labels(model, found)
        yield from _saturation(model, found)
        yield from _candidates(model, found)
        yield from _joint(model, found)
        yield landscape(found, lambda ids: text_of(model, ids))
        yield from _coverage(model, found)


def _unsearched(model: LoadedModel, recipe: Recipe) -> Gap:
    """What no step of the search looks for."""
    longest = _longest(model)
    words = "words" if recipe.grouping is None else "three and more words"
    apart = recipe.together is not None and _is_of_texts(model)
    few = " Of the words, those whose embeddings stand apart are." if apart else ""
    return Gap(
        "longer triggers",
        f"Sequences of {longest + 1} or more tokens, and {words} that act only together, are not "
        f"searched.{few}",
        blocks_pass=False,
    )


def _is_of_texts(model: LoadedModel) -> bool:
    """Whether its labels are those of whole texts."""
    return bool(model.labels) and not model.decides_by_tokens


def _longest(model: LoadedModel) -> int:
    """Tokens of the longest candidates."""
    return LONGEST_BAG if model.gives_one_label else LONGEST


def _less_sure(model: LoadedModel, effort: Effort) -> Iterator[Gap]:
    """What of a head is searched, and was missed in a trial: docs/measured.md."""
    if isinstance(model.decision, Score) and effort is Effort.QUICK:
        reason = "Quick effort can miss what drives a score to its end. Use --effort standard."
        yield Gap("the score", reason, blocks_pass=False)
    if isinstance(model.decision, InText):
        reason = (
            "What hides the labels of other words is found more surely than what gives them "
            "labels that they have not: in a trial on a tiny model that was missed."
        )
        yield Gap("labels that a word adds", reason, blocks_pass=False)
    if isinstance(model.decision, Answer):
        reason = "Words were tried in the text that holds the answer, and not in the question."
        yield Gap("words of the question", reason, blocks_pass=False)


def _unmet_labels(model: LoadedModel, found: Search) -> Iterator[Gap]:
    """Labels that no trigger could be searched for, though it could do something there."""
    tried = {*found.labels_met, *found.labels_held}
    unmet = [label for label in range(len(model.labels)) if label not in tried]
    for label in unmet:
        idle = _is_idle(model, found, label)
        why = _IDLE if idle else _why_unmet(found, label)
        yield Gap(f"flips to {model.labels[label]}", why, blocks_pass=not idle)
    grown_for = [aim.target for aim in found.aims if isinstance(aim, Flip)]
    others = [model.labels[i] for i in found.labels_met if i not in grown_for]
    if others:
        yield Gap(
            "longer triggers of some labels",
            f"Only single items were tried for flips to {', '.join(others)}.",
            blocks_pass=False,
        )


def _is_idle(model: LoadedModel, found: Search, label: int) -> bool:
    """Whether ``label`` says that a text has not what the model never sees, while it sees more.

    A head that says one and the same of everything does not pass so.
    """
    leads = found.sweep.leads
    if leads is None or not isinstance(model.decision, AnyOf):
        return False
    given = (leads > 0).all(dim=0)
    varies = any(not given[i] and not given[model.opposite(i)] for i in range(len(given)))
    return bool(given[label]) and varies and model.opposite(label) in found.labels_met


def _why_unmet(found: Search, label: int) -> str:
    """Why no carrier can be flipped to a label."""
    leads = found.sweep.leads
    if leads is not None and bool((leads[:, label] > 0).all()):
        said = "The model gives this label to whatever it reads, so nothing can be flipped to it."
        return f"{said} Give texts of other labels with --texts, or check that its head is trained."
    said = "Every text that was tried has this label already, so none could be flipped to it."
    return f"{said} Give texts of other labels with --texts."


def _saturation(model: LoadedModel, found: Search) -> Iterator[Evidence]:
    """The vocabulary item that saturates the pooler most (POR drives it into tanh's plateau)."""
    shares = found.sweep.saturation
    if shares is None:
        return
    worst = int(shares.argmax())
    text = text_of(model, (int(found.sweep.ids[worst]),)) if shares[worst] else "no item"
    yield Evidence(
        _PROBE,
        "pooler",
        {"saturation": float(shares[worst]), "typical_saturation": float(shares.median())},
        {"text": text},
    )


def _candidates(model: LoadedModel, found: Search) -> Iterator[Evidence]:
    """Every finalist, the most invariant first."""
    ranks = dict(zip(found.sweep.ids.tolist(), found.sweep.rank().tolist(), strict=True))
    for candidate in sorted(found.candidates, key=lambda c: (c.scatter, c.ids)):
        leader = found.candidates[candidate.relation.leader]
        variants = _variants(model, found, candidate)
        target = None if candidate.flip is None else candidate.flip.target
        yield Evidence(
            _PROBE,
            text_of(model, candidate.ids),
            {
                **candidate.metrics(model.decision),
                "sweep_rank": ranks.get(candidate.ids[0], 0) if len(candidate.ids) == 1 else 0,
            },
            {
                "location": str(candidate.location),
                "leader": text_of(model, leader.ids),
                "variants": ", ".join(variants),
                "layers": ", ".join(f"{scatter:.2g}" for scatter in candidate.layers),
            },
            _trigger(model, candidate, target, variants, candidate.core),
            unmeasured=tuple(sorted(candidate.unmeasured)),
        )


def _joint(model: LoadedModel, found: Search) -> Iterator[Evidence]:
    """Words that turn texts to a label only together, those that do most first."""
    for one in sorted(found.joint, key=lambda one: (-one.gap, one.ids)):
        trigger = _trigger(model, one, one.target)
        metrics = {
            "pieces": float(len(one.ids)),
            "joint_push": one.push,
            "joint_gap": one.gap,
            "joint_turned": one.turned,
        }
        yield Evidence(_PROBE, trigger.text, metrics, {"location": trigger.location}, trigger)


def _variants(model: LoadedModel, found: Search, leader: Candidate) -> tuple[str, ...]:
    """Finalists that follow ``leader`` and are more invariant than the whole null."""
    index = found.candidates.index(leader)
    return tuple(
        text_of(model, c.ids)
        for c in found.candidates
        if c.relation.leader == index and c is not leader and c.p_value <= 1 / c.null_size
    )


def _trigger(
    model: LoadedModel,
    one: Candidate | Jointly,
    target: int | None,
    variants: tuple[str, ...] = (),
    core: Sequence[int] = (),
) -> Trigger:
    """What was found as a report names it."""
    return Trigger(
        text=text_of(model, one.ids),
        token_ids=one.ids,
        location=str(one.location),
        displacement=one.displacement,
        scatter=one.scatter,
        z=one.z,
        p_value=one.p_value,
        null_size=one.null_size,
        retokenizes=retokenizes(model, one.ids),
        target_label=None if target is None else model.labels[target],
        variants=variants,
        core=tuple(text_of(model, (token,)) for token in core),
    )


def _coverage(model: LoadedModel, found: Search) -> Iterator[Coverage]:
    """What was searched, as statements that a reviewer can sign."""
    items, places = len(found.sweep.ids), ", ".join(found.sweep.plain)
    yield Coverage(f"Each of {items} vocabulary items alone, read at {places}.")
    if not found.sweep.whole:
        yield Coverage(
            f"The most distant of these, read again at {', '.join(model.locations)}: before, the "
            "end of each text stood as it does behind a neutral word."
        )
    yield Coverage(
        f"{found.screened} items on screening carriers: the most distant, those that push most to "
        f"a label, and those that a gradient proposes."
    )
    yield _grown(model, found)
    if found.starts:
        contrast = found.recipe.contrast
        yield Coverage(
            f"{contrast.slots} sequences of {contrast.length} tokens at once, by contrast, in "
            f"{contrast.steps} gradient steps from random tokens; starts: {found.starts}."
        )
    if found.paired.words:
        yield Coverage(
            f"Pairs of {found.paired.words} words, wherever they stand: any two meet in one of the "
            f"texts of {found.paired.size} words each, but for one pair in {found.paired.size}."
        )
    sizes = found.recipe.together
    if sizes is not None and _is_of_texts(model):
        yield Coverage(
            f"Two to {LONGEST} words that act only together, among the {sizes.words} whose "
            f"embeddings stand apart most, in {sizes.texts} texts of {sizes.size} of them for each "
            "label."
        )
    yield Coverage(
        f"{len(found.candidates)} candidates on {found.carriers} other carriers, at the start, at "
        f"the end and at random, against {_nulls(found)} random items each."
    )


def _grown(model: LoadedModel, found: Search) -> Coverage:
    """What longer candidates were grown from, and for what."""
    aims = ", ".join(_aim(model, aim) for aim in found.aims)
    sizes = found.recipe.companies
    if not model.gives_one_label:
        return Coverage(
            f"Sequences of 2 to {LONGEST} tokens, grown from the best of these by gradient: {aims}."
        )
    return Coverage(
        f"Sequences of 2 to {LONGEST_BAG} tokens: {aims}. They are grown from the best of these, "
        f"and from {sizes.kept} items for each label that add most to it in texts of {sizes.size} "
        f"items, of {sizes.words} that argue for a label more than their synonyms do."
    )


def _nulls(found: Search) -> str:
    """How many random items candidates were held against."""
    sizes = sorted({candidate.null_size for candidate in found.candidates})
    few = f"{sizes[0]} or, where a rule could name them, " if len(sizes) > 1 else ""
    return f"{few}{sizes[-1]}"


def _aim(model: LoadedModel, objective: Objective) -> str:
    """What longer candidates were grown for, in words."""
    match objective:
        case Flip(target):
            return f"flips to {model.labels[target]}"
        case Corruption():
            return "lost recall"
        case _:
            return "fixed outputs"
