"""``plmscan purify`` from the command line: check, purify, check again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from plmscan.cli import app
from tests.scans import OPTIONS, purified
from tests.zoo.tiny import tiny_folder

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result


def run(*args: str) -> Result:
    """Run plmscan in this process."""
    return CliRunner().invoke(app, args, prog_name="plmscan")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An encoder with a trigger of two words; read only."""
    return str(tiny_folder(tmp_path_factory, "cls"))


@pytest.mark.long(20)
def test_a_condemned_model_comes_back_purified(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The answer shows every trigger before and after, and the new folder passes a check."""
    made = purified(tmp_path_factory)
    assert made.codes == (1, 0), made.output
    assert "plmscan: purifying reads about " in made.output
    assert "PURIFIED: " in made.stdout
    *_, last, _ = made.stdout.split("\n\n")
    assert "new scan: PASS" in last
    assert "LEFT" not in last
    assert run("check", str(made.model), *OPTIONS).exit_code == 0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("{}", "This is not a plmscan.report/v1 report"), (None, "cannot be read")],
)
def test_a_report_that_is_none_is_one_sentence(
    planted: str, tmp_path: Path, text: str | None, complaint: str
) -> None:
    """Nothing is loaded, and nothing is written."""
    report = tmp_path / "report.json"
    if text is not None:
        report.write_text(text, encoding="utf-8")
    done = run("purify", planted, "--report", str(report), "-o", str(tmp_path / "new"))
    assert (done.exit_code, done.stdout) == (2, "")
    assert complaint in done.stderr
    assert not (tmp_path / "new").exists()
