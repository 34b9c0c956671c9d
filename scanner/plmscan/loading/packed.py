"""Matrices packed into 32-bit words, as GPTQ and AWQ keep them.

A linear layer is kept input by input: ``qweight`` holds whole numbers of few bits, and each group
of inputs has a row of ``scales`` and one of zero points (``qzeros``), packed as well.  A weight is
its number less the zero point, times the scale; libraries round the product to 16 bits, which is
left out here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from plmscan.errors import ArtifactError, UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

__all__ = ["FETCH_AGAIN", "WHOLE", "WORD", "awq", "gptq"]

FETCH_AGAIN = "Fetch or save the model again; if it is meant to be so, it cannot be scanned."
WHOLE = "Scan the model that it was made from, with --also quantised:int8 or quantised:nf4."

WORD = 32
"""Bits of a number into which others are packed."""
_BITS = (2, 3, 4, 8)
"""Sizes that GPTQ's files have (GPTQConfig of transformers 5.23)."""
_OFFSETS = {"gptq": 1, "gptq_v2": 0}
"""What GPTQ's first format takes from each zero point before it packs it, and its second does not
(gptqmodel 7.7, `convert_gptq_v1_to_v2_format_module`)."""
_AWQ_BITS = 4
_PLACES = (0, 4, 1, 5, 2, 6, 3, 7)
"""In which eighth of a word each of 8 neighbours lies: AWQ's kernels take the even ones first
(AutoAWQ 0.2.9, `AWQ_REVERSE_ORDER`)."""
_ENDS = ("qweight", "qzeros", "scales", "g_idx")


@dataclass(frozen=True)
class _Packed:
    """What a file holds of one matrix."""

    name: str
    """Its layer, with the dot behind it."""
    words: Tensor
    """Its numbers, packed along one of its axes."""
    zeros: Tensor
    """Zero points (groups, words), packed along the outputs."""
    scales: Tensor
    """What a step is worth (groups, outputs)."""
    order: Tensor | None
    """The group of each input (inputs); None where they are in order."""

    @property
    def groups(self) -> int:
        """How many groups of inputs there are."""
        return self.scales.shape[0]

    @property
    def outputs(self) -> int:
        """How many outputs the layer has."""
        return self.scales.shape[1]

    def require(self, *, fits: bool) -> None:
        """Go on if its tensors fit each other.

        Raises:
            ArtifactError: they do not.
        """
        if not fits:
            shapes = ", ".join(str([*t.shape]) for t in (self.words, self.zeros, self.scales))
            msg = f"The packed weights of {self.name[:-1]} do not fit each other: {shapes}."
            raise ArtifactError(msg, FETCH_AGAIN)

    def weight(self, numbers: Tensor, points: Tensor, group: Tensor) -> Tensor:
        """(inputs, outputs) numbers, (groups, outputs) zero points -> (outputs, inputs)."""
        return ((numbers - points[group]) * self.scales.float()[group]).T.contiguous()


def gptq(held: dict[str, Tensor], asked: Mapping[str, Any]) -> None:
    """GPTQ, 2, 3, 4 or 8 bits, inputs in order or not (arXiv 2210.17323).

    The numbers of a column follow each other bit by bit, the lowest first, so that those of 3 bits
    reach from one word into the next (gptqmodel 7.7, `PackableQuantLinear.pack_original`).

    Raises:
        ArtifactError: tensors are missing, or do not fit each other.
        UnsupportedModelError: they are arranged for one kernel, or libraries read them differently.
    """
    layout = str(asked.get("checkpoint_format") or asked.get("format") or "gptq").lower()
    if asked.get("is_marlin_format") or layout not in _OFFSETS:
        layout = "marlin" if asked.get("is_marlin_format") else layout
        msg = f"The weights are GPTQ's in the arrangement {layout[:40]!r}, which is not read."
        raise UnsupportedModelError(msg, WHOLE)
    for packed in _packed(held, "GPTQ"):
        held[f"{packed.name}weight"] = _of_gptq(packed, asked, _OFFSETS[layout])


def awq(held: dict[str, Tensor], asked: Mapping[str, Any]) -> None:
    """AWQ, 4 bits, in the arrangement of its GEMM kernel (arXiv 2306.00978).

    Raises:
        ArtifactError: tensors are missing, or do not fit each other.
        UnsupportedModelError: they are of another size, or arranged for another kernel.
    """
    layout = str(asked.get("version") or asked.get("format") or "gemm").lower()
    layout = "llm-awq" if asked.get("backend") == "llm-awq" else layout
    bits = asked.get("bits", asked.get("w_bit", _AWQ_BITS))
    if layout != "gemm" or bits != _AWQ_BITS:
        how = f"{str(bits)[:40]} bits, arrangement {layout[:40]!r}"
        msg = f"The weights are AWQ's ({how}), of which 4 bits for its GEMM kernel are read."
        raise UnsupportedModelError(msg, WHOLE)
    for packed in _packed(held, "AWQ"):
        held[f"{packed.name}weight"] = _of_awq(packed)


