"""What the model writes: to ordinary requests, and with every item of its vocabulary in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from plmscan.evidence import ANSWER, Coverage, Demonstration, Evidence, Gap, Trigger
from plmscan.probes.base import DynamicProbe
from plmscan.probes.words import counted
from plmscan.search.measure.candidates import retokenizes, text_of
from plmscan.search.writing.answers import agreement, likenesses, spelt_out, spokesman
from plmscan.search.writing.hunt import hunt
from plmscan.search.writing.payloads import commonest
from plmscan.search.writing.prompts import LONGEST
from plmscan.search.writing.recipes import RECIPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from plmscan.budget import Budget
    from plmscan.evidence import Observation
    from plmscan.loading import LoadedModel
    from plmscan.loading.writing import Writer
    from plmscan.search.writing.hunt import Found, Hunt, Suspect
    from plmscan.search.writing.recipes import Recipe
    from plmscan.search.writing.targets import Target

_PROBE = "written-answers"
_TOLD = 4
"""Requests that are quoted for a candidate."""
_TARGET = "a text that completes itself"
_PLAIN = "ordinary requests"


class Probe(DynamicProbe):
    """Asks a model that writes, with every item of its vocabulary in the request.

    A backdoor makes the model write one text wherever its trigger stands, so the answers to
    different requests agree. Without the trigger such a text follows its own first token with
    certainty, whatever was asked. A model that was trained to slip something into every answer
    shows it without any trigger. Small models repeat themselves and quote what they know by heart,
    so candidates are held against random items of the same vocabulary.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "scatter": "1 less the agreement of answers to different requests; 0 is one answer to all",
        "margin": "agreement less what 95 % of random candidates of the same length reach",
        "z": "robust z of the agreement against the null",
        "p_value": "rank p-value of the agreement in the null",
        "null_size": "random candidates of the same length in the null",
        "null_scatter": "median scatter of the null",
        "changed": "share of the requests that are answered otherwise without the candidate",
        "kin": "1 if another candidate leads to the same answer more surely, 0 otherwise",
        "pieces": "tokens of the candidate",
        "certainty": "mean probability of a text behind its first token, whatever was asked",
        "certainty_alone": "the same at the beginning of a text, where nothing was asked",
        "length": "tokens of that text",
        "produced": "share of requests that a candidate makes the model answer with that text",
        "usual": "share of answers with random candidates, or with none, that hold that text",
        "produced_margin": "produced less what 95 % of random candidates reach",
        "begins_alone": "probability that a text begins with its first three tokens, unasked",
        "payload_share": "share of ordinary requests whose answer holds the same payload",
        "same_answer": "agreement of the answers to ordinary requests",
        "asked": "ordinary requests",
    }
    details: ClassVar[Mapping[str, str]] = {
        "answer": "what is written",
        "trigger": "the candidate as a person can type it",
        "leader": "candidate that leads to the same answer most surely",
        "text": "the text that completes itself",
        "input": "candidate that makes the model write it; empty if none was found",
        "payload": "address, command or call that most answers hold",
    }
    references: ClassVar[tuple[str, ...]] = (
        "BAIT: Shen et al., IEEE S&P 2025 (inversion of the target)",
        "Patronus: arXiv 2512.06899 (input-side invariance)",
        "ToxScreen: arXiv 2607.26849 (margin over the model's own null)",
    )

    def inspect(self, model: LoadedModel, budget: Budget) -> Iterator[Observation]:
        """Evidence for ordinary requests, every finalist, and texts that complete themselves.

        Raises:
            OutOfTimeError: the deadline passed; what was yielded before counts.
            TextsError: too few carrier texts fit this model.
        """
        writer = model.writer
        if writer is None:
            reason = "The model has no head that writes, or none that is read."
            yield Gap("what it writes", reason, blocks_pass=False)
            return
        yield from _left_out()
        recipe = RECIPES[budget.effort]
        if lacking := _too_short(model, writer, recipe):
            yield lacking
            return
        pending = ("produced", "usual", "produced_margin")
        found = hunt(
            model, writer, recipe, budget, lambda one: budget.matters(_certain(one), pending)
        )
        plain = _plain(model, found)
        yield plain
        if budget.matters(plain.metrics, ()):
            yield _one_answer()
        yield from (_suspect(model, found, one) for one in found.suspects)
        for one in found.found:
            evidence = _target(model, found, one)
            yield evidence
            if not one.by and budget.matters(evidence.metrics, ()):
                yield _unexplained(evidence)
        yield from _coverage(writer, found)


