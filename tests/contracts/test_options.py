"""``plmscan fleet`` takes what ``plmscan check`` takes, and which options it has no use for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
from typer.testing import CliRunner

from plmscan.cli import app
from plmscan.cli.fleet import running
from plmscan.evidence import Severity, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

ONE_MODEL = "It is for one model; of several each is written org/name@revision."
REPORTS = "A fleet writes the report of each model, and a summary in every format, below --out."
NOT_OF_A_FLEET = {
    "--revision": ONE_MODEL,
    "--format": REPORTS,
    "--output": REPORTS,
    "--report": REPORTS,
    "--attest": "A statement holds all files of a run, and a fleet may be thousands of models.",
    "--verbose": "Steps of models that run on other machines are in their reports.",
}
"""Options of ``check`` that ``fleet`` has not, and why."""
MEANT_OTHERWISE = {
    "--jobs": "One machine shares its cores among models, a cluster has room for as many as fit.",
}
"""Options that both have, and that do not say the same of themselves."""


def options(*command: str) -> dict[str, dict[str, Any]]:
    """What each option of a command says of itself, by its long name."""
    found: Any = typer.main.get_command(app)
    for name in command:
        found = found.commands[name]
    told = ("help", "metavar", "default", "multiple", "is_flag", "min", "max")
    return {
        next(word for word in one.opts if word.startswith("--")): {
            **{name: getattr(one, name) for name in told},
            "kind": one.type_descriptor.annotation,
        }
        for one in found.params
        if one.param_type_name == "option"
    }


def test_a_fleet_takes_every_option_of_a_check() -> None:
    """But for those that are named here, each with its reason."""
    missing = set(options("check")) - set(options("fleet", "run"))
    assert missing == set(NOT_OF_A_FLEET)


def test_options_of_both_say_the_same() -> None:
    """Name, words, kind and default, but for those that are named here."""
    check, fleet = options("check"), options("fleet", "run")
    both = check.keys() & fleet.keys() - MEANT_OTHERWISE.keys()
    assert {"--base", "--adapter", "--also", "--control", "--fail-fast"} <= both
    assert {name: check[name] for name in both} == {name: fleet[name] for name in both}
    assert all(check[name] != fleet[name] for name in MEANT_OTHERWISE)


def test_what_a_fleet_is_given_reaches_its_models(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Options that say how to check a model are among the settings of each question."""
    told: list[running.Fleet] = []

    def run(fleet: running.Fleet) -> Verdict:
        told.append(fleet)
        return Verdict.PASS

    monkeypatch.setattr(running, "run", run)
    monkeypatch.chdir(tmp_path)
    line = "--out out ./a ./b --base org/base --adapter one --adapter two --also quantised:int8 "
    line += "--also quantised:nf4 --control --fail-fast --fail-on low --no-cache"
    assert CliRunner().invoke(app, ["fleet", *line.split()]).exit_code == 0
    (fleet,) = told
    assert fleet.cached is False
    asked = running._questions(fleet)
    assert [question.source for question in asked] == ["./a", "./b"]
    for question in asked:
        settings = question.settings
        assert settings.base == "org/base"
        assert settings.adapter == ("one", "two")
        assert settings.also == ("quantised:int8", "quantised:nf4")
        assert (settings.control, settings.fail_fast) == (True, True)
        assert settings.fail_on is Severity.LOW
