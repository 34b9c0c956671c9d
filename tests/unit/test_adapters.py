"""Adapters on their base: what is loaded says what the peft library says, or is refused."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from plmscan.errors import ArtifactError, PlmscanError, UnsupportedModelError
from plmscan.loading import load
from plmscan.loading.quiet import quiet
from plmscan.source import SourceOptions, resolve_stack
from tests.adapters import KINDS, adapter_of, trained
from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from plmscan.loading import LoadedModel

TEXTS = ("the good film", "a bad old story of a dog")


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """A tiny encoder, and one for classifiers; read only."""
    home = tmp_path_factory.mktemp("bases")
    return {c: build_tiny("bert", home / str(c), head=None, seed=int(c)) for c in (False, True)}


def loaded(adapter: Path, base: Path, *others: Path) -> LoadedModel:
    """The model that a scan measures."""
    stack = resolve_stack(str(adapter), SourceOptions(), str(base), tuple(map(str, others)))
    return load(stack, "cpu")


def states(model: LoadedModel) -> tuple[Tensor, Tensor, Tensor]:
    """Ids and mask of `TEXTS`, and what the measured model says of them."""
    ids, mask = model.batch([model.wrap(model.tokenize(text)) for text in TEXTS])
    outputs = model.forward(ids, mask)
    return ids, mask, outputs.hidden if outputs.logits is None else outputs.logits


HEADLESS = ("norms", "tokens")
"""Kinds with which peft saves no head."""
CASES = [
    *((kind, False) for kind in KINDS if kind != "biases"),
    *((kind, True) for kind in KINDS if kind not in ("biases", *HEADLESS)),
]


@pytest.mark.parametrize(("kind", "classifies"), CASES)
def test_the_measured_model_says_what_peft_says(
    bases: dict[bool, Path], tmp_path: Path, kind: str, classifies: bool
) -> None:
    """Merged, or with virtual tokens before every text: to the last digits the same."""
    base = bases[classifies]
    model = loaded(adapter_of(base, tmp_path, kind, classifies=classifies), base)
    ids, mask, ours = states(model)
    virtual = KINDS[kind].get("num_virtual_tokens", 0)
    theirs = trained(base, kind, classifies=classifies)
    with torch.no_grad():
        found = theirs(input_ids=ids[:, virtual:], attention_mask=mask[:, virtual:])
    assert model.put_on
    if classifies:
        torch.testing.assert_close(ours, found.logits, atol=1e-5, rtol=0)
        assert [*model.heads] == ["classifier"]
    else:
        shown = mask.bool()
        torch.testing.assert_close(ours[shown], found.last_hidden_state[shown], atol=1e-5, rtol=0)


def test_stacked_adapters_add_up(bases: dict[bool, Path], tmp_path: Path) -> None:
    """Two on one base are what peft gives that merges one after the other."""
    base = bases[False]
    one = adapter_of(base, tmp_path / "one", "lora")
    other = adapter_of(base, tmp_path / "other", "ia3")
    ids, mask, ours = states(loaded(one, base, other))
    with quiet():
        model = AutoModel.from_pretrained(base)
        for folder in (one, other):
            model = peft.PeftModel.from_pretrained(model, folder).merge_and_unload()
    with torch.no_grad():
        theirs = model.eval()(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(ours[mask.bool()], theirs[mask.bool()], atol=1e-5, rtol=0)


def setting(**values: object) -> Callable[[Path], object]:
    """Settings of the adapter."""

    def change(folder: Path) -> None:
        path = folder / "adapter_config.json"
        told = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**told, **values}), encoding="utf-8")

    return change


def tensors(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """Weights of the adapter."""

    def spoil(folder: Path) -> None:
        path = folder / "adapter_model.safetensors"
        held = load_file(path)
        change(held)
        save_file(held, path, {"format": "pt"})

    return spoil


REFUSED = {
    "prefix tuning": (setting(peft_type="PREFIX_TUNING"), "of the kind 'PREFIX_TUNING'"),
    "a model of its own": (setting(peft_type="SHADOW"), "of the kind 'SHADOW'"),
    "no kind": (setting(peft_type=None), "of no kind"),
    "code": (setting(auto_map={"AutoModel": "x.Y"}), "asks for code (auto_map)"),
    "an import": (setting(megatron_config={"a": 1}), "sets megatron_config"),
    "layers again": (setting(layer_replication=[[0, 2], [0, 2]]), "sets layer_replication"),
    "only after words": (setting(alora_invocation_tokens=[5]), "sets alora_invocation_tokens"),
    "another rank": (setting(r=3), "cannot be put on its base"),
    "other modules": (setting(target_modules=["query"]), "have no place for"),
    "half of it": (tensors(lambda held: held.pop(min(held))), "they lack"),
    "of another model": (
        tensors(lambda held: held.update({"base_model.model.h.0.w.lora_A.weight": torch.ones(2)})),
        "its base has no such part",
    ),
    "no numbers": (
        tensors(lambda held: held[min(held)].fill_(float("nan"))),
        "NaNs detected",
    ),
}


@pytest.mark.parametrize(("spoil", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_the_adapter_that_its_users_run_is_refused(
    bases: dict[bool, Path], tmp_path: Path, spoil: Callable[[Path], object], words: str
) -> None:
    """One sentence with the trouble, one with the remedy; nothing is loaded by halves."""
    folder = adapter_of(bases[False], tmp_path)
    spoil(folder)
    with pytest.raises((ArtifactError, UnsupportedModelError)) as refusal:
        loaded(folder, bases[False])
    assert words in refusal.value.problem
    assert refusal.value.remedy


def test_another_base_is_refused_by_its_shapes(bases: dict[bool, Path], tmp_path: Path) -> None:
    """An adapter of 32 numbers a state fits no base of 64."""
    other = build_tiny("bert", tmp_path / "wide", settings={"hidden_size": 64})
    with pytest.raises(ArtifactError, match="cannot be put on its base") as refusal:
        loaded(adapter_of(bases[False], tmp_path / "adapter"), other)
    assert "--base" in refusal.value.remedy


def test_without_the_library_the_extra_is_named(
    bases: dict[bool, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has no adapters need not have it."""
    folder = adapter_of(bases[False], tmp_path)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UnsupportedModelError, match="peft library") as refusal:
        loaded(folder, bases[False])
    assert "plmscan[adapters]" in refusal.value.remedy


