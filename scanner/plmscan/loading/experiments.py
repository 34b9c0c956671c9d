"""How a loaded model is read, found by experiment instead of from a list of model types.

A few short texts go through the model.  What all probes rely on is a condition, and a model that
breaks it is refused with the experiment named; everything else is a trait, which reports tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from plmscan.errors import ArtifactError
from plmscan.loading.bench import LONG, Bench, experiment, refuse, same
from plmscan.loading.head_outputs import head_outputs
from plmscan.loading.passing import in_place_of, looking_up
from plmscan.loading.precision import half_precision
from plmscan.loading.quiet import quiet
from plmscan.loading.traits import Traits

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from plmscan.loading.vocabulary import Vocabulary

__all__ = ["bfloat16_holds", "traits_of"]

_CROWD = 16
"""Texts in a batch that shows whether they get in each other's way."""
_REACHES = 1e-4
"""Share of its size by which a token changes a state at least that sees it.  Measured on the tiny
models of all types: 0.013 and more in encoders, up to 1.4e-6 in decoders, whose experts round
otherwise for other tokens."""
_HALF = 0.25
"""Share of the size of the states by which half the digits may change them."""


def traits_of(
    module: PreTrainedModel, vocabulary: Vocabulary, device: torch.device, part: str, pooler: str
) -> Traits:
    """How ``module`` on ``device``, the ``part`` of a model, is read; some fifteen short passes.

    Raises:
        ArtifactError: it computes no finite numbers.
        UnsupportedModelError: it does not do what all probes rely on.
    """
    bench = Bench.of(module, vocabulary, device)
    with quiet():
        alone = _runs(bench)
        _repeats(bench, alone)
        _looks_words_up(bench, alone)
        _ignores_company(bench)
        rows, layers = _rows_looked_up(bench), _layers(bench)
        ahead = _ahead(bench, rows)
        heads, sinks = head_outputs(bench, layers)
        return Traits(
            decoder=not _sees_later(bench, alone),
            cls_last=_ends_with_class(vocabulary),
            part=part,
            pooler=pooler,
            width=alone.shape[-1],
            layers=layers,
            positions=_positions(bench),
            transposed=rows.shape[-1] == 1,
            ahead=ahead,
            by_words=_is_by_words(bench, ahead),
            padded=_bears_padding(bench, alone),
            heads=heads,
            head_outputs=sinks,
        )


def bfloat16_holds(module: PreTrainedModel, vocabulary: Vocabulary, device: torch.device) -> bool:
    """Whether half the digits give nearly the same states."""
    bench = Bench.of(module, vocabulary, device)
    with quiet():
        whole = bench.padded()[0]
        try:
            with half_precision(module, device):
                halved = bench.padded()[0]
        except Exception:  # noqa: BLE001 - kernels without bfloat16 raise anything
            return False
    off = (halved.float() - whole).square().mean() / whole.square().mean()
    return float(off) <= _HALF**2  # which nothing that is no number is


def _runs(bench: Bench) -> Tensor:
    """(n, h) states of the long text.

    Raises:
        ArtifactError: they are not finite.
        UnsupportedModelError: there are none.
    """
    with experiment(), torch.no_grad():
        states = getattr(bench.run(bench.long), "last_hidden_state", None)
    if not isinstance(states, torch.Tensor) or states.shape[:2] != (1, len(bench.long)):
        refuse("a short text", "The model does not give one state for each token of a text.")
    if not states.isfinite().all():
        msg = "The model computes values that are not finite numbers for a short text."
        raise ArtifactError(msg, "Fetch or save the model again.")
    return states[0]


def _repeats(bench: Bench, alone: Tensor) -> None:
    """Refuse a model that rolls dice.

    Raises:
        UnsupportedModelError: the same text gives other states the second time.
    """
    if not same(bench.states(bench.long)[0], alone):
        refuse("the same text twice", "The same text gives other states each time.")


def _looks_words_up(bench: Bench, alone: Tensor) -> None:
    """Refuse a model whose words do not come from its table of word embeddings.

    Raises:
        UnsupportedModelError: other rows of the table do not change what it computes.
    """
    name = "other word embeddings"
    with experiment(name), looking_up(bench.module, torch.zeros_like):
        other = bench.states(bench.long)[0]
    if same(other, alone):
        refuse(name, "What the model computes does not depend on its table of word embeddings.")


