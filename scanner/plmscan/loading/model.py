"""One face for every architecture: `LoadedModel`."""

from __future__ import annotations

import copy
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from plmscan.errors import UnsupportedModelError
from plmscan.loading import vocabulary
from plmscan.loading.apart import by_length
from plmscan.loading.attending import attending_by
from plmscan.loading.decisions import OneOf
from plmscan.loading.embedding import Behind
from plmscan.loading.features import first_of, last_token, mean_token
from plmscan.loading.heads import (
    OnEmbedding,
    asked_of_base,
    classifier_logits,
    masked_lm_logits,
    span_scores,
    token_logits,
)
from plmscan.loading.meter import TokenMeter
from plmscan.loading.passing import in_place_of, looking_up, passed
from plmscan.loading.precision import half_precision
from plmscan.loading.quiet import quiet
from plmscan.loading.short_texts import together
from plmscan.loading.spans import found_in
from plmscan.loading.token_labels import in_text, told_by
from plmscan.loading.traits import Location, Traits

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from torch import Tensor, nn
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from plmscan.evidence import Gap
    from plmscan.loading.decisions import Decision
    from plmscan.loading.features import BaseOutputs
    from plmscan.loading.vocabulary import Separator
    from plmscan.loading.writing import Writer

__all__ = ["Attended", "LoadedModel", "Outputs", "TokenMeter"]

_BACKWARD = 2
"""Cost of a backward pass in forward passes."""


@dataclass(frozen=True)
class Outputs:
    """What a model says about one batch."""

    hidden: Tensor
    """(b, n, h) last hidden state; at padded positions it means nothing."""
    features: Mapping[Location, Tensor]
    """(b, h) at each scanned location.  The mask token's only if every row has one."""
    logits: Tensor | None
    """(b, numbers) by which a classifier of texts or of tokens, or an answer, is decided."""
    leads: Tensor | None
    """(b, labels) by how much it prefers each label; above 0 for those that a text gets."""


