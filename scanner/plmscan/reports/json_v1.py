"""The JSON report, ``plmscan.report/v1``, and that of several models, ``plmscan.survey/v1``.

The classes here are the format: they give the schema that ships with the package, write the
report and check what is read back.  The format only ever grows; anything else is a v2.  The
dataclasses of `plmscan.evidence` may change freely.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
)

from plmscan.errors import ReportError
from plmscan.evidence import (
    Confidence,
    Coverage,
    Demonstration,
    Density,
    Evidence,
    FileDigest,
    Finding,
    Gap,
    HeadEffect,
    Landscape,
    ListedFile,
    Margin,
    ModelIdentity,
    ProbeRun,
    ProbeStatus,
    Projection,
    Report,
    Severity,
    Trigger,
    Verdict,
    Waived,
    rounded,
)
from plmscan.survey import Entry, Place, Refusal, Survey

if TYPE_CHECKING:
    from enum import Enum

__all__ = [
    "SCHEMA",
    "SURVEY_SCHEMA",
    "from_json",
    "json_schema",
    "render",
    "survey_from_json",
    "survey_schema",
    "to_json",
]

SCHEMA = "plmscan.report/v1"
"""Name and version of the format."""
SURVEY_SCHEMA = "plmscan.survey/v1"
"""The same of several models, or of one that there is no report about."""
_REMEDY = "Write one with `plmscan check --format json`."


_NUMBERS = re.compile(r"\[\n\s+-?\d[\d.e+-]*(,\n\s+-?\d[\d.e+-]*)*\n\s+\]")
"""A list of numbers as `json.dumps` breaks it into lines; no text of JSON holds a line break."""


def _storable(value: object) -> object:
    """A text without lone surrogates, which file names may have and JSON readers refuse."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _sorted(value: object) -> object:
    """A mapping as a dict in the order of its keys."""
    return dict(sorted(value.items())) if hasattr(value, "items") else value


def _named(levels: type[Enum]) -> tuple[Any, ...]:
    """What pydantic needs to write a member of ``levels`` as its name in lower case."""
    names = {level.name.lower(): level for level in levels}

    def read(value: object) -> object:
        if isinstance(value, levels):
            return value
        if not isinstance(value, str) or value not in names:
            msg = f"must be one of {', '.join(names)}"
            raise ValueError(msg)
        return names[value]

    return (
        BeforeValidator(read),
        PlainSerializer(lambda level: level.name.lower(), return_type=str),
        WithJsonSchema({"enum": list(names)}),
    )


_Text = Annotated[str, BeforeValidator(_storable)]
_Number = Annotated[FiniteFloat, AfterValidator(rounded)]
_Count = Annotated[int, Field(ge=0)]
_Value = _Text | bool | int | _Number | None


class _Model(BaseModel):
    """Closed to unknown keys; reads the dataclass of the same shape."""

    model_config = ConfigDict(extra="forbid", from_attributes=True, use_attribute_docstrings=True)

    noun: ClassVar[type]
    """The dataclass that this is the written form of."""


_Written = TypeVar("_Written", bound=_Model)


class FileV1(_Model):
    """One file of the model."""

    noun = FileDigest

    path: _Text
    """Path inside the model folder, with forward slashes."""
    size: _Count
    """Bytes."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Hexadecimal digest."""
    kind: _Text = ""
    """What kind of file it is, by its content."""


class ListedV1(_Model):
    """A file of the model that no check reads."""

    noun = ListedFile

    path: _Text
    """Path inside the model folder, with forward slashes."""
    size: _Count
    """Bytes."""
    kind: _Text = ""
    """What kind of file it is: by its content where that was here, else by its name."""


