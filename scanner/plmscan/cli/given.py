"""What was given on the command line, as settings; the configuration has a say in the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plmscan.cli.options import FailOn

__all__ = ["given", "languages", "switched_on"]


def given(fail_on: FailOn | None = None, **options: object) -> dict[str, Any]:
    """The settings that were given on the command line."""
    bar = {} if fail_on is None else {"fail_on": fail_on.severity}
    return bar | {name: value for name, value in options.items() if value is not None}


def languages(words: list[str] | None) -> tuple[str, ...] | None:
    """The languages that were given; None without any.

    Raises:
        TextsError: there are no texts in one of them.
    """
    from plmscan.carriers.languages import known_languages  # noqa: PLC0415 - keeps --help quick

    return known_languages(words) if words else None


def switched_on(**switches: bool) -> dict[str, Any]:
    """Those that were given; without one the configuration has a say."""
    return {name: True for name, is_on in switches.items() if is_on}
