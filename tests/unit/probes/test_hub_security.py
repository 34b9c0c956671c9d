"""What the Hub's scanners say, as evidence and as gaps."""

from __future__ import annotations

from pathlib import Path

import pytest

from plmscan.evidence import Coverage, Evidence, FileDigest, Gap, Severity
from plmscan.probes.static.hub_security import Probe
from plmscan.rules import load_rules
from plmscan.source import Artifact, HubIssue, HubStatus


def artifact(status: HubStatus | None, revision: str | None = "0" * 40) -> Artifact:
    """A model with one weight file and no more."""
    return Artifact(
        id="org/name",
        revision=revision,
        root=Path("nowhere"),
        files=(FileDigest("model.safetensors", 1, "0" * 64),),
        weights=("model.safetensors",),
        not_fetched=(),
        hub_status=status,
        weights_problem=None,
    )


def flagged(path: str, level: str) -> HubStatus:
    """A finished scan that flags one file."""
    return HubStatus(scans_done=True, issues=(HubIssue(path, level),))


@pytest.mark.parametrize(
    ("status", "revision", "words"),
    [
        (None, None, "is a folder"),
        (None, "0" * 40, "was not asked"),
        (HubStatus(scans_done=False, issues=()), "0" * 40, "have not finished"),
    ],
)
def test_silence_is_a_gap_and_nothing_more(
    status: HubStatus | None, revision: str | None, words: str
) -> None:
    """Where the Hub says nothing, the report says so, and neither pass nor fail hangs on it."""
    (gap,) = Probe().inspect(artifact(status, revision))

    assert isinstance(gap, Gap)
    assert words in gap.reason
    assert not gap.blocks_pass


@pytest.mark.parametrize(
    ("status", "rules"),
    [
        (flagged("model.safetensors", "unsafe"), {"PLM160": Severity.HIGH}),
        (flagged("training_args.bin", "unsafe"), {"PLM161": Severity.MEDIUM}),
        (flagged("model.safetensors", "suspicious"), {"PLM162": Severity.LOW}),
        (flagged("other.bin", "a word of tomorrow"), {"PLM162": Severity.LOW}),
        (HubStatus(scans_done=True, issues=()), {}),
    ],
)
def test_each_flagged_file_fires_one_rule(status: HubStatus, rules: dict[str, Severity]) -> None:
    """An unsafe file weighs most where loading reads it; an unknown word still counts."""
    *evidence, coverage = Probe().inspect(artifact(status))

    found = [e for e in evidence if isinstance(e, Evidence)]
    fired = [rule.finding(e) for e in found for rule in load_rules() if rule.fires(e)]
    assert isinstance(coverage, Coverage)
    assert found == evidence
    assert all(set(e.metrics) == set(Probe.metrics) for e in found)
    assert {finding.rule: finding.severity for finding in fired} == rules
    assert all(issue.path in f.message for issue in status.issues for f in fired)


def test_an_issue_is_told_before_the_scans_have_finished() -> None:
    """What the Hub already knows does not wait."""
    status = HubStatus(scans_done=False, issues=(HubIssue("a.bin", "unsafe"),))

    evidence, gap = Probe().inspect(artifact(status))

    assert isinstance(evidence, Evidence)
    assert evidence.metrics["unsafe"] == 1.0
    assert isinstance(gap, Gap)
