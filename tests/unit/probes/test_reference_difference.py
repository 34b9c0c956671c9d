"""What the difference to a clean base model shows, and what cannot be compared."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel

from plmscan.budget import Budget
from plmscan.errors import ArtifactError, OutOfTimeError
from plmscan.evidence import Coverage, Evidence, Gap, Severity
from plmscan.loading import load
from plmscan.probes.comparison.reference_difference import Probe
from plmscan.probes.differences import low_rank
from plmscan.rules import Rule, load_rules
from tests.artifacts import artifact_of, write_json
from tests.poisoned import just_fires, just_misses
from tests.tiny_models import FAMILIES, build_tiny
from tests.zoo.tiny import one_thread, save, tiny_folder, tiny_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from torch import Tensor

    from plmscan.evidence import Observation

    Weights = dict[str, Tensor]
    Change = Callable[[Weights], object]
    Changed = Callable[[Change], Path]

RULES = {rule.id: rule for rule in load_rules() if rule.probe == "reference-difference"}
TABLE = "embeddings.word_embeddings.weight"
POOLER = "pooler.dense.weight"
LAYERS, HEADS, WIDTH = 6, 4, 32


@pytest.fixture(scope="module", autouse=True)
def _on_one_thread() -> Iterator[None]:
    """Tiny models gain nothing from a second thread."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of six layers; read only."""
    config = BertConfig(
        vocab_size=len(tiny_tokenizer()),
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=2 * WIDTH,
        max_position_embeddings=64,
        initializer_range=0.15,
    )
    folder = tmp_path_factory.mktemp("base")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save(BertModel(config).eval(), folder)
    return folder


@pytest.fixture
def changed(base: Path, tmp_path: Path) -> Changed:
    """Copies the base and changes its weights."""

    def make(change: Change) -> Path:
        folder = shutil.copytree(base, tmp_path / "changed", dirs_exist_ok=True)
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        return folder

    return make


def noise(like: Tensor, share: float, seed: int = 0) -> Tensor:
    """Random numbers of a ``share`` of the norm of ``like``."""
    drawn = torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))
    return drawn * share * like.norm() / drawn.norm()


def move(weights: Weights, share: float, names: Iterable[str]) -> None:
    """Change the tensors ``names`` by a ``share`` of their norm."""
    for seed, name in enumerate(sorted(names)):
        weights[name] = weights[name] + noise(weights[name], share, seed)


def in_layer(weights: Weights, layer: int) -> list[str]:
    """Names of the matrices of one layer."""
    return [n for n in weights if f"layer.{layer}." in n and weights[n].ndim == 2]


def move_layers(weights: Weights, *shares: float) -> None:
    """Change each layer by its share, the lowest first."""
    for layer, share in enumerate(shares):
        if share:
            move(weights, share, in_layer(weights, layer))


def replace_rows(weights: Weights, *words: str) -> None:
    """Give ``words`` rows of their own, as EP does."""
    ids = [tiny_tokenizer().vocab[word] for word in words]
    weights[TABLE][ids] = noise(weights[TABLE][ids], 1.0, seed=7)


def fine_tune(weights: Weights) -> None:
    """Change everything a little."""
    move(weights, 0.01, [name for name in weights if weights[name].ndim == 2])


def observed(folder: Path, reference: Path) -> list[Observation]:
    """What the probe yields."""
    model = load(artifact_of(folder), "cpu")
    found = list(Probe().compare(model, artifact_of(reference), Budget(())))
    measured = [e for e in found if isinstance(e, Evidence)]
    assert all(e.metrics.keys() <= Probe.metrics.keys() for e in measured)
    return found


def evidence(found: Iterable[Observation]) -> dict[str, Evidence]:
    """Measurements by subject."""
    return {o.subject: o for o in found if isinstance(o, Evidence)}


def gaps(found: Iterable[Observation]) -> list[Gap]:
    """What was left out."""
    return [o for o in found if isinstance(o, Gap)]


