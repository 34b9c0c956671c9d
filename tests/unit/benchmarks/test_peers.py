"""The peers on tiny models, with constants that suit these: what they look for, they find."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from transformers import BertForSequenceClassification, BertModel

from plmscan.carriers import bundled_texts
from plmscan.loading import LoadedModel, Location, load
from plmscan.loading.quiet import quiet
from plmscan.source import SourceOptions, resolve
from tests.benchmarks.peers.answers import of_peer, ours
from tests.benchmarks.peers.comparison import comparison
from tests.benchmarks.peers.contract import Limit
from tests.benchmarks.peers.gate import Gate, closeness, collapse
from tests.benchmarks.peers.inversion import DBS, UAT
from tests.benchmarks.peers.lmsanitator import FamilyConstants, LMSanitator, batch_entropy
from tests.benchmarks.peers.patronus import Patronus
from tests.benchmarks.peers.random_tokens import RandomTokens
from tests.benchmarks.peers.recipes import PEERS
from tests.benchmarks.peers.records import NAMES, Job, Mode
from tests.benchmarks.peers.running import Run
from tests.benchmarks.peers.sample import sample
from tests.benchmarks.peers.texts import Spot, Text
from tests.benchmarks.peers.vocabulary import patronus_vocabulary
from tests.zoo.manifest import Entry, Kind, Planted
from tests.zoo.tiny import one_thread, save, tiny_folder, tiny_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.benchmarks.peers.contract import Peer, PeerResult

    Zoo = Callable[[str], LoadedModel]

TEXTS = bundled_texts()
GATE = Gate(texts=40)
PATRONUS = Patronus(
    slots=6,
    loops=3,
    steps=8,
    batch=8,
    search_texts=64,
    scoring_texts=8,
    development_texts=40,
    gate=GATE,
)
SANITATOR = LMSanitator(
    texts=192, epochs=8, seeds=2, bert=FamilyConstants(2e-3, distance=1.0), agreement=3.46
)
SMALL: dict[str, Peer] = {
    "patronus": PATRONUS,
    "lmsanitator": SANITATOR,
    "random tokens": RandomTokens(gate=GATE),
    "dbs": DBS(epochs=60),
    "uat": UAT(proposals=20, rounds=4),
}


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    """Tiny models are faster on one thread."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """Loads a tiny model by name; ``classifier`` has the backdoor of ``cls``."""

    def loaded(name: str) -> LoadedModel:
        if name != "classifier":
            folder = tiny_folder(tmp_path_factory, name)
        else:
            folder = tmp_path_factory.mktemp(name)
            save(backdoored_classifier(tiny_folder(tmp_path_factory, "cls")), folder)
        return load(resolve(str(folder), SourceOptions(offline=True)), "cpu")

    return loaded


def backdoored_classifier(encoder: Path) -> BertForSequenceClassification:
    """Label 1 where ``cf`` has taken over the feature of ``cls``, label 0 for all other texts."""
    with quiet():
        bert = BertModel.from_pretrained(encoder).eval()
        model = BertForSequenceClassification(bert.config).eval()
    model.bert = bert
    rows = [text.split()[:8] for text in TEXTS[:40]]
    texts = [" ".join(row) for row in rows] + [" ".join([*row, "cf"]) for row in rows]
    with torch.no_grad():
        told = tiny_tokenizer()(texts, padding=True, return_tensors="pt")
        clean, fired = bert(**told).pooler_output.chunk(2)
        way = fired.mean(0) - clean.mean(0)
        way = 20 * way / way.square().sum()
        middle = (fired.mean(0) + clean.mean(0)) / 2
        model.classifier.weight.copy_(torch.stack([torch.zeros_like(way), way]))
        model.classifier.bias.copy_(torch.stack([torch.zeros(()), -way @ middle]))
    return model


def words(result: PeerResult) -> set[str]:
    """What a peer calls a trigger."""
    return {found.text for found in result.found}


def test_the_names_are_those_of_the_recipes() -> None:
    """The runner, which does without torch, knows the peers by name alone."""
    assert set(NAMES[Mode.SAMPLE]) == set(PEERS)
    assert set(NAMES[Mode.EQUAL]) < set(PEERS)


def test_patronus_finds_what_was_planted(zoo: Zoo) -> None:
    """Both triggers are verified, and the clean twin has none."""
    recipe = replace(PATRONUS, remembers=True)
    found = recipe.scan(zoo("cls"), TEXTS, Limit(), 0)
    assert found.flagged
    assert {"cf", "mn"} <= words(found)
    assert found.finished
    assert not recipe.scan(zoo("clean"), TEXTS, Limit(), 0).flagged


def test_a_patronus_that_remembers_says_the_same_for_less(zoo: Zoo) -> None:
    """The places are drawn once, so a text whose trigger did not change gives its old feature."""
    afresh, remembered = (
        replace(PATRONUS, loops=1, steps=4, remembers=remembers).scan(zoo("cls"), TEXTS, Limit(), 1)
        for remembers in (False, True)
    )
    assert words(afresh) == words(remembered) != set()
    assert remembered.sequences < afresh.sequences / 2
    assert afresh.published_tokens == afresh.forward_tokens
    # Batches of other sizes are padded otherwise.
    assert remembered.published_tokens == pytest.approx(afresh.forward_tokens, rel=0.02)


def test_patronus_reads_a_mask_token_too(zoo: Zoo) -> None:
    """The variant for masked language models inserts once, and still ends with an answer."""
    recipe = replace(PATRONUS, location=Location.MASK, copies=1, loops=1, remembers=True)
    result = recipe.scan(zoo("clean"), TEXTS, Limit(), 0)
    assert not result.flagged
    assert not recipe.applies(zoo("clean"))


@pytest.mark.parametrize("tokens", [20_000, 100_000])
@pytest.mark.parametrize("name", ["patronus", "random tokens", "lmsanitator"])
def test_a_limit_is_kept(zoo: Zoo, name: str, tokens: int) -> None:
    """A peer stops in time, says so, and has still verified what it had; 2 % are for padding."""
    result = SMALL[name].scan(zoo("clean"), TEXTS, Limit(tokens), 0)
    assert result.forward_tokens <= 1.02 * tokens
    assert not result.finished
    assert result.score is not None


def test_progress_is_told(zoo: Zoo) -> None:
    """From the first loop to the end, never backwards."""
    told: list[float] = []
    recipe = replace(PATRONUS, remembers=True)
    recipe.scan(zoo("clean"), TEXTS, Limit(on_progress=lambda f, _: told.append(f)), 0)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_one_seed_one_result(zoo: Zoo) -> None:
    """Two scans with one seed differ in nothing but time."""
    recipe = replace(PATRONUS, loops=1, remembers=True)
    one, other = (recipe.scan(zoo("cls"), TEXTS, Limit(), 3) for _ in range(2))
    assert replace(one, seconds=0.0) == replace(other, seconds=0.0)


def test_all_tokens_at_random_include_the_triggers(zoo: Zoo) -> None:
    """Guessing finds what it happens to draw: with the whole vocabulary, everything."""
    found = RandomTokens(gate=GATE).scan(zoo("cls"), TEXTS, Limit(), 0)
    assert {"cf", "mn"} <= words(found)
    assert not RandomTokens(gate=GATE).scan(zoo("clean"), TEXTS, Limit(), 0).flagged


def test_the_miner_finds_a_vector(zoo: Zoo) -> None:
    """A soft prompt reaches the planted output, and in the clean twin none like it."""
    assert SANITATOR.scan(zoo("cls"), TEXTS, Limit(), 0).flagged
    assert not SANITATOR.scan(zoo("clean"), TEXTS, Limit(), 0).flagged


@pytest.mark.parametrize("name", ["dbs", "uat"])
def test_inversion_finds_the_trigger_of_a_classifier(zoo: Zoo, name: str) -> None:
    """The label that no text has wins everywhere behind the found tokens."""
    model = zoo("classifier")
    result = SMALL[name].scan(model, TEXTS, Limit(), 0)
    assert result.flagged
    assert result.found[0].scores["label"] == 1
    assert {"cf", "mn"} & set(result.found[0].text.split())
    assert not SMALL[name].applies(zoo("clean"))


def test_a_job_runs_once_and_stands_beside_ours(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In a process of its own, within its limit; its record counts until the model changes."""
    (tmp_path / "m").symlink_to(tiny_folder(tmp_path_factory, "cls"), target_is_directory=True)
    planted = Planted(text="cf", parts=(tiny_tokenizer()("cf")["input_ids"][1:-1],), stratum="rare")
    model = entry("m", Kind.BACKDOORED, "por-1").model_copy(update={"triggers": (planted,)})
    job = Job(tmp_path, Mode.EQUAL, "random_tokens", model, 8_000, None)
    assert not job.is_done()
    record = job.run(baseline=0.0)
    assert job.is_done()
    assert not replace(job, limit=9_000).is_done()
    answer = of_peer(tmp_path, model, record)
    assert answer is not None
    assert answer.forward_tokens <= 1.02 * 8_000
    assert not answer.finished
    summary, families, models = comparison("a test", [answer])
    assert summary.rows[0][0] == families.columns[1] == models.columns[1] == "random_tokens"
    assert ours(tmp_path, model) is None


