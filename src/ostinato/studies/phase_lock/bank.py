"""The bank: what every configuration scored after every judged step under every seed, so that searches can be simulated without training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import DataError
from ostinato.studies.phase_lock.layout import Layout

__all__ = ["Bank", "Truth"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Truth:
    """What each configuration is worth, from the seeds that a search has not seen.

    Attributes:
        mean: Mean over every step of the judged cycles, (A, P).
        trough: Value at the end of the last cycle, the model that would be deployed, (A, P).
    """

    mean: Floats
    trough: Floats


@dataclass(frozen=True, eq=False)
class Bank:
    """Dense scores of all configurations; small is good.

    Attributes:
        layout: The configurations.
        seeds: The seeds, (S,).
        readings: What a search reads, by period, each (S, A, length of its stretch); NaN after a run diverged.
        means: Mean over the judged steps of what the truth is taken from, (S, A, P); a diverged run has the worst.
        troughs: The same at the last step, (S, A, P).
        chunks: How many members were trained at once, as `Measurement` has it.
    """

    layout: Layout
    seeds: tuple[int, ...]
    readings: tuple[Floats, ...]
    means: Floats
    troughs: Floats
    chunks: tuple[int, ...] = ()

    @classmethod
    def of(
        cls, layout: Layout, seeds: Sequence[int], read: Floats, truth: Floats, chunks: tuple[int, ...] = ()
    ) -> Bank:
        """Return the bank of scores after every step from the layout's start on.

        Args:
            layout: The configurations.
            seeds: The seeds.
            read: What searches read, (S, A, P, steps).
            truth: What the truth is taken from; it may be the same.
            chunks: As in the bank.
        """
        bounds = [(s.first - layout.start, s.stop - layout.start) for s in layout.stretches]
        cut = [[part[:, :, p, first:stop] for p, (first, stop) in enumerate(bounds)] for part in (read, truth)]
        means = np.stack([part.mean(axis=-1) for part in cut[1]], axis=-1)
        troughs = np.stack([part[..., -1] for part in cut[1]], axis=-1)
        return cls(layout, tuple(seeds), tuple(cut[0]), _worst_for_nan(means), _worst_for_nan(troughs), chunks)

    def truth_for(self, seed: int) -> Truth:
        """Return the truth for a search under a seed: the mean over the bank's seeds of the other parity.

        Raises:
            DataError: The bank has no seed of the other parity.
        """
        others = [place for place, other in enumerate(self.seeds) if (other - seed) % 2]
        if not others:
            raise DataError(
                f"seeds: got {list(self.seeds)}, expected even and odd ones: a search never meets its truth"
            )
        return Truth(self.means[others].mean(axis=0), self.troughs[others].mean(axis=0))


def _worst_for_nan(values: Floats) -> Floats:
    """Return the values with the worst of them where a run diverged."""
    return np.where(np.isnan(values), np.nanmax(values), values)
