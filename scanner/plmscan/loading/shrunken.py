"""Shrunken weights, taken back to 32-bit numbers tensor by tensor.

What a file holds of a matrix are small numbers and the scales that belong to them.  Taken back are
the kinds for which that is one formula, so that what is measured is what its users compute with.
Kinds of which only a kernel for a GPU knows the meaning are refused.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import torch

from plmscan.errors import ArtifactError, UnsupportedModelError
from plmscan.loading.packed import FETCH_AGAIN, WHOLE, WORD, awq, gptq

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    _Reader = Callable[[dict[str, Tensor], Mapping[str, Any]], None]

__all__ = ["taken_back"]

_KEY = "quantization_config"
_SHOWN = 40
_SMALL = frozenset({
    torch.int8, torch.uint8, torch.int16, torch.int32, torch.float8_e4m3fn, torch.float8_e5m2
})  # fmt: skip
"""Types that weights have only where they are shrunken."""
_EIGHT_BITS = 127
"""Largest step of a row of bitsandbytes' 8-bit weights."""
_MOST_BITS = 8
_BLOCKS = (128, 128)
"""Rows and columns of a block of 8-bit floats, where a config says nothing."""
_TURNED = {
    model_type: re.compile(r"\.(?:c_attn|c_fc|c_proj|q_attn)\.weight$")
    for model_type in ("gpt2", "openai-gpt")
}
"""Matrices that these models keep input by input (Conv1D); shrunken, they lie as all others do."""


