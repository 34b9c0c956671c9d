"""The keys of a configuration, and what they may hold."""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
    WithJsonSchema,
    field_validator,
)
from pydantic.json_schema import GenerateJsonSchema

from plmscan.budget import Effort
from plmscan.carriers.languages import LANGUAGES, known_languages
from plmscan.errors import TextsError

if TYPE_CHECKING:
    from pydantic_core import core_schema

__all__ = ["ConfigTable", "ModelTable", "SettingsTable", "WaiverTable", "config_schema"]

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")

_Text = Annotated[str, StringConstraints(min_length=1)]
_Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_RuleId = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2,16}[0-9]{3}$")]


def _kebab(name: str) -> str:
    """The name of a field as the file spells it."""
    return name.replace("_", "-")


def _listed(value: object) -> object:
    """A list as a tuple, which is the only thing that the field takes."""
    if not isinstance(value, list):
        msg = "must be a list"
        raise ValueError(msg)  # noqa: TRY004 - pydantic turns only this into a complaint
    return tuple(value)


def _several(value: object) -> object:
    """One value, or a list of them, as a tuple."""
    return _listed([value] if isinstance(value, str) else value)


def _as_table(value: object) -> object:
    """A model that is given by its name alone."""
    return {"id": value} if isinstance(value, str) else value


def _day(value: object) -> object:
    """A date that is written as text; YAML's own dates come as text, too."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        if isinstance(value, str) and _DAY.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        msg = "must be a day of the calendar"
        raise ValueError(msg) from None
    msg = "must be a day such as 2027-01-31"
    raise ValueError(msg)


def _codes(value: object) -> object:
    """One code, or a list of them, as a tuple of those that plmscan knows."""
    codes = [value] if isinstance(value, str) else value
    if not isinstance(codes, list) or not codes or not all(isinstance(c, str) for c in codes):
        msg = "must be the code of a language, or a list of codes"
        raise ValueError(msg)
    try:
        return known_languages(codes)
    except TextsError:
        msg = f"must be one of {', '.join(LANGUAGES)}"
        raise ValueError(msg) from None


class _Table(BaseModel):
    """Frozen, strict, and closed to keys that nobody declared."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        use_attribute_docstrings=True,
        alias_generator=_kebab,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _is_given(cls, value: object) -> object:
        """Refuse a key without a value: nobody can tell what was meant."""
        if value is None:
            msg = "must have a value"
            raise ValueError(msg)
        return value


_Code = Annotated[str, WithJsonSchema({"enum": list(LANGUAGES)})]
_Languages = Annotated[
    tuple[str, ...], BeforeValidator(_codes, json_schema_input_type=_Code | list[_Code])
]


def _each(value: object) -> object:
    """One name, or a list of them, as a tuple."""
    return (value,) if isinstance(value, str) else _listed(value)


_Sources = Annotated[
    tuple[_Words, ...], BeforeValidator(_each, json_schema_input_type=_Words | list[_Words])
]


_Copy = Literal["quantised:int8", "quantised:nf4"]
_Copies = Annotated[
    tuple[_Copy, ...], BeforeValidator(_each, json_schema_input_type=_Copy | list[_Copy])
]


