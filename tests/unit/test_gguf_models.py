"""GGUF models are read as transformers reads them, and refused where it passes something over."""

from __future__ import annotations

import json
import random
import shutil
import struct
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from plmscan.budget import Effort
from plmscan.errors import ArtifactError, PlmscanError, UnsupportedModelError
from plmscan.evidence import Coverage
from plmscan.guard.reading import tokenizer_of
from plmscan.loading import load
from plmscan.probes.static.runtimes import Probe as RuntimesProbe
from plmscan.probes.static.tokenizer_files import Probe as TokenizerProbe
from plmscan.runtimes.gguf import vocabulary
from plmscan.scan import Settings, check
from plmscan.source import SourceOptions, resolve
from plmscan.worker.bounds import Bounds
from tests.artifacts import evidence_of, gaps_of
from tests.gguf_files import write_gguf
from tests.tiny_models import WORDS, build_tiny
from tests.wire_formats import gguf, string

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gguf import GGUFWriter

    from plmscan.loading import LoadedModel
    from plmscan.source import Artifact

FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_positions": 1024},
    "llama": {},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"head_dim": 128},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny decoder of each family; read only."""
    return {
        family: build_tiny(
            family, tmp_path_factory.mktemp(family), head="causal-lm", settings=settings
        )
        for family, settings in FAMILIES.items()
    }


def folder_of(folder: Path) -> Artifact:
    """The model in ``folder``, as a user gets it."""
    return resolve(str(folder), SourceOptions())


def state(model: LoadedModel) -> dict[str, torch.Tensor]:
    """All weights of a model that writes."""
    return model.heads["causal-lm"].state_dict()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_gguf_model_is_the_model_that_was_converted(
    whole: dict[str, Path], tmp_path: Path, family: str
) -> None:
    """Weights to the last bit, head, tokens, special tokens."""
    write_gguf(whole[family], tmp_path / "m.gguf")
    found, expected = load(folder_of(tmp_path), "cpu"), load(folder_of(whole[family]), "cpu")
    assert state(found).keys() == state(expected).keys()
    assert all(torch.equal(w, state(expected)[n]) for n, w in state(found).items())
    text = "The good film, and 12 bad ones"
    assert found.tokenize(text) == expected.tokenize(text)
    assert found.special_ids == expected.special_ids
    assert "A GGUF model" in found.put_on[0]


@pytest.mark.parametrize("kind", ["BF16", "F16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_shrunken_blocks_are_taken_back(whole: dict[str, Path], tmp_path: Path, kind: str) -> None:
    """Every kind that the gguf package can write, to its own numbers."""
    expected = write_gguf(whole["llama"], tmp_path / "m.gguf", kind)
    found = state(load(folder_of(tmp_path), "cpu"))
    for name, numbers in expected.items():
        np.testing.assert_array_equal(found[name].numpy(), numbers)
    matrix = "model.layers.0.mlp.up_proj.weight"
    exact = state(load(folder_of(whole["llama"]), "cpu"))[matrix]
    assert not torch.equal(found[matrix], exact)


def test_stretched_positions_of_llama(tmp_path: Path) -> None:
    """A file lists the quotients that Llama 3 computes by formula; the model computes the same."""
    scaled = {
        "rope_type": "llama3",
        "rope_theta": 10000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    }
    (tmp_path / "m").mkdir()
    (tmp_path / "g").mkdir()
    settings = {"rope_parameters": scaled}
    model = build_tiny("llama", tmp_path / "m", head="causal-lm", settings=settings)
    exact = load(folder_of(model), "cpu")
    plain = 10000.0 ** -(torch.arange(0, 8, 2) / 8)
    turned = next(b for n, b in exact.module.named_buffers() if n.endswith("inv_freq"))
    quotients = (plain / turned).numpy()
    assert quotients.max() == pytest.approx(8)
    write_gguf(
        model,
        tmp_path / "g" / "m.gguf",
        more=lambda writer: writer.add_tensor("rope_freqs.weight", quotients),
    )
    found = load(folder_of(tmp_path / "g"), "cpu")
    ids, mask = exact.batch([exact.tokenize(" ".join(WORDS[:50]))])
    ours, theirs = found.forward(ids, mask).features, exact.forward(ids, mask).features
    for location, vectors in theirs.items():
        torch.testing.assert_close(ours[location], vectors, rtol=1e-4, atol=1e-5)


def entry(name: str, value: str) -> Callable[[GGUFWriter], object]:
    """Writes one entry more."""
    return lambda writer: writer.add_string(name, value)


def tensor(name: str) -> Callable[[GGUFWriter], object]:
    """Writes one tensor more."""
    return lambda writer: writer.add_tensor(name, np.ones(4, np.float32))


REFUSED: dict[str, tuple[Callable[[GGUFWriter], object], str]] = {
    "stretched positions": (
        entry("qwen2.rope.scaling.type", "yarn"), "passes over qwen2.rope.scaling.type",
    ),
    "another width": (
        lambda writer: writer.add_uint32("qwen2.attention.temperature_length", 3),
        "passes over qwen2.attention.temperature_length",
    ),
    "a tensor": (tensor("blk.0.attn_sinks.weight"), "passes over blk.0.attn_sinks.weight"),
    "an adapter": (tensor("blk.0.attn_q.weight.lora_a"), "passes over blk.0.attn_q.weight.lora_a"),
    "positions that only a llama divides": (tensor("rope_freqs.weight"), "passes over rope_freqs"),
}  # fmt: skip


@pytest.mark.parametrize(("more", "message"), REFUSED.values(), ids=REFUSED)
def test_what_the_reader_passes_over_is_refused(
    whole: dict[str, Path],
    tmp_path: Path,
    more: Callable[[GGUFWriter], object],
    message: str,
) -> None:
    """Other runtimes compute by it, so that the model would not be the one that they run."""
    write_gguf(whole["qwen2"], tmp_path / "m.gguf", more=more)
    with pytest.raises(UnsupportedModelError, match=message) as refusal:
        load(folder_of(tmp_path), "cpu")
    assert refusal.value.remedy


def test_settings_that_say_what_is_so_are_no_matter(whole: dict[str, Path], tmp_path: Path) -> None:
    """No stretching, and a pooling that takes the last token, change nothing."""

    def more(writer: GGUFWriter) -> None:
        writer.add_string("qwen2.rope.scaling.type", "none")
        writer.add_uint32("qwen2.pooling_type", 3)
        writer.add_tokenizer_pre("qwen2")

    write_gguf(whole["qwen2"], tmp_path / "m.gguf", more=more)
    assert load(folder_of(tmp_path), "cpu").heads


def test_other_architectures_are_refused(tmp_path: Path) -> None:
    """Encoders, for instance, which transformers does not read from GGUF."""
    (tmp_path / "m.gguf").write_bytes(gguf(("general.architecture", 8, string("bert"))))
    with pytest.raises(UnsupportedModelError, match="of the architecture 'bert'") as refusal:
        load(folder_of(tmp_path), "cpu")
    assert "--also" in refusal.value.remedy


def test_an_entry_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    """One reader takes the first, and another the last."""
    twice = [("general.architecture", 8, string(name)) for name in ("llama", "qwen2")]
    (tmp_path / "m.gguf").write_bytes(gguf(*twice))
    with pytest.raises(ArtifactError, match=r"'general.architecture' twice"):
        load(folder_of(tmp_path), "cpu")


def test_more_layers_than_tensors_are_refused(whole: dict[str, Path], tmp_path: Path) -> None:
    """Before anything is built."""

    def more(writer: GGUFWriter) -> None:
        writer.add_uint32("qwen2.block_count", 10**4)

    write_gguf(whole["qwen2"], tmp_path / "m.gguf", more=more, left_out=("block_count",))
    with pytest.raises(ArtifactError, match="asks for 10000 layers"):
        load(folder_of(tmp_path), "cpu")


def test_a_file_that_is_cut_short_is_one_sentence(whole: dict[str, Path], tmp_path: Path) -> None:
    """Wherever it ends."""
    path = tmp_path / "m.gguf"
    write_gguf(whole["qwen2"], path)
    data = path.read_bytes()
    for share in (0.2, 0.5, 0.9):
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(PlmscanError, match=r"m\.gguf") as refusal:
            load(folder_of(tmp_path), "cpu")
        assert refusal.value.remedy


def test_without_the_package_the_remedy_is_named(
    whole: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an extra."""
    write_gguf(whole["qwen2"], tmp_path / "m.gguf")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(UnsupportedModelError, match="not installed") as refusal:
        load(folder_of(tmp_path), "cpu")
    assert "plmscan[gguf]" in refusal.value.remedy


