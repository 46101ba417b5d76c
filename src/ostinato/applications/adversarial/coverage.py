"""How well samples cover a mixture: modes, share of high quality, and how far the shares are from the mixture's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import entr, rel_entr
from torch import Tensor

from ostinato.applications.adversarial.mixtures import HIGH_QUALITY, Mixture
from ostinato.errors import DataError

__all__ = ["Coverage", "count_modes"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Coverage:
    """Samples of a generator counted by mode, any number of generators at once.

    The protocol is PacGAN's (Z. Lin et al., NeurIPS 2018): 2,500 samples, one is of high quality within three sigma of a mode, and a mode is
    covered by at least one such sample.

    Attributes:
        mixture: What was to be learnt.
        counts: Samples within three sigma of each mode, and those of none (junk) last, int (..., M + 1).

    >>> from ostinato.applications.adversarial import mixture
    >>> ring = mixture("ring")
    >>> good = Coverage.of(ring, ring.sample(np.random.default_rng(0), 2500))
    >>> int(good.modes), float(good.high_quality.round(2)), bool(good.jsd < 0.005)
    (8, 0.99, True)
    """

    mixture: Mixture
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, mixture: Mixture, samples: Tensor | NDArray[np.floating]) -> Coverage:
        """Count samples, (..., N, 2); one that is not finite is junk."""
        return cls(mixture, count_modes(mixture, torch.as_tensor(samples)).numpy())

    @cached_property
    def shares(self) -> Floats:
        """Share of the samples in each mode, junk last, (..., M + 1).

        Raises:
            DataError: There are no samples.
        """
        totals = self.counts.sum(axis=-1, keepdims=True)
        if not self.counts.size or (totals == 0).any():
            raise DataError("coverage: got no samples, expected at least one")
        found: Floats = self.counts / totals
        return found

    @property
    def modes(self) -> NDArray[np.int64]:
        """Modes with at least one sample of high quality."""
        found: NDArray[np.int64] = (self.counts[..., :-1] > 0).sum(axis=-1)
        return found

    @property
    def high_quality(self) -> Floats:
        """Share of the samples within three sigma of a mode."""
        found: Floats = 1.0 - self.shares[..., -1]
        return found

    @property
    def reverse_kl(self) -> Floats:
        """KL(q || uniform) = log M - H(q) of the shares q of the modes among samples of high quality, in nats; NaN where there are none."""
        good = self.counts[..., :-1].sum(axis=-1, keepdims=True)
        with np.errstate(invalid="ignore"):
            q = self.counts[..., :-1] / good
        found: Floats = np.log(self.mixture.modes) - entr(q).sum(axis=-1)
        return found

    @property
    def jsd(self) -> Floats:
        """Jensen-Shannon divergence between the shares of modes and junk and the mixture's own, in nats, 0 to log 2.

        For shares q and p with m = (p + q)/2 it is KL(p || m)/2 + KL(q || m)/2. Two of 25 modes that are missing make 0.03.
        """
        p, q = self.mixture.shares, self.shares
        middle = (p + q) / 2
        found: Floats = (rel_entr(p, middle).sum(axis=-1) + rel_entr(q, middle).sum(axis=-1)) / 2
        return found


def count_modes(mixture: Mixture, samples: Tensor) -> Tensor:
    """Return how many of N samples are within three sigma of each mode, and of none last: (..., N, 2) to int64 (..., M + 1)."""
    centres = torch.tensor(mixture.centres, dtype=samples.dtype)
    distances, nearest = torch.cdist(samples, centres, compute_mode="donot_use_mm_for_euclid_dist").min(dim=-1)
    good = distances <= HIGH_QUALITY * mixture.sigma
    bins = torch.where(good, nearest, mixture.modes)
    counts = torch.zeros(*bins.shape[:-1], mixture.modes + 1, dtype=torch.int64)
    return counts.scatter_add_(-1, bins, torch.ones_like(bins))
