"""Which part of a model reads text: all of it, an encoder, or the one among several senses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transformers import PreTrainedModel

from plmscan.errors import UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn
    from transformers import PretrainedConfig

__all__ = ["has_parts", "layers_of", "measured_part"]


def has_parts(config: PretrainedConfig) -> bool:
    """Whether only a part of the base model is measured, so that heads end elsewhere."""
    return bool(config.is_encoder_decoder) or _text_config(config) is not config


def measured_part(base: PreTrainedModel) -> str:
    """Name of the part of ``base`` that reads text by itself; empty for all of it.

    Raises:
        UnsupportedModelError: that is no model of the library by itself.
    """
    part: nn.Module = base.get_encoder() if base.config.is_encoder_decoder else base
    if not isinstance(part, PreTrainedModel):
        msg = f"The encoder of {type(base).__name__} is no model by itself in transformers."
        raise UnsupportedModelError(msg, "Only what the library can run alone is measured.")
    wanted = _text_config(part.config)
    inner = [m for m in part.modules() if isinstance(m, PreTrainedModel) and m.config is wanted]
    part = inner[-1] if inner and wanted is not part.config else part
    names = {id(module): str(name) for name, module in base.named_modules()}
    return names[id(part)]


def layers_of(config: PretrainedConfig) -> int:
    """The largest number of layers that ``config`` asks for anywhere; 1 if it names none."""
    asked = [getattr(one, "num_hidden_layers", None) for one in (config, *_nested(config))]
    numbers = [number for number in asked if isinstance(number, int)]
    return 0 if 0 in numbers else max(numbers, default=1)


def _nested(config: PretrainedConfig) -> Iterator[PretrainedConfig]:
    """Configs of the parts of a model."""
    for name in config.sub_configs:
        inner = getattr(config, name, None)
        if inner is not None:
            yield inner
            yield from _nested(inner)


def _text_config(config: PretrainedConfig) -> PretrainedConfig:
    """The config of the part that reads text; ``config`` itself where there is just one part."""
    if not config.sub_configs:
        return config
    try:
        return config.get_text_config()
    except ValueError:  # it has several, and is no model of text alone
        return config
