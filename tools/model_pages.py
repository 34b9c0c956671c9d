"""What the documentation says of model types, heads and settings, from the code."""  # noqa: INP001

from __future__ import annotations

import ast
import inspect
import itertools
import json
from textwrap import dedent
from typing import TYPE_CHECKING, Any, cast

from rule_pages import one_line
from transformers import BertConfig
from transformers.models.auto import modeling_auto

from plmscan.carriers.languages import CODE, LANGUAGES
from plmscan.config.schema import config_schema
from plmscan.loading.families import FAMILIES, Location
from plmscan.loading.readers import Candidate, Kind
from plmscan.loading.recognition import is_measurable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from enum import StrEnum

    from plmscan.loading.families import Family

__all__ = [
    "head_table",
    "key_table",
    "language_list",
    "location_table",
    "type_table",
    "waiver_table",
]


def type_table() -> str:
    """Model types, and what is read of each."""
    rows = [
        f"| `{name}` | {'decoder' if family.decoder else 'encoder'} | {_read_at(family)} "
        f"| {_heads_of(name)} |"
        for name, family in sorted(FAMILIES.items())
    ]
    head = "| `model_type` | kind | read at | heads that are searched |\n|---|---|---|---|"
    return "\n".join([head, *rows])


def head_table() -> str:
    """Kinds of heads, and whether they are searched."""
    rows = [
        f"| {kind.value} | {said} | {'yes' if _is_searched(kind) else 'no'} |"
        for kind, said in _members(Kind)
    ]
    return "\n".join(["| head | what it does | searched |\n|---|---|---|", *rows])


def location_table() -> str:
    """Places where features are read."""
    rows = [f"| `{location.value}` | {said} |" for location, said in _members(Location)]
    return "\n".join(["| location | what is read there |\n|---|---|", *rows])


def language_list() -> str:
    """Languages of the bundled texts, those that people speak first."""
    order = sorted(LANGUAGES.items(), key=lambda item: (item[0] in CODE, item[1]))
    return ", ".join(f"{name} (`{code}`)" for code, name in order) + "."


def key_table() -> str:
    """Keys of a configuration."""
    schema = json.loads(config_schema())
    return _keys(schema["properties"], schema["$defs"])


def waiver_table() -> str:
    """Keys of an entry of ``waivers``."""
    schema = json.loads(config_schema())
    return _keys(schema["$defs"]["WaiverTable"]["properties"], schema["$defs"])


def _read_at(family: Family) -> str:
    """Places that a model of the family is read at, as its own head or a user would."""
    if family.decoder:
        return "last token"
    locations = ["last token" if family.cls_last else "first token", "mean", "mask"]
    return ", ".join([*locations, "pooler"] if family.pooler else locations)


def _heads_of(model_type: str) -> str:
    """Kinds of heads that models of the type can have, and that are searched."""
    if FAMILIES[model_type].encoder:
        return "none: its heads belong to the decoder, which is not read"
    classes = {
        Kind.CLASSIFIER: modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        Kind.MASKED_LM: modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    }
    found = [k for k, names in classes.items() if model_type in names and _is_searched(k)]
    return ", ".join(kind.value for kind in found)


def _is_searched(kind: Kind) -> bool:
    """Whether probes read such a head of a plain encoder with two labels."""
    return is_measurable(Candidate(kind, cast("Any", None)), BertConfig(num_labels=2))


def _members(group: type[StrEnum]) -> Iterator[tuple[Any, str]]:
    """Members of an enumeration, and the docstring under each."""
    body = cast("ast.ClassDef", ast.parse(dedent(inspect.getsource(group))).body[0]).body
    for statement, after in itertools.pairwise(body):
        match statement, after:
            case ast.Assign([ast.Name(name)]), ast.Expr(ast.Constant(str(said))):
                yield group[name], one_line(said)


def _keys(properties: dict[str, Any], shared: dict[str, Any]) -> str:
    """A table of keys, their values, and their meaning."""
    rows = [
        f"| `{name}` | {_values(spec, shared)} | {_default(spec)} "
        f"| {one_line(spec.get('description', ''))} |"
        for name, spec in properties.items()
    ]
    return "\n".join(["| key | value | default | meaning |\n|---|---|---|---|", *rows])


def _values(spec: dict[str, Any], shared: dict[str, Any]) -> str:
    """What a key may hold, in words."""
    spec = {**shared.get(spec.get("$ref", "").rpartition("/")[2], {}), **spec}
    if "enum" in spec:
        return ", ".join(f"`{value}`" for value in spec["enum"])
    if "anyOf" in spec:
        return ", or ".join(_values(one, shared) for one in spec["anyOf"])
    if "const" in spec:
        return f"`{spec['const']}`"
    kinds = {"string": "text", "boolean": "`true` or `false`", "array": "a list"}
    kind = str(spec.get("type", ""))
    return "a day" if spec.get("format") == "date" else kinds.get(kind, kind)


def _default(spec: dict[str, Any]) -> str:
    """The value that counts where none is given."""
    default = spec.get("default")
    if default is None or default == []:
        return ""
    return f"`{json.dumps(default)}`" if isinstance(default, bool) else f"`{default}`"