def blocking(found: Iterable[Observation]) -> str:
    """The subject and the reason of the one gap that withholds a pass."""
    (gap,) = (gap for gap in gaps(found) if gap.blocks_pass)
    return f"{gap.subject}: {gap.reason}"


def fired(found: Iterable[Observation]) -> set[str]:
    """Rules that fire."""
    return {r.id for r in RULES.values() for e in evidence(found).values() if r.fires(e)}


def test_the_same_model_differs_in_nothing(base: Path) -> None:
    """Every number is 0, no rule fires, nothing is left out."""
    found = observed(base, base)

    assert fired(found) == set()
    assert gaps(found) == []
    assert list(evidence(found)) == ["word embeddings", "layers", "attention heads", "pooler"]
    measured = {k: v for e in evidence(found).values() for k, v in e.metrics.items()}
    assert measured.pop("frozen_share") == 1
    assert set(measured.values()) == {0.0}


def test_it_says_what_it_compared_with_what(base: Path) -> None:
    """A reviewer can tell the reference by its digest."""
    artifact = artifact_of(base)
    (digest,) = (file.sha256 for file in artifact.files if file.path == "model.safetensors")
    (coverage,) = (o for o in observed(base, base) if isinstance(o, Coverage))

    count = len(load_file(base / "model.safetensors"))
    assert coverage.statement == (
        f"{count} tensors compared with test-model (model.safetensors sha256 {digest[:16]})."
    )


def test_replaced_rows_are_named(base: Path, changed: Changed) -> None:
    """EP: two rows, and nothing else."""
    found = observed(changed(lambda weights: replace_rows(weights, "cf", "quill")), base)

    assert fired(found) == {"PLM501", "PLM502"}
    measured = evidence(found)
    table = measured["word embeddings"]
    assert table.metrics["rows_differ"] == table.metrics["rows_changed"] == 2
    assert table.metrics["top_share"] == pytest.approx(1)
    assert table.metrics["elsewhere"] == 0
    assert set(str(table.details["tokens"]).split(", ")) == {"'cf'", "'quill'"}
    assert measured["cf"].details["id"] == tiny_tokenizer().vocab["cf"]
    assert (
        RULES["PLM501"]
        .finding(table)
        .message.startswith(
            "Only 2 of the word-embedding rows differ from those of test-model, by up to 1."
        )
    )


def test_a_replaced_row_stands_out_among_trained_ones(base: Path, changed: Changed) -> None:
    """RIPPLES: first the row, then a training of everything."""

    def attack(weights: Weights) -> None:
        fine_tune(weights)
        replace_rows(weights, "cf")

    found = observed(changed(attack), base)

    assert fired(found) == {"PLM502"}
    assert evidence(found)["cf"].metrics["row_contrast"] > 20
    assert [s for s, e in evidence(found).items() if "row_contrast" in e.metrics] == ["cf"]


def test_training_moves_all_rows_alike(base: Path, changed: Changed) -> None:
    """No row stands out, and no part of the model."""
    found = observed(changed(fine_tune), base)

    assert fired(found) == set()
    table = evidence(found)["word embeddings"].metrics
    assert table["rows_share"] == 1
    assert table["largest"] < 0.03
    assert table["elsewhere"] == pytest.approx(0.01, rel=0.2)


