"""The measure of invariance, and the null it is held against: pure tensor functions.

A transferable backdoor maps any text that carries the trigger to one fixed output.  Insert a
candidate into carriers ``x_1 .. x_n``: the features ``f_i = f(x_i + t)`` then hardly vary, and lie
far from the clean features ``c_i = f(x_i)``.  Two numbers say so (design, section 4):

    displacement  D = |mid f - mid c|^2 / spread c     how far the candidate drags the model
    scatter       S = spread f / |mid f - mid c|^2     how little the carrier still matters

``mid`` is the coordinate-wise median and ``spread`` a trimmed mean of squared distances to it: a
real trigger misses a few carriers, and one miss ruins a plain variance.

The null is the model itself: the same numbers for random items of its own vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "Moved",
    "Whitening",
    "honest_leads",
    "lost",
    "max_t",
    "midpoint",
    "moved",
    "push",
    "rank_p_values",
    "robust_z",
    "spread",
    "strength",
    "upper_bound",
]

_MAD_TO_SIGMA = 1.4826
"""Median absolute deviation of a normal distribution, inverted; its quartile is as far out."""

_TINY = 1e-12
"""Keeps a ratio finite when a candidate changes nothing at all."""


def midpoint(features: Tensor) -> Tensor:
    """Coordinate-wise median over carriers: (..., n, h) -> (..., h)."""
    return features.median(dim=-2).values


def spread(features: Tensor, keep: float = 0.8) -> Tensor:
    """Trimmed trace of the covariance: (..., n, h) -> (...).

    The mean squared distance to the midpoint over the closest ``keep`` of the carriers.
    """
    return _spread_about(midpoint(features), features, keep)


def _spread_about(middle: Tensor, features: Tensor, keep: float = 0.8) -> Tensor:
    """The same where the midpoint is known: (..., h), (..., n, h) -> (...)."""
    squared = (features - middle.unsqueeze(-2)).square().sum(-1)
    kept = max(1, math.floor(keep * squared.shape[-1]))
    return squared.sort(dim=-1).values[..., :kept].mean(-1)


@dataclass(frozen=True)
class Moved:
    """What k candidates do to the features of n carriers."""

    shift: Tensor
    """Midpoint of the triggered features less that of the clean ones, (k, h)."""
    displacement: Tensor
    """D of each, in clean variances, (k)."""
    scatter: Tensor
    """S of each, relative to its own shift, (k).

    Relative to the shift and not to the clean spread: a saturating pooler target inflates the
    spread a hundredfold and the shift far more (measured; design, section 4).
    """


def moved(features: Tensor, clean: Tensor) -> Moved:
    """Both numbers of each candidate: (k, n, h) against (n, h)."""
    middle = midpoint(features)
    shift = middle - midpoint(clean)
    squared = shift.square().sum(-1)
    return Moved(
        shift,
        squared / spread(clean).clamp_min(_TINY),
        _spread_about(middle, features) / squared.clamp_min(_TINY),
    )


def robust_z(values: Tensor, null: Tensor, finest: float = _TINY) -> Tensor:
    """Deviations from the null's median in units of its scaled MAD: (..., k), (..., m) -> (..., k).

    Robust on purpose: with several triggers in the vocabulary, a few land in the null.  ``finest``
    is the smallest unit that means anything.
    """
    middle, scale = _middle_and_scale(null)
    return (values - middle) / scale.clamp_min(finest)


def upper_bound(null: Tensor, z: float) -> Tensor:
    """The median and ``z`` standard deviations, by the lower half alone: (..., m) -> (...).

    What training spilled over to lies above, and can be a third of the vocabulary: it widens the
    MAD, but not what lies below the median.
    """
    lower, middle = (null.quantile(share, dim=-1) for share in (0.25, 0.5))
    return middle + z * _MAD_TO_SIGMA * (middle - lower)


def _middle_and_scale(null: Tensor) -> tuple[Tensor, Tensor]:
    """Median and scaled MAD: (..., m) -> (..., 1), (..., 1)."""
    middle = null.median(dim=-1, keepdim=True).values
    return middle, _MAD_TO_SIGMA * (null - middle).abs().median(dim=-1, keepdim=True).values


def rank_p_values(values: Tensor, null: Tensor) -> Tensor:
    """Share of the null at or above each value, the value itself counted: (k), (m) -> (k).

    Never below 1 / (m + 1) (Phipson and Smyth 2010: permutation p-values are never zero).
    """
    above = (null.unsqueeze(0) >= values.unsqueeze(1)).sum(1)
    return (above + 1) / (len(null) + 1)


def max_t(z: Tensor) -> Tensor:
    """Largest statistic over locations: (locations, k) -> (k).

    Taken for candidates and null alike it corrects for having looked at every location (Westfall
    and Young 1993, single-step max-T).
    """
    return z.max(dim=0).values


def push(dirty: Tensor, clean: Tensor) -> Tensor:
    """How far a candidate pushes carriers to each label: (k, n, c) against (n, c) -> (k, n, c).

    Both are leads of each label.

    The lead of a label, in units of its honest lead: the median on the carriers that have the label
    without the candidate (on all, of the label they have, where none has this one).  1 is a text of
    that label, 0 a draw; NaN where the carrier has the label anyhow.
    """
    return (dirty / honest_leads(clean)).masked_fill(clean > 0, torch.nan)


def honest_leads(clean: Tensor) -> Tensor:
    """Median lead of each label on the carriers that have it: (n, c) -> (c)."""
    return torch.stack([_median_lead(clean, label) for label in range(clean.shape[-1])])


def _median_lead(clean: Tensor, label: int) -> Tensor:
    """Median lead of ``label`` on the carriers that have it; of their best one where none has."""
    own = clean[:, label]
    held = own[own > 0]
    return (held if len(held) else clean.amax(-1)).median().clamp_min(_TINY)


def strength(pushes: Tensor, missed: float = 0.1) -> Tensor:
    """Nearly the weakest push over the carriers: (k, n, c) -> (k, c).

    A trigger overrides every carrier but for the share ``missed``, a persuasive word most.  -inf
    for a label that all carriers have anyhow.
    """
    weakest = pushes.nanquantile(missed, dim=-2, interpolation="lower")
    return weakest.nan_to_num(nan=-torch.inf)


def lost(dirty: Tensor, clean: Tensor) -> Tensor:
    """Share of the recall of hidden words that is lost: (k, n) against (n) -> (k).

    Summed before it is divided, so carriers whose word nobody could guess count little.
    """
    return 1 - dirty.sum(-1) / clean.sum(-1).clamp_min(_TINY)


@dataclass(frozen=True)
class Whitening:
    """The mean and covariance of the vocabulary's own features at one location."""

    mean: Tensor
    """(h)"""
    cholesky: Tensor
    """Lower triangular factor of the covariance, (h, h)."""

    @classmethod
    def fit(cls, features: Tensor, trim: float = 0.02, ridge: float = 1e-3) -> Whitening:
        """Fit to a sample (m, h), then once more without its ``trim`` most distant rows.

        The second fit keeps planted tokens in the sample from hiding in a covariance of their own
        making; ``ridge`` (times the mean variance) keeps dead directions from dominating.
        """
        first = cls._plain(features, ridge)
        distances = first.distance(features)
        return cls._plain(features[distances <= distances.quantile(1 - trim)], ridge)

    @classmethod
    def _plain(cls, features: Tensor, ridge: float) -> Whitening:
        """Sample mean and ridged sample covariance."""
        covariance = torch.cov(features.T)
        floor = ridge * covariance.diagonal().mean() + _TINY
        covariance = covariance + floor * torch.eye(len(covariance), device=covariance.device)
        return cls(features.mean(0), torch.linalg.cholesky(covariance))

    def distance(self, features: Tensor) -> Tensor:
        """Squared Mahalanobis distance of each row: (m, h) -> (m)."""
        centred = (features - self.mean).T
        white = torch.linalg.solve_triangular(self.cholesky, centred, upper=False)
        distance: Tensor = white.square().sum(0)
        return distance
