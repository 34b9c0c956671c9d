"""What the lock file is compared with, as evidence, gaps and coverage."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from plmscan.evidence import Evidence, Gap, Severity
from plmscan.probes.static.lock_drift import Probe
from plmscan.rules import load_rules
from plmscan.source import SourceOptions, resolve
from tests.artifacts import artifact_of, coverage_of, evidence_of, fired, gaps_of, write_json
from tests.hub_server import HubRepo, serve

if TYPE_CHECKING:
    from pathlib import Path

    from plmscan.source import Artifact


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    """A model of two files."""
    write_json(tmp_path / "config.json", {"model_type": "bert"})
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    return artifact_of(tmp_path)


def locked(artifact: Artifact, **changes: str | None) -> Artifact:
    """The artifact under a lock of its own files, with ``changes``, whose None drops an entry.

    Names are spelt with ``_`` for the dot.
    """
    files: dict[str, str | None] = {file.path: file.sha256 for file in artifact.files}
    files |= {name.replace("_", "."): digest for name, digest in changes.items()}
    return replace(artifact, locked={name: d for name, d in files.items() if d is not None})


def told(artifact: Artifact) -> dict[str, tuple[str, ...]]:
    """Metrics that are 1, by file."""
    found = evidence_of(Probe(), artifact)
    assert all(set(e.metrics) == set(Probe.metrics) for e in found)
    return {e.subject: tuple(name for name, on in e.metrics.items() if on) for e in found}


def messages(artifact: Artifact) -> dict[str, str]:
    """What the rules say, by file."""
    found = evidence_of(Probe(), artifact)
    return {e.subject: r.finding(e).message for e in found for r in load_rules() if r.fires(e)}


def test_without_a_lock_that_is_said_and_nothing_more(artifact: Artifact) -> None:
    """Neither pass nor fail hangs on a file that a team may not want."""
    (gap,) = Probe().inspect(artifact)

    assert isinstance(gap, Gap)
    assert gap.reason == "No lock file names this model. `plmscan lock` writes one."
    assert not gap.blocks_pass


def test_files_that_agree_are_covered(artifact: Artifact) -> None:
    """One sentence that a reviewer can sign, and no evidence."""
    (coverage,) = coverage_of(Probe(), locked(artifact))

    assert [*Probe().inspect(locked(artifact))] == [coverage]
    assert coverage.statement == "2 files read, with the digests that the lock file gives them."


def test_a_file_that_was_replaced_fails(artifact: Artifact) -> None:
    """It is told with both digests, shortened."""
    now = next(file.sha256 for file in artifact.files if file.path == "model.safetensors")
    changed = locked(artifact, model_safetensors="a" * 64)

    assert told(changed) == {"model.safetensors": ("changed", "differs")}
    assert fired(Probe(), changed) == ["PLM170"]
    assert messages(changed)["model.safetensors"] == (
        f"model.safetensors is not the file that was locked: sha256 {16 * 'a'} was, and "
        f"sha256 {now[:16]} is there now."
    )
    (coverage,) = coverage_of(Probe(), changed)
    assert coverage.statement.endswith("compared with the lock file, which agrees about 1.")


def test_a_file_that_is_gone_fails(artifact: Artifact) -> None:
    """Without its tokenizer a model reads another language."""
    gone = locked(artifact, tokenizer_json="b" * 64)

    assert told(gone) == {"tokenizer.json": ("missing", "differs")}
    assert fired(Probe(), gone) == ["PLM170"]
    assert messages(gone)["tokenizer.json"].endswith(
        f"sha256 {16 * 'b'} was, and nothing is there now."
    )


def test_a_file_that_was_laid_beside_is_named(artifact: Artifact) -> None:
    """A new file is milder than a replaced one, since it may be a matter of settings."""
    more = locked(artifact, config_json=None)

    assert told(more) == {"config.json": ("added",)}
    assert fired(Probe(), more) == ["PLM171"]
    assert messages(more)["config.json"].startswith("config.json is not in the lock file: sha256 ")


def test_a_file_that_is_not_read_now_is_a_gap(artifact: Artifact) -> None:
    """It was locked with other settings: it is neither there to compare nor gone."""
    listed = artifact_of(artifact.root, not_fetched=("pytorch_model.bin", "README.md"))
    digests = {file.path: file.sha256 for file in artifact.files}
    unread = replace(listed, locked=digests | {"pytorch_model.bin": "c" * 64})

    assert evidence_of(Probe(), unread) == []
    (gap,) = gaps_of(Probe(), unread)
    assert (gap.subject, gap.blocks_pass) == ("pytorch_model.bin", False)
    assert len(coverage_of(Probe(), unread)) == 1


def test_all_differences_are_told_in_order(artifact: Artifact) -> None:
    """One piece of evidence a file, sorted by path."""
    spoilt = replace(artifact, locked={"a.json": "d" * 64, "model.safetensors": "d" * 64})

    assert list(told(spoilt).items()) == [
        ("a.json", ("missing", "differs")),
        ("config.json", ("added",)),
        ("model.safetensors", ("changed", "differs")),
    ]


@pytest.mark.parametrize(("rule", "severity"), [("PLM170", "HIGH"), ("PLM171", "MEDIUM")])
def test_drift_fails_at_the_default_bar_and_additions_do_not(rule: str, severity: str) -> None:
    """What was adopted must not change; what was not there may be harmless."""
    (found,) = (r for r in load_rules() if r.id == rule)

    assert found.severity is Severity[severity]


def test_a_folder_is_resolved_with_its_lock(artifact: Artifact) -> None:
    """What the user locked reaches the probe; without a lock there is none."""
    digests = {file.path: file.sha256 for file in artifact.files}
    source = str(artifact.root)

    assert resolve(source, SourceOptions(locked=digests)).locked == digests
    assert resolve(source, SourceOptions()).locked is None


def test_a_hub_model_is_resolved_with_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cached file that somebody changed is found, though the commit is the locked one."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    files = {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"weights"}
    with serve({"org/name": HubRepo(files)}) as hub:
        options = SourceOptions(endpoint=hub.url, cache_dir=tmp_path)
        first = resolve("org/name", options)
        digests = {file.path: file.sha256 for file in first.files}
        blob = first.path("config.json").resolve()
        blob.write_bytes(b'{"model_type": "gpt2"}')
        again = replace(options, revision=first.revision, locked=digests)
        second = resolve("org/name", again)

    assert coverage_of(Probe(), replace(first, locked=digests))
    (evidence,) = evidence_of(Probe(), second)
    assert isinstance(evidence, Evidence)
    assert (evidence.subject, evidence.metrics["changed"]) == ("config.json", 1.0)
    assert digests["config.json"] in {file.sha256 for file in first.files}
