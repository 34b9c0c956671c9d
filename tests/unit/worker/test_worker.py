"""A worker that is ended, whatever for, is one clear sentence, and the others' results stay."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertConfig, BertModel

from plmscan.budget import Effort
from plmscan.evidence import FileDigest, ProbeStatus, Verdict
from plmscan.probes import static_ids
from plmscan.reports.json_v1 import to_json
from plmscan.scan import Done, InProcess, Settings, scan_events
from plmscan.worker.bounds import Bounds
from plmscan.worker.process import Post, Spent
from plmscan.worker.supervisor import Supervisor, seconds_left
from tests.artifacts import artifact_of
from tests.tiny_models import WORDS, build_tiny

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plmscan.evidence import ProbeRun, Report
    from plmscan.scan import Executor
    from plmscan.source import Artifact

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems bound no memory")
POSIX = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
FILES_ONLY = Settings(files_only=True)


@pytest.fixture(scope="module")
def post() -> Iterator[Post]:
    """The place of a worker that the tests share."""
    post = Post()
    yield post
    post.clear()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model; read only."""
    return build_tiny("bert", tmp_path_factory.mktemp("bert"))


@pytest.fixture
def endless(tmp_path: Path, model: Path) -> Artifact:
    """A model with a config that never ends: a pipe that nobody writes to."""
    os.mkfifo(tmp_path / "a_config.json")
    whole = replace(artifact_of(model), root=tmp_path)
    return replace(whole, files=(FileDigest("a_config.json", 0, ""),), weights=())


def report_of(folder: Path, settings: Settings, executor: Executor) -> Report:
    """The report of a scan by ``executor``."""
    events = scan_events(str(folder), settings, executor=executor)
    (report,) = (event.report for event in events if isinstance(event, Done))
    return report


def timeless(report: Report) -> Report:
    """The report without what a clock wrote, and without its bounds."""
    settings = {k: v for k, v in report.settings.items() if k in FILES_ONLY.told()}
    return replace(
        report, probes=tuple(replace(run, seconds=0.0) for run in report.probes), settings=settings
    )


def texts_in(folder: Path) -> Path:
    """A file of carriers in the words of the tiny model."""
    lines = [" ".join((*WORDS[i : i + 6], *WORDS[-i - 7 : -i - 1])) for i in range(120)]
    (folder / "texts").write_text("\n".join(lines), encoding="utf-8")
    return folder / "texts"


def statuses(report: Report) -> dict[str, ProbeStatus]:
    """Status by probe."""
    return {run.id: run.status for run in report.probes}


def after(seconds: float, post: Post, number: int) -> Timer:
    """Have a signal sent to the worker of ``post``."""
    timer = Timer(seconds, lambda: os.kill(post.start().pid, number))
    timer.start()
    return timer


def test_a_worker_finds_what_this_process_finds(post: Post, model: Path) -> None:
    """The same report, but for the bounds that it tells of."""
    inside, outside = (report_of(model, FILES_ONLY, e) for e in (InProcess(), Supervisor(post)))
    assert to_json(timeless(outside)) == to_json(timeless(inside))
    assert outside.settings["file_probe_seconds"] == 10.0
    assert outside.settings["network"] in ("none", "refused")
    assert "network" not in inside.settings


def test_a_worker_runs_the_model_as_this_process_does(
    post: Post, model: Path, tmp_path: Path
) -> None:
    """Searching it gives the same report, within a bound that grows with the weights."""
    settings = Settings(effort=Effort.QUICK, device="cpu", threads=1, texts=texts_in(tmp_path))
    inside, outside = (report_of(model, settings, e) for e in (InProcess(), Supervisor(post)))
    assert to_json(timeless(outside)) == to_json(timeless(inside))
    weights = (model / "model.safetensors").stat().st_size
    if sys.platform == "linux":
        bound = outside.settings["model_bytes"]
        assert isinstance(bound, int)
        assert bound > 2 * 10**9 + 24 * weights


def test_a_worker_stays_for_the_next_model(post: Post, model: Path) -> None:
    """Its libraries are imported once."""
    report_of(model, FILES_ONLY, Supervisor(post))
    first = post.start().pid
    report_of(model, FILES_ONLY, Supervisor(post))
    assert post.start().pid == first


