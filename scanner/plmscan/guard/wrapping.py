"""A guard around something that reads texts: a pipeline, or a model of sentence-transformers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plmscan.errors import PlmscanError, ReportError
from plmscan.evidence import Report
from plmscan.guard.choices import Action, Variants
from plmscan.guard.guard import Guard
from plmscan.plain_text import NotTextError, decoded
from plmscan.reports.json_v1 import from_json
from plmscan.reports.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from plmscan.guard.guard import Look
    from plmscan.loading import LoadedModel

__all__ = ["Guarded", "TextRejectedError", "wrap"]

_READERS = frozenset(
    {
        "encode",
        "encode_document",
        "encode_multi_process",
        "encode_query",
        "predict",
        "transform",
    }
)
"""Methods that take texts first."""
_TEXT_OPTIONS = ("inputs", "sentences", "texts", "text", "X")
"""Names under which such a method may be given the texts instead."""
_TEXT_KEYS = ("text", "text_pair")
"""Where pipelines look for texts in a dictionary."""
_TURN = frozenset({"role", "content"})
"""What a turn of a conversation holds."""
_TEXT_KINDS = frozenset({"O", "S", "T", "U"})
"""Kinds of arrays that can hold texts, as numpy and pandas name them."""


class TextRejectedError(PlmscanError):
    """A text holds a trigger, and the guard was told to reject such texts."""

    def __init__(self, looks: Sequence[Look]) -> None:
        """Keep what was seen in the texts that are rejected."""
        self.looks = tuple(looks)
        first = self.looks[0]
        count = f"{len(self.looks)} texts hold" if len(self.looks) > 1 else "A text holds"
        msg = f"{count} a trigger, the first “{visible(first.text[:40])}”: {first.reasons[0]}"
        super().__init__(msg, "Drop the text, or use the action neutralise.")


@dataclass(frozen=True)
class Guarded:
    """Reads texts as what it wraps does, after the guard has looked at them."""

    reader: Any
    """What is wrapped; its other attributes are this one's as well."""
    guard: Guard
    """Looks at each text."""
    action: Action
    """What to do with a text that holds a trigger."""
    on_hit: Callable[[Look], object] | None = None
    """Told of each such text."""

    def __call__(self, *args: object, **options: object) -> Any:  # noqa: ANN401 - as of the thing
        """What the wrapped thing says about the cleaned inputs.

        Raises:
            TextRejectedError: a text holds a trigger, and the action is to reject.
        """
        return self._asked(self.reader, args, options)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as of the wrapped thing
        """An attribute of what is wrapped; a method that reads texts is guarded as well."""
        if name.startswith("__") or name == "reader":
            raise AttributeError(name)
        found = getattr(self.reader, name)
        if name not in _READERS:
            return found
        return lambda *args, **options: self._asked(found, args, options)

    def _asked(
        self, reads: Callable[..., object], args: tuple[object, ...], options: dict[str, object]
    ) -> object:
        """What ``reads`` gives back for the cleaned first argument, however it was given."""
        if args:
            return reads(self.cleaned(args[0]), *args[1:], **options)
        named = {k: self.cleaned(v) for k, v in options.items() if k in _TEXT_OPTIONS}
        return reads(**(options | named))

    def cleaned(self, inputs: object) -> object:
        """``inputs`` in the same shape; what is no text stays as it is.

        Raises:
            TextRejectedError: a text holds a trigger, and the action is to reject.
        """
        match inputs:
            case str():
                return self._clean([inputs])[0]
            case Mapping():
                return self._clean_fields(inputs)
            case list() | tuple():
                return type(inputs)(self._clean_all(inputs))
            case _ if _array_kind(inputs) in _TEXT_KINDS:
                return self.cleaned(inputs.tolist())  # type: ignore[attr-defined] # an array
            case _ if _array_kind(inputs) is None and _is_many(inputs):
                return (self.cleaned(one) for one in _each(inputs))
            case _:
                return inputs

    def _clean_all(self, inputs: Sequence[object]) -> list[object]:
        """Each of several inputs; their texts are looked at together."""
        texts = iter(self._clean([one for one in inputs if isinstance(one, str)]))
        return [next(texts) if isinstance(one, str) else self.cleaned(one) for one in inputs]

    def _clean_fields(self, inputs: Mapping[Any, Any]) -> object:
        """The texts of a dictionary, as a pipeline takes it, or of a turn of a conversation."""
        keys = ("content",) if inputs.keys() >= _TURN else _TEXT_KEYS
        known = {key: self.cleaned(inputs[key]) for key in keys if key in inputs}
        return {**inputs, **known} if known else inputs

    def _clean(self, texts: Sequence[str]) -> list[str]:
        """What the wrapped thing may read."""
        looks = self.guard.look(texts) if texts else []
        flagged = [look for look in looks if look.flagged]
        for look in flagged if self.on_hit is not None else ():
            self.on_hit(look)  # type: ignore[misc] # it is there, or this loop is empty
        if flagged and self.action is Action.REJECT:
            raise TextRejectedError(flagged)
        keep = self.action is Action.FLAG
        return [look.text if keep else look.neutralised for look in looks]


