"""Options that belong together, written once as a class and taken by several commands."""

from __future__ import annotations

import inspect
from dataclasses import is_dataclass
from functools import wraps
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["spread"]


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """``command`` for typer, with an option for each field of a dataclass among its parameters.

    The options stand where the parameter stood, in the order of the fields; ``command`` itself is
    called with the dataclass.
    """
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[type, list[str]]] = {}
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        kind = parameter.annotation
        if not (isinstance(kind, type) and is_dataclass(kind)):
            parameters.append(parameter)
            continue
        fields = inspect.signature(kind, eval_str=True).parameters.values()
        groups[parameter.name] = kind, [field.name for field in fields]
        parameters += [field.replace(kind=inspect.Parameter.KEYWORD_ONLY) for field in fields]

    @wraps(command)
    def run(**given: object) -> None:
        for name, (group, fields) in groups.items():
            given[name] = group(**{field: given.pop(field) for field in fields})
        command(**given)

    run.__dict__["__signature__"] = inspect.Signature(parameters)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
