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

from plmscan.carriers.languages import CODE, LANGUAGES
from plmscan.config.schema import config_schema
from plmscan.loading.readers import Candidate, Kind
from plmscan.loading.recognition import is_measurable
from plmscan.loading.traits import Location
from plmscan.model_types import read_model_types

if TYPE_CHECKING:
    from collections.abc import Iterator
    from enum import StrEnum

__all__ = [
    "head_table",
    "key_table",
    "language_list",
    "location_table",
    "model_type_page",
    "waiver_table",
]

_INTRODUCTION = """Of the {all} model types of transformers that read text, {read} are measured.
Each was built small, with random weights, and went through a whole check
(`python -m tests.benchmarks.coverage`).
`plmscan doctor --model-types` prints the same list.

The list is a record, not a condition. A check finds out on the loaded model how it is read, by
[experiments](models.md#model-types); so a type that is new in transformers is tried like any
other, and refused only if an experiment fails.

- *part*: only the features of this part of the model are measured. The rest is named in the report
  and blocks a pass, unless its head is searched, such as that of a decoder that writes, or
  `--used-as features` declares that nobody uses it.
- *heads*: what is searched beside the features. See [Heads](models.md#heads). Heads that write came
  later than this record, which does not list them: see
  [What a model writes](models.md#what-a-model-writes)."""


def model_type_page() -> str:
    """A page with every model type of the record, and what is measured of it or why nothing is."""
    types = read_model_types()
    read = [one for one in types if one.is_measured]
    rows = [
        f"| `{one.name}` | {one.kind} | {one.part and f'`{one.part}`'} | {', '.join(one.read_at)} "
        f"| {', '.join(one.heads)} | {'; '.join(one.notes)} |"
        for one in read
    ]
    others = [f"| `{one.name}` | {one.reason} |" for one in types if not one.is_measured]
    return "\n".join(
        [
            "<!-- Written by tools/generate_docs.py from scanner/plmscan/model_types.json. -->",
            "",
            "# Model types",
            "",
            _INTRODUCTION.format(read=len(read), all=len(types)),
            "",
            "| `model_type` | kind | part | read at | heads that are searched | notes |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            "## Not measured",
            "",
            "| `model_type` | why |",
            "|---|---|",
            *others,
            "",
        ]
    )


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


def _is_searched(kind: Kind) -> bool:
    """Whether probes read such a head of a plain model with two labels."""
    config = BertConfig(num_labels=2, is_encoder_decoder=kind is Kind.SEQ2SEQ)
    return is_measurable(Candidate(kind, cast("Any", None)), config)


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
