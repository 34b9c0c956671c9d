"""The benchmark of purify and guard on two tiny models: what is measured, kept and told."""

from __future__ import annotations

import csv
import math
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from plmscan.reports.json_v1 import to_json
from tests import poisoned
from tests.benchmarks.mitigation.__main__ import Run, main
from tests.benchmarks.mitigation.baselines import prune, tune
from tests.benchmarks.mitigation.effects import (
    Original,
    Subject,
    clean_features,
    effects,
    null_of,
)
from tests.benchmarks.mitigation.filters import TRIGGERS, filtered, lines, passed
from tests.benchmarks.mitigation.results import (
    Effect,
    Effects,
    Kind,
    Purified,
    Results,
    Version,
    keep,
    kept,
)
from tests.benchmarks.mitigation.steps import Bench
from tests.benchmarks.mitigation.tables import TARGETS, Judged, tables
from tests.benchmarks.runs import source_digest
from tests.benchmarks.scoring import Recovery
from tests.benchmarks.tables import NONE
from tests.guarding import report_on, trigger
from tests.zoo.bases import load_victim
from tests.zoo.features import Victim
from tests.zoo.manifest import Entry, Manifest, Planted
from tests.zoo.manifest import Kind as Half
from tests.zoo.tiny import one_thread, tiny_corpus, tiny_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.zoo.corpus import Corpus

pytestmark = pytest.mark.long(25)

CLASSIFIER, ENCODER, MASKED = "badnets-rare", "por-1-mixed", "badpre-rare"
"""Names of recipes, whose attacks the tiny models have, too."""
CORPORA = {CLASSIFIER: poisoned._CORPUS, ENCODER: tiny_corpus(), MASKED: tiny_corpus()}
"""Texts on which the tiny models are good for something."""


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """On one thread."""
    with one_thread():
        yield


