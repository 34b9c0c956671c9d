"""What is given on the command line becomes settings, and nothing else does."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from plmscan.budget import Effort
from plmscan.cli.given import Checking, Failing, given
from plmscan.cli.options import Backend, Copy, Device, FailOn, Precision, Used
from plmscan.cli.spread import spread
from plmscan.errors import TextsError
from plmscan.evidence import Severity
from plmscan.scan import Settings

OF_RUN = {"baseline", "config", "no_cache"}
"""Options of a whole run, which no model has for itself."""


@dataclass(frozen=True)
class Paint:
    """Options that belong together."""

    colour: Annotated[str | None, typer.Option(help="Which.")] = None
    thick: Annotated[bool, typer.Option("--thick")] = False


app = typer.Typer()


@app.command()
@spread
def draw(
    *,
    size: Annotated[int, typer.Option()] = 1,
    paint: Paint,
    last: Annotated[bool, typer.Option("--last")] = False,
) -> None:
    """Draw."""
    typer.echo(f"{size} {paint} {last}")


def test_what_nobody_gave_is_left_to_the_configuration() -> None:
    """Options as they are without a word on the command line are no settings."""
    assert Failing().settings == Checking().settings == {}
    assert given(also=[], seed=None, offline=False) == {}


def test_what_was_given_is_as_settings_want_it() -> None:
    """Choices become their words, lists tuples, and a bar that nothing reaches is None."""
    assert given(fail_on=FailOn.LOW) == {"fail_on": Severity.LOW}
    assert given(fail_on=FailOn.NONE) == {"fail_on": None}
    told = given(
        effort=Effort.DEEP,
        time_limit=0.0,
        device=Device.CPU,
        precision=Precision.BFLOAT16,
        seed=0,
        texts=Path("texts.txt"),
        also=[Copy.INT8, Copy.NF4],
        adapter=["first", "second"],
        used_as=Used.FEATURES,
        backend=Backend.ONNX,
        offline=True,
    )
    assert told == {
        "effort": Effort.DEEP,
        "time_limit": 0.0,
        "device": "cpu",
        "precision": "bfloat16",
        "seed": 0,
        "texts": Path("texts.txt"),
        "also": ("quantised:int8", "quantised:nf4"),
        "adapter": ("first", "second"),
        "used_as": "features",
        "backend": "onnx",
        "offline": True,
    }
    plain = [told["device"], *told["also"], told["backend"]]
    assert {type(word) for word in plain} == {str}
    assert type(told["effort"]) is Effort


def test_languages_are_looked_up() -> None:
    """Only languages that there are texts in can be given."""
    assert given(language=["zh", "python"]) == {"language": ("zh", "python")}
    with pytest.raises(TextsError):
        given(language=["tlh"])


@pytest.mark.parametrize("group", [Failing, Checking])
def test_every_option_of_a_group_is_a_setting(group: type[Failing | Checking]) -> None:
    """An option whose name no setting has would end the command."""
    settings = {field.name for field in fields(Settings)}
    assert {field.name for field in fields(group)} - OF_RUN <= settings


def test_a_class_of_options_stands_for_each_of_them() -> None:
    """A command takes the options of a class where its parameter stands, with their defaults."""
    ran = CliRunner().invoke(app, ["--size", "3", "--colour", "red", "--thick"])
    assert ran.stdout == "3 Paint(colour='red', thick=True) False\n"
    assert CliRunner().invoke(app, []).stdout == "1 Paint(colour=None, thick=False) False\n"
    told = CliRunner().invoke(app, ["--help"]).stdout
    assert "Draw." in told
    assert told.index("--size") < told.index("--colour") < told.index("--thick")
    assert told.index("--thick") < told.index("--last")