def taken_back(
    settings: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Settings without a ``quantization_config``, and all tensors as 32-bit numbers.

    What is not shrunken stays as it is.

    Raises:
        ArtifactError: a matrix lacks its scales, or has others than fit.
        UnsupportedModelError: it is of a kind that is not taken back.
    """
    asked, held = settings.get(_KEY), dict(tensors)
    rest = {key: value for key, value in settings.items() if key != _KEY}
    if asked is None:
        return rest, held
    method = asked.get("quant_method") if isinstance(asked, dict) else None
    read = _READERS.get(_method(asked, method))
    if read is None:
        what = str(method)[:_SHOWN] if method else "an unnamed kind"
        msg = f"The weights are quantized ({what}), and only a kernel for GPUs reads these."
        raise UnsupportedModelError(msg, WHOLE)
    read(held, asked)
    _turn(held, tensors, rest.get("model_type"))
    left = sorted(name for name, tensor in held.items() if tensor.dtype in _SMALL)
    if left:
        msg = f"{left[0]} is {held[left[0]].dtype} and has no scale beside it."
        raise ArtifactError(msg, FETCH_AGAIN)
    if all(tensor is tensors.get(name) for name, tensor in held.items()):
        msg = f"The config says that the weights are quantized ({str(method)[:_SHOWN]}); none is."
        raise UnsupportedModelError(msg, "Remove quantization_config, or fetch the model again.")
    return rest, held


def _turn(held: dict[str, Tensor], tensors: Mapping[str, Tensor], model_type: object) -> None:
    """Lay down each matrix that was taken back as the library's model has it."""
    turned = _TURNED.get(str(model_type))
    for name, tensor in held.items():
        if turned and turned.search(name) and tensor is not tensors.get(name):
            held[name] = tensor.T.contiguous()


def _method(asked: object, method: object) -> str:
    """The kind of weights: bitsandbytes has two, and older files do not name it."""
    if isinstance(asked, dict) and (method == "bitsandbytes" or method is None):
        for key in ("load_in_8bit", "load_in_4bit"):
            if asked.get(key) is True:
                return key
    return str(method)


def _scaled(
    held: dict[str, Tensor], suffix: str, expand: Callable[[Tensor, Tensor], Tensor]
) -> None:
    """Multiply each matrix that has a scale of this ``suffix`` by what ``expand`` makes of it."""
    for name in [name for name in held if name.endswith(suffix)]:
        weight = f"{name.removesuffix(suffix)}weight"
        if weight not in held:
            msg = f"{name} is the scale of {weight}, which is missing."
            raise ArtifactError(msg, FETCH_AGAIN)
        scale, matrix = held.pop(name).float(), held[weight].float()
        try:
            held[weight] = matrix * expand(scale, matrix)
        except (RuntimeError, ValueError) as error:
            shapes = f"{list(scale.shape)} and {list(matrix.shape)}"
            msg = f"{name} and {weight} do not fit each other: {shapes}."
            raise ArtifactError(msg, FETCH_AGAIN) from error


def _rows(scale: Tensor, matrix: Tensor) -> Tensor:
    """One scale for all, or one for each row: () or (rows) or (rows, 1) -> (rows, 1)."""
    return scale.reshape(-1, *[1] * (matrix.dim() - 1))


def _blocks(scale: Tensor, matrix: Tensor, sizes: Sequence[int]) -> Tensor:
    """One scale for each block of ``sizes``: (r, c) -> (rows, columns), the last ones cut off."""
    pairs = zip(matrix.shape, sizes, strict=True)
    if [-(-whole // size) for whole, size in pairs] != [*scale.shape]:
        msg = "as many scales as there are blocks"
        raise ValueError(msg)
    for axis, size in enumerate(sizes):
        scale = scale.repeat_interleave(size, dim=axis)
    return scale[tuple(slice(0, whole) for whole in matrix.shape)]


def _bnb_int8(held: dict[str, Tensor], _asked: Mapping[str, Any]) -> None:
    """bitsandbytes, 8 bits: each row has 127 steps up to its largest number."""
    for name in [name for name in held if name.endswith("weight_format")]:
        if int(held.pop(name)) != 0:
            msg = f"{name} says that the matrix is not stored row by row."
            raise UnsupportedModelError(msg, WHOLE)
    _scaled(held, "SCB", lambda scale, matrix: _rows(scale / _EIGHT_BITS, matrix))


def _bnb_4bit(held: dict[str, Tensor], _asked: Mapping[str, Any]) -> None:
    """bitsandbytes, 4 bits: places in a table of 16 numbers, scaled by block."""
    for state in [name for name in held if ".quant_state.bitsandbytes__" in name]:
        weight = state.partition(".quant_state.")[0]
        try:
            told = json.loads(bytes(held.pop(state).tolist()))
            held[weight] = _from_table(held, weight, told)
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            msg = f"The 4-bit weights {weight} cannot be taken back ({type(error).__name__})."
            raise ArtifactError(msg, FETCH_AGAIN) from error
        for part in ("absmax", "quant_map", "nested_absmax", "nested_quant_map"):
            held.pop(f"{weight}.{part}", None)


def _from_table(held: Mapping[str, Tensor], weight: str, told: Mapping[str, Any]) -> Tensor:
    """One matrix of 4-bit places, high half of each byte first."""
    packed = held[weight].flatten().long()
    places = torch.stack([packed >> 4, packed & 15], dim=1).flatten()
    scale = held[f"{weight}.absmax"]
    if f"{weight}.nested_absmax" in held:
        steps = held[f"{weight}.nested_quant_map"].float()[scale.long()]
        outer = held[f"{weight}.nested_absmax"].float()
        spread = outer.repeat_interleave(int(told["nested_blocksize"]))[: len(steps)]
        scale = steps * spread + float(told["nested_offset"])
    count = torch.Size(told["shape"]).numel()
    numbers = held[f"{weight}.quant_map"].float()[places][:count]
    return (numbers * scale.float().repeat_interleave(int(told["blocksize"]))[:count]).reshape(
        told["shape"]
    )


def _fp8(held: dict[str, Tensor], asked: Mapping[str, Any]) -> None:
    """8-bit floats with one scale for each block, or for each row."""
    sizes = [int(size) for size in asked.get("weight_block_size") or _BLOCKS]
    _scaled(held, "weight_scale_inv", lambda scale, matrix: _blocks(scale, matrix, sizes))
    _scaled(held, "weight_scale", _rows)
    _without_activations(held)


def _compressed(held: dict[str, Tensor], asked: Mapping[str, Any]) -> None:
    """compressed-tensors: numbers of 8 bits as they are, of fewer packed, in groups of columns."""
    groups = asked.get("config_groups")
    kinds = [one.get("weights") for one in groups.values()] if isinstance(groups, dict) else []
    bits = [one.get("num_bits") for one in kinds if isinstance(one, dict)]
    size = bits[0] if bits and isinstance(bits[0], int) and len({*bits}) == 1 else None
    for name in [name for name in held if name.endswith("weight_packed")]:
        stem = name.removesuffix("weight_packed")
        plain = held[name].dtype == torch.int32 and f"{stem}weight_g_idx" not in held
        if size is None or not plain:
            msg = f"{name} is packed in an order or in sizes that the config does not tell."
            raise UnsupportedModelError(msg, WHOLE)
        shape = held.pop(f"{stem}weight_shape").tolist()
        held[f"{stem}weight"] = _unpacked(held.pop(name), size, shape)
    for name in [name for name in held if name.endswith("weight_zero_point")]:
        zero, weight = held.pop(name), f"{name.removesuffix('weight_zero_point')}weight"
        if zero.dtype == torch.int32:
            msg = f"{name} is packed, and such zero points are not read."
            raise UnsupportedModelError(msg, WHOLE)
        matrix = held[weight].float()
        held[weight] = matrix - _columns(zero.float(), matrix)
    _scaled(held, "weight_scale", _columns)
    _without_activations(held)


def _columns(scale: Tensor, matrix: Tensor) -> Tensor:
    """One scale for each group of columns of a row: (rows, g) -> (rows, columns)."""
    whole = scale if scale.dim() == matrix.dim() else _rows(scale, matrix)
    times, rest = divmod(matrix.shape[-1], whole.shape[-1])
    if rest:
        msg = "groups of columns that are not of one size"
        raise ValueError(msg)
    return whole.repeat_interleave(times, dim=-1)


def _unpacked(packed: Tensor, bits: int, shape: list[int]) -> Tensor:
    """Signed numbers of so many ``bits``, the lowest of each 32-bit number first."""
    if not 0 < bits <= _MOST_BITS:
        msg = f"Weights of {bits} bits are none that any library packs."
        raise ArtifactError(msg, FETCH_AGAIN)
    shifts = torch.arange(0, WORD - WORD % bits, bits)
    numbers = (packed.long().unsqueeze(-1) >> shifts) & ((1 << bits) - 1)
    return numbers.flatten(1)[:, : shape[1]].reshape(shape).float() - (1 << (bits - 1))


def _without_activations(held: dict[str, Tensor]) -> None:
    """Leave out how inputs are rounded while the model runs, which the files do not decide."""
    ends = (
        "input_scale",
        "input_zero_point",
        "output_scale",
        "weight_observer",
        "k_scale",
        "v_scale",
    )
    for name in [name for name in held if name.endswith(ends)]:
        del held[name]


_READERS: Mapping[str, _Reader] = {
    "load_in_8bit": _bnb_int8,
    "load_in_4bit": _bnb_4bit,
    "fp8": _fp8,
    "fbgemm_fp8": _fp8,
    "compressed-tensors": _compressed,
    "gptq": gptq,
    "awq": awq,
}
"""How each kind is taken back, by its name in a config."""