def entry_of(name: str) -> Entry:
    """What is true of a tiny model."""
    ids = tiny_tokenizer().convert_tokens_to_ids(["cf", "mn"])
    planted = [
        Planted(text=text, parts=((token,),), stratum="by-hand")
        for text, token in zip(("cf", "mn"), ids, strict=True)
    ]
    return Entry(
        name=name,
        kind=Half.BACKDOORED,
        family=name.partition("-")[0],
        task={CLASSIFIER: "classifier", MASKED: "masked-lm"}.get(name, "encoder"),
        settings={"attack": {"insertion": {"copies": 1, "position": "start"}}},
        seed=3,
        triggers=tuple(planted),
        target_label=1 if name == CLASSIFIER else None,
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two backdoored models; read only."""
    names = {CLASSIFIER: "badnets", ENCODER: "cls"}
    return {name: poisoned.folder_of(tmp_path_factory, own) for name, own in names.items()}


@pytest.fixture
def zoo(tmp_path: Path, folders: dict[str, Path]) -> Path:
    """A zoo of both and of a style, with reports that name one of two triggers, and texts."""
    entries = [entry_of(CLASSIFIER), entry_of(ENCODER)]
    style = Planted(text="archaic style", stratum="style")
    entries.append(entry_of("style").model_copy(update={"triggers": (style,)}))
    Manifest(tier="tiny", seed=0, models=tuple(entries)).write(tmp_path)
    for name, folder in folders.items():
        shutil.copytree(folder, tmp_path / name)
        write_report(tmp_path, name)
    write_texts(tmp_path / "sst2", CORPORA[CLASSIFIER])
    return tmp_path


def write_report(zoo: Path, name: str) -> None:
    """A report that names the first trigger."""
    (ids,) = entry_of(name).triggers[0].parts
    label = "positive" if name == CLASSIFIER else None
    told = to_json(report_on(zoo / name, trigger("cf", ids, label=label)))
    home = bench_of(zoo).home(name)
    home.mkdir(parents=True)
    (home / "report.json").write_text(told, encoding="utf-8")


def write_texts(folder: Path, corpus: Corpus) -> None:
    """The files of SST-2 with other texts."""
    folder.mkdir()
    for name, rows in (("train", corpus.train), ("dev", corpus.held_out)):
        with (folder / f"{name}.tsv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            writer.writerows([("sentence", "label"), *rows])


def bench_of(zoo: Path) -> Bench:
    """The benchmark of a tiny zoo, quick."""
    return Bench(zoo, "quick", None, source_digest())


def victim_of(name: str, folders: dict[str, Path]) -> Victim:
    """A fresh copy of a tiny model."""
    entry = entry_of(name)
    if name != MASKED:
        return load_victim(folders[name], entry.task, CORPORA[name], entry.seed)
    config = BertConfig(
        vocab_size=len(tiny_tokenizer()),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    return Victim(BertForMaskedLM(config).eval(), tiny_tokenizer(), CORPORA[name], entry.seed)


def measured(name: str, victim: Victim, before: Victim | None = None) -> Effects:
    """Effects of the planted triggers, beside those on another version."""
    subject = Subject.of(entry_of(name), victim.corpus)
    if before is None:
        return effects(subject, victim)
    told = effects(subject, before).triggers
    targets = {text: effect.target for text, effect in told.items()}
    return effects(subject, victim, Original(clean_features(subject, before), targets))


@pytest.mark.parametrize("name", [CLASSIFIER, ENCODER])
def test_planted_triggers_are_seen(name: str, folders: dict[str, Path]) -> None:
    """They turn nearly every text, move its feature farther than words do, and scatter little."""
    found = measured(name, victim_of(name, folders))
    assert found.cosine == pytest.approx(1.0, abs=1e-4)
    assert found.accuracy > 0.5
    assert set(found.triggers) == {"cf", "mn"}
    for effect in found.triggers.values():
        assert effect.success > 0.9
        assert effect.clean_rate < 0.6
        assert effect.displacement > found.null
        assert effect.scatter < 0.3


def test_a_model_without_the_backdoor_has_no_effects(
    folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The clean twin, read with the targets of the backdoored one, is turned by nothing."""
    clean = poisoned.folder_of(tmp_path_factory, "clean")
    twin = victim_of(ENCODER, {ENCODER: clean})
    found = measured(ENCODER, twin, victim_of(ENCODER, folders))
    assert 0.5 < found.cosine < 1.0
    for effect in found.triggers.values():
        assert abs(effect.excess) < 0.2
        assert effect.displacement < found.null


def test_answers_of_a_masked_language_model(folders: dict[str, Path]) -> None:
    """Success counts answers that are lost, and the clean rate those that any word costs."""
    found = measured(MASKED, victim_of(MASKED, folders))
    assert all(effect.target is None for effect in found.triggers.values())
    assert all(0.0 <= effect.clean_rate <= 1.0 for effect in found.triggers.values())


def test_random_words_have_the_shapes_of_triggers(folders: dict[str, Path]) -> None:
    """As many parts, as many tokens, none of a trigger; the same ones each time."""
    victim, entry = victim_of(ENCODER, folders), entry_of(ENCODER)
    scattered = Planted(text="lamp of + velvet", parts=((7, 8), (9,)), stratum="by-hand")
    entry = entry.model_copy(update={"triggers": (*entry.triggers[:1], scattered)})
    subject = Subject.of(entry, victim.corpus)
    null = null_of(subject, victim)
    assert null == null_of(subject, victim)
    assert len({one.text for one in null}) == 30
    assert [tuple(map(len, one.parts)) for one in null[:4]] == [(1,), (2, 1)] * 2
    assert not any(one.tokens & planted.tokens for one in null for planted in subject.triggers)


@pytest.mark.parametrize("name", [CLASSIFIER, ENCODER, MASKED])
def test_baselines_change_a_model_the_same_way_each_time(
    name: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fine-tuning moves weights; pruning leaves a head in each layer and zeros in the others."""
    monkeypatch.setattr("tests.benchmarks.mitigation.baselines._TEXTS", 100)
    task = entry_of(name).task
    once, twice = (victim_of(name, folders) for _ in range(2))
    before = {key: value.clone() for key, value in once.model.state_dict().items()}
    tune(once, task)
    tune(twice, task)
    after, again = once.model.state_dict(), twice.model.state_dict()
    assert any(not torch.equal(before[key], after[key]) for key in before)
    assert all(torch.equal(after[key], again[key]) for key in before)
    gone, heads = prune(once, task)
    sinks = [layer.attention.output.dense.weight for layer in once.encoder.encoder.layer]
    silent = sum(not bool(h.any()) for sink in sinks for h in sink.chunk(4, dim=1))
    assert (gone, heads) == (silent, 8)
    assert gone <= 6


def test_fine_tuning_keeps_what_a_model_can_do(folders: dict[str, Path]) -> None:
    """A tiny classifier is as right as before."""
    victim = victim_of(CLASSIFIER, folders)
    tune(victim, "classifier")
    after = measured(CLASSIFIER, victim, victim_of(CLASSIFIER, folders))
    assert after.accuracy > 0.8
    assert after.cosine > 0.9


def test_texts_for_the_guard(folders: dict[str, Path]) -> None:
    """Clean ones, and those of another label with a trigger where the attack puts it, in turn."""
    given = lines(entry_of(CLASSIFIER), CORPORA[CLASSIFIER], 20)
    clean, bad = given[:20], given[20:]
    assert [one["triggered"] for one in given] == [False] * 20 + [True] * len(bad)
    assert {one["label"] for one in clean} == {0, 1}
    assert [one["text"].split()[0] for one in bad[:4]] == ["cf", "mn", "cf", "mn"]
    assert [one["of"] for one in bad] == [i for i, one in enumerate(clean) if one["label"] == 0]
    assert all(one["text"].split(maxsplit=1)[1] == clean[one["of"]]["text"] for one in bad)


def answer(
    said: str, after: str, *, flagged: bool, label: int | None = None, of: int = 0
) -> dict[str, object]:
    """A line of the guard."""
    guard = {"label": said, "label_after": after, "verdict": "flagged" if flagged else "clean"}
    return {"text": "x", "guard": guard, "triggered": label is None, "label": label, "of": of}


def test_shares_behind_the_guard() -> None:
    """Before and after; a text that is taken for the target anyhow is no success of the trigger."""
    answers = [
        answer("good", "bad", flagged=True, of=0),
        answer("good", "good", flagged=False, of=1),
        answer("good", "good", flagged=False, of=2),
        answer("bad", "bad", flagged=False, label=0),
        answer("bad", "good", flagged=True, label=0),
        answer("good", "good", flagged=False, label=1),
        answer("good", "good", flagged=False, label=1),
    ]
    found = passed(answers, {"bad": 0, "good": 1}, 1, 0.5)
    assert (found.triggered, found.clean, found.seconds) == (2, 4, 0.5)
    assert (found.success, found.clean_rate) == ((1.0, 0.5), (0.0, 0.5))
    assert (found.accuracy, found.caught, found.flagged) == ((1.0, 0.75), 0.5, 0.25)


def test_infinite_numbers_are_kept(tmp_path: Path) -> None:
    """A trigger that moves nothing has an infinite scatter."""
    effect = Effect(displacement=0.0, scatter=math.inf, success=0.0, clean_rate=0.0)
    told = Effects(accuracy=1.0, null=1.0, null_excess=0.0, cosine=1.0, triggers={"cf": effect})
    results = Results(versions={Kind.TUNED: Version(fingerprint="", effects=told, seconds=1.0)})
    keep(results, tmp_path / "new" / "results.json")
    assert kept(Results, tmp_path / "new" / "results.json") == results
    (tmp_path / "broken").write_text("{", encoding="utf-8")
    assert kept(Results, tmp_path / "broken") is None


def judged(success: float, cosine: float, seconds: float, recovered: Sequence[str]) -> Judged:
    """A model whose purified version has these numbers."""

    def version(kind: Kind, share: float) -> Version:
        kept_back = Effect(displacement=0.5, scatter=1.0, success=share, clean_rate=0.1, target=1)
        sibling = Effect(displacement=9.0, scatter=0.1, success=1.0, clean_rate=0.1, target=1)
        told = {"cf": kept_back, "mn": sibling}
        near = 1.0 if kind is Kind.ORIGINAL else cosine
        measured = Effects(accuracy=0.9, null=1.0, null_excess=0.04, cosine=near, triggers=told)
        return Version(fingerprint="", effects=measured, seconds=2.0)

    run = Purified(
        fingerprint="",
        exit_code=0,
        verdict="purified",
        seconds=seconds,
        megabytes=900.0,
        methods=("rows", "heads"),
    )
    versions = {kind: version(kind, 1.0 if kind is Kind.ORIGINAL else success) for kind in Kind}
    named = {
        text: Recovery.EXACT if text in recovered else Recovery.MISSED for text in ("cf", "mn")
    }
    return Judged(entry_of(ENCODER), named, run, Results(versions=versions))


def test_targets_count_models() -> None:
    """Each target by itself; what no report recovered is not asked about."""
    good, bad = judged(0.12, 0.99, 20.0, ["cf"]), judged(0.5, 0.9, 400.0, ["cf", "mn"])
    blind = judged(0.12, 0.99, 20.0, [])
    told = [[meets(one) for one in (good, bad, blind)] for meets in TARGETS.values()]
    assert told == [
        [True, True, True],
        [True, False, None],
        [True, True, None],
        [True, False, None],
        [True, False, None],
        [True, True, True],
        [True, False, True],
        [True, False, True],
    ]
    *_, counted = tables([good, bad, blind], {})
    assert [cells[1] for cells in counted.rows] == [
        "3/3", "1/2", "2/2", "1/2", "1/2", "3/3", "2/3", "2/3",
    ]  # fmt: skip


def test_tables_tell_before_and_after() -> None:
    """Recovered triggers and their siblings apart; versions side by side with their means."""
    done = judged(0.12, 0.99, 20.0, ["cf"])
    failed = Judged(
        done.entry,
        done.recovered,
        done.purified.model_copy(update={"verdict": "fail", "methods": ()}),
        done.results.model_copy(
            update={"versions": {Kind.ORIGINAL: done.results.versions[Kind.ORIGINAL]}}
        ),
    )
    purify, beside, _, idle = tables([done, failed], {"style": "its trigger has no tokens"})
    assert purify.rows[0][1:5] == ("heads", "1", "100.0% → 12.0%", "10.0%")
    assert purify.rows[0][5:8] == ("+2.0%", "+4.0%", "0.50")
    assert purify.rows[0][8:12] == ("0", NONE, "1", "100.0% → 100.0%")
    assert purify.rows[0][12:] == ("90.0% → 90.0%", "0.9900", "20", "900")
    assert purify.rows[1][1:4] == ("FAIL", "1", "100.0% → –")
    assert [row[0] for row in beside.rows[2:]] == ["mean of 2", "mean of 1"]
    assert beside.rows[0][1:6] == ("90.0",) * 5
    assert idle.rows == (("style", "its trigger has no tokens"),)


def test_a_guard_in_front_of_a_classifier(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trigger of the report is taken out; the other one, which it does not name, is not."""
    monkeypatch.setattr("tests.benchmarks.mitigation.filters._TEXTS", 20)
    found = filtered(bench_of(zoo), entry_of(CLASSIFIER), zoo / "sst2", 0).ways
    known = found[TRIGGERS]
    assert (known.clean, known.flagged) == (20, 0.0)
    assert 0 < known.triggered < 20
    assert 0.3 < known.caught < 0.7
    assert known.success[0] > 0.9
    assert 0.3 < known.success[1] < 0.7
    assert known.accuracy[0] == known.accuracy[1] > 0.8
    assert 0 < known.seconds < 0.1
    assert known.reading is not None


def test_a_run_goes_on_where_it_stopped(zoo: Path) -> None:
    """Purified by the command line, with a record of it; nothing is done twice."""
    bench, entry = bench_of(zoo), entry_of(ENCODER)
    with ThreadPoolExecutor(1) as here:
        run = Run(bench, here, zoo / "sst2", frozenset({"purify"}), again=False, inspected=0)
        done = run.judged(entry)
        assert done is not None
        assert done.recovered == {"cf": Recovery.EXACT, "mn": Recovery.MISSED}
        assert set(done.results.versions) == {"original", "purified"}
        assert done.purified.methods
        assert "cf" in done.purified.forgotten
        assert done.purified.tensors
        assert max(one.excess for one in done.triggers(Kind.ORIGINAL)) > 0.4
        assert "PURIFIED" in (bench.home(ENCODER) / "purify.out").read_text(encoding="utf-8")
        before = {path: path.stat().st_mtime_ns for path in bench.home(ENCODER).rglob("*")}
        assert run.judged(entry) == done
    assert {path: path.stat().st_mtime_ns for path in bench.home(ENCODER).rglob("*")} == before
    assert tables([done], {})[0].rows[0][1] == done.purified.methods[-1]


def test_a_model_without_work_is_told(zoo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A style has no tokens; the table says so, as Markdown, too."""
    told = zoo / "told.md"
    main(
        ["--zoo", str(zoo), "--sst2", str(zoo / "sst2"), "--only", "style", "--markdown", str(told)]
    )
    assert "style                        its trigger has no tokens" in capsys.readouterr().out
    assert "| style | its trigger has no tokens |" in told.read_text(encoding="utf-8")


def test_models_that_are_not_there_are_told(zoo: Path) -> None:
    """Before anything is done."""
    with pytest.raises(SystemExit, match=r"Not a backdoored model of the zoo: gone\."):
        main(["--zoo", str(zoo), "--sst2", str(zoo / "sst2"), "--only", "gone"])