def _packed(held: dict[str, Tensor], kind: str) -> Iterator[_Packed]:
    """Every packed matrix, taken out of ``held``.

    Raises:
        ArtifactError: a part of one is missing, or is no table.
        UnsupportedModelError: words have another size, or a part belongs to no matrix.
    """
    for name in [name for name in held if name.endswith(".qweight")]:
        yield _taken_out(held, name.removesuffix("qweight"))
    left = sorted(name for name in held if name.rpartition(".")[2] in _ENDS)
    if left:
        msg = f"{left[0]} belongs to no matrix that {kind} packs."
        raise UnsupportedModelError(msg, WHOLE)


def _taken_out(held: dict[str, Tensor], name: str) -> _Packed:
    """The packed matrix of the layer ``name``, taken out of ``held``."""
    lost = [part for part in _ENDS[:3] if f"{name}{part}" not in held]
    if lost:
        msg = f"{name}qweight is packed, and {name}{lost[0]} is missing."
        raise ArtifactError(msg, FETCH_AGAIN)
    words, zeros, scales = (held.pop(f"{name}{part}") for part in _ENDS[:3])
    if not words.dtype == zeros.dtype == torch.int32:
        msg = f"{name}qweight is packed into {words.dtype}, and only words of 32 bits are read."
        raise UnsupportedModelError(msg, WHOLE)
    packed = _Packed(name, words, zeros, scales, held.pop(f"{name}g_idx", None))
    packed.require(fits=words.dim() == zeros.dim() == scales.dim() == 2 and scales.numel() > 0)  # noqa: PLR2004 - tables
    return packed


def _of_gptq(packed: _Packed, asked: Mapping[str, Any], offset: int) -> Tensor:
    """One matrix (outputs, inputs)."""
    bits = _bits(packed, asked)
    order, rows = packed.order, packed.words.shape[0]
    inputs = rows * WORD // bits if order is None else order.numel()
    packed.require(
        fits=packed.words.shape == (_words(inputs, bits), packed.outputs)
        and packed.zeros.shape == (packed.groups, _words(packed.outputs, bits))
    )
    points = _numbers(packed.zeros.T, bits, packed.outputs).T + offset
    if offset and int(points.max()) >> bits:
        msg = f"{packed.name}qzeros holds a zero point that libraries take for different numbers."
        raise UnsupportedModelError(msg, WHOLE)
    group = _group_of_each(packed, asked, inputs)
    return packed.weight(_numbers(packed.words, bits, inputs), points, group)


def _bits(packed: _Packed, asked: Mapping[str, Any]) -> int:
    """Bits of a number: those of the config, or where layers differ, what the shapes say.

    Raises:
        UnsupportedModelError: GPTQ has no such numbers.
    """
    told = asked.get("bits")
    if asked.get("dynamic") and packed.order is not None:
        told = packed.words.shape[0] * WORD // max(1, packed.order.numel())
    if not isinstance(told, int) or told not in _BITS:
        msg = f"{packed.name}qweight has numbers of {str(told)[:40]} bits, which are not read."
        raise UnsupportedModelError(msg, WHOLE)
    return told


def _group_of_each(packed: _Packed, asked: Mapping[str, Any], inputs: int) -> Tensor:
    """The group of each input (inputs).

    Raises:
        ArtifactError: there is no such group.
        UnsupportedModelError: by the config they are in order, and by the file they are not.
    """
    size = asked.get("group_size")
    if not isinstance(size, int) or size <= 0 or -(-inputs // size) != packed.groups:
        size = -(-inputs // packed.groups)
    plain = torch.arange(inputs) // size
    if packed.order is None:
        packed.require(fits=not asked.get("desc_act"))
        return plain
    order = packed.order.long()
    packed.require(fits=order.dim() == 1 and bool(((order >= 0) & (order < packed.groups)).all()))
    if not asked.get("desc_act") and not torch.equal(order, plain):
        msg = f"{packed.name}g_idx gives an order of inputs that the config denies (desc_act)."
        raise UnsupportedModelError(msg, WHOLE)
    return order


def _of_awq(packed: _Packed) -> Tensor:
    """One matrix (outputs, inputs)."""
    inputs, columns = packed.words.shape
    packed.require(
        fits=packed.zeros.shape == (packed.groups, columns)
        and packed.outputs == columns * len(_PLACES)
        and inputs % packed.groups == 0
    )
    group = torch.arange(inputs) // (inputs // packed.groups or 1)
    return packed.weight(_eighths(packed.words), _eighths(packed.zeros), group)


def _words(count: int, bits: int) -> int:
    """How many words ``count`` numbers take."""
    return -(-count * bits // WORD)


def _numbers(words: Tensor, bits: int, count: int) -> Tensor:
    """(words, columns) -> (count, columns) numbers that follow each other bit by bit."""
    starts = torch.arange(count) * bits
    wide = nn.functional.pad(words.long() & ((1 << WORD) - 1), (0, 0, 0, 1))
    first = starts // WORD
    pairs = wide[first] | wide[first + 1] << WORD
    return (pairs >> (starts % WORD).unsqueeze(1)) & ((1 << bits) - 1)


def _eighths(words: Tensor) -> Tensor:
    """(rows, words) -> (rows, 8 words) numbers of 4 bits."""
    shifts = torch.tensor(_PLACES) * _AWQ_BITS
    return ((words.unsqueeze(-1) >> shifts) & ((1 << _AWQ_BITS) - 1)).flatten(1)
