"""Models of the Hub by what they are: ``author=…,task=…,library=…,sort=…,limit=…``."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plmscan.errors import FleetError, HubBusyError, HubUnreachableError, in_one_line
from plmscan.source import is_address, is_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["HubQuery", "models_of"]

_USUAL_LIMIT, _MOST = 1000, 1_000_000
_ATTEMPTS = 10
_FIRST_WAIT = 2.0
_SIZES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2}
"""Bytes of a number, by its type; one of any other."""


@dataclass(frozen=True)
class HubQuery:
    """Which models of the Hub are meant."""

    author: str | None = None
    """Whose."""
    task: str | None = None
    """What for, such as ``text-classification``."""
    library: str | None = None
    """What loads them, such as ``transformers``."""
    search: str | None = None
    """A part of their names."""
    sort: str | None = None
    """The most first: ``downloads``, ``likes``, ``last_modified``, ``created_at``."""
    limit: int = _USUAL_LIMIT
    """How many."""

    @classmethod
    def of(cls, text: str) -> HubQuery:
        """The query that is written as ``name=value`` with commas between.

        Raises:
            FleetError: it has another form.
        """
        names = [field.name for field in fields(cls)]
        given: dict[str, Any] = {}
        for part in filter(None, map(str.strip, text.split(","))):
            name, equals, value = (word.strip() for word in part.partition("="))
            if name not in names or not (equals and value) or name in given:
                msg = f"--hub takes name=value with commas between, and {part!r} is not that."
                raise FleetError(msg, f"Names are {', '.join(names)}, each once.")
            given[name] = value
        limit = given.get("limit", str(_USUAL_LIMIT))
        if not limit.isascii() or not limit.isdigit() or not 0 < int(limit) <= _MOST:
            msg = f"The limit of --hub must be a number from 1 to {_MOST}, not {limit!r}."
            raise FleetError(msg, "Write limit=1000.")
        return cls(**{**given, "limit": int(limit)})


def models_of(
    query: HubQuery, *, offline: bool, wait: Callable[[float], None] = time.sleep
) -> list[tuple[str, int]]:
    """Names of the models, and bytes of their weights where the Hub tells, else 0.

    A Hub that has too many requests is asked again when it wants to be.

    Raises:
        FleetError: the Hub does not answer, names no model, or names what is no Hub model here.
    """
    if offline:
        msg = "A Hub query needs the Hub, and plmscan is offline."
        raise FleetError(msg, "List the models in a file instead (--models-file).")
    for attempt in range(_ATTEMPTS):
        try:
            found = list(_asked(query))
            break
        except HubBusyError as error:
            if attempt == _ATTEMPTS - 1:
                raise
            wait(_FIRST_WAIT * 2**attempt if error.seconds is None else error.seconds)
    if not found:
        msg = "The Hub names no model for this query."
        raise FleetError(msg, "Ask for less.")
    return found


def _asked(query: HubQuery) -> Iterator[tuple[str, int]]:
    """What the Hub answers, once.

    Raises:
        FleetError: it names what would be a folder here.
        HubUnreachableError: it does not answer.
    """
    from huggingface_hub import HfApi, constants  # noqa: PLC0415 - nothing else needs the client

    from plmscan.source.session import HubModel, hub_session  # noqa: PLC0415

    endpoint = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
    about = HubModel("(a query)", None, endpoint, Path(constants.HF_HUB_CACHE), offline=False)
    try:
        with hub_session(about) as session, session.call():
            listed: Iterable[Any] = HfApi(endpoint=endpoint, library_name="plmscan").list_models(
                author=query.author,
                pipeline_tag=query.task,
                filter=query.library,
                search=query.search,
                sort=query.sort,  # type: ignore[arg-type] # the Hub says what it knows
                limit=query.limit,
                expand=["safetensors"],
            )
            found = list(islice(listed, query.limit))
    except HubBusyError:
        raise
    except HubUnreachableError as error:
        reason = in_one_line(error.__cause__ or error, 200)
        msg = f"The Hub at {endpoint} does not answer the query: {reason}."
        raise FleetError(msg, "Check the query, the network and HF_ENDPOINT.") from error
    for model in found:
        name = str(model.id)
        if is_folder(name) or is_address(name) or "@" in name:
            msg = f"The Hub names {name[:80]!a}, which means something else here."
            raise FleetError(msg, "Run plmscan in a folder that holds nothing of that name.")
        yield name, _size(model.safetensors)


def _size(told: Any) -> int:  # noqa: ANN401 - whatever the Hub says
    """Bytes of the weights; 0 where the Hub does not tell."""
    counts = getattr(told, "parameters", None)
    if not isinstance(counts, dict):
        return 0
    numbers = {kind: n for kind, n in counts.items() if type(n) is int and n > 0}
    return sum(n * _SIZES.get(str(kind), 1) for kind, n in numbers.items())
