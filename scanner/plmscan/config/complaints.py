"""What is wrong with a configuration, as a sentence with its line and a way out."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NoReturn

from plmscan.config.schema import ConfigTable, ModelTable, WaiverTable
from plmscan.errors import MUST_BE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

    from plmscan.config.documents import Document
    from plmscan.config.lines import Keys

__all__ = ["nearest", "refuse_first", "shown"]

_LONGEST = 40
_MUST = {**MUST_BE, "string_pattern_mismatch": "must be the id of a rule, such as PLM402"}
_BOUNDS = {"greater_than_equal": ("at least", "ge"), "less_than_equal": ("at most", "le")}
_TABLES: Mapping[str, tuple[str, type[BaseModel]]] = {
    "models": ("a model", ModelTable),
    "waivers": ("a waiver", WaiverTable),
    "ignore": ("a waiver", WaiverTable),
}


def refuse_first(document: Document, error: ValidationError) -> NoReturn:
    """Say what is wrong where the file is wrong first.

    What is missing comes last: a misspelt key explains it.

    Raises:
        ConfigError: always.
    """
    problems = error.errors(include_url=False)
    problem = min(problems, key=lambda p: (p["type"] == "missing", document.lines.line(p["loc"])))
    document.refuse(problem["loc"], *_told(problem))


def nearest(word: str, known: Iterable[str], what: str) -> str:
    """A remedy for ``word``, which is none of the ``known``."""
    known = list(known)
    close = get_close_matches(word, known, n=1)
    return f"Did you mean {close[0]}?" if close else f"{what} {', '.join(known)}."


def shown(value: object) -> str:
    """A value as the file may have it, cut to length."""
    match value:
        case None:
            return "empty"
        case bool():
            return str(value).lower()
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            text = ascii(value) if isinstance(value, str) else str(value)
            return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _told(problem: ErrorDetails) -> tuple[str, str]:
    """Problem and remedy."""
    keys, kind, value = problem["loc"], problem["type"], problem["input"]
    owner, table = _owner(keys)
    known = [field.alias or name for name, field in table.model_fields.items()]
    name = str(keys[-1]) if keys else "the configuration"
    if kind in ("extra_forbidden", "invalid_key"):
        return f"{name} is not a key of {owner}.", nearest(name, known, "Its keys are")
    if kind == "missing":
        needed = (field.alias for field in table.model_fields.values() if field.is_required())
        return f"{owner} lacks {name}.", f"It needs {', '.join(map(str, needed))}."
    if isinstance(keys[-1] if keys else None, int):
        name = f"an entry of {keys[-2]}"
    quotes = kind == "string_type" and isinstance(value, bool | int | float)
    return f"{name} {_must(problem)}; it is {shown(value)}.", "Put it in quotes." if quotes else ""


def _owner(keys: Keys) -> tuple[str, type[BaseModel]]:
    """The table that the last of ``keys`` belongs to, and what it is called."""
    if len(keys) > 2:  # noqa: PLR2004 - list, position, key
        return _TABLES[str(keys[0])]
    return "the configuration", ConfigTable


def _must(problem: ErrorDetails) -> str:
    """What a value has to be."""
    kind, context = problem["type"], _context(problem)
    if kind in _BOUNDS:
        words, name = _BOUNDS[kind]
        return f"must be {words} {str(context[name]).removesuffix('.0')}"
    if "expected" in context:
        return f"must be one of {context['expected'].replace(' or ', ', ').replace(chr(39), '')}"
    return _MUST.get(kind, problem["msg"].removeprefix("Value error, "))


def _context(problem: ErrorDetails) -> dict[str, Any]:
    """The facts behind a complaint."""
    return problem.get("ctx", {})
