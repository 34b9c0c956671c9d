"""Short texts in front of tokens that keep the states they have in another text.

What a word does to a model shows in the tokens that read it.  A token behind it that reads nothing
costs as much as they do and only stands there, so that the text is one; its keys and values may as
well be those that it has behind a neutral word, and are computed once.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, Any

import torch

from plmscan.loading.attending import attending_as, attends_as_usual
from plmscan.loading.bench import same
from plmscan.loading.short_texts import attention

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from plmscan.loading.model import LoadedModel

__all__ = ["Held"]

_NAME = "plmscan_held"
"""What the library is to call it."""


@dataclass
class Held:
    """Keys and values of the last tokens of a text, layer by layer."""

    kept: int
    """How many tokens."""
    layers: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    """(1, H, kept, d) each."""

    @classmethod
    def of(cls, model: LoadedModel, text: Tensor, kept: int) -> Held | None:
        """The last ``kept`` tokens of ``text`` (1, n).

        None for a model that cannot be read so: what stands in front of them has to have the states
        that it has in the whole text.
        """
        held = cls(kept)
        if not attends_as_usual(model.module):
            return None
        try:
            with held._recording(model.module):
                whole = model.forward(text).hidden[:, :-kept]
            with held.behind(model.module):
                found = model.forward(text[:, :-kept]).hidden
        except Exception:  # noqa: BLE001 - a model that attends in a way of its own raises anything
            return None
        return held if held.layers and same(found, whole) else None

    @contextmanager
    def _recording(self, module: PreTrainedModel) -> Iterator[None]:
        """Take down those of the one text that goes through ``module`` inside."""

        def seen(key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
            self.layers.append((key[:, :, -self.kept :], value[:, :, -self.kept :]))
            return key, value

        with _attending(module, seen):
            yield

    @contextmanager
    def behind(self, module: PreTrainedModel) -> Iterator[None]:
        """Let ``module`` find them behind every text that goes through it inside."""
        turn = cycle(self.layers)

        def seen(key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
            keys, values = (one.expand(len(key), -1, -1, -1) for one in next(turn))
            return torch.cat([key, keys], dim=2), torch.cat([value, values], dim=2)

        with _attending(module, seen):
            yield


@contextmanager
def _attending(
    module: PreTrainedModel, seen: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
) -> Iterator[None]:
    """Let every layer of ``module`` attend to what ``seen`` makes of its keys and values."""

    def attending(
        layer: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        **options: Any,  # noqa: ANN401 - what else the library has to say
    ) -> tuple[Tensor, None]:
        """What the library asks of an attention function: (b, H, n, d) each -> (b, n, H, d)."""
        return attention(layer, query, *seen(key, value), mask, **options)

    with attending_as(module, _NAME, attending):
        yield
