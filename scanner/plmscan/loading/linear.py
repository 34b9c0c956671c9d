"""Linear classifiers of scikit-learn, as the objects that their pickles hold.

What they say of a text is a linear map of its embedding, and which label they give it follows from
its numbers.  Only what `predict` of scikit-learn's own classes makes of plain numbers is read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from plmscan.errors import ArtifactError, UnsupportedModelError
from plmscan.pickles.objects import Array, Object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

__all__ = ["Linear", "linear_of", "tensor_of"]

_CLASSIFIERS = (
    "LogisticRegression", "LogisticRegressionCV", "LinearSVC", "SGDClassifier", "Perceptron",
)  # fmt: skip
"""Those that give a text the label with the largest of their numbers."""
_HELD = frozenset({
    "estimator", "estimators_", "label_binarizer_", "steps", "random_state", "loss_function_",
    "_loss_function_",
})  # fmt: skip
"""Attributes that may hold objects; any other could stand in the place of a method."""
_DTYPES: Mapping[str, torch.dtype] = {
    "f2": torch.float16,
    "f4": torch.float32,
    "f8": torch.float64,
    "i4": torch.int32,
    "i8": torch.int64,
}
_TWO = 2
"""Classes of a classifier that says no or yes."""
_MOST_CLASSES = 10_000
_MOST_PARTS = 1_000
"""Classifiers in one by label, and scalers before one."""
_AGAIN = "Train and save the head again."
_KNOWN = (
    f"plmscan measures linear heads of scikit-learn ({', '.join(_CLASSIFIERS)}), alone, behind a "
    "StandardScaler, or one for each label"
)


@dataclass(frozen=True)
class Linear:
    """What a linear classifier computes."""

    weight: Tensor
    """(numbers, h)."""
    bias: Tensor
    """(numbers)."""
    classes: tuple[str | int, ...] | None
    """What each number stands for, where one class is chosen; None where each decides for itself
    whether a text has a label."""

    def beside_zero(self) -> Linear:
        """One row that speaks for the second of two classes, beside nothing for the first."""
        weight, bias = (torch.cat([torch.zeros_like(one), one]) for one in (self.weight, self.bias))
        return replace(self, weight=weight, bias=bias)

    def after_scaling(self, scaler: Object) -> Linear:
        """The same on what ``scaler``, which shifts and stretches each dimension, is given."""
        state, width = _state(scaler), self.weight.shape[1]
        shift, stretch = torch.zeros(width), torch.ones(width)
        if state.get("with_mean"):
            shift = _numbers(state["mean_"], (width,))
        if state.get("with_std"):
            stretch = _numbers(state["scale_"], (width,))
        weight = self.weight / stretch
        return replace(self, weight=weight, bias=self.bias - weight @ shift)


def linear_of(head: object, width: int) -> Linear:
    """What the classifier ``head`` computes of ``width`` numbers.

    Raises:
        ArtifactError: parts of it are missing, or do not fit each other.
        UnsupportedModelError: it is no linear classifier.
    """
    try:
        found = _linear(head, width)
        _require_names(found)
    except (AttributeError, KeyError, IndexError, ValueError, TypeError) as error:
        msg = f"Its numbers are missing, or do not fit each other or the {width} of an embedding."
        raise ArtifactError(msg, _AGAIN) from error
    if not (found.weight.isfinite().all() and found.bias.isfinite().all()):
        msg = "It holds values that are not finite numbers."
        raise ArtifactError(msg, _AGAIN)
    return found


def _require_names(found: Linear) -> None:
    """Refuse numbers that stand for nothing.

    Raises:
        ValueError: there is another number of classes.
    """
    if found.classes is not None and len(found.classes) != len(found.weight):
        raise ValueError


def _linear(head: object, width: int, *, is_part: bool = False, is_last: bool = False) -> Linear:
    """What ``head`` computes, which may be one by label, or the last of a pipeline."""
    name = _name(head)
    if isinstance(head, Object):
        if name in _CLASSIFIERS:
            return _classifier(_state(head), width, _TWO if is_part else _MOST_CLASSES)
        if name == "Pipeline" and not is_last:
            return _pipeline(_state(head)["steps"], width, is_part=is_part)
        if name == "OneVsRestClassifier" and not is_part:
            return _one_vs_rest(_state(head), width)
        if name == "MultiOutputClassifier" and not is_part:
            return _for_themselves(_state(head)["estimators_"], width)
    msg = f"It holds a {name}."
    raise UnsupportedModelError(msg, f"{_KNOWN}.")


def _name(head: object) -> str:
    """The class of ``head`` in scikit-learn, or where else it comes from."""
    if not isinstance(head, Object):
        return type(head).__name__
    return head.by.name if head.by.module.startswith("sklearn.") else head.by.shown


def _state(head: Object) -> Mapping[str, Any]:
    """The attributes of ``head``.

    Raises:
        UnsupportedModelError: one of them might change what it computes.
    """
    others = [value for name, value in head.state.items() if name not in _HELD]
    if not _is_plain(others):
        msg = f"It holds a {_name(head)} with attributes that are no plain data."
        raise UnsupportedModelError(msg, _AGAIN)
    return head.state


def _is_plain(value: object) -> bool:
    """Whether it is data, all the way down; what is in it twice is looked at once."""
    ahead, seen = [value], set[int]()
    while ahead:
        one = ahead.pop()
        if isinstance(one, (list, tuple, dict)):
            if id(one) not in seen:
                seen.add(id(one))
                ahead.extend(one.values() if isinstance(one, dict) else one)
        elif one is not None and not isinstance(one, (int, float, str, Array)):
            return False
    return True


def _classifier(state: Mapping[str, Any], width: int, most: int) -> Linear:
    """One that chooses one of up to ``most`` classes."""
    (number,) = state["classes_"].shape
    if not _TWO <= number <= most:
        msg = f"It decides between {number:,} labels where {_TWO} to {most:,} are measured."
        raise UnsupportedModelError(msg, f"{_KNOWN}.")
    rows = 1 if number == _TWO else number
    weight, intercept = _numbers(state["coef_"], (rows, width)), state["intercept_"]
    is_row = isinstance(intercept, Array) and intercept.shape
    bias = _numbers(intercept, (rows,)) if is_row else _scalar(intercept).expand(rows)
    found = Linear(weight, bias, _classes(state["classes_"]))
    return found.beside_zero() if number == _TWO else found


def _one_vs_rest(state: Mapping[str, Any], width: int) -> Linear:
    """One classifier by class: the loudest is taken, or each decides for itself."""
    binarizer, parts = state["label_binarizer_"], state["estimators_"]
    if _name(binarizer) != "LabelBinarizer":
        raise TypeError
    labels, each = _state(binarizer), _for_themselves(parts, width)
    if labels["y_type_"] not in ("binary", "multiclass", "multilabel-indicator"):
        raise ValueError
    if labels["y_type_"] == "multilabel-indicator":
        return each
    chosen = replace(each, classes=_classes(labels["classes_"]))
    return chosen.beside_zero() if labels["y_type_"] == "binary" else chosen


def _for_themselves(parts: Sequence[object], width: int) -> Linear:
    """Classifiers that say no or yes each, side by side."""
    if not 0 < len(parts) <= _MOST_PARTS:
        raise ValueError
    each = [_linear(part, width, is_part=True) for part in parts]
    if any(one.classes != (0, 1) for one in each):
        msg = "It decides between other things than no and yes for each label."
        raise UnsupportedModelError(msg, f"{_KNOWN}.")
    weight = torch.stack([one.weight[1] for one in each])
    return Linear(weight, torch.stack([one.bias[1] for one in each]), None)


def _pipeline(steps: Sequence[tuple[str, object]], width: int, *, is_part: bool) -> Linear:
    """A classifier behind scalers."""
    *before, (_, last) = steps[:_MOST_PARTS]
    scalers = [_scaler(step) for _, step in before]
    found = _linear(last, width, is_part=is_part, is_last=True)
    for scaler in reversed(scalers):
        found = found.after_scaling(scaler)
    return found


def _scaler(step: object) -> Object:
    """``step`` of a pipeline, which has to shift and stretch and nothing else."""
    if not isinstance(step, Object) or _name(step) != "StandardScaler":
        msg = f"It holds a {_name(step)} before its classifier."
        raise UnsupportedModelError(msg, f"{_KNOWN}.")
    return step


def _classes(value: Array) -> tuple[str | int, ...]:
    """The classes of a classifier: texts or whole numbers."""
    if value.code == "O8":
        found = value.items
    elif value.code.startswith("U"):
        found = tuple(value.texts())
    else:
        found = tuple(int(number) for number in tensor_of(value).tolist())
    if not all(isinstance(one, (str, int)) for one in found):
        raise TypeError
    return found


def _scalar(value: Any) -> Tensor:  # noqa: ANN401
    """One number, as Python or as numpy has it."""
    return (tensor_of(value) if isinstance(value, Array) else torch.tensor(float(value))).float()


def _numbers(value: Array, shape: tuple[int, ...]) -> Tensor:
    """``value``, which has to have that shape, in full precision."""
    if value.shape != shape:
        raise ValueError
    return tensor_of(value).float()


def tensor_of(value: Array) -> Tensor:
    """``value`` as torch has it."""
    flat = torch.frombuffer(bytearray(value.data), dtype=_DTYPES[value.code])
    if value.by_column:
        return flat.reshape(value.shape[::-1]).permute(*reversed(range(len(value.shape))))
    return flat.reshape(value.shape)