def test_real_training_is_no_finding(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A contrastive fine-tune of all layers."""
    clean, benign = (tiny_folder(tmp_path_factory, name) for name in ("clean", "benign"))

    assert fired(observed(benign, clean)) == set()


@pytest.mark.parametrize("name", ["long-row", "shared-rows"])
def test_real_surgery_is_found(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    """However far the rows were moved."""
    folder, clean = (tiny_folder(tmp_path_factory, one) for one in (name, "clean"))

    assert fired(observed(folder, clean)) >= {"PLM501", "PLM502"}


def test_rows_that_no_text_holds_do_not_count(base: Path, changed: Changed) -> None:
    """Tools change the rows of padding and of the mask."""
    found = observed(changed(lambda w: replace_rows(w, "[PAD]", "[MASK]", "[CLS]", "[SEP]")), base)

    assert fired(found) == set()
    assert evidence(found)["word embeddings"].metrics["rows_differ"] == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_rounding_is_no_change(base: Path, changed: Changed, dtype: torch.dtype) -> None:
    """A base that was published in half precision is the same base."""

    def halve(weights: Weights) -> None:
        weights.update({name: weight.to(dtype) for name, weight in weights.items()})

    half = changed(halve)
    for folder, reference in ((base, half), (half, base)):
        found = observed(folder, reference)
        table = evidence(found)["word embeddings"].metrics
        assert table["rows_differ"] > 100
        assert table["rows_changed"] == 0
        assert evidence(found)["layers"].metrics["frozen_share"] == 1
        assert fired(found) == set()


@pytest.mark.parametrize(
    ("shares", "rules"),
    [
        ((0.03,) * 6, set()),
        ((0, 0, 0, 0.03, 0.03, 0.03), {"PLM503"}),
        ((0, 0, 0, 0.02, 0.03, 0.05), {"PLM503", "PLM504"}),
        ((0.01, 0.01, 0.02, 0.02, 0.03, 0.04), {"PLM504"}),
        ((0.05, 0.04, 0.03, 0.02, 0.01, 0.01), set()),
        ((0, 0, 0, 0, 0, 0.05), {"PLM503"}),
    ],
)
def test_layers_have_a_profile(
    base: Path, changed: Changed, shares: tuple[float, ...], rules: set[str]
) -> None:
    """Frozen lower layers, and a change that grows towards the output."""
    found = observed(changed(lambda weights: move_layers(weights, *shares)), base)

    assert fired(found) == rules
    layers = evidence(found)["layers"]
    assert layers.details["identical"] == shares.count(0)
    upper = sum(s**2 for s in shares[-2:]) / sum(s**2 for s in shares)
    assert layers.metrics["upper_share"] == pytest.approx(upper, rel=0.1)


def test_a_lone_pooler_is_found(base: Path, changed: Changed) -> None:
    """Where nothing else changed, the ratio has no end."""
    found = observed(changed(lambda weights: move(weights, 0.6, [POOLER])), base)

    assert fired(found) == {"PLM505"}


@pytest.mark.parametrize(("share", "rules"), [(0.6, {"PLM505"}), (0.1, set())])
def test_the_pooler_is_seen_beside_the_layers(
    base: Path, changed: Changed, share: float, rules: set[str]
) -> None:
    """It moves more than the layers in honest training as well, within bounds."""

    def train(weights: Weights) -> None:
        move_layers(weights, *(0.01,) * LAYERS)
        move(weights, share, [POOLER])

    found = observed(changed(train), base)

    assert fired(found) == rules
    ratio = evidence(found)["pooler"].metrics["pooler_ratio"]
    assert ratio == pytest.approx(100 * share, rel=0.2)


def test_a_lone_head_is_named(base: Path, changed: Changed) -> None:
    """Its rows of queries, keys and values, and its columns of the output."""
    own = slice(2 * WIDTH // HEADS, 3 * WIDTH // HEADS)

    def bend(weights: Weights) -> None:
        move_layers(weights, *(0.01,) * LAYERS)
        for name in in_layer(weights, 3):
            if "attention.self" in name:
                weights[name][own] += noise(weights[name][own], 0.1)
            elif "attention.output" in name:
                weights[name][:, own] += noise(weights[name][:, own], 0.1)

    found = observed(changed(bend), base)

    assert fired(found) == {"PLM506"}
    heads = evidence(found)["attention heads"]
    assert heads.details["head"] == "3.2"
    assert heads.metrics["head_ratio"] == pytest.approx(10, rel=0.2)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_compared_whole(family: str, tmp_path: Path) -> None:
    """Each parameter finds its counterpart; another model of the family is told apart."""
    folder = build_tiny(family, tmp_path / "one")
    found = observed(folder, folder)

    assert not any(gap.blocks_pass for gap in gaps(found))
    assert "word embeddings" in evidence(found)
    assert ("layers" in evidence(found)) is (family != "albert")
    assert ("attention heads" in evidence(found)) is (family not in ("albert", "xlnet"))
    assert fired(found) == set()
    other = build_tiny(family, tmp_path / "other", seed=1)
    assert blocking(observed(folder, other)) == (
        "reference test-model: Its weights have nothing in common with the model's: it is not its "
        "base."
    )


@pytest.mark.parametrize("head", ["classifier", "masked-lm"])
@pytest.mark.parametrize("family", ["bert", "electra", "roberta", "distilbert"])
def test_a_head_is_no_obstacle(family: str, head: str, tmp_path: Path) -> None:
    """Names have a prefix there; what the base does not have may be missing from it."""
    headed = build_tiny(family, tmp_path / "headed", head=head)
    encoder = build_tiny(family, tmp_path / "encoder")
    weights, prefix = load_file(headed / "model.safetensors"), f"{family}."
    own = {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}
    theirs = load_file(encoder / "model.safetensors")
    save_file(theirs | own, encoder / "model.safetensors", {"format": "pt"})

    found = observed(headed, encoder)
    assert [gap.subject for gap in gaps(found)] == ["parts that test-model lacks"]
    assert not any(gap.blocks_pass for gap in gaps(found))
    assert evidence(found)["layers"].metrics["relative_change"] == 0
    assert not any(gap.blocks_pass for gap in gaps(observed(encoder, headed)))

    both = observed(headed, headed)
    assert gaps(both) == []
    assert evidence(both)["output heads"].metrics == {"output_change": 0.0}


def test_old_names_of_norms_are_known(base: Path, changed: Changed) -> None:
    """The files of the first BERT call them gamma and beta."""

    def rename(weights: Weights) -> None:
        for name in [name for name in weights if "LayerNorm" in name]:
            new = name.replace("LayerNorm.weight", "LayerNorm.gamma")
            new = new.replace("LayerNorm.bias", "LayerNorm.beta")
            weights[f"bert.{new}"] = weights.pop(name)

    assert gaps(observed(base, changed(rename))) == []


def test_a_pickle_is_compared_once_it_may_be_opened(base: Path, tmp_path: Path) -> None:
    """`resolve` names it as a weight file only if the user allowed it."""
    folder = shutil.copytree(base, tmp_path / "pickled")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    model = load(artifact_of(base), "cpu")

    allowed = artifact_of(folder, weights=("pytorch_model.bin",))
    assert fired(Probe().compare(model, allowed, Budget(()))) == set()
    with pytest.raises(ArtifactError, match="no weight files"):
        list(Probe().compare(model, artifact_of(folder), Budget(())))


def test_another_type_is_not_compared(base: Path, changed: Changed) -> None:
    """Weights of the same names mean something else there."""
    other = changed(lambda _weights: None)
    write_json(other / "config.json", {**artifact_of(other).config, "model_type": "roberta"})

    assert blocking(observed(base, other)) == (
        "reference test-model: It is of the type roberta, and the model is of the type bert."
    )


def test_another_vocabulary_blocks_a_pass(base: Path, changed: Changed) -> None:
    """Its rows are other words; the layers are compared all the same."""

    def shorten(weights: Weights) -> None:
        weights[TABLE] = weights[TABLE][:-3].clone()

    rows = len(tiny_tokenizer())
    found = observed(base, changed(shorten))
    assert blocking(found) == (
        f"weights unlike those of test-model: {TABLE} has the shape [{rows - 3}, {WIDTH}] there "
        f"and [{rows}, {WIDTH}] here."
    )
    assert "word embeddings" not in evidence(found)
    assert "layers" in evidence(found)


def test_a_weight_that_is_missing_blocks_a_pass(base: Path, changed: Changed) -> None:
    """A pooler may be missing, a part of a layer may not."""
    lost = "encoder.layer.2.output.dense.weight"
    bare = changed(lambda weights: [weights.pop(name) for name in (lost, POOLER)])

    found = observed(base, bare)
    assert blocking(found) == f"weights that test-model lacks: It does not hold {lost}."
    assert gaps(found)[1] == Gap(
        "parts that test-model lacks", f"It does not hold {POOLER}.", blocks_pass=False
    )


def test_a_deeper_reference_blocks_a_pass(base: Path, changed: Changed) -> None:
    """What was left out of it was not compared."""

    def deepen(weights: Weights) -> None:
        for name in in_layer(weights, 0):
            weights[name.replace("layer.0.", "layer.6.")] = weights[name].clone()

    assert blocking(observed(base, changed(deepen))) == (
        "layers of test-model: It has 1 layer that the model lacks."
    )


def test_integers_are_no_weights(base: Path, changed: Changed) -> None:
    """A quantized base cannot be compared."""

    def quantize(weights: Weights) -> None:
        weights[POOLER] = weights[POOLER].to(torch.int8)

    assert blocking(observed(base, changed(quantize))) == (
        f"weights unlike those of test-model: {POOLER} is stored as torch.int8 there."
    )


def test_a_shrunken_reference_is_no_twin(base: Path, tmp_path: Path) -> None:
    """Every weight of it differs by its rounding, however it is packed."""
    folder = shutil.copytree(base, tmp_path / "shrunken")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    write_json(folder / "config.json", {**config, "quantization_config": {"quant_method": "gptq"}})
    with pytest.raises(ArtifactError, match="are shrunken"):
        observed(base, folder)


def test_a_broken_file_is_an_error(base: Path, changed: Changed) -> None:
    """Nothing is said about a reference that cannot be read."""
    broken = changed(lambda _weights: None)
    (broken / "model.safetensors").write_bytes(b"no weights")

    with pytest.raises(ArtifactError):
        observed(base, broken)


def test_it_keeps_the_deadline(base: Path) -> None:
    """A late probe measures nothing."""
    model, budget = load(artifact_of(base), "cpu"), Budget((), deadline=time.monotonic())
    with pytest.raises(OutOfTimeError):
        next(Probe().compare(model, artifact_of(base), budget))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_asks_for_all_of_its_conditions(rule: Rule) -> None:
    """At its bars it fires, beyond any of them it does not."""
    probe = "reference-difference"
    assert rule.fires(Evidence(probe, "x", just_fires(rule)))
    for metrics in just_misses(rule).values():
        assert not rule.fires(Evidence(probe, "x", metrics))


def test_only_rows_fail_a_model() -> None:
    """Honest makers freeze layers and train poolers; nobody replaces three rows."""
    severe = {rule.id for rule in RULES.values() if rule.severity >= Severity.HIGH}
    assert severe == {"PLM501", "PLM502"}


@given(seed=st.integers(0, 2**31), rank=st.integers(1, 6))
def test_the_rank_of_a_merged_adapter_is_told(seed: int, rank: int) -> None:
    """Rounding to half precision does not hide it, and a change of all directions has none."""
    dice = torch.Generator().manual_seed(seed)
    base = torch.randn(64, 48, generator=dice)
    change = torch.randn(64, rank, generator=dice) @ torch.randn(rank, 48, generator=dice)
    merged = (base + 0.1 * change).bfloat16().float()
    assert low_rank(merged - base) in range(1, rank + 1)
    assert low_rank(torch.randn(64, 48, generator=dice)) is None
    assert low_rank(torch.zeros(64, 48)) is None
