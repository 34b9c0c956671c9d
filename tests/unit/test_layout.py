"""Which folders libraries load, and what is named because the scan does not read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from plmscan.errors import ArtifactError
from plmscan.layout import ALONE, Layout, climbs, leaves, read_layout

if TYPE_CHECKING:
    from collections.abc import Mapping

BERT = {"model_type": "bert"}
WEIGHTS = "model.safetensors"
TRANSFORMER = "sentence_transformers.models.Transformer"
POOLING = "sentence_transformers.models.Pooling"
ROUTER = "sentence_transformers.models.Router"
HOME = {"config.json": BERT, WEIGHTS: None}


def layout(files: Mapping[str, object]) -> Layout:
    """How the files, given with what their JSON says, are loaded."""
    return read_layout(files, files.__getitem__)


def modules(*parts: tuple[str, str]) -> list[dict[str, str]]:
    """A ``modules.json`` of folders and types."""
    return [{"path": path, "type": kind} for path, kind in parts]


def at(folder: str) -> dict[str, object]:
    """A model in a folder."""
    return {f"{folder}/{name}": value for name, value in HOME.items()}


def test_a_model_of_transformers_is_its_own_folder() -> None:
    """Without ``modules.json`` there is nothing to follow."""
    assert layout(HOME) == ALONE


@pytest.mark.parametrize(
    ("path", "home"),
    [("", ""), (".", ""), ("./", ""), ("0_Transformer", "0_Transformer"), (".a/b/", ".a/b")],
)
def test_the_transformer_of_modules_json_is_measured(path: str, home: str) -> None:
    """It lies where the library looks for it, in a hidden folder too."""
    files = HOME if not home else at(home)
    listed = modules((path, TRANSFORMER), ("1_Pooling", POOLING))
    found = layout({**files, "modules.json": listed, "1_Pooling/config.json": {}})
    assert (found.home, found.unread) == (home, ())
    assert [module.name for module in found.modules] == ["Transformer", "Pooling"]


@pytest.mark.parametrize("path", ["..", "../x", "/x", "a/../../x", "C:/x", "C:\\x", "~/x", "\\x"])
def test_a_folder_outside_of_the_model_is_not_followed(path: str) -> None:
    """Whatever way leads out of the model, the entry is named and nothing is read there."""
    found = layout({**HOME, "modules.json": modules((path, TRANSFORMER))})
    assert found.home == ""
    assert found.unread[0].subject == "modules.json"
    assert "not inside the model" in found.unread[0].reason


@pytest.mark.parametrize("path", [".git/x", ".svn", ".cache/huggingface/x"])
def test_a_folder_of_notes_is_not_taken_for_read(path: str) -> None:
    """Nobody looks for models there, so an entry that leads there is named."""
    found = layout({**HOME, "modules.json": modules(("", TRANSFORMER), (path, POOLING))})
    assert "is not read" in found.unread[0].reason


def test_a_second_model_is_named() -> None:
    """Whoever loads it from its folder runs what nobody measured."""
    assert [one.subject for one in layout({**HOME, **at("other")}).unread] == ["other"]


def test_the_model_around_the_one_that_modules_json_names_is_named() -> None:
    """Some libraries load the outer one, and sentence-transformers the inner one."""
    found = layout({**HOME, **at("inner"), "modules.json": modules(("inner", TRANSFORMER))})
    assert found.home == "inner"
    assert [one.subject for one in found.unread] == ["config.json"]


def test_folders_of_other_runtimes_are_no_second_model() -> None:
    """A configuration beside weights that transformers does not load is nobody's model here."""
    assert layout({**HOME, "onnx/config.json": BERT, "onnx/model.onnx": None}) == ALONE


def test_the_modules_of_a_router_are_followed() -> None:
    """A router names its parts in a file of its own; a second Transformer among them is named."""
    types = {"query_0_Transformer": TRANSFORMER, "document_0_Transformer": TRANSFORMER}
    found = layout(
        {
            "modules.json": modules(("", ROUTER)),
            "router_config.json": {"types": types, "structure": {}},
            **at("query_0_Transformer"),
            **at("document_0_Transformer"),
        }
    )
    assert found.home == "query_0_Transformer"
    assert [one.subject for one in found.unread] == ["document_0_Transformer"]
    assert [module.place for module in found.modules[1:]] == ["router_config.json"] * 2


def test_a_router_that_leaves_the_model_is_not_followed() -> None:
    """The parts of a router are held to the same as those of ``modules.json``."""
    found = layout(
        {**HOME, "modules.json": modules(("", ROUTER)),
         "router_config.json": {"types": {"../x": TRANSFORMER}}}
    )  # fmt: skip
    assert "not inside the model" in found.unread[0].reason


@pytest.mark.parametrize(
    "broken", [None, {}, [], [3], [{"path": ""}], [{"type": "x"}], [{"path": 3, "type": "x"}]]
)
def test_a_list_of_modules_that_says_nothing_is_refused(broken: object) -> None:
    """Nobody can tell what would be loaded."""
    with pytest.raises(ArtifactError, match=r"modules\.json"):
        layout({**HOME, "modules.json": broken})


def test_modules_without_a_transformer_are_named() -> None:
    """Word vectors, for instance, are run instead of the model that lies beside them."""
    listed = modules(("0", "sentence_transformers.models.WordEmbeddings"))
    found = layout({**HOME, "modules.json": listed})
    assert "names no Transformer" in found.unread[0].reason


def test_a_router_inside_a_router_is_followed_once() -> None:
    """Its parts are loaded too; one that names itself goes round no further."""
    found = layout(
        {
            "modules.json": modules(("", ROUTER)),
            "router_config.json": {"types": {"inner": ROUTER}},
            "inner/router_config.json": {"types": {"body": TRANSFORMER, ".": ROUTER}},
            **at("inner/body"),
        }
    )
    assert found.home == "inner/body"
    assert [module.folder for module in found.modules] == ["", "inner", "inner/body", "inner"]


@pytest.mark.parametrize(
    ("path", "up", "out"),
    [
        ("a/b.bin", False, False),
        ("a..b/c", False, False),
        ("a/../b", True, True),
        ("a\\..\\b", True, True),
        ("/etc/passwd", False, True),
        ("\\\\host\\share", False, True),
        ("~/a", False, True),
        ("C:\\a", False, True),
        ("https://host/a", False, True),
    ],
)
def test_a_path_leaves_a_model_whichever_system_reads_it(path: str, *, up: bool, out: bool) -> None:
    """With slashes of either kind, a drive, a host, or the home of a user."""
    assert (climbs(path), leaves(path)) == (up, out)