def wrap(  # noqa: PLR0913 - what a guard can be made of
    reader: Any,  # noqa: ANN401 - a pipeline, or anything with `encode`
    report: Report | Path | str,
    action: Action | str = Action.NEUTRALISE,
    *,
    on_hit: Callable[[Look], object] | None = None,
    source: LoadedModel | Path | str | None = None,
    clean: Sequence[str] | None = None,
    variants: Variants | str = Variants.TELL,
    masking: bool = False,
) -> Guarded:
    """A guard around ``reader``, which then takes and gives what it did before.

    Args:
        reader: a pipeline of transformers for texts, or a model with ``encode``.
        report: of the same model, as an object or as the file that it was saved to.
        action: ``flag``, ``neutralise`` or ``reject``.
        on_hit: told of each text with a trigger, before the model reads it.
        source: the folder of the same model, to inspect each text for triggers that the report
            does not name; it is loaded a second time.
        clean: texts that are usual for you, for the inspection.
        variants: what to make of the triggers' variants.
        masking: put the mask token in the place of a trigger.

    Raises:
        PlmscanError: the report cannot be read or is about another model, or the masks of a
            pipeline that fills masks would be taken for its own.
    """
    if masking and getattr(reader, "task", None) == "fill-mask":
        msg = "A pipeline that fills masks would fill those of the guard as well."
        raise PlmscanError(msg, "Leave masking out; triggers are dropped then.")
    guard = Guard.of(
        _read(report),
        _loaded(source),
        clean,
        tokenizer=_tokenizer(reader),
        variants=Variants(variants),
        masking=masking,
    )
    return Guarded(reader, guard, Action(action), on_hit)


def _tokenizer(reader: object) -> Any:  # noqa: ANN401 - the library's, or none
    """The tokenizer of what is wrapped, if it is one of transformers."""
    found = getattr(reader, "tokenizer", None)
    return found if hasattr(found, "convert_ids_to_tokens") else None


def _array_kind(inputs: object) -> str | None:
    """Of an array or a tensor what numpy would call its kind; None for other things."""
    dtype = getattr(inputs, "dtype", None)
    return None if dtype is None else str(getattr(dtype, "kind", "number"))


def _is_many(inputs: object) -> bool:
    """Whether it gives one input after the other: a generator, or a data set."""
    indexed = isinstance(inputs, Sized) and hasattr(inputs, "__getitem__")
    return not isinstance(inputs, bytes) and (indexed or isinstance(inputs, Iterable))


def _each(inputs: object) -> Iterator[object]:
    """The inputs of a generator or a data set, each as soon as it is there."""
    if isinstance(inputs, Iterable):
        yield from inputs
    elif isinstance(inputs, Sized):
        yield from (inputs[i] for i in range(len(inputs)))  # type: ignore[index] # a data set


def _read(report: Report | Path | str) -> Report:
    """The report itself.

    Raises:
        ReportError: it cannot be read, or is no report.
    """
    if isinstance(report, Report):
        return report
    try:
        return from_json(decoded(Path(report).read_bytes()))
    except (OSError, NotTextError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        msg = f"The report {report} cannot be read: {reason}."
        raise ReportError(msg, "Write one with `plmscan check --format json`.") from error


def _loaded(source: LoadedModel | Path | str | None) -> LoadedModel | None:
    """The model to inspect texts with."""
    if not isinstance(source, (str, Path)):
        return source
    from plmscan.loading import load  # noqa: PLC0415 - imports torch
    from plmscan.source import SourceOptions, resolve_stack  # noqa: PLC0415 - with it

    return load(resolve_stack(str(source), SourceOptions()))