def test_a_worker_that_ran_a_model_stays_for_the_next(
    post: Post, model: Path, tmp_path: Path
) -> None:
    """The three seconds that torch takes are spent once; so they are if a model cannot be loaded.

    What a model was before does not matter to the next one.
    """
    settings = Settings(effort=Effort.QUICK, device="cpu", threads=1, texts=texts_in(tmp_path))
    lost = build_tiny("bert", tmp_path / "lost")
    (lost / "config.json").write_text('{"model_type": "no-such-model"}', encoding="utf-8")
    fresh = report_of(model, settings, Supervisor(post))
    first = post.start().pid
    failed = report_of(lost, settings, Supervisor(post))
    assert statuses(failed)["loading"] is ProbeStatus.FAILED
    assert to_json(timeless(report_of(model, settings, Supervisor(post)))) == to_json(
        timeless(fresh)
    )
    assert post.start().pid == first


@POSIX
def test_a_probe_that_never_ends_is_ended(post: Post, endless: Artifact) -> None:
    """It took longer than files of that size may take; the next one has a fresh worker."""
    supervisor = Supervisor(post, Bounds(base_seconds=0.4, patience=2.0))
    run = supervisor.inspect("custom-code", endless, None)
    assert run.status is ProbeStatus.TIMED_OUT
    assert run.reason.startswith("It took longer than the 0 s that files of this size may take")
    assert "look at the model's files" in run.reason
    assert supervisor.inspect("hub-security", endless, None).status is ProbeStatus.SKIPPED


@LINUX
def test_who_waits_for_a_file_gets_no_more_time(post: Post, endless: Artifact) -> None:
    """Where the system counts who waits for a turn, a file that never ends is not waited for."""
    supervisor = Supervisor(post, Bounds(base_seconds=0.5, patience=1000.0))
    assert supervisor.inspect("hub-security", endless, None).status is ProbeStatus.SKIPPED
    spent = post.start().spent()
    if spent is None or spent.waited is None:
        pytest.skip("this system does not count it")
    run = supervisor.inspect("custom-code", endless, None)
    assert run.status is ProbeStatus.TIMED_OUT
    assert run.seconds < 60


@given(
    limit=st.floats(0.1, 100),
    worked=st.floats(0, 200),
    waited=st.floats(0, 1000),
    blocked=st.floats(0, 200),
)
def test_time_is_what_was_had_not_what_others_had(
    limit: float, worked: float, waited: float, blocked: float
) -> None:
    """A probe ends once it has computed or been blocked for its time, however long others ran."""
    passed = worked + waited + blocked
    left = seconds_left(limit, passed, Spent(worked, waited, is_ready=False), 6.0)
    assert left == pytest.approx(limit - worked - blocked, abs=1e-6)
    ready = seconds_left(limit, passed, Spent(worked, waited, is_ready=True), 6.0)
    assert (ready > 0) == (worked < limit)


@pytest.mark.parametrize(
    ("passed", "spent", "left"),
    [
        (4.0, None, 6.0),
        (11.0, None, -1.0),
        (4.0, Spent(3.0, None, is_ready=False), 7.0),
        (59.0, Spent(3.0, None, is_ready=False), 1.0),
        (61.0, Spent(3.0, None, is_ready=False), -1.0),
        (11.0, Spent(11.0, None, is_ready=True), -1.0),
    ],
)
def test_a_system_that_counts_less_has_patience(
    passed: float, spent: Spent | None, left: float
) -> None:
    """Where nobody tells what a probe waits for, the clock may show six times its ten seconds."""
    assert seconds_left(10.0, passed, spent, 6.0) == pytest.approx(left)


@POSIX
def test_a_file_probe_keeps_the_time_limit(post: Post, endless: Artifact) -> None:
    """However much its own bound would leave it."""
    run = Supervisor(post).inspect("custom-code", endless, 0.3)
    assert run.status is ProbeStatus.TIMED_OUT
    assert run.reason.startswith("The time limit ran out, and it was ended. Give it more with")


@POSIX
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGSEGV, "is gone: it was ended by SIGSEGV."),
        (signal.SIGKILL, "ended by SIGKILL, as the system does where memory runs out."),
    ],
)
def test_a_worker_that_crashes_is_a_failed_probe(
    post: Post, endless: Artifact, number: int, words: str
) -> None:
    """With what ended it, and a fresh worker for the next one."""
    supervisor = Supervisor(post)
    assert supervisor.inspect("hub-security", endless, None).status is ProbeStatus.SKIPPED
    timer = after(0.3, post, number)
    run = supervisor.inspect("custom-code", endless, None)
    timer.join()
    assert run.status is ProbeStatus.FAILED
    assert words in run.reason
    assert supervisor.inspect("hub-security", endless, None).status is ProbeStatus.SKIPPED


