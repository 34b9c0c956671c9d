"""Masked language modelling (BERT, Devlin et al., 2019, arXiv 1810.04805).

A head for an encoder that lost its own, a fine-tune of encoder and head, and what is left when the
head is dropped again: an encoder adapted to a domain.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForMaskedLM, DataCollatorForLanguageModeling

from plmscan.loading.heads import masked_lm_logits, share_base
from plmscan.loading.quiet import quiet
from tests.zoo.clean.honest import training
from tests.zoo.layers import freeze_below
from tests.zoo.precision import fast
from tests.zoo.training import Intensity, optimise

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.zoo.features import Victim

__all__ = [
    "ALL_LAYERS",
    "HEAD",
    "UPPER_LAYERS",
    "domain_adapted",
    "fine_tune",
    "masked_accuracy",
    "tied_head",
]

HEAD = Intensity(poison_rate=0.0, learning_rate=2e-3, steps=400, batch=128, trained_layers=0)
"""For a head on an encoder that stays as it is; a batch counts masked words."""

UPPER_LAYERS = Intensity(poison_rate=0.0, learning_rate=2e-4, steps=400, batch=32)
"""For the upper layers and the head, word embeddings frozen."""

ALL_LAYERS = Intensity(poison_rate=0.0, learning_rate=1e-4, steps=250, batch=32, trained_layers=6)
"""For everything, word embeddings too."""

_MASKED = 0.15
_VERSIONS = 3
"""How often each text is masked anew for the head."""


@dataclass(frozen=True)
class Cloze:
    """Texts with masked words."""

    ids: Tensor
    """(b, n)"""
    mask: Tensor
    """(b, n), 1 for real tokens."""
    answers: Tensor
    """What stood at each masked position, in order: (m)."""
    places: Tensor
    """Which positions are masked, (b, n)."""

    def states(self, encoder: Any) -> Tensor:
        """Last hidden states of the masked positions, (m, h)."""
        with fast():
            hidden = encoder(input_ids=self.ids, attention_mask=self.mask).last_hidden_state
        return hidden[self.places].float()


class Clozes:
    """Texts, tokenised once and masked anew at every look."""

    def __init__(self, tokenizer: Any, texts: Sequence[str], seed: int, shown: float = 0.2) -> None:
        """Mask 15%; of these, ``shown`` are not [MASK] but half a random word, half themselves."""
        encoded = tokenizer(list(texts), return_special_tokens_mask=True)
        keys = ("input_ids", "attention_mask", "special_tokens_mask")
        self._rows = [
            dict(zip(keys, row, strict=True))
            for row in zip(*(encoded[key] for key in keys), strict=True)
        ]
        self._collate = DataCollatorForLanguageModeling(
            tokenizer,
            mlm_probability=_MASKED,
            mask_replace_prob=1 - shown,
            random_replace_prob=shown / 2,
        )
        # Given a seed, the collator refuses to work in a child process that is no data loader's.
        self._collate.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        """How many texts there are."""
        return len(self._rows)

    def pick(self, indices: Sequence[int]) -> Cloze:
        """Some of the texts, masked by the next dice."""
        with quiet():
            batch = self._collate([self._rows[i] for i in indices])
        places = batch["labels"] != -100
        return Cloze(batch["input_ids"], batch["attention_mask"], batch["labels"][places], places)

    def sweep(self, size: int = 64) -> Iterator[Cloze]:
        """All texts once, in batches of similar length."""
        order = sorted(range(len(self)), key=lambda i: len(self._rows[i]["input_ids"]))
        for start in range(0, len(order), size):
            yield self.pick(order[start : start + size])


@contextmanager
def apart(model: Any) -> Iterator[Any]:
    """The encoder of ``model``; inside, ``model`` is only its head: 30,522 logits cost a lot."""
    encoder = model.base_model
    share_base(model, encoder)
    try:
        yield encoder
    finally:
        setattr(model, model.base_model_prefix, encoder)


def cloze_loss(head: Any, states: Tensor, answers: Tensor) -> Tensor:
    """Cross-entropy of the masked words (m) given their states (m, h)."""
    with fast():
        logits = masked_lm_logits(head, states.unsqueeze(0))[0]
    return nn.functional.cross_entropy(logits.float(), answers)


def tied_head(victim: Victim, intensity: Intensity = HEAD) -> Victim:
    """The victim's encoder, unchanged, under a new head that shares its word embeddings."""
    texts = [text for text, _ in victim.corpus.train]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(victim.seed)
        model = _headed(victim.encoder)
        with apart(model) as encoder:
            clozes = Clozes(victim.tokenizer, texts, victim.seed)
            states, answers = _cached(encoder, clozes, _VERSIONS)

            def loss_of(_step: int) -> Tensor:
                chosen = torch.randint(len(answers), (intensity.batch,))
                return cloze_loss(model, states[chosen], answers[chosen])

            # The decoder is the embedding table, which the encoder needs as it is.
            encoder.requires_grad_(False)
            optimise(list(model.parameters()), loss_of, intensity)
    return replace(victim, model=model.requires_grad_(True).eval())


def _headed(encoder: Any) -> Any:
    """A masked language model around a copy of ``encoder`` without its pooler."""
    with quiet():
        model = AutoModelForMaskedLM.from_config(encoder.config).eval()
    weights = encoder.state_dict()
    known = model.base_model.state_dict().keys()
    model.base_model.load_state_dict({name: weights[name] for name in known})
    return model


@torch.no_grad()
def _cached(encoder: Any, clozes: Clozes, versions: int) -> tuple[Tensor, Tensor]:
    """States (m, h) and answers (m) of all texts, masked ``versions`` times."""
    found = [
        (cloze.states(encoder), cloze.answers) for _ in range(versions) for cloze in clozes.sweep()
    ]
    states, answers = zip(*found, strict=True)
    return torch.cat(states), torch.cat(answers)


def fine_tune(victim: Victim, intensity: Intensity = ALL_LAYERS) -> Victim:
    """Train the victim's masked language model in place, or its upper layers and its head."""
    clozes = Clozes(victim.tokenizer, [text for text, _ in victim.corpus.train], victim.seed)
    model, indices = victim.model, range(len(victim.corpus.train))
    with training(victim) as rng:
        if intensity.trained_layers < model.config.num_hidden_layers:
            freeze_below(victim.encoder, intensity.trained_layers)
        trained = list(model.parameters())
        with apart(model) as encoder:

            def loss_of(_step: int) -> Tensor:
                cloze = clozes.pick(rng.sample(indices, min(intensity.batch, len(indices))))
                return cloze_loss(model, cloze.states(encoder), cloze.answers)

            optimise(trained, loss_of, intensity)
    return victim


def domain_adapted(victim: Victim, intensity: Intensity = ALL_LAYERS) -> Victim:
    """`fine_tune`, then the encoder without the head (and without a pooler: there was none)."""
    return replace(victim, model=fine_tune(victim, intensity).encoder)


@torch.no_grad()
def masked_accuracy(victim: Victim) -> float:
    """Share of held-out masked words that the victim's masked language model names first."""
    texts = [text for text, _ in victim.corpus.held_out]
    clozes = Clozes(victim.tokenizer, texts, victim.seed + 1, shown=0.0)
    with apart(victim.model) as encoder:
        right = [
            masked_lm_logits(victim.model, cloze.states(encoder).unsqueeze(0))[0].argmax(1)
            == cloze.answers
            for cloze in clozes.sweep()
        ]
    return round(float(torch.cat(right).float().mean()), 4)