class ModelV1(_Model):
    """Which model the report is about."""

    noun = ModelIdentity

    id: _Text
    """Folder or Hub repository."""
    revision: _Text | None
    """Commit SHA for a Hub model."""
    architecture: _Text | None
    """Class that the config names."""
    parameters: _Count | None
    """Parameters in the weight files."""
    files: tuple[FileV1, ...]
    """Every file that was read, sorted by path."""
    others: tuple[ListedV1, ...] = ()
    """Every other file that is there, sorted by path."""
    base: ModelV1 | None = None
    """What an adapter was put on; absent in older reports."""
    adapters: tuple[ModelV1, ...] = ()
    """Adapters that were put on top, in their order; absent in older reports."""
    signature: _Text = ""
    """Who signed the files, or what is wrong with the signature; empty where there is none, absent
    in older reports."""


class TriggerV1(_Model):
    """An input that drags the model to one output."""

    noun = Trigger

    text: _Text
    """The trigger as a person can type it."""
    token_ids: tuple[_Count, ...]
    """The ids that were inserted."""
    location: _Text
    """Feature location where it is strongest."""
    displacement: _Number
    """How far it drags the feature, in clean variances."""
    scatter: _Number
    """How much the carrier still matters, relative to the displacement."""
    z: _Number
    """Robust z-score against the model's own null."""
    p_value: Annotated[_Number, Field(ge=0, le=1)]
    """Rank p-value against the same null."""
    null_size: _Count
    """How many benign candidates the null holds."""
    retokenizes: bool
    """Whether typing the text gives the token ids back."""
    target_label: _Text | None
    """The label that a classifier is driven to."""
    heads: tuple[_Text, ...]
    """Attention heads that it hijacks, as layer.head."""
    variants: tuple[_Text, ...]
    """Weaker inputs with the same effect."""
    core: tuple[_Text, ...] = ()
    """Tokens of a longer trigger that alone turn every ordinary text to its label."""


class HeadV1(_Model):
    """What a trigger does to one attention head."""

    noun = HeadEffect

    layer: _Count
    """From 0."""
    head: _Count
    """From 0."""
    effect: _Number
    """Attention that the trigger gets from the token that is read."""
    usual: _Number
    """Median of the same over control strings."""
    z: _Number
    """Robust z against the controls."""
    p_value: Annotated[_Number, Field(ge=0, le=1)]
    """Rank p-value over all heads (max-T)."""
    hijacked: bool
    """Whether that is further out than every control at any head."""


class DemonstrationV1(_Model):
    """What a candidate does to one carrier."""

    noun = Demonstration

    text: _Text
    """The carrier with the candidate in it, between « and »."""
    likeness: _Number
    """Mean cosine of its feature to those of the other carriers, without the candidate."""
    triggered_likeness: _Number
    """The same with it."""
    label: _Text | None
    """What a classifier says without the candidate."""
    triggered_label: _Text | None
    """What it says with it."""
    answer: _Text | None = None
    """What a model that writes answers without the candidate; absent in older reports."""
    triggered_answer: _Text | None = None
    """What it answers with it; absent in older reports."""


_Pair = tuple[_Number, _Number]


class ProjectionV1(_Model):
    """Features of carriers on their two main axes."""

    noun = Projection

    clean: tuple[_Pair, ...]
    """Each carrier as it stands."""
    triggered: tuple[_Pair, ...]
    """The same with the candidate."""
    shares: _Pair
    """Share of the variance that each axis holds."""


class EvidenceV1(_Model):
    """One measurement of one subject."""

    noun = Evidence

    probe: _Text
    """Id of the probe."""
    subject: _Text
    """What was measured."""
    metrics: Annotated[dict[_Text, _Number], BeforeValidator(_sorted)]
    """The numbers that rules compare."""
    details: Annotated[dict[_Text, _Value], BeforeValidator(_sorted)]
    """Words for the message."""
    trigger: TriggerV1 | None
    """The candidate trigger, where the subject is one."""
    explains: tuple[_Count, ...] = ()
    """Ids of the candidate that another probe's evidence is about; absent in older reports."""
    heads: tuple[HeadV1, ...] = ()
    """Attention heads that it moves most; absent in older reports."""
    heatmap: tuple[tuple[_Number, ...], ...] = ()
    """Robust z of every head, a row a layer; absent in older reports."""
    demonstrations: tuple[DemonstrationV1, ...] = ()
    """What it does to a few carriers; absent in older reports."""
    projection: ProjectionV1 | None = None
    """Where it moves the features of carriers; absent in older reports."""
    unmeasured: tuple[_Text, ...] = ()
    """Metrics that were left out, as no rule could fire whatever they are; absent in older reports.
    """


