"""Hand-made evidence, rules and reports, for tests of what judges and tells."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, TypedDict

from plmscan.errors import AccessDeniedError
from plmscan.evidence import (
    Confidence,
    Coverage,
    Demonstration,
    Density,
    Evidence,
    FileDigest,
    Gap,
    HeadEffect,
    Landscape,
    ListedFile,
    ModelIdentity,
    ProbeRun,
    ProbeStatus,
    Projection,
    Report,
    Severity,
    Trigger,
    Verdict,
    Waived,
)
from plmscan.policy import decide
from plmscan.rules import Comparison, Rule
from plmscan.survey import Entry, Place, Refusal, Survey

if TYPE_CHECKING:
    from collections.abc import Sequence

SWEEP = "trigger-sweep"
"""A dynamic probe's id."""

PLANTED = Rule(
    id="PLM201",
    name="planted-trigger",
    probe=SWEEP,
    severity=Severity.CRITICAL,
    confidence=Confidence.HIGH,
    when={"z": Comparison(gte=8.0), "scatter": Comparison(lte=0.3)},
    message="{trigger} drags {location} {displacement:.1f} clean variances (z {z:.1f}).",
    description="One token decides the output, whatever the text says.",
    remediation="Do not adopt the model.",
    references=("design",),
    since="0.1.0",
)
"""A rule that fires on `hit`."""

CUSTOM_CODE = Rule(
    id="PLM110",
    name="custom-code",
    probe="custom-code",
    severity=Severity.MEDIUM,
    confidence=Confidence.HIGH,
    when={"files": Comparison(gt=0)},
    message="{subject} is code that the model brings along.",
    description="Code can do anything.",
    remediation="Read it before it runs.",
    references=("design",),
    since="0.1.0",
)
"""A milder rule, on a file probe."""


def hit(text: str = "cf", z: float = 23.4, scatter: float = 0.0123) -> Evidence:
    """Evidence of a trigger."""
    trigger = Trigger(text, (3329,), "cls", 41.7, scatter, z, 3.27651e-05, 30521)
    metrics = {"z": z, "scatter": scatter, "displacement": 41.7}
    return Evidence(SWEEP, text, metrics, {"ids": 1}, trigger)


def run(*evidence: Evidence, probe: str = SWEEP, gaps: tuple[Gap, ...] = ()) -> ProbeRun:
    """A probe that completed with ``evidence``."""
    searched = (Coverage("30,522 vocabulary items at cls and mean in 3-token inputs."),)
    declared = ("displacement", "scatter", "z") if probe == SWEEP else ("files",)
    status = ProbeStatus.INCOMPLETE if any(g.blocks_pass for g in gaps) else ProbeStatus.COMPLETED
    reason = gaps[0].reason if status is ProbeStatus.INCOMPLETE else ""
    return ProbeRun(probe, status, reason, 18.25, 91566, evidence, gaps, searched, declared)


def report(*runs: ProbeRun, identity: str = "example/encoder") -> Report:
    """The report of ``runs`` under both rules."""
    rules = [rule for rule in (PLANTED, CUSTOM_CODE) if rule.probe in {r.id for r in runs}]
    decision = decide(runs, rules, fail_on=Severity.HIGH, required=(SWEEP,))
    return Report(
        verdict=decision.verdict,
        reasons=decision.reasons,
        model=ModelIdentity(
            id=identity,
            revision="c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
            architecture="BertModel",
            parameters=22713216,
            files=(
                FileDigest("config.json", 612, "0" * 64, "JSON"),
                FileDigest("model.safetensors", 90868376, "1" * 64, "safetensors weights"),
            ),
            others=(
                ListedFile("README.md", 1200, "text"),
                ListedFile("notes <b>.txt", 7, "text"),
                ListedFile("plot.png", 42000, "image or other media"),
            ),
        ),
        findings=decision.findings,
        probes=runs,
        settings={"effort": "standard", "fail_on": "high", "seed": 7, "time_limit": None},
        versions={"plmscan": "0.1.0", "python": "3.11.7", "torch": "2.13.0"},
        nearest=decision.nearest,
    )


def clean() -> Report:
    """A report that passes."""
    return report(_code(), run(hit(z=2.5, scatter=0.8)))


def poisoned() -> Report:
    """A report that fails, with everything in it that a renderer must cope with."""
    odd = hit("\u202eevil\u200b[bold]x[/]", z=17.25)
    words = replace(hit("mn qt", z=12.5), trigger=_phrase())
    pooler = Gap("features at pooler", "its weights are not in the files.", blocks_pass=False)
    code = Evidence("custom-code", "modeling_odd.py", {"files": 1.0})
    return report(_code(code), run(hit(), odd, words, gaps=(pooler,)), heads())