def test_two_tokenizers_are_refused(whole: dict[str, Path], tmp_path: Path) -> None:
    """One in the file, and one beside it."""
    write_gguf(whole["qwen2"], tmp_path / "m.gguf")
    shutil.copy(whole["qwen2"] / "tokenizer.json", tmp_path)
    with pytest.raises(ArtifactError, match=r"tokenizer.json lies beside m.gguf"):
        load(folder_of(tmp_path), "cpu")


def test_a_split_that_is_not_known_is_told(whole: dict[str, Path], tmp_path: Path) -> None:
    """The library then splits as GPT-2 does."""

    def more(writer: GGUFWriter) -> None:
        writer.add_string("tokenizer.ggml.pre", "own")

    write_gguf(whole["qwen2"], tmp_path / "m.gguf", more=more)
    assert "does not know 'own'" in load(folder_of(tmp_path), "cpu").put_on[1]


def test_which_of_several_is_meant_is_asked(whole: dict[str, Path], tmp_path: Path) -> None:
    """Repositories hold one file for each kind of blocks."""
    for kind in ("Q4_0", "Q8_0"):
        write_gguf(whole["qwen2"], tmp_path / f"m.{kind}.gguf", kind)
    found = folder_of(tmp_path)
    assert (found.weights, found.gguf) == ((), None)
    assert found.weights_problem is not None
    assert "There are 2 GGUF models (m.Q4_0.gguf, m.Q8_0.gguf)" in found.weights_problem