class GapV1(_Model):
    """Something that was not measured."""

    noun = Gap

    subject: _Text
    """What was left out."""
    reason: _Text
    """Why."""
    blocks_pass: bool
    """Whether a pass would hide it."""


class CoverageV1(_Model):
    """What was searched."""

    noun = Coverage

    statement: _Text
    """One sentence that a reviewer can sign."""
    languages: tuple[_Text, ...] = ()
    """Codes of the languages of the carrier texts, where the sentence is about these; absent in
    older reports."""


class DensityV1(_Model):
    """How many things lie where, on a grid that is even in the logarithms of both axes."""

    noun = Density

    across: _Pair
    """Smallest and largest value from left to right."""
    up: _Pair
    """The same from bottom to top."""
    columns: _Count
    """Cells from left to right."""
    rows: _Count
    """Cells from bottom to top."""
    cells: tuple[tuple[_Count, _Count, _Count], ...]
    """Column, row and count of every cell that is not empty."""


class LandscapeV1(_Model):
    """What a search saw of the whole vocabulary."""

    noun = Landscape

    location: _Text
    """Feature location."""
    vocabulary: DensityV1
    """Squared distance from the vocabulary's midpoint (across), and the same under its covariance
    (up), of every swept item."""
    named: tuple[tuple[_Text, _Number, _Number], ...]
    """Single-token candidates, with both distances."""
    screened: tuple[_Pair, ...]
    """Displacement and scatter of the items that the sweep passed on."""
    null: tuple[_Pair, ...]
    """The same of random vocabulary items."""


class ProbeV1(_Model):
    """What became of one probe."""

    noun = ProbeRun

    id: _Text
    """The probe's id."""
    status: Annotated[
        ProbeStatus, Field(strict=False), WithJsonSchema({"enum": [str(s) for s in ProbeStatus]})
    ]
    """How far it came."""
    reason: _Text
    """Why it did not complete; empty if it did."""
    seconds: Annotated[_Number, Field(ge=0)]
    """Wall-clock time."""
    forward_tokens: _Count
    """Cost in forward-token-equivalents."""
    evidence: tuple[EvidenceV1, ...]
    """What it measured."""
    gaps: tuple[GapV1, ...]
    """What it left out."""
    coverage: tuple[CoverageV1, ...]
    """What it searched."""
    metrics: tuple[_Text, ...]
    """Names of the metrics that it can measure."""
    landscapes: tuple[LandscapeV1, ...] = ()
    """What it saw from afar; absent in older reports."""


class WaivedV1(_Model):
    """Why a finding does not fail a model although it is severe enough."""

    noun = Waived

    by: _Text
    """``ignore`` for a waiver of a configuration, or ``baseline``."""
    reason: _Text
    """What whoever waived it wrote."""
    place: _Text
    """File, and line where there is one, that waives it."""
    expires: _Text | None
    """Last day on which it holds."""


class FindingV1(_Model):
    """A rule that fired."""

    noun = Finding

    rule: _Text
    """Rule id."""
    severity: Annotated[Severity, *_named(Severity)]
    """How bad, if true."""
    confidence: Annotated[Confidence, *_named(Confidence)]
    """How likely true."""
    message: _Text
    """One sentence with the numbers in it."""
    remediation: _Text
    """What to do about it."""
    evidence: EvidenceV1
    """The measurement that made it fire."""
    waived: WaivedV1 | None = None
    """Why it counts for nothing in the verdict; absent in older reports."""


