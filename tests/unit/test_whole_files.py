"""Files that are complete or absent."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from plmscan.whole_files import replace_file

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("content", ["é\n", b"\xff\0"])
def test_text_and_bytes_are_written_as_they_are(tmp_path: Path, content: str | bytes) -> None:
    """Text as UTF-8, without line ends of the system; nothing is left beside the file."""
    file = tmp_path / "file"
    replace_file(file, content)
    assert file.read_bytes() == (content if isinstance(content, bytes) else content.encode())
    assert list(tmp_path.iterdir()) == [file]


def test_threads_that_write_one_file_do_not_meet(tmp_path: Path) -> None:
    """Each writes beside it under a name of its own; one of them is there in the end."""
    file = tmp_path / "file"
    contents = [bytes([number]) * 2**16 for number in range(32)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: replace_file(file, content), contents))
    assert file.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [file]