def test_a_tokenizer_of_the_adapter_counts(bases: dict[bool, Path], tmp_path: Path) -> None:
    """Libraries take the one beside the adapter where there is one."""
    folder = adapter_of(bases[False], tmp_path)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(bases[False] / file, folder / file)
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    swapped = text.replace('"good"', '"~"').replace('"bad"', '"good"').replace('"~"', '"bad"')
    (folder / "tokenizer.json").write_text(swapped, encoding="utf-8")
    own, plain = (
        loaded(where, bases[False]).tokenize("good")
        for where in (folder, adapter_of(bases[False], tmp_path / "plain"))
    )
    assert own != plain


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("../../etc", "which is no model of the Hub"),
        ("/etc/passwd", "which is no model of the Hub"),
        ("C:\\models\\base", "which is no model of the Hub"),
        (None, "names no base"),
        (["a"], "names no base"),
    ],
)
def test_a_file_names_no_folder_of_this_machine(
    bases: dict[bool, Path], tmp_path: Path, named: object, words: str
) -> None:
    """What an adapter calls its base is looked for on the Hub and nowhere else."""
    folder = adapter_of(bases[False], tmp_path, base_model_name_or_path=named)
    found = resolve_stack(str(folder), SourceOptions(offline=True, cache_dir=tmp_path / "cache"))
    assert found.base is None
    assert words in (found.base_problem or "")
    assert "--base" in (found.base_problem or "")


def test_a_base_is_for_adapters_alone(bases: dict[bool, Path], tmp_path: Path) -> None:
    """What contradicts itself is said at once."""
    with pytest.raises(PlmscanError, match="is no adapter, so it is put on no base"):
        resolve_stack(str(bases[True]), SourceOptions(), str(bases[False]))
    with pytest.raises(PlmscanError, match=r"is no adapter: it has no adapter_config\.json"):
        resolve_stack(str(bases[True]), SourceOptions(), None, (str(bases[False]),))
    folder = str(adapter_of(bases[False], tmp_path))
    with pytest.raises(PlmscanError, match="is an adapter itself"):
        resolve_stack(folder, SourceOptions(), folder)
