"""Whole scans of tiny real models."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
import yaml

import plmscan
from plmscan.errors import ModelNotFoundError, RuleError, TextsError
from plmscan.evidence import ProbeStatus, Report, Severity, Verdict
from plmscan.probes import dynamic_ids, static_ids, text_ids
from plmscan.reports.json_v1 import from_json, to_json
from plmscan.rules import load_rules
from plmscan.scan import (
    Done,
    Estimated,
    ProbeFinished,
    ProbeStarted,
    Progress,
    Resolved,
    Settings,
    check,
    rejudge,
    scan_events,
)
from tests.poisoned import CLEAN, HELD_OUT, folder_of, with_trigger
from tests.scans import scanned
from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    Ask = Callable[[Sequence[str]], Settings]

FILES_ONLY = Settings(files_only=True)
FOLLOW_UPS = ("attention-heads", "demonstration", "gradient-attention")
IN_ORDER = ("embedding-rows", "rewritings", "trigger-sweep", "written-answers", *FOLLOW_UPS)
"""Probes that run the model: those that search, then those that follow up."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny model; read only."""
    return str(build_tiny("bert", tmp_path_factory.mktemp("bert")))


def runs(report: Report) -> dict[str, ProbeStatus]:
    """Status by probe."""
    return {run.id: run.status for run in report.probes}


def timeless(report: Report) -> Report:
    """The report without what a clock wrote."""
    return replace(report, probes=tuple(replace(run, seconds=0.0) for run in report.probes))


def write_rule(folder: Path, **changes: object) -> Path:
    """A rules folder with one rule, on the files' evidence."""
    rule = {
        "id": "ACME001",
        "name": "any-tensor",
        "probe": "safetensors-header",
        "severity": "critical",
        "confidence": "high",
        "when": {"tensors": {"gte": 1}},
        "message": "{subject} holds {tensors:.0f} tensors.",
        "description": "Why.",
        "remediation": "What.",
        "references": ["A paper."],
        "since": "0.1.0",
    }
    (folder / "rule.yaml").write_text(yaml.safe_dump(rule | changes), encoding="utf-8")
    return folder


def test_events_tell_the_scan_in_order(model: str, settings: Settings) -> None:
    """Files first, then the model; each step begins and ends; the report comes last."""
    heard: list[Progress] = []
    first, *steps, last = scan_events(model, settings, heard.append)
    order = [*static_ids(), "loading", *IN_ORDER]
    assert set(dynamic_ids()) == set(IN_ORDER)
    assert isinstance(first, Resolved)
    assert [e.id for e in steps if isinstance(e, ProbeStarted)] == order
    assert [e.run.id for e in steps if isinstance(e, ProbeFinished)] == order
    assert isinstance(last, Done)
    assert [run.id for run in last.report.probes] == order
    assert {progress.id for progress in heard} >= {"source", "trigger-sweep"}
    assert all(0 <= progress.fraction <= 1 for progress in heard)


def test_the_cost_is_told_before_the_search(model: str, settings: Settings) -> None:
    """Once, between loading and the first probe that runs the model, in tokens and seconds."""
    events = list(scan_events(model, settings))
    (told,) = [event for event in events if isinstance(event, Estimated)]
    before = events[events.index(told) - 1]
    assert isinstance(before, ProbeFinished)
    assert before.run.id == "loading"
    assert isinstance(events[events.index(told) + 1], ProbeStarted)
    assert told.tokens > 0
    assert 0 < told.seconds < 1000


def test_no_cost_is_told_of_what_is_not_searched(model: str, settings: Settings) -> None:
    """File checks take no time worth telling."""
    events = scan_events(model, replace(settings, files_only=True))
    assert not any(isinstance(event, Estimated) for event in events)