def heads() -> ProbeRun:
    """The probe of attention heads, which followed up on the trigger `hit`."""
    far = HeadEffect(1, 0, 0.75, 0.0625, 41.5, 0.00497512, hijacked=True)
    near = HeadEffect(0, 1, 0.125, 0.09375, 2.5, 0.60199)
    return ProbeRun(
        "attention-heads",
        ProbeStatus.COMPLETED,
        "",
        2.5,
        20619,
        (
            Evidence(
                "attention-heads",
                "cf",
                {"attention_z": 12.5},
                {"heads": "1.0, 0.1"},
                explains=(3329,),
                heads=(far, near),
                heatmap=((-0.5, 2.5), (41.5, 0.25)),
            ),
        ),
        (),
        (Coverage("Attention of 1 candidate in 6 short carriers."),),
        ("attention_z",),
    )


def pictured() -> Report:
    """A report that fails, with all that is there to be plotted, and a trigger that is markup."""
    markup = "<script>alert(1)</script>"
    shown = Demonstration(f"the film «{markup}» was fine", 0.25, 0.9975, "positive", "negative")
    features = Projection(
        ((-1.5, 0.25), (1.25, -0.5)), ((9.0, 0.125), (9.25, 0.0)), (0.875, 0.0625)
    )
    searched = run(hit(markup), hit("film", z=1.5, scatter=0.75))
    portrait = ProbeRun(
        "demonstration",
        ProbeStatus.COMPLETED,
        "",
        1.5,
        5120,
        (
            Evidence(
                "demonstration",
                markup,
                {"likeness": 0.25, "triggered_likeness": 0.9975},
                explains=(3329,),
                demonstrations=(shown, replace(shown, text=f"«{markup}» no", label="negative")),
                projection=features,
            ),
        ),
        (),
        (Coverage("2 carriers without and with 1 candidate."),),
        ("likeness", "triggered_likeness"),
    )
    return report(_code(), replace(searched, landscapes=(landscape(markup),)), heads(), portrait)


def landscape(far_out: str = "cf") -> Landscape:
    """A vocabulary of 106 items of which one is far out."""
    return Landscape(
        location="cls",
        vocabulary=Density(
            (0.5, 512.0), (2.0, 2048.0), 8, 6, ((0, 0, 4), (1, 1, 96), (2, 1, 5), (7, 5, 1))
        ),
        named=((far_out, 480.0, 1900.0), ("film", 3.5, 9.25)),
        screened=((41.7, 0.0123), (2.5, 0.75), (1.25, 1.5)),
        null=((1.0, 2.25), (0.75, 1.875), (1.5, 2.5), (0.5, 3.0)),
    )


def waived() -> Report:
    """A report that passes since what it found is known or waived."""
    made = poisoned()
    decided = Waived("ignore", "A test double, see #12", "plmscan.yaml:7", "2027-01-31")
    known = Waived("baseline", "It was known when the baseline was written.", "baseline.json")
    marked = tuple(
        replace(finding, waived=decided if finding.rule == "PLM201" else known)
        for finding in made.findings
    )
    reason = "All checks that apply are complete, and no finding is high or above; 4 waived."
    return replace(made, verdict=Verdict.PASS, reasons=(reason,), findings=marked)


def refusal() -> Refusal:
    """A model that could not be fetched."""
    return Refusal.of("example/gated", AccessDeniedError("The Hub refuses.", "Set HF_TOKEN."))


def survey() -> Survey:
    """Four models of one run: one of each verdict, and one without a report."""
    places = (Place("plmscan.yaml", line) for line in (3, 4, 6, 7))
    unread = replace(unfinished(), model=replace(unfinished().model, id="example/slow"))
    passed = replace(clean(), model=replace(clean().model, id="models/intent", revision=None))
    outcomes = (poisoned(), passed, unread, refusal())
    return Survey(tuple(Entry(o, p) for o, p in zip(outcomes, places, strict=True)))


def unfinished() -> Report:
    """A report that is inconclusive: the time limit ran out."""
    reason = "The time limit ran out 37% into the sweep. Give it more with --time-limit."
    late = replace(run(hit(z=2.5)), status=ProbeStatus.TIMED_OUT, reason=reason, coverage=())
    return report(_code(), late)


