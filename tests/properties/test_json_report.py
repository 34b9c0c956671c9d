"""JSON and back, whatever a report holds."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from plmscan.evidence import (
    Confidence,
    Coverage,
    Evidence,
    FileDigest,
    Finding,
    Gap,
    Margin,
    ModelIdentity,
    ProbeRun,
    ProbeStatus,
    Report,
    Severity,
    Trigger,
    Verdict,
    rounded,
)
from plmscan.reports.json_v1 import SCHEMA, from_json, to_json


def few(items: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    """Short tuples."""
    return st.lists(items, max_size=2).map(tuple)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
counts = st.integers(0, 2**63)
numbers = st.floats(allow_nan=False, allow_infinity=False).map(rounded)
shares = st.floats(0, 1).map(rounded)
positive = st.floats(0, 1e6).map(rounded)
scalars = st.one_of(text, st.integers(), st.booleans(), st.none(), numbers)
triggers = st.builds(
    Trigger,
    text=text,
    token_ids=few(counts),
    location=text,
    displacement=numbers,
    scatter=numbers,
    z=numbers,
    p_value=shares,
    null_size=counts,
    retokenizes=st.booleans(),
    target_label=st.none() | text,
    heads=few(text),
    variants=few(text),
)
evidence = st.builds(
    Evidence,
    probe=text,
    subject=text,
    metrics=st.dictionaries(text, numbers, max_size=3),
    details=st.dictionaries(text, scalars, max_size=3),
    trigger=st.none() | triggers,
)
digests = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
reports = st.builds(
    Report,
    verdict=st.sampled_from(Verdict),
    reasons=few(text),
    model=st.builds(
        ModelIdentity,
        id=text,
        revision=st.none() | text,
        architecture=st.none() | text,
        parameters=st.none() | counts,
        files=few(st.builds(FileDigest, text, counts, digests)),
    ),
    findings=few(
        st.builds(
            Finding,
            rule=text,
            severity=st.sampled_from(Severity),
            confidence=st.sampled_from(Confidence),
            message=text,
            remediation=text,
            evidence=evidence,
        )
    ),
    probes=few(
        st.builds(
            ProbeRun,
            id=text,
            status=st.sampled_from(ProbeStatus),
            reason=text,
            seconds=positive,
            forward_tokens=counts,
            evidence=few(evidence),
            gaps=few(st.builds(Gap, text, text, st.booleans())),
            coverage=few(st.builds(Coverage, text)),
            metrics=few(text),
        )
    ),
    settings=st.dictionaries(text.filter(lambda name: name != "seed"), scalars, max_size=3),
    versions=st.dictionaries(text, text, max_size=2),
    nearest=st.none()
    | st.builds(
        Margin,
        rule=text,
        subject=text,
        metric=text,
        value=numbers,
        bound=text,
        factor=st.none() | positive,
        unmet=counts,
        score=numbers,
    ),
)


@given(reports)
def test_json_and_back_is_the_identity(report: Report) -> None:
    """A report whose numbers have six digits comes back equal, and writes the same text again."""
    written = to_json(report)
    assert from_json(written) == report
    assert to_json(from_json(written)) == written
    assert written.isascii()
    assert json.loads(written)["schema"] == SCHEMA