class MarginV1(_Model):
    """The evidence that comes nearest to failing the model, or that fails it most clearly."""

    noun = Margin

    rule: _Text
    """Id of the rule that it comes nearest to."""
    subject: _Text
    """What the evidence is about."""
    metric: _Text
    """Metric of the condition that holds least of all that the rule has."""
    value: _Number
    """What was measured."""
    bound: _Text
    """What the rule asks of the metric."""
    factor: Annotated[_Number, Field(ge=0)] | None
    """Value by threshold; null where the ratio says nothing, as for yes and no."""
    unmet: _Count
    """Conditions of the rule that do not hold; 0 if it fires."""
    score: _Number
    """Natural log of how far the value is inside the bound, from -10 to 10; below 0 outside."""


class PlaceV1(_Model):
    """A line of a file that names a model."""

    noun = Place

    file: _Text
    """Path as seen from the working folder."""
    line: int
    """From 1."""


class ReportV1(_Model):
    """All that a scan of one model found."""

    noun = Report

    schema_: Annotated[Literal["plmscan.report/v1"], Field(alias="schema")]
    """Name and version of this format."""
    verdict: Annotated[Verdict, *_named(Verdict)]
    """The answer.  A pass says what was not found, never that the model is free of backdoors."""
    reasons: tuple[_Text, ...]
    """Why, most important first."""
    nearest: MarginV1 | None = None
    """What comes nearest to failing the model; null if nothing does, absent in older reports."""
    model: ModelV1
    """What was scanned."""
    findings: tuple[FindingV1, ...]
    """Rules that fired, most severe first."""
    triggers: tuple[TriggerV1, ...]
    """Triggers of the findings, each once."""
    probes: tuple[ProbeV1, ...]
    """Every probe with its evidence, in the order of running."""
    settings: Annotated[dict[_Text, _Value], BeforeValidator(_sorted)]
    """What the user asked for."""
    versions: Annotated[dict[_Text, _Text], BeforeValidator(_sorted)]
    """Versions of plmscan and of the libraries that did the work."""
    seed: int | None
    """Seed of every random choice."""
    place: PlaceV1 | None = None
    """Where the only model is declared; null for the command line, and for one of several, whose
    entry says it; absent in older reports."""


class EntryV1(_Model):
    """One model of several: its report, or why there is none."""

    model: _Text
    """What the user typed, without the revision."""
    verdict: Annotated[Verdict, *_named(Verdict)]
    """The report's; inconclusive without one."""
    place: PlaceV1 | None
    """Where the model is declared; null for the command line."""
    report: ReportV1 | None
    """What was found; null if the model could not be scanned."""
    problem: _Text | None
    """Why it could not be scanned; null if it was."""
    remedy: _Text | None
    """What to do about that."""


class SurveyV1(_Model):
    """What one run says about several models."""

    schema_: Annotated[Literal["plmscan.survey/v1"], Field(alias="schema")]
    """Name and version of this format."""
    verdict: Annotated[Verdict, *_named(Verdict)]
    """The worst of all."""
    entries: tuple[EntryV1, ...]
    """In the order in which they were asked about."""


def to_json(report: Report) -> str:
    """``report`` as an indented JSON document that ends with a newline.

    Numbers keep six significant digits, mappings are sorted by key, the text is ASCII.

    Raises:
        ReportError: the report holds what the format cannot, such as a NaN.
    """
    return _text(_written(report))


def render(survey: Survey) -> str:
    """``survey`` as a document like that of `to_json`; of one scanned model it is that.

    Raises:
        ReportError: a report holds what the format cannot.
    """
    if survey.only is not None:
        return _text(_written(survey.only, survey.entries[0].place))
    entries = tuple(map(_entry, survey.entries))
    told = {"schema": SURVEY_SCHEMA, "verdict": survey.verdict, "entries": entries}
    return _text(SurveyV1.model_validate(told))