def test_weights_that_transformers_prefers_are_taken(
    whole: dict[str, Path], tmp_path: Path
) -> None:
    """A GGUF model beside them is another runtime's."""
    folder = shutil.copytree(whole["qwen2"], tmp_path / "both")
    write_gguf(whole["qwen2"], folder / "m.gguf")
    found = folder_of(folder)
    assert found.weights == ("model.safetensors",)
    (gap,) = [gap for gap in gaps_of(RuntimesProbe(), found) if gap.subject == "m.gguf"]
    assert not gap.blocks_pass


def test_the_config_beside_it_is_not_used(whole: dict[str, Path], tmp_path: Path) -> None:
    """Everything is in the file."""
    write_gguf(whole["qwen2"], tmp_path / "m.gguf")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    assert load(folder_of(tmp_path), "cpu").config.model_type == "qwen2"


def test_its_vocabulary_is_looked_at(whole: dict[str, Path], tmp_path: Path) -> None:
    """Tokens that are cut out of a text are found in the metadata."""
    write_gguf(whole["qwen2"], tmp_path / "m.gguf")
    (evidence,) = evidence_of(TokenizerProbe(), folder_of(tmp_path))
    told = json.loads((whole["qwen2"] / "tokenizer.json").read_text(encoding="utf-8"))
    count = len(told["model"]["vocab"])
    assert evidence.metrics["tokens"] == count
    assert evidence.metrics["plain_added_tokens"] == 0
    (coverage,) = [
        o for o in TokenizerProbe().inspect(folder_of(tmp_path)) if isinstance(o, Coverage)
    ]
    assert f"m.gguf: {count} tokens, 1 added" in coverage.statement


def test_the_guard_reads_its_tokenizer(whole: dict[str, Path], tmp_path: Path) -> None:
    """Without its weights, and as it is read with them."""
    write_gguf(whole["llama"], tmp_path / "m.gguf")
    text = "the good film"
    (ours, theirs) = (tokenizer_of(folder_of(f)) for f in (tmp_path, whole["llama"]))
    assert ours(text, add_special_tokens=False) == theirs(text, add_special_tokens=False)


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_vocabulary_is_read_in_both_byte_orders(tmp_path: Path, order: str) -> None:
    """Tokens, roles and the map of letters; other values are passed over."""

    def listed(kind: int, *values: bytes) -> bytes:
        return struct.pack(order + "IQ", kind, len(values)) + b"".join(values)

    path = tmp_path / "m.gguf"
    path.write_bytes(
        gguf(
            ("general.name", 8, string("a", order)),
            ("tokenizer.ggml.tokens", 9, listed(8, *(string(t, order) for t in "abc"))),
            (
                "tokenizer.ggml.token_type",
                9,
                listed(5, *(struct.pack(order + "i", n) for n in (1, 3, 4))),
            ),
            ("tokenizer.ggml.precompiled_charsmap", 9, listed(0, b"x", b"y")),
            order=order,
        )
    )
    with path.open("rb") as file:
        found = vocabulary(file, path.stat().st_size)
    assert (found.tokens, found.cut_out, found.charsmap) == (("a", "b", "c"), (1, 2), b"xy")


def test_it_may_take_the_memory_of_whole_numbers(whole: dict[str, Path], tmp_path: Path) -> None:
    """The bound is that of files with four times as many bytes."""
    write_gguf(whole["qwen2"], tmp_path / "m.gguf", "Q4_0")
    size = (tmp_path / "m.gguf").stat().st_size
    found = folder_of(tmp_path)
    weightless = Bounds(model_factor=1, shrunken_factor=0).model_bytes(found, None)
    assert Bounds(model_factor=1).model_bytes(found, None) - weightless == 4 * size


def test_a_gguf_model_is_checked(whole: dict[str, Path], tmp_path: Path) -> None:
    """Through a worker, to a verdict; the file is not told to be unmeasured."""
    chance = random.Random(0)  # noqa: S311 - no secret
    texts = tmp_path / "texts.txt"
    lines = [" ".join(chance.choices(WORDS, k=10)) + "." for _ in range(100)]
    texts.write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "model").mkdir()
    write_gguf(whole["qwen2"], tmp_path / "model" / "m.gguf", "Q8_0")
    asked = Settings(effort=Effort.QUICK, texts=texts, device="cpu", threads=1, used_as="features")
    report = check(str(tmp_path / "model"), asked)
    loading = next(run for run in report.probes if run.id == "loading")
    assert any("A GGUF model" in one.statement for one in loading.coverage)
    runtimes = next(run for run in report.probes if run.id == "runtimes")
    assert "0 files of other runtimes" in runtimes.coverage[0].statement
    assert not runtimes.gaps
    sweep = next(run for run in report.probes if run.id == "trigger-sweep")
    assert sweep.coverage
