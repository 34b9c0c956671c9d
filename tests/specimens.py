"""Hand-made evidence, rules and reports, for tests of what judges and tells."""

from __future__ import annotations

from dataclasses import replace

from plmscan.evidence import (
    Confidence,
    Coverage,
    Evidence,
    FileDigest,
    Gap,
    HeadEffect,
    ModelIdentity,
    ProbeRun,
    ProbeStatus,
    Report,
    Severity,
    Trigger,
    Verdict,
)
from plmscan.policy import decide
from plmscan.rules import Comparison, Rule

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
                FileDigest("config.json", 612, "0" * 64),
                FileDigest("model.safetensors", 90868376, "1" * 64),
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
    )
