"""What tests of scans share: texts in the words of the tiny models, and the least work on them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.scans import QUICK
from tests.tiny_models import sentences

if TYPE_CHECKING:
    from pathlib import Path

    from plmscan.scan import Settings


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Carrier texts in the words of the tiny models."""
    file = tmp_path_factory.mktemp("texts") / "texts.txt"
    file.write_text("\n".join(sentences(200)), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def settings(texts: Path) -> Settings:
    """The least work."""
    return replace(QUICK, texts=texts)