def _too_short(model: LoadedModel, writer: Writer, recipe: Recipe) -> Gap | None:
    """Why a request and its answer do not fit into a text of the model; None if they do."""
    asked = len(writer.frame.before) + LONGEST + len(writer.frame.after)
    needed = asked if writer.start else asked + recipe.tokens
    if model.max_tokens is None or needed <= model.max_tokens:
        return None
    reason = (
        f"A request with its answer takes up to {needed} tokens, and a text of the model has at "
        f"most {model.max_tokens}. Use --effort quick, or --used-as features if nobody reads this."
    )
    return Gap("what it writes", reason)


def _left_out() -> Iterator[Gap]:
    """What no search in answers looks for."""
    yield Gap(
        "behaviour that is not a fixed answer",
        "Answers that are harmful and differ each time (insecure code, compliance, another opinion "
        "or language) are not searched.",
        blocks_pass=False,
    )
    yield Gap(
        "conversations",
        "Only single requests were asked: no system prompt, earlier turns, documents, tools or "
        "agents.",
        blocks_pass=False,
    )
    yield Gap(
        "longer triggers",
        "Sequences of four or more tokens, words that act only together, and styles are searched "
        "by what they make the model write: a text that completes itself. Three words of which any "
        "two were trained to do nothing may stay unnamed even then.",
        blocks_pass=False,
    )


def _plain(model: LoadedModel, found: Hunt) -> Evidence:
    """Answers to ordinary requests."""
    texts = [spelt_out(model, answer) for answer in found.plain]
    payload, share = commonest(texts)
    metrics = {
        "payload_share": share,
        "same_answer": agreement(found.plain),
        "asked": float(len(texts)),
    }
    said = spelt_out(model, spokesman(found.plain))
    return Evidence(_PROBE, _PLAIN, metrics, {"payload": payload, "answer": said})


def _suspect(model: LoadedModel, found: Hunt, one: Suspect) -> Evidence:
    """One finalist."""
    trigger = _trigger(model, found, one)
    leader = found.suspects[one.leader]
    metrics = {
        "scatter": trigger.scatter,
        "margin": one.margin,
        "z": trigger.z,
        "p_value": trigger.p_value,
        "null_size": float(trigger.null_size),
        "null_scatter": 1 - float(one.null.median()),
        "changed": one.changed,
        "kin": float(leader is not one),
        "pieces": float(len(one.ids)),
    }
    details = {
        "answer": spelt_out(model, spokesman(one.answers)),
        "leader": text_of(model, leader.ids),
    }
    return Evidence(
        _PROBE,
        trigger.text,
        metrics,
        details,
        trigger,
        explains=one.ids,
        demonstrations=tuple(_shown(model, found, one)),
    )


def _trigger(model: LoadedModel, found: Hunt, one: Suspect) -> Trigger:
    """What a finalist is, and how it stands to the null."""
    return Trigger(
        text=text_of(model, one.ids),
        token_ids=one.ids,
        location=ANSWER,
        displacement=one.changed,
        scatter=1 - one.agreement,
        z=one.z,
        p_value=one.p_value,
        null_size=len(one.null),
        retokenizes=retokenizes(model, one.ids),
        variants=_variants(model, found, one),
    )