class SettingsTable(_Table):
    """How to check a model; what is not given is plmscan's own choice."""

    effort: Annotated[Effort, Field(strict=False)] = Effort.STANDARD
    """How much work the probes may do."""
    fail_on: Literal["none", "low", "medium", "high", "critical"] = "high"
    """The mildest severity that fails."""
    time_limit: Annotated[FiniteFloat, Field(ge=0)] | None = None
    """Seconds for all probes of one model together."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the search; what it finds is judged in float32."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    """Seed of every random choice."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Threads of torch."""
    texts: _Text | None = None
    """File of carrier texts, one a line, seen from the folder of the configuration."""
    language: _Languages = ()
    """Code of the language of bundled carrier texts, such as ``zh`` or ``python``, or a list of
    codes; without it those that the tokenizer spells best."""
    reference: _Words | None = None
    """Clean base model to compare with: a folder, seen from that of the configuration, or
    ``org/name@revision`` on the Hub."""
    base: _Words | None = None
    """Model that an adapter is put on, where that is not the one that it names: a folder, seen from
    that of the configuration, or ``org/name@revision`` on the Hub."""
    adapter: _Sources = ()
    """Adapter to put on the model, or a list of several in their order: folders, seen from that of
    the configuration, or ``org/name@revision`` on the Hub."""
    also: _Copies = ()
    """Copy with shrunken weights that is checked as well, or a list of them."""
    rules: _Text | None = None
    """Folder of further rules, seen from the folder of the configuration."""
    signers: Annotated[
        tuple[_Words, ...], BeforeValidator(_several, json_schema_input_type=_Words | list[_Words])
    ] = ()
    """Who may have signed the model, one or a list: a file with a public key or certificates (PEM),
    or ``identity=NAME,issuer=URL,trust=FILE`` for Sigstore, with its trusted root; files are seen
    from the folder of the configuration."""
    require_signature: bool = False
    """Whether the model must not pass without a signature of one of the signers."""
    allow_pickle: bool = False
    """Whether a model without safetensors may be loaded from pickles (weights only)."""
    backend: Literal["torch", "onnx", "openvino"] = "torch"
    """Runtime that the model is loaded with, as sentence-transformers calls it."""
    used_as: Literal["features"] | None = None
    """``features`` if nobody reads a head of the model, which need not be measured then."""
    control: bool = False
    """Whether to run the search again on a copy of the model with weak triggers planted in it, and
    to tell which of them it finds."""
    all_files: bool = False
    """Whether to fetch all files of a Hub model, also those that nothing loads."""
    files_only: bool = False
    """Whether to check the files only, and not load the model."""


class ModelTable(SettingsTable):
    """A model with settings of its own."""

    id: _Words
    """A folder, seen from that of the configuration, or ``org/name`` on the Hub."""
    revision: _Words | None = None
    """Branch, tag or commit of a Hub model."""


class WaiverTable(_Table):
    """A finding that counts for nothing until a day."""

    rule: _RuleId
    """Id of the rule, such as ``PLM402``."""
    model: _Words | None = None
    """The model that it is about, as in ``models``; without it, every model."""
    subject: _Text | None = None
    """What the finding is about, such as a token or a file; without it, anything.

    Every report shows it with the finding.
    """
    reason: _Words
    """Why the team can live with it."""
    expires: Annotated[date, BeforeValidator(_day)]
    """The last day on which it is waived, such as ``2027-01-31``."""


_Model = Annotated[
    ModelTable, BeforeValidator(_as_table, json_schema_input_type=_Words | ModelTable)
]


_Waivers = Annotated[
    tuple[WaiverTable, ...], BeforeValidator(_listed, json_schema_input_type=list[WaiverTable])
]


class ConfigTable(SettingsTable):
    """A configuration of plmscan."""

    models: Annotated[
        tuple[_Model, ...], BeforeValidator(_listed, json_schema_input_type=list[_Model])
    ] = ()
    """What ``plmscan check`` checks when it is given no model."""
    fail_fast: bool = False
    """Whether to stop at the first model that does not pass, and its search at the first finding
    that fails it."""
    jobs: Annotated[int, Field(ge=1, le=64)] = 1
    """Models to search at the same time, which share the cores; on a GPU it is always one."""
    offline: bool = False
    """Whether to use only what is on disk."""
    cache_dir: _Text | None = None
    """Cache of downloaded models, seen from the folder of the configuration."""
    baseline: _Text | None = None
    """File of known findings, which do not fail."""
    lock: _Text = "plmscan.lock"
    """File of the commits and digests of the models."""
    waivers: _Waivers = ()
    """Findings that count for nothing until a day."""
    ignore: _Waivers = ()
    """Older name of ``waivers``."""


class _WithoutNull(GenerateJsonSchema):
    """A JSON Schema in which an optional value is left out, and never null."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> dict[str, Any]:
        """The schema of the value itself."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        """The same, without a default that is only the absence of one."""
        if schema.get("default") is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def config_schema() -> str:
    """The JSON Schema of a configuration, for editors."""
    schema = ConfigTable.model_json_schema(schema_generator=_WithoutNull)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps({**head, **schema, "title": "plmscan configuration"}, indent=2) + "\n"