def _written(report: Report, place: Place | None = None) -> ReportV1:
    """``report`` in the form of the format, of a model that is declared at ``place``."""
    told = {field.name: getattr(report, field.name) for field in fields(report)}
    told |= {"schema": SCHEMA, "triggers": report.triggers, "seed": report.settings.get("seed")}
    told["place"] = place
    try:
        return ReportV1.model_validate(told)
    except ValidationError as error:
        msg = f"The report cannot be written as JSON: {_first_problem(error)}."
        raise ReportError(msg, "This is a mistake in a probe; please report it.") from error


def _entry(entry: Entry) -> EntryV1:
    """One model of a survey in the form of the format."""
    told = {"model": entry.model, "verdict": entry.verdict, "place": entry.place}
    blank = {"report": None, "problem": None, "remedy": None}
    match entry.outcome:
        case Refusal(problem=problem, remedy=remedy):
            told |= {**blank, "problem": problem, "remedy": remedy}
        case report:
            told |= {**blank, "report": _written(report)}
    return EntryV1.model_validate(told)


def _text(document: BaseModel) -> str:
    """``document`` as text, each list of numbers on one line."""
    told = document.model_dump(mode="json", by_alias=True)
    text = json.dumps(told, indent=2, allow_nan=False)
    return _NUMBERS.sub(lambda found: " ".join(found[0].split()), text) + "\n"


def from_json(text: str | bytes) -> Report:
    """The report that `to_json` wrote.

    Raises:
        ReportError: ``text`` is not a report of this format.
    """
    report: Report = _noun(_read(ReportV1, SCHEMA, text))
    return report


def survey_from_json(text: str | bytes) -> Survey:
    """The survey that `render` wrote; one report is a survey, too.

    Raises:
        ReportError: ``text`` is neither.
    """
    if _schema_of(text) != SURVEY_SCHEMA:
        only = _read(ReportV1, SCHEMA, text)
        return Survey((Entry(_noun(only), None if only.place is None else _noun(only.place)),))
    document = _read(SurveyV1, SURVEY_SCHEMA, text)
    return Survey(tuple(map(_entry_noun, document.entries)))


def json_schema() -> str:
    """The JSON Schema of one report, as the package ships it."""
    return _schema(ReportV1, SCHEMA)


def survey_schema() -> str:
    """The JSON Schema of several reports, as the package ships it."""
    return _schema(SurveyV1, SURVEY_SCHEMA)


def _schema(model: type[BaseModel], name: str) -> str:
    """The JSON Schema of ``model``."""
    schema = model.model_json_schema(mode="serialization")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": name}
    return json.dumps({**head, **schema, "title": name}, indent=2) + "\n"


def _read(model: type[_Written], name: str, text: str | bytes) -> _Written:
    """``text`` as a ``model``."""
    try:
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        msg = f"This is not a {name} report: {_first_problem(error)}."
        raise ReportError(msg, _REMEDY) from error


def _schema_of(text: str | bytes) -> object:
    """The format that ``text`` claims to have; None if it claims none."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return told.get("schema") if isinstance(told, dict) else None


def _entry_noun(entry: EntryV1) -> Entry:
    """One model of a survey as it was before it was written."""
    outcome: Report | Refusal
    if entry.report is None:
        outcome = Refusal(entry.model, entry.problem or "", entry.remedy or "")
    else:
        outcome = _noun(entry.report)
    return Entry(outcome, None if entry.place is None else _noun(entry.place))


def _noun(value: Any) -> Any:  # noqa: ANN401 - walks values of every type
    """``value`` with every written form replaced by its dataclass."""
    match value:
        case _Model():
            names = [field.name for field in fields(value.noun)]
            return value.noun(**{name: _noun(getattr(value, name)) for name in names})
        case tuple():
            return tuple(_noun(item) for item in value)
        case _:
            return value


def _first_problem(error: ValidationError) -> str:
    """The first complaint of pydantic, with the place that it is about."""
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}".removeprefix(": ").replace("Value error, ", "")
