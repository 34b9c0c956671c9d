"""Options that several commands share, as typer wants them told."""

from __future__ import annotations

import logging
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from plmscan.budget import Effort
from plmscan.cli.terminal.failures import DEBUG
from plmscan.evidence import Severity
from plmscan.reports import Format

__all__ = [
    "Adapter",
    "AllFiles",
    "AllowPickle",
    "Also",
    "AskedBackend",
    "AskedDevice",
    "AskedEffort",
    "AskedFormat",
    "AskedPrecision",
    "Attest",
    "Bar",
    "Base",
    "Baseline",
    "CacheDir",
    "Clean",
    "Configuration",
    "Control",
    "Debug",
    "FailFast",
    "FailOn",
    "FilesOnly",
    "FleetModels",
    "Jobs",
    "Language",
    "Model",
    "ModelTypes",
    "Models",
    "ModelsFile",
    "MoreReports",
    "NoCache",
    "Offline",
    "Output",
    "Quiet",
    "Reference",
    "RequireSignature",
    "Revision",
    "Rules",
    "Seed",
    "Signers",
    "Texts",
    "Threads",
    "TimeLimit",
    "UsedAs",
    "Verbose",
    "WholeTime",
]


class Device(StrEnum):
    """Where the model runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Backend(StrEnum):
    """Runtime that the user loads a model with."""

    TORCH = "torch"
    ONNX = "onnx"
    OPENVINO = "openvino"


class Used(StrEnum):
    """What is read of the model."""

    FEATURES = "features"


class Copy(StrEnum):
    """A copy of the model that is checked as well."""

    INT8 = "quantised:int8"
    NF4 = "quantised:nf4"


class Precision(StrEnum):
    """Arithmetic of what only selects."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class FailOn(StrEnum):
    """The mildest severity that fails."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def severity(self) -> Severity | None:
        """The same as the policy wants it."""
        return None if self is FailOn.NONE else Severity[self.name]


def _debug(ctx: typer.Context, value: bool) -> bool:  # noqa: FBT001 - typer calls it so
    """Ask for tracebacks and for the log of plmscan."""
    ctx.meta[DEBUG] = value
    if value:
        logging.basicConfig(stream=sys.stderr)
        logging.getLogger("plmscan").setLevel(logging.DEBUG)
    return value


# An option that is None was not given: then the configuration has a say, and after it the default
# of `Settings`.
AskedFormat = Annotated[
    Format | None,
    typer.Option("--format", help="Format of the report (by the ending of FILE, else console)."),
]
Output = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the report there, not to stdout.")
]
MoreReports = Annotated[
    list[str] | None,
    typer.Option(
        "--report", metavar="FORMAT=FILE", help="Write this report as well; may be repeated."
    ),
]
Attest = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write an unsigned in-toto statement about the files."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="A line a model, and no progress.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Every model's report, and every step.")
]
Rules = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of further rules; the same id replaces.")
]
TimeLimit = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", min=0, help="Time for all probes of a model together."),
]
WholeTime = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS", min=0, help="Time for all of it, the new scan of the result included."
    ),
]
Texts = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Carrier texts, one a line, in the model's language."),
]
Language = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CODE",
        help="Language of the bundled texts, such as zh or python; may be repeated (those that the "
        "tokenizer spells best).",
    ),
]
Reference = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL", help="Clean base model, folder or Hub repository, to compare with."
    ),
]
Base = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="Model that an adapter is put on, folder or Hub repository (the one that it names).",
    ),
]
Adapter = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ADAPTER",
        help="Adapter to put on the model, folder or Hub repository; may be repeated, in order.",
    ),
]
Also = Annotated[
    list[Copy] | None,
    typer.Option(help="Check the model with shrunken weights as well; may be repeated."),
]
Bar = Annotated[FailOn | None, typer.Option(help="The mildest severity that fails (high).")]
Revision = Annotated[
    str | None, typer.Option(metavar="REV", help="Branch, tag or commit of a Hub model.")
]
AskedEffort = Annotated[
    Effort | None, typer.Option(help="How much work the probes may do (standard).")
]
AskedDevice = Annotated[Device | None, typer.Option(help="Where the model runs (auto).")]
AskedPrecision = Annotated[
    Precision | None,
    typer.Option(help="Arithmetic of the search (auto); what it finds is judged in float32."),
]
Seed = Annotated[
    int | None,
    typer.Option(metavar="N", min=0, max=2**32 - 1, help="Seed of every choice.", show_default="0"),
]
Threads = Annotated[
    int | None, typer.Option(metavar="N", min=1, max=1024, help="Threads of torch.")
]
Offline = Annotated[bool, typer.Option("--offline", help="Use only what is on disk.")]
ModelTypes = Annotated[
    bool,
    typer.Option("--model-types", help="Say what is measured of each model type, and stop there."),
]
CacheDir = Annotated[Path | None, typer.Option(metavar="DIR", help="Cache of downloaded models.")]
AskedBackend = Annotated[
    Backend | None, typer.Option(help="Runtime that you load the model with (torch).")
]
AllowPickle = Annotated[
    bool,
    typer.Option("--allow-pickle", help="Load .bin weights (weights only) without safetensors."),
]
UsedAs = Annotated[
    Used | None,
    typer.Option(help="Declare that only features are used: nobody reads a head of the model."),
]
Control = Annotated[
    bool,
    typer.Option(
        "--control",
        help="Run the search again on a copy of the model with weak triggers planted in it, and "
        "tell which of them it finds.",
    ),
]
Signers = Annotated[
    list[str] | None,
    typer.Option(
        "--signer",
        metavar="WHO",
        help="Who may have signed the model: a file with a public key or certificates, or "
        "identity=NAME,issuer=URL,trust=FILE for Sigstore; may be repeated.",
    ),
]
RequireSignature = Annotated[
    bool,
    typer.Option(
        "--require-signature", help="Let nothing pass that no --signer has signed as it is."
    ),
]
AllFiles = Annotated[
    bool,
    typer.Option(
        "--all-files", help="Fetch all files of a Hub model, also those that nothing loads."
    ),
]
Configuration = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Configuration; else plmscan.yaml or pyproject.toml of the working folder.",
    ),
]
Baseline = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Known findings, which do not fail."),
]
Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL",
        help="Folders, Hub repositories (org/name[@revision]) or addresses (s3://..., https://"
        "....zip, mlflow:name/3); those of the configuration if none is named.",
        show_default=False,
    ),
]
FleetModels = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL",
        help="Folders, Hub repositories or addresses, - for those of stdin; those of the "
        "configuration if none is named.",
        show_default=False,
    ),
]
ModelsFile = Annotated[Path | None, typer.Option(metavar="FILE", help="More models, one a line.")]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Measure again what was measured before.")
]
FailFast = Annotated[
    bool,
    typer.Option(
        "--fail-fast",
        help="Stop at the first model that does not pass, and its search at the first finding "
        "that fails it.",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, max=64, help="Models searched at a time, which share the cores (1)."
    ),
]
FilesOnly = Annotated[
    bool, typer.Option("--files-only", help="Check the files; do not load the model.")
]
Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="Folder, or Hub repository: org/name[@revision].")
]
Clean = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Clean texts of the same kind, to compare with."),
]
Debug = Annotated[bool, typer.Option("--debug", callback=_debug, help="Show tracebacks and logs.")]
