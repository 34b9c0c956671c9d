"""Files that are not there in spite of their names are called what they are."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

import plmscan
from plmscan.errors import ArtifactError
from plmscan.evidence import Verdict
from plmscan.kinds import is_lfs_pointer
from plmscan.loading import load
from plmscan.source import SourceOptions, resolve
from plmscan.vocabularies import read_tokens
from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from pathlib import Path

    from plmscan.evidence import Report

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 231508\n" % 0
READ = (
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "qwen.tiktoken",
)
"""Files that a loader takes, each of which has to hold something."""


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model without faults; read only."""
    return build_tiny("bert", tmp_path_factory.mktemp("intact"))


@pytest.fixture
def model(tmp_path: Path, intact: Path) -> Path:
    """A copy of it."""
    shutil.copytree(intact, tmp_path / "model")
    (tmp_path / "model" / "1_Pooling").mkdir()
    return tmp_path / "model"


def scanned(model: Path) -> Report:
    """The report on its files."""
    return plmscan.check(str(model), plmscan.Settings(files_only=True))


def told(report: Report) -> str:
    """Every reason of the verdict, and every gap."""
    gaps = [f"{gap.subject}: {gap.reason}" for run in report.probes for gap in run.gaps]
    return "\n".join([*report.reasons, *gaps])


@pytest.mark.parametrize("name", [*READ, "modeling_own.py", "chat_template.jinja"])
def test_a_pointer_blocks_a_pass_by_its_name(model: Path, name: str) -> None:
    """Whatever file of the model it stands for, the report says so, and how to get the file."""
    (model / name).write_bytes(POINTER)
    report = scanned(model)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert f"{name} is a Git LFS pointer, not the file itself. Run `git lfs pull`" in told(report)
    assert "PLM190" in {finding.rule for finding in report.findings}


@pytest.mark.parametrize("name", READ)
def test_an_empty_file_blocks_a_pass_by_its_name(model: Path, name: str) -> None:
    """A download that broke off at once is called empty, and nothing breaks over it."""
    (model / name).write_bytes(b"")
    report = scanned(model)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert f"{name} is empty (0 bytes). Save or download the file again." in told(report)
    assert not any("broke with" in run.reason for run in report.probes)


@pytest.mark.parametrize("name", ["__init__.py", "chat_template.jinja", "notes.md"])
def test_an_empty_file_that_does_nothing_is_no_matter(model: Path, name: str) -> None:
    """Packages have empty files, and an empty template writes nothing."""
    (model / name).write_bytes(b"")
    report = scanned(model)
    assert report.verdict is Verdict.PASS
    assert "PLM190" not in {finding.rule for finding in report.findings}


def test_a_pointer_that_nobody_loads_blocks_nothing(model: Path) -> None:
    """A clone may hold the pointers of other formats; it is told that they are."""
    (model / "flax_model.msgpack").write_bytes(POINTER)
    report = scanned(model)
    (run,) = (run for run in report.probes if run.id == "file-contents")
    assert [(gap.subject, gap.blocks_pass) for gap in run.gaps] == [("flax_model.msgpack", False)]
    assert [finding.rule for finding in report.findings] == ["PLM190"]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json", "modules.json"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (POINTER, "is a Git LFS pointer"),
        (b"", "is empty"),
        (b"\xef\xbb\xbf{}", "begins with a byte order mark"),
        ("{}".encode("utf-16"), "is UTF-16 text"),
    ],
    ids=["pointer", "empty", "mark", "UTF-16"],
)
def test_what_names_the_weights_is_refused_at_once(
    model: Path, name: str, content: bytes, words: str
) -> None:
    """Without it nobody knows what the model is."""
    if name.startswith("model."):
        (model / "model.safetensors").rename(model / "part.safetensors")
    (model / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=words) as caught:
        resolve(str(model), SourceOptions())
    assert name in caught.value.problem
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["tokenizer.json", "merges.txt"])
def test_a_model_with_a_pointer_is_not_loaded(model: Path, name: str) -> None:
    """Also the library would read the three lines of a pointer as a vocabulary."""
    (model / name).write_bytes(POINTER)
    with pytest.raises(ArtifactError, match=f"{name} is a Git LFS pointer"):
        load(resolve(str(model), SourceOptions()))


@pytest.mark.parametrize(
    ("start", "found"),
    [
        (POINTER, True),
        (b"version https://hawser.github.com/spec/v1\n", True),
        (b"version http://git-media.io/v/2\n", True),
        (b"version https://example.org/\n", False),
        (b"", False),
    ],
)
def test_pointers_are_known_by_their_first_line(start: bytes, found: bool) -> None:
    """By the specification, and under the two names that it had before."""
    assert is_lfs_pointer(start) is found


@pytest.mark.parametrize("name", ["qwen.tiktoken", "tekken.json"])
def test_a_vocabulary_of_another_format_says_what_it_is(model: Path, name: str) -> None:
    """The file is named, and how to make a tokenizer.json of it."""
    for path in model.glob("tokenizer*"):
        path.unlink()
    (model / name).write_bytes(b'{"vocab": []}' if name.endswith("json") else b"IQ== 0\nIg== 1\n")
    report = scanned(model)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert f"{name} is a vocabulary that plmscan does not read. Convert it" in told(report)
    with pytest.raises(ArtifactError, match=f"is in {name}, which plmscan") as caught:
        load(resolve(str(model), SourceOptions()))
    assert "save_pretrained" in caught.value.remedy


def test_tiktoken_under_another_name_says_what_it_is(tmp_path: Path) -> None:
    """Llama 3 calls it tokenizer.model, as SentencePiece does."""
    (tmp_path / "tokenizer.model").write_bytes(b"IQ== 0\nIg== 1\n")
    with pytest.raises(ArtifactError, match="is a vocabulary of tiktoken") as caught:
        read_tokens(tmp_path / "tokenizer.model")
    assert "save_pretrained" in caught.value.remedy
