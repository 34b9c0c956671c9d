"""The list of the libraries' own classes is that of the libraries that are installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from plmscan import library_names

TOOL = Path(__file__).parents[2] / "tools" / "generate_names.py"


@pytest.mark.long(6)
def test_the_list_is_that_of_the_installed_libraries() -> None:
    """The tool that wrote it finds nothing to change."""
    done = subprocess.run(
        [sys.executable, str(TOOL), "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "name", ["", "Pooling", "sentence_transformers", "sentence_transformers.models.", "os.system"]
)
def test_only_whole_names_are_own(name: str) -> None:
    """A package, a part of a name and an empty one are nobody's class."""
    assert not library_names.is_module(name)
    assert not library_names.is_activation(name)
    assert not library_names.is_word_tokenizer(name)
    assert not library_names.is_base_model(name, "BertModel")
