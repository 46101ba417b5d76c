"""What a trial is judged by, and when: at one phase on purpose, or over the whole cycle, never at an accidental phase.

A score that breathes with the cycle, read every N steps, is read at period / gcd(period, N) phases. Where periods are compared that way, phases are
compared: a period that divides N is read at its trough, another at its peak. See `ostinato.evaluation.phases`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ostinato.checks import whole
from ostinato.core.resolved import ResolvedPlan
from ostinato.core.waveforms import IntArray
from ostinato.errors import ConfigError, PlanError, suggest
from ostinato.evaluation.phases import examine, steps_every, whole_cycles
from ostinato.evaluation.timings import at_troughs, jittered, low_discrepancy

__all__ = ["METRICS", "MOMENTS", "Objective"]

METRICS = ("error", "nll")
MOMENTS = ("trough", "cycle-mean", "jittered")
_EVERY = "every:"


@dataclass(frozen=True)
class Objective:
    """A score of a run, lower is better, on examples that are held out of the training data.

    Args:
        metric: ``"error"`` or ``"nll"``.
        moment: ``"trough"``: at the last complete cycle's last minimum, where a snapshot is taken. ``"cycle-mean"``: the mean of
            `evaluations` spread evenly over the last complete cycle. ``"jittered"``: the same at random moments. ``"every:N"``: the mean of the
            evaluations every N steps in the fewest last cycles that show the whole cycle.
        evaluations: How many, for ``"cycle-mean"`` and ``"jittered"``.
        forced: Take ``"every:N"`` also where it is locked to too few phases.
        seed: Of the jitter.

    Raises:
        ConfigError: There is no such metric or moment, or a number cannot be.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=100, cycle=ost.Cycle(period=20), bindings={"optimizer.lr": ost.wave(0.0, 0.1)}).resolve()
    >>> Objective().steps(plan).tolist(), Objective(moment="cycle-mean", evaluations=4).steps(plan).tolist()
    ([99], [82, 87, 90, 94])
    >>> Objective(moment="every:20").steps(plan)
    Traceback (most recent call last):
        ...
    ostinato.errors.PlanError: every:20: 5 evaluations see 1 phase of the cycle ... or force it
    """

    metric: str = "error"
    moment: str = "trough"
    evaluations: int = 16
    forced: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ConfigError(f"metric: got {self.metric!r}{suggest(str(self.metric), METRICS)}")
        if self.moment not in MOMENTS and self.interval is None:
            raise ConfigError(
                f"score: got {self.moment!r}{suggest(str(self.moment), (*MOMENTS, 'every:50'))}; every:N is every N steps"
            )
        whole("evaluations", self.evaluations)

    @property
    def interval(self) -> int | None:
        """The N of ``"every:N"``."""
        text = str(self.moment)
        number = text.removeprefix(_EVERY)
        return int(number) if text.startswith(_EVERY) and number.isdigit() and int(number) > 0 else None

    def steps(self, resolved: ResolvedPlan) -> IntArray:
        """Return the steps after which a run of this plan is scored.

        Raises:
            PlanError: The plan has no complete cycle or its waveform no trough; or the interval is locked to too few phases, and not forced.
        """
        cycles = whole_cycles(resolved)
        if not cycles[0].complete:
            raise PlanError(
                f"cycle: the first does not end within the total of {resolved.total} steps; choose shorter periods, or a longer total"
            )
        if self.interval is not None:
            return self._at_interval(resolved, self.interval)
        if self.moment == "trough":
            return at_troughs(resolved)[len(cycles) - 1 : len(cycles)]
        length = cycles[-1].end - cycles[-1].start
        count = min(self.evaluations, length)
        if self.moment == "jittered":
            return jittered(count, self.seed, last=1)(resolved)
        return low_discrepancy(count, last=1)(resolved)

    def _at_interval(self, resolved: ResolvedPlan, interval: int) -> IntArray:
        cycles, every = whole_cycles(resolved), steps_every(resolved.total, interval)
        every = every[(every >= cycles[0].start) & (every < cycles[-1].end)]
        for span in reversed(cycles):
            found = every[every >= span.start]
            if len(found) and not examine(resolved, found, warn=False).locked:
                return found
        if self.forced:
            last = every[every >= cycles[-1].start]
            return last if len(last) else every[-1:]
        seen = examine(resolved, every, warn=False)
        raise PlanError(
            f"{self.moment}: {len(every)} evaluations see {seen.distinct} phase{'s' if seen.distinct > 1 else ''} of the cycle and never"
            f" {100 * seen.gap:.0f} % of it in one piece, so that plans would be compared by their phase; score at the trough, by cycle-mean or jittered,"
            " or force it"
        )

    def score(self, steps: IntArray, values: ArrayLike) -> float:
        """Return the score of a run from the metric after each of `steps`; NaN where one is not finite."""
        found = np.asarray(values, dtype=np.float64)
        return float(found.mean()) if len(found) == len(steps) and np.isfinite(found).all() else float("nan")

    def to_document(self) -> dict[str, Any]:
        """Return a JSON document."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Objective:
        """Return the objective of a document."""
        return cls(**document)
