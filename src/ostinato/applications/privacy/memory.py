"""A small model of memory under a rate: what learning pushes up, forgetting pulls down, the more the higher the rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ostinato.applications.privacy.scores import Floats
from ostinato.errors import ConfigError, DataError
from ostinato.evaluation import Interval, paired_t

__all__ = ["Memory", "MemoryFit", "fit_memory"]

Places = NDArray[np.int64]
_BLOCK = 30.0
"""Of the exponent: within a block its exponential is far from overflowing."""
_MOST = 60
_NAMES = ("learning", "grip", "forgetting", "scale")


@dataclass(frozen=True, slots=True)
class Memory:
    """How much a model has learnt of its training examples, s, and how much of that it holds, m, both in [0, 1].

    With r the rate and t in updates: ds/dt = l r (1 - s) and dm/dt = a r (s - m) - b r^2 m.

    What can be told from its examples is learnt slowly and for good; the model's grip on it follows at a speed that grows with the rate, and the
    noise of an update, whose variance grows with the square of the rate, loosens it. At a constant rate m goes to s a / (a + b r) with the
    time constant 1 / (a r + b r^2): high rates hold less and move fast, low rates hold more, at a rate of 0 nothing changes. The leak of an
    attack is 0.5 + scale * m.

    It assumes one grip for all examples, driven by the rate alone: no dependence on the gradient's size, no saturation of the attack, a rate that is constant
    within an update. It describes courses that it was fitted to; it is no law.

    Attributes:
        learning: l >= 0, per update and unit of rate.
        grip: a >= 0, per update and unit of rate.
        forgetting: b >= 0, per update and squared unit of rate.
        scale: Area above 0.5 at m = 1.
    """

    learning: float
    grip: float
    forgetting: float
    scale: float = 0.5

    def __post_init__(self) -> None:
        values = self.learning, self.grip, self.forgetting, self.scale
        if not all(np.isfinite(value) and value >= 0.0 for value in values):
            raise ConfigError(f"memory: got {values}, expected finite numbers >= 0")

    def course(self, rates: ArrayLike) -> Floats:
        """Return m after each update, from s = m = 0 on, by the exact solution within each update.

        With p = a r + b r^2, q = l r and u = exp(-l * sum of the rates before) what is not learnt yet: m -> m exp(-p) + a r [(1 - exp(-p)) / p -
        u (exp(-q) - exp(-p)) / (p - q)].

        Args:
            rates: The rate of each update, such as ``plan.table()["optimizer.lr"]``, (T,).

        Returns:
            (T,).

        Raises:
            DataError: A rate is negative or not finite.

        >>> held = Memory(learning=1.0, grip=50.0, forgetting=150.0).course([0.0, 2.0, 2.0, 0.0])
        >>> held.round(4).tolist()
        [0.0, 0.1235, 0.1402, 0.1402]
        """
        r = np.asarray(rates, dtype=np.float64)
        if r.ndim != 1 or not np.isfinite(r).all() or (r < 0.0).any():
            raise DataError("rates: expected one row of finite numbers >= 0, one for each update")
        p, q = (self.grip + self.forgetting * r) * r, self.learning * r
        unlearnt = np.exp(-(np.cumsum(q) - q))
        gained = self.grip * r * (_integral(np.zeros_like(p), p) - unlearnt * _integral(q, p))
        return _scan(p, gained)

    def leak(self, rates: ArrayLike) -> Floats:
        """Return 0.5 + scale * m after each update, (T,)."""
        found: Floats = 0.5 + self.scale * self.course(rates)
        return found


def _integral(q: Floats, p: Floats) -> Floats:
    """Return the integral over t in [0, 1] of exp(-q t) exp(-p (1 - t)): (exp(-q) - exp(-p)) / (p - q), exp(-p) where they are equal."""
    apart = np.abs(p - q)
    small = apart < 1e-12
    found: Floats = np.exp(-np.minimum(p, q)) * np.where(small, 1.0, -np.expm1(-apart) / np.where(small, 1.0, apart))
    return found


def _scan(exponent: Floats, gained: Floats) -> Floats:
    """Return m after each of the steps m -> m exp(-exponent) + gained, from 0 on."""
    found = np.empty(len(exponent))
    through, m = np.cumsum(exponent), 0.0
    for part in np.split(np.arange(len(exponent)), np.flatnonzero(np.diff(through // _BLOCK)) + 1):
        if not len(part):
            continue
        first, rest = part[0], part[1:]
        m = found[first] = m * np.exp(-exponent[first]) + gained[first]
        since = through[rest] - through[first]
        found[rest] = np.exp(-since) * (m + np.cumsum(gained[rest] * np.exp(since)))
        m = float(found[part[-1]])
    return found


@dataclass(frozen=True)
class MemoryFit:
    """A memory fitted to measured courses.

    Attributes:
        memory: The constants.
        intervals: Of ``learning``, ``grip``, ``forgetting`` and ``scale``, 95 %: jackknife over the columns of the measurements, Student's t on the logarithms.
            Empty where there is one column.
        explained: Share of the variance of all measurements' means, over all courses, that the fit explains.
    """

    memory: Memory
    intervals: Mapping[str, Interval]
    explained: float


def fit_memory(courses: Sequence[tuple[ArrayLike, ArrayLike, ArrayLike]]) -> MemoryFit:
    """Fit one memory to the leaks measured in one or more runs, by least squares on the logarithms of its constants.

    An area is at most 1, so that scale is at most 0.5. A constant that the runs do not tell, such as the forgetting of a leak that does not breathe,
    has a wide interval.

    Args:
        courses: For each run the rate of each update (T,), the updates after which the leak was measured (E,), and the leaks: (E,), or (E, K)
            of K replicates, such as the pairs of `halves`, the same in every run.

    Raises:
        DataError: Shapes do not fit, or there are fewer than 5 measurements.

    >>> true = Memory(learning=0.05, grip=0.5, forgetting=2.0, scale=0.3)
    >>> rates = 0.1 * np.abs(np.cos(np.arange(800) / 40))
    >>> at = np.arange(0, 800, 10)
    >>> round(fit_memory([(rates, at, true.leak(rates)[at])]).memory.forgetting, 3)
    2.0
    """
    runs = [_checked(*course) for course in courses]
    columns = {leaks.shape[1] for _, _, leaks in runs}
    if len(columns) != 1 or sum(len(at) for _, at, _ in runs) <= len(_NAMES):
        raise DataError(
            f"courses: got {sorted(columns)} replicates and {sum(len(at) for _, at, _ in runs)} measurements, expected equally many replicates in every run and at least 5 measurements"
        )
    count = columns.pop()
    whole = _best([(rates, at, leaks.mean(axis=1)) for rates, at, leaks in runs], None)
    intervals: dict[str, Interval] = {}
    if count > 1:
        left = np.stack(
            [
                _best([(rates, at, np.delete(leaks, k, axis=1).mean(axis=1)) for rates, at, leaks in runs], whole)
                for k in range(count)
            ]
        )
        pseudo = count * whole - (count - 1) * left
        for name, values in zip(_NAMES, pseudo.T, strict=True):
            low, high = paired_t(values).interval.to_document()
            intervals[name] = Interval(float(np.exp(low)), float(np.exp(high)))
    memory = Memory(*np.exp(whole).tolist())
    means = np.concatenate([leaks.mean(axis=1) for _, _, leaks in runs])
    told = np.concatenate([memory.leak(rates)[at] for rates, at, _ in runs])
    spread = float(((means - means.mean()) ** 2).sum())
    return MemoryFit(memory, intervals, 1.0 - float(((means - told) ** 2).sum()) / spread if spread > 0.0 else 0.0)


def _checked(rates: ArrayLike, at: ArrayLike, leaks: ArrayLike) -> tuple[Floats, Places, Floats]:
    r, places, values = np.asarray(rates, dtype=np.float64), np.asarray(at), np.asarray(leaks, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    if (
        places.ndim != 1
        or places.dtype.kind not in "iu"
        or values.ndim != 2
        or len(values) != len(places)
        or (len(places) and not 0 <= places.min() <= places.max() < len(r))
    ):
        raise DataError(
            f"courses: got {len(r)} rates, measurements of shape {places.shape} and leaks of shape {values.shape}, expected places among the updates and a leak at each"
        )
    return r, places, values


def _best(runs: Sequence[tuple[Floats, Places, Floats]], start: Floats | None) -> Floats:
    """Return the logarithms of the constants, from several beginnings unless one is given.

    They are kept where courses can tell them apart: what is learnt between a ten-thousandth and all of it in an update, a grip and a forgetting that take
    at least a fifth of an update, an area of at most 1.
    """
    from scipy.optimize import least_squares

    highest = max(float(rates.max()) for rates, _, _ in runs) or 1.0
    longest = max(float(rates.sum()) for rates, _, _ in runs) or 1.0
    top = min(max(max(float(leaks.max()) for _, _, leaks in runs) - 0.5, 1e-3), 0.4)
    lowest = np.log([1e-4 / longest, 1e-2 / longest, 1e-6 / longest / highest, 1e-4])
    upmost = np.log([5.0 / highest, 5.0 / highest, 5.0 / highest**2, 0.5])

    def off(logs: Floats) -> Floats:
        memory = Memory(*np.exp(logs).tolist())
        return np.concatenate([memory.leak(rates)[at] - leaks for rates, at, leaks in runs])

    begins = [start] if start is not None else [
        np.log([1.0 / longest, speed / longest, share * speed / longest / highest, 1.2 * top])
        for speed in (5.0, 50.0)
        for share in (0.3, 3.0)
    ]  # fmt: skip
    inside = [np.clip(begin, lowest + 1e-3, upmost - 1e-3) for begin in begins]
    tried = [least_squares(off, begin, bounds=(lowest, upmost), max_nfev=_MOST) for begin in inside]
    found: Floats = min(tried, key=lambda one: float(one.cost)).x
    return found