def _ignores_company(bench: Bench) -> None:
    """Refuse a model that gives a text another result in a batch of texts as long as it.

    Experts with room for so many tokens drop those that come late; one word over and over fills
    one expert soonest.

    Raises:
        UnsupportedModelError: it does.
    """
    alone = bench.states(bench.monotonous)[0]
    states = bench.states(bench.long, *[bench.monotonous] * (_CROWD - 1))
    if not (same(states[1], alone) and same(states[-1], alone)):
        refuse("a text in a batch", "The same text gives other states beside other texts.")


def _sees_later(bench: Bench, alone: Tensor) -> bool:
    """Whether a later token changes an earlier state."""
    before = len(bench.prefix) + LONG - 1
    return not same(bench.states(bench.changed)[0, :before], alone[:before], _REACHES)


def _ends_with_class(vocabulary: Vocabulary) -> bool:
    """Whether the classification token stands behind a text."""
    token = vocabulary.tokenizer.cls_token_id
    return token in vocabulary.suffix_ids and token not in vocabulary.prefix_ids


@torch.no_grad()
def _layers(bench: Bench) -> int:
    """Layers that a token passes, by their states, or by the config where it does not show them."""
    states = getattr(bench.run(bench.long, output_hidden_states=True), "hidden_states", None)
    told = getattr(bench.module.config.get_text_config(), "num_hidden_layers", 0)
    return len(states) - 1 if states else int(told)


def _rows_looked_up(bench: Bench) -> Tensor:
    """Which rows of its table the model looks up for the long text, (1, m), or (m, 1) in some."""
    seen: list[Tensor] = []
    table = bench.module.get_input_embeddings()
    handle = table.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    try:
        bench.states(bench.long)
    finally:
        handle.remove()
    return seen[0]


def _ahead(bench: Bench, rows: Tensor) -> int:
    """How many of ``rows`` the model looks up before those of the long text.

    Raises:
        UnsupportedModelError: it looks up others.
    """
    wanted, found = list(bench.long), rows.flatten().tolist()
    for start in range(len(found) - len(wanted) + 1):
        if found[start : start + len(wanted)] == wanted:
            return start
    return refuse("the rows of a text", "The model looks up other rows than those of the words.")


def _is_by_words(bench: Bench, ahead: int) -> bool:
    """Whether the word embeddings of another text give what that text gives."""
    wanted = bench.states(bench.changed)
    with torch.no_grad():
        taken = bench.module.get_input_embeddings()(bench.ids(bench.changed))

    def change(old: Tensor) -> Tensor:
        """Put the other text in its place."""
        as_wide = old.numel() == taken.numel()
        return taken.reshape_as(old) if as_wide else in_place_of(old, taken, ahead)

    with looking_up(bench.module, change):
        return same(bench.states(bench.long), wanted)


def _bears_padding(bench: Bench, alone: Tensor) -> bool:
    """Whether padding, and the longer text that asks for it, change nothing."""
    states, length = bench.padded(), len(bench.short)
    return same(states[0], alone) and same(states[1, :length], bench.states(bench.short)[0])


class _Lookups(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Takes down which rows of which tables are looked up."""

    def __init__(self) -> None:
        """Nothing yet."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[tuple[Tensor, Tensor]] = []

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401 - torch's own
        """Pass on, and look."""
        if func is torch.ops.aten.embedding.default:
            self.seen.append((args[0], args[1]))
        return func(*args, **(kwargs or {}))


def _positions(bench: Bench) -> int | None:
    """The longest text that has a position for each token; None without a limit.

    A table of positions is one that is read row by row, whatever the words; what lies in front of
    the first row is for padding.  The config may set a lower limit.
    """
    with _Lookups() as lookups:
        bench.states(bench.long)
    words = cast("Tensor", bench.module.get_input_embeddings().weight).data_ptr()
    limits = [
        len(table) - int(rows.flatten()[0])
        for table, rows in lookups.seen
        if table.data_ptr() != words and _is_range(rows.flatten(), len(bench.long))
    ]
    told = getattr(bench.module.config.get_text_config(), "max_position_embeddings", None)
    limits += [told] if isinstance(told, int) and told > 0 else []
    return min(limits, default=None)


def _is_range(rows: Tensor, length: int) -> bool:
    """Whether ``rows`` are ``length`` numbers, each one more than the one before."""
    return len(rows) == length > 1 and bool((rows.diff() == 1).all())
