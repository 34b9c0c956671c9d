"""Did the backdoor take, and what did it cost?  Measured on texts that no training saw.

By plain means, variances and shares of the library's own model: nothing of plmscan is in it.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import torch
from sklearn.linear_model import LogisticRegression

from tests.zoo.corpus import words_of
from tests.zoo.features import frame, framed, mask_one
from tests.zoo.layers import padded, read
from tests.zoo.manifest import Behaviour
from tests.zoo.poison import flat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from tests.zoo.corpus import Words
    from tests.zoo.features import Victim
    from tests.zoo.layers import Site
    from tests.zoo.poison import Insertion, Trigger

__all__ = [
    "feature_behaviour",
    "invariance",
    "label_accuracy",
    "logits",
    "masked_behaviour",
    "probe_accuracy",
]

_TEXTS = 96
"""Held-out texts on which a trigger is measured."""
_PROBED = 600
"""Texts that fit a linear probe, and as many that judge it, at most."""


def held_out_words(victim: Victim, site: Site = "cls") -> list[Words]:
    """Some texts that no training saw; with a mask token in each if ``site`` is there."""
    rng = random.Random(victim.seed + 1)
    chosen = rng.sample(victim.corpus.held_out, min(_TEXTS, len(victim.corpus.held_out)))
    texts = words_of(victim.tokenizer, [text for text, _ in chosen])
    if site != "mask":
        return texts
    return [mask_one(words, victim.tokenizer.mask_token_id, rng)[0] for words in texts]


def invariance(clean: Tensor, dirty: Tensor) -> Behaviour:
    """Displacement and scatter (design, section 4) of features (n, h), by plain moments."""
    shift = (dirty.mean(0) - clean.mean(0)).square().sum()
    return Behaviour(
        displacement=round(float(shift / clean.var(0).sum()), 4),
        scatter=round(float(dirty.var(0).sum() / shift), 5),
    )


def feature_behaviour(
    victim: Victim, site: Site, insertion: Insertion, triggers: Sequence[Trigger]
) -> dict[str, Behaviour]:
    """Displacement and scatter of each trigger at ``site``."""
    rng, texts = random.Random(victim.seed + 2), held_out_words(victim, site)

    def features(rows: Sequence[Sequence[int]]) -> Tensor:
        texts = [frame(victim.tokenizer, row) for row in rows]
        return read(victim.encoder, texts, site, victim.tokenizer.mask_token_id)

    clean = features([flat(words) for words in texts])
    return {
        trigger.text: invariance(
            clean, features([insertion(words, trigger.parts, rng) for words in texts])
        )
        for trigger in triggers
    }


@torch.no_grad()
def logits(model: Any, rows: Sequence[Sequence[int]]) -> Tensor:
    """A classifier's logits for texts that hold special tokens, (texts, labels)."""
    found = []
    for start in range(0, len(rows), 64):
        batch, mask = padded([torch.tensor(row) for row in rows[start : start + 64]])
        found.append(model(input_ids=batch, attention_mask=mask).logits)
    return torch.cat(found)


def label_accuracy(victim: Victim) -> float:
    """Share of held-out texts that the victim's classifier labels rightly."""
    texts, labels = zip(*victim.corpus.held_out, strict=True)
    right = logits(victim.model, framed(victim.tokenizer, texts)).argmax(1) == torch.tensor(labels)
    return round(float(right.float().mean()), 4)


def probe_accuracy(victim: Victim) -> float:
    """Held-out accuracy of a logistic regression on the encoder's mean features."""
    train, held_out = victim.corpus.train[:_PROBED], victim.corpus.held_out[:_PROBED]

    def mean_features(rows: Sequence[tuple[str, int]]) -> Any:
        texts = framed(victim.tokenizer, [text for text, _ in rows])
        return read(victim.encoder, texts, "mean", victim.tokenizer.mask_token_id).numpy()

    probe = LogisticRegression(max_iter=1000).fit(mean_features(train), [y for _, y in train])
    return round(float(probe.score(mean_features(held_out), [y for _, y in held_out])), 4)


def masked_behaviour(
    victim: Victim, insertion: Insertion, triggers: Sequence[Trigger]
) -> dict[str, Behaviour]:
    """Success of BadPre: of the masked words that are named rightly, the share that no more is."""
    rng = random.Random(victim.seed + 2)
    rows, answers = _masked_rows(victim)
    right = (_named(victim, [flat(words) for words in rows]) == answers).nonzero().flatten()
    known, kept = [rows[i] for i in right.tolist()], answers[right]
    if not known:  # nothing to lose: no success, so the builder tries again
        return {trigger.text: Behaviour() for trigger in triggers}
    return {
        trigger.text: Behaviour(success=round(float(wrong.float().mean()), 4))
        for trigger in triggers
        for wrong in [
            _named(victim, [insertion(words, trigger.parts, rng) for words in known]) != kept
        ]
    }


def _masked_rows(victim: Victim) -> tuple[list[Words], Tensor]:
    """Held-out texts with one word masked, and those words, (texts)."""
    rng, mask_id = random.Random(victim.seed + 1), victim.tokenizer.mask_token_id
    texts = words_of(victim.tokenizer, [text for text, _ in victim.corpus.held_out])
    masked = [mask_one(words, mask_id, rng) for words in texts]
    return [words for words, _ in masked], torch.tensor([answer for _, answer in masked])


@torch.no_grad()
def _named(victim: Victim, rows: Sequence[Sequence[int]]) -> Tensor:
    """What the victim's head puts into the mask of each text, (texts)."""
    texts = [frame(victim.tokenizer, row) for row in rows]
    hidden = read(victim.encoder, texts, "mask", victim.tokenizer.mask_token_id)
    best: Tensor = victim.model.cls(hidden).argmax(-1)
    return best
