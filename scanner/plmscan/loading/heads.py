"""A head on outputs that the base model has already computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutput

from plmscan.loading.features import last_token
from plmscan.loading.passing import taken_by

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor
    from transformers import PreTrainedModel

    from plmscan.loading.features import BaseOutputs
    from plmscan.loading.traits import Location, Traits

__all__ = [
    "OnEmbedding",
    "asked_of_base",
    "classifier_logits",
    "masked_lm_logits",
    "put_on",
    "share_base",
    "span_scores",
    "token_logits",
]


_USUAL = frozenset({"attention_mask", "token_type_ids", "position_ids", "input_ids"})
"""What every base model is given anyhow."""


class _AskedError(Exception):
    """A head went to its base model."""

    def __init__(self, asked: Mapping[str, object]) -> None:
        """With what it ``asked``."""
        super().__init__()
        self.asked = asked


class _Given(nn.Module):
    """Stands where a head's base model was, and hands back the outputs that it is given."""

    def __init__(self, base: PreTrainedModel) -> None:
        """Remember ``base`` without owning its weights."""
        super().__init__()
        self._base = (base,)

    def forward(
        self,
        *_args: object,
        inputs_embeds: BaseOutputs | None = None,
        **asked: object,
    ) -> BaseOutputs:
        """The outputs, which come by the one argument that every head passes on untouched.

        Raises:
            _AskedError: there are none: the head was given a text.
        """
        if inputs_embeds is None:
            raise _AskedError(asked)
        return inputs_embeds

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as in torch
        """Parts of the base model that a head reaches for, such as its word embeddings."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["_base"][0], name)


@dataclass
class _States(BaseModelOutput):
    """Hidden states, with what Longformer's head passes on."""

    global_attentions: None = None
    """None."""


class OnEmbedding(nn.Module):
    """A linear map of the embedding of a text, which stands in no file of weights."""

    weight: Tensor
    """(numbers, h)."""
    bias: Tensor
    """(numbers)."""

    def __init__(self, weight: Tensor, bias: Tensor, where: Location, *, normalized: bool) -> None:
        """What is read at ``where``, and has length one before if ``normalized``."""
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.where = where
        self.normalized = normalized

    def forward(self, features: Mapping[Location, Tensor]) -> Tensor:
        """(b, numbers) for the features of texts."""
        embedding = features[self.where]
        if self.normalized:
            embedding = F.normalize(embedding, dim=-1)
        return F.linear(embedding, self.weight, self.bias)


def share_base(head: PreTrainedModel, base: PreTrainedModel) -> None:
    """Drop the base model inside ``head``; from now on it works on outputs of ``base``."""
    setattr(head, head.base_model_prefix, _Given(base))


def put_on(head: PreTrainedModel, base: PreTrainedModel) -> None:
    """Let ``head`` stand on ``base`` instead of its own copy, where it has just such a one."""
    if type(getattr(head, head.base_model_prefix, None)) is type(base):
        setattr(head, head.base_model_prefix, base)
        head.tie_weights()


def asked_of_base(head: nn.Module, input_ids: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
    """What a ``head`` asks of its base model for ``input_ids`` (b, n) that none would do by itself.

    Longformer's classifier lets the first token see all others.
    """
    try:
        head(input_ids=input_ids, **taken_by(head, attention_mask=mask))
    except _AskedError as found:
        said = found.asked.items()
        return {k: v for k, v in said if isinstance(v, torch.Tensor) and k not in _USUAL}
    return {}


def classifier_logits(
    head: Any,  # noqa: ANN401 - each architecture has its own parts
    traits: Traits,
    outputs: BaseOutputs,
    mask: Tensor | None,
    asked: Mapping[str, Tensor],
) -> Tensor:
    """(b, labels) of a classifier whose base model gave ``outputs``, as it was ``asked`` to."""
    if traits.decoder or traits.cls_last:
        # The library's own choice of the last token trusts padding ids or takes the last slot,
        # which is padding in a right-padded batch.
        last = last_token(outputs.last_hidden_state, mask)
        if hasattr(head, "score"):
            return cast("Tensor", head.score(last))
        alone = {"last_hidden_state": last.unsqueeze(1)}
        outputs, mask = type(outputs)(**{**cast("Any", outputs), **alone}), None
    given = taken_by(head, attention_mask=mask, **asked)
    return cast("Tensor", head(inputs_embeds=outputs, **given).logits)


def token_logits(
    head: Any,  # noqa: ANN401 - each architecture has its own parts
    outputs: BaseOutputs,
    mask: Tensor | None,
) -> Tensor:
    """(b, n, labels) of a classifier of tokens whose base model gave ``outputs``."""
    given = taken_by(head, attention_mask=mask)
    return cast("Tensor", head(inputs_embeds=outputs, **given).logits)


def span_scores(
    head: Any,  # noqa: ANN401 - each architecture has its own parts
    outputs: BaseOutputs,
    mask: Tensor | None,
) -> Tensor:
    """(b, n, 2) scores of each token to begin an answer and to end it."""
    found = head(inputs_embeds=outputs, **taken_by(head, attention_mask=mask))
    return torch.stack([found.start_logits, found.end_logits], dim=-1)


def masked_lm_logits(head: nn.Module, hidden: Tensor) -> Tensor:
    """(b, n, v) of a masked language model for hidden states (b, n, h)."""
    outputs = _States(last_hidden_state=hidden)
    return cast("Tensor", head(inputs_embeds=outputs).logits)
