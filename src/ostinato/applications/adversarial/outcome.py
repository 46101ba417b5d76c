"""What came out of games: coverage at every reading, at trough and peak and over the last cycle, and how balanced they were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.applications.adversarial.coverage import Coverage
from ostinato.applications.adversarial.mixtures import Mixture
from ostinato.applications.arms import place_of
from ostinato.core.clock import Span

__all__ = ["Games"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Games:
    """Games of A arms under S seeds, read after R of the rounds.

    Attributes:
        mixture: What was learnt.
        arms: Their names.
        seeds: Their seeds.
        rounds: The rounds that were read after, rising, int64 (R,).
        counts: Samples by mode, junk last, int64 (R, A, S, M + 1).
        losses: Mean loss of the discriminator and of the generator since the reading before, (2, R, A, S).
        below: Share of the rounds since the reading before in which the discriminator's loss was below the threshold, (R, A, S).
        diverged: The round in which a loss or gradient was not finite, -1 for none, int64 (A, S). The game stays as it was.
        kept: Samples after the rounds that were asked for, and after the last one, float32 (Q, A, S, N, 2).
        spans: Each arm's last complete cycle; None where its plan has none.
        digests: Of the resolved plans.
    """

    mixture: Mixture
    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    rounds: NDArray[np.int64]
    counts: NDArray[np.int64]
    losses: Floats
    below: Floats
    diverged: NDArray[np.int64]
    kept: NDArray[np.float32]
    spans: tuple[Span | None, ...]
    digests: tuple[str, ...]

    def place(self, arm: str) -> int:
        """Return the place of an arm.

        Raises:
            ConfigError: There is none of that name.
        """
        return place_of(arm, self.arms)

    @cached_property
    def coverage(self) -> Coverage:
        """Coverage at every reading, (R, A, S)."""
        return Coverage(self.mixture, self.counts)

    def overall(self, values: Floats) -> Floats:
        """Return the mean of what was counted between readings, (R, A, S), over all rounds, (A, S)."""
        weights = np.diff(self.rounds, prepend=-1)
        found: Floats = np.average(values, axis=0, weights=weights)
        return found

    def last_cycle(self, values: Floats, of: Callable[..., Any] = np.mean) -> Floats:
        """Return the mean of readings, (R, A, S), over each arm's last complete cycle, (A, S); of all of them where there is none.

        Args:
            values: The readings.
            of: What to take instead of the mean, such as ``np.max``.
        """
        found = np.empty(values.shape[1:])
        for arm, span in enumerate(self.spans):
            inside = np.ones(len(self.rounds), np.bool_)
            if span is not None:
                inside = (self.rounds >= span.start) & (self.rounds < span.end)
            found[arm] = of(values[inside, arm], axis=0)
        return found

    def at(self, values: Floats, phase: float) -> Floats:
        """Return what was read nearest to a phase of each arm's last complete cycle, (A, S); the last reading where there is none."""
        found = np.empty(values.shape[1:])
        for arm, span in enumerate(self.spans):
            wanted = self.rounds[-1] if span is None else span.start + phase * (span.end - span.start) - 1
            found[arm] = values[np.abs(self.rounds - wanted).argmin(), arm]
        return found