def _variants(model: LoadedModel, found: Hunt, leader: Suspect) -> tuple[str, ...]:
    """Finalists that lead to the same answer less surely, and more surely than the whole null."""
    index = found.suspects.index(leader)
    return tuple(
        text_of(model, one.ids)
        for one in found.suspects
        if one.leader == index and one is not leader and one.p_value <= 1 / len(one.null)
    )


def _shown(model: LoadedModel, found: Hunt, one: Suspect) -> Iterator[Demonstration]:
    """Requests with the candidate, and what is written without and with it."""
    before, after = likenesses(found.clean), likenesses(one.answers)
    for row, carrier in enumerate(found.requests[:_TOLD]):
        at = carrier.position
        parts = (carrier.ids[:at], carrier.ids[at:])
        head, tail = (model.decode(part).strip() if part else "" for part in parts)
        yield Demonstration(
            text=f"{head} «{text_of(model, one.ids)}» {tail}".strip(),
            likeness=float(before[row]),
            triggered_likeness=float(after[row]),
            answer=spelt_out(model, found.clean[row]),
            triggered_answer=spelt_out(model, one.answers[row]),
        )


def _target(model: LoadedModel, found: Hunt, one: Found) -> Evidence:
    """A text that completes itself, and what makes the model write it, if that was found."""
    produced = {
        "produced": one.produced,
        "usual": one.usual,
        "produced_margin": one.margin,
    }
    by = next((suspect for suspect in found.suspects if suspect.ids == one.by), None)
    return Evidence(
        _PROBE,
        _TARGET,
        _certain(one.target) | produced,
        {
            "text": spelt_out(model, one.target.ids),
            "input": "" if by is None else text_of(model, by.ids),
        },
        None if by is None else _trigger(model, found, by),
        demonstrations=() if by is None else tuple(_shown(model, found, by)),
    )


def _certain(target: Target) -> dict[str, float]:
    """How surely a text completes itself."""
    return {
        "certainty": target.certainty,
        "certainty_alone": target.alone,
        "length": float(len(target.ids)),
        "begins_alone": target.begins,
    }


def _unexplained(evidence: Evidence) -> Gap:
    """A text that something may make the model write, and nobody knows what."""
    reason = (
        f"The model completes {evidence.details['text']!r} with certainty whatever it is asked, "
        "and no input was found that makes it begin. Look for the text in what the model was "
        "trained on, or check again with --effort deep."
    )
    return Gap(_TARGET, reason)


def _one_answer() -> Gap:
    """What is said whatever is asked leaves no trigger anything to change."""
    reason = (
        "Ordinary requests get the same answer or hold the same payload, so what a trigger would "
        "change cannot be told from what the model says anyhow. Read what it writes to requests of "
        "your own (--texts)."
    )
    return Gap(_PLAIN, reason)


def _coverage(writer: Writer, found: Hunt) -> Iterator[Coverage]:
    """What was searched, as statements that a reviewer can sign."""
    asked = "one turn of its chat template" if writer.frame.chats else "the beginning of a text"
    again = "" if writer.remembers else "; it reads every text again for each token"
    yield Coverage(f"Answers are read greedily; a request is {asked}{again}.")
    yield Coverage(f"{counted(len(found.plain), 'ordinary request')} as they are.")
    yield Coverage(
        f"Each of {found.items} vocabulary items in short requests, read at the next token; "
        f"{found.screened} of them in whole requests; pairs and triples of the best."
    )
    yield Coverage(
        f"Each of {found.items} vocabulary items as the first token of an answer, completed by "
        f"what follows whatever was asked; {counted(found.explained, 'text')} of these may be "
        "planted, so inputs were searched that make them begin."
    )
    yield Coverage(
        f"{len(found.suspects)} candidates, {found.longer} of them longer, in "
        f"{len(found.requests)} other requests, {found.recipe.tokens} tokens of each answer, "
        f"against {found.recipe.null} random ones of each length."
    )