def test_follow_ups_get_what_the_search_suspects(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Candidates that a rule names, each with the ids that the search inserted; no others."""
    report = scanned(tmp_path_factory, "cls")
    found = {run.id: run for run in report.probes}
    searched = {trigger.token_ids for trigger in report.triggers}
    for probe in FOLLOW_UPS:
        assert found[probe].status is ProbeStatus.COMPLETED
        assert found[probe].forward_tokens > 0
        explained = {e.explains for e in found[probe].evidence if e.explains}
        assert explained
        assert explained <= searched


def test_nothing_follows_up_where_no_rule_could_name_anything(
    model: str, settings: Settings
) -> None:
    """The search says of every candidate what it left out, and what comes nearest is told."""
    report = check(model, settings)
    found = {run.id: run for run in report.probes}
    assert all(e.unmeasured for e in found["trigger-sweep"].evidence if e.trigger)
    assert {found[probe].status for probe in FOLLOW_UPS} == {ProbeStatus.SKIPPED}
    assert report.nearest is not None


def test_two_runs_with_one_seed_agree(model: str, settings: Settings) -> None:
    """Apart from the clock, the reports are the same to the byte, and survive JSON."""
    one, other = check(model, settings), check(model, settings)
    assert to_json(timeless(one)) == to_json(timeless(other))
    assert from_json(to_json(one)) == one
    assert one.model.architecture == "BertModel"
    assert one.model.parameters
    assert sum(run.forward_tokens for run in one.probes) > 0


def test_the_process_is_left_as_it_was(model: str, settings: Settings) -> None:
    """Threads and the global random state are the caller's.

    The scan has one thread: two would wait for each other for longer than they work.
    """
    before, state = torch.get_num_threads(), torch.random.get_rng_state()
    torch.set_num_threads(before + 1)
    try:
        check(model, replace(settings, threads=1))
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_files_only_stops_before_the_model(model: str) -> None:
    """The file probes decide alone; the report says what was not run, and not that all was."""
    report = check(model, FILES_ONLY)
    assert report.verdict is Verdict.PASS
    (reason,) = report.reasons
    assert reason.startswith("Only the files were checked. All checks that apply are complete,")
    assert ProbeStatus.SKIPPED in {run.status for run in report.probes}
    assert set(runs(report)) == {*static_ids(), "loading"}
    assert report.probes[-1].gaps[0].subject == "behaviour of the model"


@pytest.mark.parametrize("fail_on", [Severity.HIGH, None])
def test_condemned_files_are_not_loaded(
    model: str, tmp_path: Path, settings: Settings, fail_on: Severity | None
) -> None:
    """A critical finding in the files ends the scan before a weight is read, whatever fails."""
    asked = replace(settings, rules=write_rule(tmp_path), fail_on=fail_on)
    report = check(model, asked)
    assert report.verdict is (Verdict.FAIL if fail_on else Verdict.INCONCLUSIVE)
    assert runs(report)["loading"] is ProbeStatus.SKIPPED
    assert not set(runs(report)) & set(dynamic_ids())
    assert [finding.rule for finding in report.findings] == ["ACME001"]


def test_a_model_that_cannot_be_loaded_is_inconclusive(tmp_path: Path, settings: Settings) -> None:
    """The report comes all the same, with the digests and the reason."""
    folder = build_tiny("bert", tmp_path)
    (folder / "config.json").write_text('{"model_type": "no-such-model"}')
    report = check(str(folder), settings)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert runs(report)["loading"] is ProbeStatus.FAILED
    assert any("no-such-model" in reason for reason in report.reasons)
    assert {file.path for file in report.model.files} >= {"config.json", "model.safetensors"}


def test_no_time_is_inconclusive(model: str, settings: Settings) -> None:
    """A time limit that leaves no time for the model leaves no pass."""
    report = check(model, replace(settings, time_limit=0.0))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert runs(report)["loading"] is ProbeStatus.TIMED_OUT


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"probe": "no-such-probe"}, "probe names no-such-probe"),
        ({"when": {"tensor": {"gte": 1}}}, "when.tensor is no metric of safetensors-header"),
        (
            {"probe": "trigger-sweep", "when": {"zz": {"gte": 1}}},
            "when.zz is no metric of trigger-sweep",
        ),
    ],
)
def test_a_rule_about_nothing_is_refused(
    model: str, tmp_path: Path, settings: Settings, changes: dict[str, object], complaint: str
) -> None:
    """A misspelt probe or metric would be a rule that never fires."""
    asked = replace(settings, rules=write_rule(tmp_path, **changes))
    with pytest.raises(RuleError, match=complaint):
        check(model, asked)


def test_what_the_user_got_wrong_is_raised(model: str, tmp_path: Path, settings: Settings) -> None:
    """No model, no texts: no report, but the error."""
    with pytest.raises(ModelNotFoundError):
        check(str(tmp_path / "nothing"))
    with pytest.raises(TextsError):
        check(model, replace(settings, texts=tmp_path / "nothing"))


def test_judging_again_changes_nothing_by_itself(model: str, settings: Settings) -> None:
    """A saved report, judged by the rules that judged it, keeps verdict and findings."""
    report = check(model, settings)
    again = rejudge(from_json(to_json(report)), None, Severity.HIGH)
    assert (again.verdict, again.reasons) == (report.verdict, report.reasons)
    assert again.findings == report.findings
    assert again.nearest == report.nearest
    assert again.versions["judged-by"] == plmscan.__version__


def test_what_is_only_shown_withholds_no_pass(model: str, settings: Settings) -> None:
    """A report of before that probe, or without it, is judged as one with it."""
    report = check(model, settings)
    older = replace(report, probes=tuple(r for r in report.probes if r.id != "demonstration"))
    again = rejudge(older, None, Severity.HIGH)
    assert (again.verdict, again.reasons) == (report.verdict, report.reasons)


def test_judging_by_other_rules(model: str, tmp_path: Path) -> None:
    """Further rules find in the saved evidence what they would have found in the scan."""
    report = check(model, FILES_ONLY)
    rules = write_rule(tmp_path)
    again = rejudge(report, rules, Severity.CRITICAL)
    assert (report.verdict, again.verdict) == (Verdict.PASS, Verdict.FAIL)
    assert again.findings == check(model, replace(FILES_ONLY, rules=rules)).findings
    assert again.settings["fail_on"] == "critical"
    assert again.nearest is not None
    assert (again.nearest.rule, report.nearest) == ("ACME001", None)
    replaced = write_rule(tmp_path, id=load_rules()[0].id)
    assert rejudge(report, replaced, None).settings["rules_overridden"] == load_rules()[0].id


def test_settings_leave_the_cache_out(tmp_path: Path) -> None:
    """Where downloads are kept changes no result, so it stays out of the report."""
    told = Settings(cache_dir=tmp_path, texts=tmp_path, fail_on=None).told()
    assert "cache_dir" not in told
    assert (told["texts"], told["fail_on"]) == (tmp_path.as_posix(), "none")


def test_the_generator_can_be_left(model: str, settings: Settings) -> None:
    """A caller that stops listening gets its threads back."""
    threads = torch.get_num_threads()
    events: Iterator[object] = scan_events(model, replace(settings, threads=threads + 1))
    for event in events:
        if isinstance(event, ProbeStarted) and event.id == "loading":
            break
    events.close()  # type: ignore[attr-defined]
    assert torch.get_num_threads() == threads


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Settings of an inspection of texts, beside clean ones of the same kind."""
    clean, given = tmp_path / "clean", tmp_path / "given"
    clean.write_text("\n".join(CLEAN), encoding="utf-8")

    def asked(texts: Sequence[str]) -> Settings:
        given.write_text("\n".join(texts), encoding="utf-8")
        return Settings(device="cpu", threads=1, inspected=given, texts=clean)

    return asked


@pytest.fixture
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder with a trigger; read only."""
    return folder_of(tmp_path_factory, "cls")


@pytest.fixture
def early(tmp_path: Path, settings: Settings) -> Settings:
    """An early verdict, asked for with a rule that any rows of an embedding break."""
    seen = {"when": {"norm_ratio": {"gte": 0}}, "message": "{subject} is there."}
    rules = write_rule(tmp_path, probe="embedding-rows", **seen)
    return replace(settings, rules=rules, fail_fast=True)


def test_an_early_verdict_leaves_out_the_search_and_says_so(model: str, early: Settings) -> None:
    """What ran says the same as ever; what did not run says why, costs nothing, and is no pass."""
    whole, short = check(model, replace(early, fail_fast=False)), check(model, early)
    assert (whole.verdict, short.verdict) == (Verdict.FAIL, Verdict.FAIL)
    ran = [run.id for run in short.probes].index("embedding-rows")
    assert short.findings == tuple(
        f for f in whole.findings if f.evidence in short.probes[ran].evidence
    )
    assert [run.id for run in short.probes] == [run.id for run in whole.probes]
    for run in short.probes[ran + 1 :]:
        assert (run.status, run.forward_tokens, run.evidence) == (ProbeStatus.SKIPPED, 0, ())
        assert run.reason == "Left out, as --fail-fast asks: ACME001 already fails the model."
    assert rejudge(short, None, None).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("changes", [{"fail_on": None}, {"rules": None}])
def test_without_a_finding_that_fails_all_is_searched(
    model: str, early: Settings, changes: dict[str, None]
) -> None:
    """Where none reaches the bar, or there is no bar, nothing is left out."""
    report = check(model, replace(early, **changes))
    assert all(run.forward_tokens > 0 for run in report.probes if run.id == "trigger-sweep")
    assert not any("--fail-fast" in run.reason for run in report.probes)


def test_an_inspection_reads_texts_and_does_not_search(planted: Path, ask: Ask) -> None:
    """The files are checked first, as always; then each text is told of, in its place."""
    heard: list[Progress] = []
    *_, last = events = list(scan_events(str(planted), ask(HELD_OUT), heard.append))
    order = [*static_ids(), "loading", *text_ids()]
    assert [e.run.id for e in events if isinstance(e, ProbeFinished)] == order
    assert isinstance(last, Done)
    run = last.report.probes[-1]
    assert tuple(e.subject for e in run.evidence) == HELD_OUT
    assert run.forward_tokens > 0
    assert {progress.id for progress in heard} >= {"text-inspection"}
    assert all(0 <= progress.fraction <= 1 for progress in heard)


@pytest.mark.parametrize(
    ("name", "triggers", "verdict", "rules"),
    [
        ("cls", ["cf"], Verdict.FAIL, {"PLM312"}),
        ("badnets", ["cf"], Verdict.FAIL, {"PLM311"}),
        ("cls", [], Verdict.PASS, set()),
        ("badnets", [], Verdict.PASS, set()),
    ],
)
def test_an_inspection_is_about_the_texts_and_keeps_its_verdict(
    tmp_path_factory: pytest.TempPathFactory,
    ask: Ask,
    name: str,
    triggers: list[str],
    verdict: Verdict,
    rules: set[str],
) -> None:
    """A poisoned model passes on clean texts; judged again from JSON, nothing changes."""
    report = check(str(folder_of(tmp_path_factory, name)), ask(with_trigger(HELD_OUT, *triggers)))
    assert (report.verdict, {f.rule for f in report.findings}) == (verdict, rules)
    saved = from_json(to_json(report))
    again = rejudge(saved, None, Severity.HIGH)
    assert saved == report
    assert (again.verdict, again.reasons) == (report.verdict, report.reasons)
    assert (again.findings, again.nearest) == (report.findings, report.nearest)
    assert rejudge(saved, None, None).verdict is Verdict.PASS


def test_texts_are_not_read_with_dangerous_files(planted: Path, tmp_path: Path, ask: Ask) -> None:
    """A pickle that runs a program ends an inspection before a weight is read."""
    folder = shutil.copytree(planted, tmp_path / "model")
    (folder / "extra.pkl").write_bytes(b"cposix\nsystem\n(S'true'\ntR.")
    report = check(str(folder), ask(HELD_OUT))
    assert report.verdict is Verdict.FAIL
    assert runs(report)["loading"] is ProbeStatus.SKIPPED
    assert not set(runs(report)) & set(text_ids())
    assert {finding.rule for finding in report.findings} == {"PLM101"}


@pytest.mark.parametrize(
    ("texts", "limit", "verdict"),
    [
        ((*HELD_OUT, "water " * 80), None, Verdict.INCONCLUSIVE),
        ((*with_trigger(HELD_OUT, "cf"), "water " * 80), None, Verdict.FAIL),
        (HELD_OUT, 0.0, Verdict.INCONCLUSIVE),
    ],
)
def test_texts_that_were_not_read_do_not_pass(
    planted: Path, ask: Ask, texts: tuple[str, ...], limit: float | None, verdict: Verdict
) -> None:
    """Neither a text that is too long nor one that time ran out for; a finding stays one."""
    report = check(str(planted), replace(ask(texts), time_limit=limit))
    assert report.verdict is verdict
    assert any("tokens; the model reads" in r or "time limit" in r for r in report.reasons)


def test_a_rule_about_texts_is_refused_where_it_says_nothing(
    planted: Path, tmp_path: Path, ask: Ask
) -> None:
    """A metric that no probe of texts measures is an error before any text is read."""
    rules = tmp_path / "rules"
    rules.mkdir()
    write_rule(rules, probe="text-inspection", when={"zz": {"gte": 1}})
    with pytest.raises(RuleError, match=r"when\.zz is no metric of text-inspection"):
        check(str(planted), replace(ask(HELD_OUT), rules=rules))
