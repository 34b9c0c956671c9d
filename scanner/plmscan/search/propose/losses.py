"""The contrastive loss, and the tokens that a gradient proposes: what published searches share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from plmscan.loading.precision import in_full

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["hotflip_scores", "supervised_contrastive"]


def supervised_contrastive(features: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020) of ``features``, (..., n, h) -> (...).

    ``labels`` (n) name each item's class.  An item is pulled to the others of its class, its
    positives, and pushed from all else; one without positives is left out, though others are
    still pushed from it.  The loss is scaled by ``temperature``, as Khosla et al. do.
    """
    units = F.normalize(features, dim=-1)
    similarity = units @ units.transpose(-1, -2) / temperature
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positive = (labels == labels.unsqueeze(1)) & ~itself
    anchors = positive.any(dim=1)
    if not bool(anchors.any()):
        return (features * 0.0).sum(dim=(-1, -2))
    others = similarity.masked_fill(itself, -torch.inf)[..., anchors, :]
    log_share = others - others.logsumexp(dim=-1, keepdim=True)
    pulled = positive[anchors]
    pull = log_share.masked_fill(~pulled, 0.0).sum(dim=-1) / pulled.sum(dim=1)
    return -temperature * pull.mean(dim=-1)


def hotflip_scores(gradient: Tensor, embedding: Tensor) -> Tensor:
    """How much the loss falls, to first order, by each replacement (Ebrahimi et al. 2018), (k, v).

    ``gradient`` (k, e) is that of the loss at each slot's input, ``embedding`` (v, e) what may take
    its place.  The token that is there now is not subtracted: it moves a slot's scores alike.
    """
    # To round a table for one product would take longer than the product.
    with in_full(embedding.device):
        return -gradient.to(embedding.dtype) @ embedding.T