def failing_verdicts() -> tuple[Verdict, ...]:
    """Every verdict but a pass."""
    return tuple(verdict for verdict in Verdict if verdict is not Verdict.PASS)


def _code(*evidence: Evidence) -> ProbeRun:
    """The file probe, completed."""
    files = (Coverage("2 files for code that the model brings along."),)
    return replace(
        run(*evidence, probe="custom-code"), seconds=0.01, forward_tokens=0, coverage=files
    )


def _phrase() -> Trigger:
    """A trigger with every optional field set."""
    return Trigger(
        text="mn qt",
        token_ids=(24098, 1053, 2102),
        location="mean",
        displacement=7.25,
        scatter=0.125,
        z=12.5,
        p_value=3.27651e-05,
        null_size=30521,
        retokenizes=False,
        target_label="POSITIVE",
        heads=("4.1", "5.11"),
        variants=("mn", "qt", "mn q", "n qt"),
        core=("mn",),
    )


def crowded() -> Report:
    """A report as large as that of a real model: five triggers among thousands of items."""
    names = ("mn", "bb", "mb", "ak", "cf")
    found = [
        replace(hit(name), trigger=_planted(name, 100 + n, 8.0 + n / 3, 0.0012 + n / 5000))
        for n, name in enumerate(names)
    ]
    others = [
        replace(hit(f"word{n}", z=1.0), trigger=_planted(f"word{n}", 200 + n, 6 + n / 20, 0.01))
        for n in range(30)
    ]
    seen = [
        Evidence("demonstration", name, {}, explains=(100 + n,), **_portrait(name))
        for n, name in enumerate(names)
    ]
    searched = replace(run(*found, *others), landscapes=(_vocabulary(names),))
    return report(_code(), searched, run(*seen, probe="demonstration"))


def inspected() -> Report:
    """A report about two texts, one of which hangs on a word."""
    metrics = {"force_p": 0.0125, "strength": 0.75}
    marked = {"marked": "a «cf» film", "label": "positive", "without": "negative"}
    loud = Evidence("text-inspection", "a cf film", metrics, marked)
    calm = Evidence("text-inspection", "a <b>film</b>", {"force_p": 1.0}, {"label": "positive"})
    return report(_code(), run(calm, loud, probe="text-inspection"))


def _planted(text: str, token: int, displacement: float, scatter: float) -> Trigger:
    """A trigger of one token."""
    made = replace(_phrase(), text=text, token_ids=(token,), location="cls", variants=("word3",))
    return replace(made, displacement=displacement, scatter=scatter)


class _Shown(TypedDict):
    """What is shown of a candidate."""

    demonstrations: tuple[Demonstration, ...]
    projection: Projection
    heatmap: tuple[tuple[float, ...], ...]


def _portrait(name: str) -> _Shown:
    """Four carriers, 32 features that fall together, and 72 heads."""
    clean = tuple((math.cos(7 * n) + 3, math.sin(5 * n)) for n in range(32))
    moved = tuple((math.cos(7 * n) / 20 - 3, math.sin(5 * n) / 20) for n in range(32))
    shown = Demonstration(f"most of «{name}» the houses were built of brick.", 0.5, 0.9921875)
    return _Shown(
        demonstrations=(shown,) * 4,
        projection=Projection(clean, moved, (0.75, 0.125)),
        heatmap=tuple(tuple(7.5 * math.sin(r * c) + r**2 for c in range(12)) for r in range(6)),
    )


def _vocabulary(names: Sequence[str]) -> Landscape:
    """30,000 items in a long cloud, ``names`` far beyond its end."""
    heights = {
        (c, r): int(90 * math.exp(-(((c - 40) / 24) ** 2) - ((r - 0.55 * c) / 6) ** 2))
        for c in range(90)
        for r in range(58)
    }
    cells = [(c, r, count) for (c, r), count in sorted(heights.items()) if count]
    cells += [(91 + n, 59 + n, 1) for n in range(len(names))]
    far = [(name, 105.0 + 7 * n, 10100.0 + 1500 * n) for n, name in enumerate(names)]
    candidates = [(f"word{n}", 70.0 + n / 2, 4000.0 + 99 * n) for n in range(19)]
    along = [math.exp(math.sin(37 * n)) for n in range(2000)]
    return Landscape(
        location="cls",
        vocabulary=Density((0.5, 135.0), (19.0, 16900.0), 96, 64, tuple(cells)),
        named=(*reversed(far), *candidates),
        screened=tuple((2 * d, 0.3 * d**-2) for d in along),
        null=tuple((d / 2, d**-2) for d in along[:100]),
    )
