"""What plmscan measures and tells of a model, beside what the library loads from its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from safetensors.torch import load_file
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from plmscan.errors import PlmscanError
from plmscan.loading import load
from plmscan.loading.quiet import quiet
from plmscan.source import SourceOptions, resolve
from tests.layouts import LAYOUTS, Layout, build, digest, drawn, measured, told
from tests.tiny_models import FAMILIES, LOADERS, build_tiny

if TYPE_CHECKING:
    from pathlib import Path

    from plmscan.source import Artifact

WEIGHTS = "model.safetensors"


def found(folder: Path) -> Artifact:
    """The files of ``folder`` as a scan finds them."""
    return resolve(str(folder), SourceOptions())


def heads_of(family: str) -> list[str | None]:
    """What the library has for ``family``."""
    config = CONFIG_MAPPING[family]
    return [head for head, loader in LOADERS.items() if config in loader._model_mapping]


def loaded_by_the_library(layout: Layout, folder: Path) -> dict[str | None, dict[str, str]]:
    """Digest of every weight, by each ``AutoModelFor...`` that finds all of its weights there."""
    loaded: dict[str | None, dict[str, str]] = {}
    for head in heads_of(layout.family):
        try:
            with quiet():
                model, info = LOADERS[head].from_pretrained(folder, output_loading_info=True)
        except (ValueError, RuntimeError, AssertionError):  # a shape or a number of labels
            continue
        if not info["missing_keys"]:
            weights = model.named_parameters(remove_duplicate=False)
            loaded[head] = {digest(weight): name for name, weight in weights}
    return loaded


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_a_layout_is_measured_as_the_library_loads_it(layout: Layout, tmp_path: Path) -> None:
    """Its heads are found, what blocks is named, and no class loads a tensor that nobody tells."""
    folder = build(layout, tmp_path)
    model = load(found(folder), "cpu")
    held = {name: digest(tensor) for name, tensor in load_file(folder / WEIGHTS).items()}
    seen = measured(model)

    assert frozenset(model.heads) == layout.heads
    assert {gap.subject for gap in model.gaps if gap.blocks_pass} == layout.blocks
    unseen = frozenset(name for name, one in held.items() if one not in seen)
    assert told(unseen, model.gaps) == unseen

    library = loaded_by_the_library(layout, folder)
    for head, weights in library.items():
        names = {name for name, one in held.items() if one in weights.keys() - seen}
        assert told(names, model.gaps) == names, head
    for head in model.heads:
        made = {digest(weight) for weight in model.heads[head].parameters()}
        assert made
        assert made <= library[head].keys()


@pytest.mark.parametrize("layout", [one for one in LAYOUTS if one.blocks], ids=str)
def test_declared_features_spare_every_head(layout: Layout, tmp_path: Path) -> None:
    """Then no head is measured and nothing on top of the base model blocks; the report says so.

    Half a pooler is no head: the library would make up the features that come out of it.
    """
    model = load(found(build(layout, tmp_path)), "cpu", used_as="features")
    assert not model.heads
    assert {gap.subject for gap in model.gaps if gap.blocks_pass} <= {"half a pooler"}
    assert "--used-as features declares" in model.gaps[0].reason
    held = {name: digest(tensor) for name, tensor in load_file(tmp_path / WEIGHTS).items()}
    unseen = frozenset(name for name, one in held.items() if one not in measured(model))
    assert told(unseen, model.gaps) == unseen


REFUSED = frozenset(
    {("bart", "causal-lm"), *((one, "question-answering") for one in ("llama", "qwen2", "qwen3"))}
)
"""Heads over a base model that ``AutoModel`` does not find in their files, which are refused."""


@pytest.mark.parametrize(
    ("family", "head"), [(family, head) for family in FAMILIES for head in heads_of(family)]
)
def test_every_tensor_is_measured_or_told(family: str, head: str | None, tmp_path: Path) -> None:
    """Whatever class of the library wrote the files; and a head that no probe reads blocks."""
    # An answer has a beginning and an end; some classes of the library insist.
    two = {"id2label": {0: "first", 1: "last"}} if head == "question-answering" else {}
    held = drawn(build_tiny(family, tmp_path, head=head, settings=two))
    if (family, head) in REFUSED:
        with pytest.raises(PlmscanError, match=r"The files lack|text generator"):
            load(found(tmp_path), "cpu")
        return
    model = load(found(tmp_path), "cpu")
    seen = measured(model)
    unseen = frozenset(name for name, tensor in held.items() if digest(tensor) not in seen)
    assert told(unseen, model.gaps) == unseen
    # BART fills masks by the head that it writes with.
    read = head in (None, "pre-training", *model.heads) or "sequence-to-sequence" in model.heads
    assert read or any(gap.blocks_pass for gap in model.gaps)
