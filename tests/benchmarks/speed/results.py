"""What is kept of each model on each device."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - pydantic reads the annotation

from pydantic import BaseModel, ConfigDict

__all__ = [
    "Axis",
    "Checked",
    "Hashed",
    "Measured",
    "Piece",
    "Point",
    "Rates",
    "Scaling",
    "Stage",
    "Started",
    "Task",
]


class _Frozen(BaseModel):
    """A record that refuses unknown keys and changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Task(_Frozen):
    """One piece of work for a process of its own."""

    model: Path
    """Folder."""
    device: str = "cpu"
    """``cpu`` or ``cuda``."""
    precision: str = "auto"
    """Of what only selects."""
    carriers: int | None = None
    """Of a verification; None for the sweep."""
    rows: int | None = None
    """Of one forward pass of the sweep; None for plmscan's own choice."""
    parts: int = 1
    """Only each so-manieth vocabulary item is swept."""
    layers: int | None = None
    """How many of the model's layers are left; None for all."""
    threads: int | None = None
    """Of torch; None for its own choice."""
    with_product: bool = True
    """Whether to time the matrix product as well; its tensors take memory."""


class Rates(_Frozen):
    """Operations a second of the model's widest matrix product."""

    shape: tuple[int, int, int]
    """Tokens, width of the input, width of the output."""
    float32: float
    """In single precision."""
    bfloat16: float | None = None
    """With half the digits; None where plmscan does not use them."""


class Piece(_Frozen):
    """What a `Task` took."""

    task: Task
    """What was done."""
    where: str
    """The device in words."""
    threads: int
    """Of torch."""
    rows: int
    """Of one forward pass of the sweep."""
    items: int
    """Vocabulary items that were swept, or candidates that were verified."""
    tokens: int
    """Forward-token-equivalents."""
    seconds: float
    """Wall-clock time, without loading the model and without the matrix product."""
    vocabulary: int
    """Rows of the embedding table."""
    layers: int
    """Of the model as it was run."""
    width: int
    """Of a hidden state."""
    parameters: int
    """Weights that every token is multiplied with."""
    rates: Rates | None = None
    """The machine's own speed meanwhile; None if it was not asked for."""
    device_megabytes: float | None = None
    """Peak of what torch took on a GPU; None elsewhere."""
    megabytes: float | None = None
    """Peak resident memory above an interpreter with torch; None where the product has its part."""

    @property
    def tokens_per_second(self) -> float:
        """Speed."""
        return self.tokens / self.seconds

    @property
    def operations(self) -> float:
        """Operations a second, as two for each token and weight."""
        return 2 * self.parameters * self.tokens_per_second

    @property
    def floor(self) -> float | None:
        """Seconds that the vocabulary in three tokens each costs at the machine's own speed."""
        work = self.vocabulary * _FLOOR_TOKENS * 2 * self.parameters
        return None if self.rates is None else work / self.rates.float32


_FLOOR_TOKENS = 3
"""``[CLS] t [SEP]``, below which no input of an encoder goes."""


class Stage(_Frozen):
    """A part of a check."""

    name: str
    """A probe's id, or what happens between two."""
    seconds: float
    """Wall-clock time."""
    tokens: int = 0
    """Forward-token-equivalents."""
    steps: dict[str, float] = {}
    """Seconds by note, in the order of the first; what precedes the first is the start."""


class Checked(_Frozen):
    """One ``plmscan check``."""

    exit_code: int
    """0 pass, 1 fail, 2 inconclusive or error; negative for a signal."""
    seconds: float
    """From the start of the process to its end."""
    megabytes: float
    """Peak resident memory above an interpreter with torch."""
    device_megabytes: float | None = None
    """Peak of what torch took on a GPU; None elsewhere."""
    verdict: str = ""
    """In the report; empty if there is none."""
    tokens: int = 0
    """Forward-token-equivalents of all probes."""
    stages: tuple[Stage, ...] = ()
    """All of it, in order."""


class Started(_Frozen):
    """A command that measures nothing."""

    command: str
    """In words."""
    seconds: tuple[float, ...]
    """Each run of the whole process."""


class Hashed(_Frozen):
    """The weights as a stream of bytes, out of the cache of the system."""

    size: int
    """Bytes."""
    reading: float
    """Seconds of a plain read."""
    hashing: float
    """Seconds in which plmscan reads and hashes the same files."""


class Measured(_Frozen):
    """All of one model on one device; parts that are not measured yet are absent."""

    name: str
    """Of the shape."""
    device: str
    """``cpu``, ``avx2`` for a processor that is held down to that, or ``cuda``."""
    source: str
    """Digest of the plmscan that ran."""
    weights: int
    """Bytes of the weight files."""
    no_gpu: str = ""
    """Why nothing was measured on a GPU; empty if something was, or nobody asked."""
    sweeps: tuple[Piece, ...] = ()
    """Of the whole vocabulary; several where the number of rows had to be found."""
    checked: Checked | None = None
    """The whole check."""
    started: tuple[Started, ...] = ()
    """Commands that measure nothing."""
    hashed: Hashed | None = None
    """The weights as bytes."""

    @property
    def sweep(self) -> Piece | None:
        """The fastest."""
        return max(self.sweeps, key=lambda s: s.tokens_per_second, default=None)


class Axis(StrEnum):
    """What is varied."""

    VOCABULARY = "vocabulary items"
    LAYERS = "layers"
    ROWS = "rows of a batch"
    THREADS = "threads"
    CARRIERS = "carriers"


class Point(_Frozen):
    """One value on an axis."""

    axis: Axis
    """What is varied."""
    value: int
    """Its value."""
    piece: Piece
    """What it took."""


class Scaling(_Frozen):
    """How cost grows, on one model and device."""

    name: str
    """Of the shape."""
    device: str
    """``cpu`` or ``cuda``."""
    source: str
    """Digest of the plmscan that ran."""
    points: tuple[Point, ...] = ()
    """All axes."""