@POSIX
def test_what_was_observed_before_stays(post: Post, endless: Artifact) -> None:
    """A probe that is ended keeps the evidence of the files that it had read."""
    (endless.root / "0_config.json").write_text('{"auto_map": {"AutoModel": "a.B"}}')
    files = (FileDigest("0_config.json", 34, ""), *endless.files)
    run = Supervisor(post).inspect("custom-code", replace(endless, files=files), 0.5)
    assert run.status is ProbeStatus.TIMED_OUT
    assert [evidence.subject for evidence in run.evidence] == ["0_config.json"]
    assert "code_references" in run.metrics


@LINUX
def test_a_probe_without_memory_fails_alone(post: Post, model: Path, tmp_path: Path) -> None:
    """A vocabulary of 2 million tokens does not fit into 100 MB; all other probes complete."""
    for file in model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.txt").write_text("".join(f"{i:x}\n" for i in range(2_000_000)))
    supervisor = Supervisor(post, Bounds(file_probe_bytes=10**8))
    report = report_of(tmp_path, FILES_ONLY, supervisor)
    broken = {i: s for i, s in statuses(report).items() if s is ProbeStatus.FAILED}
    assert set(broken) == {"tokenizer-files"}, report.reasons
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "tokenizer-files failed: It ran out of memory: its process may take" in report.reasons[0]
    assert report.settings["file_probe_bytes"] == 10**8


@LINUX
def test_a_model_without_memory_is_inconclusive(post: Post, model: Path, tmp_path: Path) -> None:
    """What running it may take is told, and why it was not loaded."""
    shutil.copytree(model, tmp_path, dirs_exist_ok=True)
    larger = BertConfig.from_pretrained(model, hidden_size=512, intermediate_size=4096)
    BertModel(larger).save_pretrained(tmp_path)
    supervisor = Supervisor(post, Bounds(model_base_bytes=10**6, model_factor=0))
    worker = post.start().pid
    report = report_of(tmp_path, Settings(effort=Effort.QUICK, device="cpu"), supervisor)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert statuses(report)["loading"] is ProbeStatus.FAILED
    assert any("It ran out of memory" in reason for reason in report.reasons), report.reasons
    assert post.start().pid != worker, "what ran out of memory may be in any state"
    assert all(statuses(report)[probe] is not ProbeStatus.FAILED for probe in static_ids())


def test_a_worker_that_dies_with_the_model_is_inconclusive(post: Post, model: Path) -> None:
    """The step that ran has failed, and what came before it stays."""
    events = scan_events(str(model), Settings(effort=Effort.QUICK), executor=Supervisor(post))
    runs: list[ProbeRun] = []
    for event in events:
        if getattr(event, "id", "") == "loading":
            post.start().end()
        if isinstance(event, Done):
            runs = list(event.report.probes)
            assert event.report.verdict is Verdict.INCONCLUSIVE
    assert [run.id for run in runs] == [*static_ids(), "loading"]
    assert "The process that opened the files is gone" in runs[-1].reason


def test_leaving_a_scan_ends_its_worker(post: Post, model: Path) -> None:
    """Nothing goes on that nobody waits for."""
    events = scan_events(str(model), Settings(effort=Effort.QUICK), executor=Supervisor(post))
    for event in events:
        if getattr(event, "id", "") == "loading":
            break
    worker = post.start()
    events.close()  # type: ignore[attr-defined]
    assert not worker.is_there()


def test_no_interpreter_is_a_failed_probe(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no process can be started, nothing is measured, and nothing passes."""
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    report = report_of(model, FILES_ONLY, Supervisor(Post()))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "No worker process can be started" in report.reasons[0]


def test_a_worker_does_not_outlive_who_started_it() -> None:
    """Neither if it is waiting, nor after its parent was killed without a word."""
    code = (
        "import sys, time; from plmscan.worker.process import Post; post = Post();"
        "print(post.start().pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 20
    while _runs(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(worker)


def _runs(pid: int) -> bool:
    """Whether a process is there and no zombie of a careless init."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