@dataclass(frozen=True)
class Attended:
    """What attention does in one batch."""

    maps: tuple[Tensor, ...]
    """(b, heads, n, n) of each layer: how much each token, a row, looks at each."""
    outputs: Tensor | None
    """(b, layers, heads, d) what each head gives to the token that is read, the classification
    token or a decoder's last; None where the architecture does not show it."""


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model in evaluation mode with frozen weights, its tokenizer, and how to read it.

    Batches are right-padded.  A ``mask`` (b, n) has 1 for real tokens and 0 for padding; None
    says that all rows have the same length, and is faster.
    """

    module: PreTrainedModel
    """The base model, which computes hidden states."""
    heads: Mapping[str, nn.Module]
    """Heads on the base model's outputs, where they exist: ``masked-lm``, and ``classifier``,
    ``token-classification`` or ``question-answering``."""
    traits: Traits
    """How it is read, as experiments found it."""
    tokenizer: PreTrainedTokenizerBase
    """The library's tokenizer."""
    config: PretrainedConfig
    """The library's config."""
    device: torch.device
    """Where the weights are."""
    locations: tuple[Location, ...]
    """Where features are read."""
    skipped_locations: Mapping[Location, str]
    """Locations that the architecture has and that are not read -> why."""
    gaps: tuple[Gap, ...]
    """Heads and other tensors of the files that are not measured, and why."""
    special_ids: frozenset[int]
    """Ids of special tokens."""
    mask_id: int | None
    """Id of the mask token, where there is one."""
    pad_id: int
    """Id in the slots behind a short row."""
    prefix_ids: tuple[int, ...]
    """Ids that the tokenizer puts in front of a text."""
    suffix_ids: tuple[int, ...]
    """Ids that the tokenizer puts behind a text."""
    prompt_ids: tuple[int, ...] = ()
    """Ids of the prompt that sentence-transformers puts before every text."""
    behind: Behind = field(default_factory=Behind)
    """What sentence-transformers puts behind the base model."""
    decision: Decision | None = None
    """What a classifier of texts or of tokens, or an answer, decides; None without one."""
    separator: Separator | None = None
    """What stands between the two texts of a pair; None where single texts are read."""
    asks: bool = False
    """Whether its classifier asks more of the base model than others do."""
    writer: Writer | None = None
    """How it writes; None where it does not, or where that is not read."""
    put_on: tuple[str, ...] = ()
    """What adapters were put on it, a sentence each."""
    halved: bool = False
    """Whether `half_precision` is to change anything."""
    meter: TokenMeter = field(default_factory=TokenMeter)
    """Counts the tokens that went through the model."""

    @property
    def forward_tokens(self) -> int:
        """Cost so far: tokens through the model, padding included, a backward pass as two."""
        return self.meter.tokens

    @property
    def labels(self) -> tuple[str, ...]:
        """What a classifier can give a text; empty without one."""
        return () if self.decision is None else self.decision.labels

    def opposite(self, label: int) -> int:
        """A label that speaks against ``label``."""
        return self._decided.opposite(label)

    @property
    def _decided(self) -> Decision:
        """What its classifier decides."""
        if self.decision is None:
            msg = "The model has no classifier."
            raise ValueError(msg)
        return self.decision

    @property
    def reads_tokens(self) -> bool:
        """Whether its classifier gives a label to each token."""
        return "token-classification" in self.heads

    @property
    def answers(self) -> bool:
        """Whether it says where in a text the answer to a question is."""
        return "question-answering" in self.heads

    @property
    def decides_by_tokens(self) -> bool:
        """Whether single tokens decide, while the text as a whole can stay what it is."""
        return self.reads_tokens or self.answers

    @property
    def gives_one_label(self) -> bool:
        """Whether each text as a whole gets one label of several."""
        return isinstance(self.decision, OneOf)

    @property
    def common_labels(self) -> Collection[int]:
        """Labels that nothing could add where every ordinary text has them."""
        return () if self.decision is None else self.decision.common

    @property
    def is_decoder(self) -> bool:
        """Whether tokens see only what precedes them."""
        return self.traits.decoder

    @property
    def embedding_weight(self) -> Tensor:
        """(v, e) word embeddings as the files hold them; a model may scale what it looks up."""
        return cast("Tensor", self.module.get_input_embeddings().weight)

    @property
    def prefixes(self) -> tuple[str, str]:
        """Parts that files of models with a head put before the names of the base model."""
        return self.module.base_model_prefix, self.traits.part

    @property
    def vocabulary_size(self) -> int:
        """Rows of the embedding table: ids that the model can look up."""
        return self.embedding_weight.shape[0]

    @property
    def hidden_size(self) -> int:
        """Width of a hidden state."""
        return self.traits.width

    @property
    def num_layers(self) -> int:
        """Layers that a token passes."""
        return self.traits.layers

    @property
    def num_heads(self) -> int:
        """Attention heads of a layer; 0 where it shows none."""
        return self.traits.heads

    @property
    def max_tokens(self) -> int | None:
        """Longest input, special tokens included; None without a limit."""
        return self.traits.positions

    @property
    def room(self) -> int | None:
        """Tokens of a text that fit between the special ones; None without a limit."""
        return None if self.max_tokens is None else self.max_tokens - len(self.wrap(()))

    @property
    def non_embedding_parameters(self) -> int:
        """Weights that every token is multiplied with; shared layers count once."""
        tables = (m for m in self.module.modules() if isinstance(m, torch.nn.Embedding))
        in_tables = {id(table.weight) for table in tables}
        return sum(p.numel() for p in self.module.parameters() if id(p) not in in_tables)

    def copied(self) -> LoadedModel:
        """The same with weights of its own, and a count from zero; nobody reads what it writes."""
        return replace(self, module=copy.deepcopy(self.module), writer=None, meter=TokenMeter())

    def tokenize(self, text: str) -> tuple[int, ...]:
        """Ids of ``text`` without special tokens around it, exactly as the tokenizer's."""
        return vocabulary.tokenize(self.tokenizer, text)

    def decode(self, ids: Sequence[int]) -> str:
        """``ids`` as readable text."""
        return vocabulary.decode(self.tokenizer, ids)

    @property
    def opening(self) -> tuple[int, ...]:
        """Ids in front of a text: the tokenizer's, and the prompt's."""
        return (*self.prefix_ids, *self.prompt_ids)

    def wrap(self, ids: Sequence[int]) -> tuple[int, ...]:
        """``ids`` with what stands around one text."""
        return (*self.opening, *ids, *self.suffix_ids)

    def batch(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Right-padded ids (b, n) and their mask (b, n)."""
        width = max(len(row) for row in rows)
        ids = [[*row, *[self.pad_id] * (width - len(row))] for row in rows]
        mask = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
        return self._integers(ids), self._integers(mask)

    def _integers(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """``rows`` of one length as a tensor on the model's device."""
        return torch.tensor(rows, dtype=torch.long, device=self.device)

    @contextmanager
    def half_precision(self) -> Iterator[None]:
        """Forward passes inside run with half the digits, where they were asked for.

        For what selects, not for what a rule judges: short texts are attended to otherwise.
        """
        halved = half_precision(self.module, self.device) if self.halved else nullcontext()
        with halved, together(self.module):
            yield

    @torch.no_grad()
    def embed(self, input_ids: Tensor) -> Tensor:
        """(b, n, e) word embeddings of ``input_ids`` as the model looks them up."""
        looked_up: Tensor = self.module.get_input_embeddings()(input_ids)
        return looked_up

    @torch.no_grad()
    def forward(
        self, input_ids: Tensor, mask: Tensor | None = None, inserted: Tensor | None = None
    ) -> Outputs:
        """What the model says about ``input_ids`` (b, n), without gradients.

        ``inserted`` (b, n) are tokens whose own labels say nothing of a text.
        """
        self.meter.add(input_ids.numel())
        return self._run(input_ids, mask, inserted)

    def differentiable(self, input_ids: Tensor, mask: Tensor | None = None) -> Outputs:
        """The same, differentiable in every weight that requires a gradient."""
        self.meter.add(input_ids.numel() * (1 + _BACKWARD))
        return self._run(input_ids, mask)

    def forward_embeddings(
        self,
        embeddings: Tensor,
        input_ids: Tensor,
        mask: Tensor | None = None,
        inserted: Tensor | None = None,
    ) -> Outputs:
        """The same with ``embeddings`` (b, n, e) in place of what `embed` gives; differentiable.

        ``input_ids`` still tell positions, padding and mask tokens.
        """
        backward = torch.is_grad_enabled() and embeddings.requires_grad
        self.meter.add(input_ids.numel() * (1 + _BACKWARD * backward))
        with _plain_attention(self.device):
            return self._run(input_ids, mask, inserted, embeddings)

    @torch.no_grad()
    def attend(self, input_ids: Tensor, mask: Tensor | None = None) -> Attended:
        """What the heads of each layer look at in ``input_ids`` (b, n), and what they make of it.

        Raises:
            UnsupportedModelError: the architecture gives no attention maps.
        """
        self.meter.add(input_ids.numel())
        msg = f"{type(self.module).__name__} gives no attention maps in every layer."
        unseen = UnsupportedModelError(msg, "Leave out the probes that read attention.")
        if not self.num_heads:
            raise unseen
        with quiet(), attending_by(self.module, "eager"), self._head_outputs() as taken:
            outputs = self._base_outputs(input_ids, mask, output_attentions=True)
        maps = tuple(outputs.attentions or ())
        if len(maps) != self.num_layers:
            raise unseen
        if len(taken) != self.num_layers:
            return Attended(maps, None)
        read = torch.stack([self._at_reading_token(one, mask) for one in taken], dim=1)
        heads = maps[0].shape[1]
        return Attended(maps, read.reshape(*read.shape[:2], heads, -1))

    @contextmanager
    def _head_outputs(self) -> Iterator[list[Tensor]]:
        """A list that gets (b, n, heads d), what each layer's heads give, as the model runs."""
        taken: list[Tensor] = []

        def take(_module: object, inputs: tuple[Tensor, ...]) -> None:
            taken.append(inputs[0])

        names = dict.fromkeys(self.traits.head_outputs)
        sinks = [self.module.get_submodule(name) for name in names]
        handles = [sink.register_forward_pre_hook(take) for sink in sinks]
        try:
            yield taken
        finally:
            for handle in handles:
                handle.remove()

    def _at_reading_token(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """(b, h) state of the token that is read."""
        return last_token(hidden, mask) if self.reads_end else hidden[:, 0]

    @property
    def reads_end(self) -> bool:
        """Whether a text is read at its end: at its classification token, or in a decoder."""
        return self.traits.cls_last or self.traits.decoder

    def reading_index(self, length: int) -> int:
        """Index of the token that is read in a text of ``length`` tokens."""
        return length - 1 if self.reads_end else 0

    @torch.no_grad()
    def layers(self, input_ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """(b, layers, h) state of the classification token after each layer.

        A decoder has no such token; its last one is read.

        Raises:
            UnsupportedModelError: the architecture does not give them.
        """
        self.meter.add(input_ids.numel())
        outputs = self._base_outputs(input_ids, mask, output_hidden_states=True)
        states = tuple(outputs.hidden_states or ())[1:]
        if not states:
            msg = f"{type(self.module).__name__} gives no hidden states of its layers."
            raise UnsupportedModelError(msg, "Leave out what reads single layers.")
        return torch.stack([self._at_reading_token(state, mask) for state in states], dim=1)

    def masked_lm_logits(self, hidden: Tensor) -> Tensor:
        """(b, n, v) scores of the vocabulary for hidden states (b, n, h); pick positions first.

        Raises:
            UnsupportedModelError: the model has no such head.
        """
        if "masked-lm" not in self.heads:
            msg = f"{type(self.module).__name__} has no masked language model head."
            raise UnsupportedModelError(msg, "Leave out the probes that read it.")
        return masked_lm_logits(self.heads["masked-lm"], hidden)

    def _run(
        self,
        input_ids: Tensor,
        mask: Tensor | None,
        inserted: Tensor | None = None,
        embeddings: Tensor | None = None,
    ) -> Outputs:
        """Base model, features, head."""
        outputs = self._base_outputs(input_ids, mask, embeddings)
        found = (
            (where, self._feature(where, outputs, input_ids, mask)) for where in self.locations
        )
        features = {where: feature for where, feature in found if feature is not None}
        logits = self._logits(outputs, features, input_ids, mask, inserted)
        leads = None if logits is None else self._decided.leads(logits)
        return Outputs(outputs.last_hidden_state, features, logits, leads)

    def _logits(
        self,
        outputs: BaseOutputs,
        features: Mapping[Location, Tensor],
        input_ids: Tensor,
        mask: Tensor | None,
        inserted: Tensor | None,
    ) -> Tensor | None:
        """(b, numbers) by which its classifier decides; None without one."""
        if self.reads_tokens:
            labels = token_logits(self.heads["token-classification"], outputs, mask)
            return in_text(labels, told_by(input_ids, mask, inserted, self._silent))
        if self.answers and self.separator is not None:
            scores = span_scores(self.heads["question-answering"], outputs, mask)
            text = self.separator.behind(input_ids) & told_by(input_ids, mask, None, self._silent)
            return found_in(scores, text, inserted)
        head = self.heads.get("classifier")
        if isinstance(head, OnEmbedding):
            return cast("Tensor", head(features))
        if head is None:
            return None
        asked = self._asked_of_base(input_ids, mask)
        return classifier_logits(head, self.traits, outputs, mask, asked)

    @property
    def _silent(self) -> tuple[int, ...]:
        """Ids that tell nothing of a text: what stands around it, and what hides a word."""
        masks = () if self.mask_id is None else (self.mask_id,)
        return (*self.prefix_ids, *self.suffix_ids, *masks)

    def _base_outputs(
        self,
        input_ids: Tensor,
        mask: Tensor | None,
        embeddings: Tensor | None = None,
        **options: bool,
    ) -> BaseOutputs:
        """What the library's base model returns, with ``embeddings`` in place of those of ids."""
        if mask is not None and not self.traits.padded:

            def run(rows: Tensor, length: int) -> BaseOutputs:
                given = None if embeddings is None else embeddings[rows, :length]
                return self._base_outputs(input_ids[rows, :length], None, given, **options)

            return by_length(mask, run)
        kinds = {} if self.separator is None else self.separator.kinds(input_ids)
        kinds |= self._asked_of_base(input_ids, mask)
        if embeddings is None:
            return passed(self.module, input_ids, mask, **kinds, **options)
        given = embeddings.transpose(0, 1) if self.traits.transposed else embeddings
        with looking_up(self.module, lambda old: in_place_of(old, given, self.traits.ahead)):
            return passed(self.module, input_ids, mask, **kinds, **options)

    def _asked_of_base(self, input_ids: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        """What its classifier asks of the base model for ``input_ids`` beside them."""
        if not self.asks:
            return {}
        return asked_of_base(self.heads["classifier"], input_ids, mask)

    def _feature(
        self, where: Location, outputs: BaseOutputs, input_ids: Tensor, mask: Tensor | None
    ) -> Tensor | None:
        """The feature at one location; None if the batch does not have it."""
        hidden = outputs.last_hidden_state
        match where:
            case Location.CLS:
                return last_token(hidden, mask) if self.traits.cls_last else hidden[:, 0]
            case Location.POOLER:
                return outputs.pooler_output
            case Location.MEAN:
                return mean_token(hidden, mask)
            case Location.MASK:
                return first_of(hidden, input_ids, int(self.mask_id or 0))
            case Location.LAST:
                return last_token(hidden, mask)
            case Location.EMBEDDING:
                found = self.behind.embedding
                return None if found is None else found.of(hidden, mask)


def _plain_attention(device: torch.device) -> AbstractContextManager[None]:
    """Let attention be made of matrix products on a CPU.

    The backward pass of the fused kernel takes most of the time there in half the digits: 98
    instead of 47 ms for ten texts on one core.
    """
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