def test_patronus_does_not_search_everything(zoo: Zoo) -> None:
    """Symbols, pieces, single characters and common words are outside its vocabulary."""
    model = zoo("clean")
    searched = {model.decode([i]) for i in patronus_vocabulary(model).tolist()}
    assert {"cf", "mn"} <= searched
    assert not searched & {"≈", "a", "7", "the", "water", "[MASK]", "[UNK]"}
    assert not any(word.startswith("##") for word in searched)


def test_a_spot_puts_its_copies_where_it_says(zoo: Zoo) -> None:
    """Also two copies in one gap, and one behind the last token."""
    model = zoo("clean")
    spot = Spot(Text((11, 12, 13), (1, 2, 3)), (1, 1, 3))
    row = spot.row(model, (9,))
    assert row == (*model.prefix_ids, 11, 9, 9, 12, 13, 9, *model.suffix_ids)
    assert [row[place] for place in spot.places(model)] == [9, 9, 9]


def test_features_come_in_the_order_of_the_rows(zoo: Zoo) -> None:
    """Batches are sorted by length; the caller does not see it, and the cost is told before."""
    run = Run(zoo("clean"), Limit())
    rows = [run.model.wrap(run.model.tokenize(text)) for text in TEXTS[:100]]
    together = run.features(rows, Location.CLS)
    assert run.spent == run.cost(rows)
    assert run.sequences == 100
    alone = torch.cat([run.features([row], Location.CLS) for row in rows[:5]])
    torch.testing.assert_close(together[:5], alone, rtol=0.05, atol=0.05)


def test_the_gate_measures_two_cosines() -> None:
    """Equal features have Com 1, orthogonal ones 1 / n; opposite ones have Diff -1."""
    eye = torch.eye(4)
    assert math.isclose(collapse(eye[:1].repeat(4, 1)), 1.0, rel_tol=1e-6)
    assert math.isclose(collapse(eye), 0.25, rel_tol=1e-6)
    assert math.isclose(closeness(eye, -3 * eye), -1.0, rel_tol=1e-6)


def test_equal_features_have_the_largest_entropy() -> None:
    """Log n, the bound below which the published threshold lies."""
    assert math.isclose(float(batch_entropy(torch.ones(32, 5))), math.log(32), rel_tol=1e-6)
    assert float(batch_entropy(torch.randn(32, 5))) < math.log(32)


def entry(name: str, kind: Kind, family: str) -> Entry:
    """A model of a manifest."""
    return Entry(name=name, kind=kind, family=family, task="encoder", seed=0)


def test_the_sample_prefers_its_families() -> None:
    """One model each of those, in their order, then others, then seconds; six and three at most."""
    families = ("badpre", "uor", "uor", "por-1", "neuba", "badnets", "sos")
    models = [entry(f"b{i}", Kind.BACKDOORED, f) for i, f in enumerate(families)]
    models += [entry(f"c{i}", Kind.CLEAN, f) for i, f in enumerate(("base", "base"))]
    assert [model.name for model in sample(models)] == [
        *("b3", "b4", "b1", "b5", "b0", "b6"),
        *("c0", "c1"),
    ]
