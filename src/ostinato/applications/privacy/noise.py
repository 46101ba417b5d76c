"""Differential privacy on the clock: Opacus' noise and clipping as targets of a plan, and what a plan of noise promises."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ostinato.applications.privacy.scores import Floats
from ostinato.errors import ConfigError, DataError

__all__ = ["ScheduledNoise", "epsilon"]

_KEYS = ("noise_multiplier", "max_grad_norm")


class ScheduledNoise:
    """Opacus' optimizer as a root of a plan, so that its noise and its clipping norm are driven like any other value.

    Opacus keeps both beside the parameter groups, where a plan's ``optimizer.lr`` looks. Bind it under a name of its own::

        plan.bind(optimizer=optimizer, privacy=privacy.ScheduledNoise(optimizer))

    and drive ``privacy.noise_multiplier`` and ``privacy.max_grad_norm``. An accountant that is attached to the optimizer's steps, as
    `opacus.PrivacyEngine.make_private` does it, sees the noise that each step used. The plan must not depend on the data.

    Args:
        optimizer: What Opacus made: it has ``noise_multiplier`` and ``max_grad_norm``.

    Raises:
        ConfigError: `optimizer` has none.
    """

    def __init__(self, optimizer: Any) -> None:
        missing = [key for key in _KEYS if not isinstance(getattr(optimizer, key, None), int | float)]
        if missing:
            raise ConfigError(
                f"ScheduledNoise: got a {type(optimizer).__name__} without {missing[0]} as one number, expected the optimizer that opacus.PrivacyEngine.make_private returns"
            )
        self._optimizer = optimizer

    @property
    def noise_multiplier(self) -> float:
        """Standard deviation of the noise, in clipping norms."""
        return float(self._optimizer.noise_multiplier)

    @noise_multiplier.setter
    def noise_multiplier(self, value: float) -> None:
        self._optimizer.noise_multiplier = value

    @property
    def max_grad_norm(self) -> float:
        """Largest norm of one example's gradient."""
        return float(self._optimizer.max_grad_norm)

    @max_grad_norm.setter
    def max_grad_norm(self, value: float) -> None:
        self._optimizer.max_grad_norm = value


def epsilon(noise_multipliers: ArrayLike, *, sample_rate: float, delta: float, levels: int = 512) -> float:
    """Return the epsilon that updates under scheduled noise promise at `delta`, by Opacus' Renyi accountant.

    Renyi divergences of the Poisson-subsampled Gaussian mechanism add up over the updates, whatever their order; their sum at each order becomes an
    epsilon, and the smallest counts. Clipping norms do not matter: the noise is in their units. It holds for a plan fixed beforehand.

    Args:
        noise_multipliers: Of each update, such as ``plan.table()["privacy.noise_multiplier"]``, (T,). An update without noise promises
            nothing: infinity.
        sample_rate: The chance of each example to be in a batch, in (0, 1].
        delta: The chance that the promise fails, in (0, 1), below 1 / examples.
        levels: Of more than so many different values each is rounded down to one of so many, geometrically apart: an upper bound.

    Raises:
        ConfigError: Opacus is not installed, or a rate, delta or `levels` cannot be.
        DataError: A noise multiplier is negative or not finite.

    Source: Mironov 2017, arXiv 1702.07476; Mironov, Talwar & Zhang 2019, arXiv 1908.10530.

    >>> low, high = (epsilon([noise] * 100, sample_rate=0.01, delta=1e-5) for noise in (2.0, 1.0))
    >>> low < high < epsilon([1.0] * 200, sample_rate=0.01, delta=1e-5)
    True
    """
    noise = np.asarray(noise_multipliers, dtype=np.float64)
    if noise.ndim != 1 or not len(noise) or not np.isfinite(noise).all() or (noise < 0.0).any():
        raise DataError("noise_multipliers: expected one row of finite numbers >= 0, one for each update")
    if not 0.0 < sample_rate <= 1.0 or not 0.0 < delta < 1.0 or levels < 2:  # the ends
        raise ConfigError(
            f"sample_rate, delta, levels: got {sample_rate!r}, {delta!r}, {levels!r}, expected a chance in (0, 1], one in (0, 1) and at least 2 levels"
        )
    try:
        from opacus.accountants import RDPAccountant  # type: ignore[import-untyped]  # it ships no type information
    except ImportError:
        raise ConfigError("epsilon: needs Opacus; type: pip install 'ostinato[privacy]'") from None
    if not noise.min() > 0.0:
        return math.inf
    values, counts = np.unique(_rounded_down(noise, levels), return_counts=True)
    accountant = RDPAccountant()
    accountant.history = [(float(value), sample_rate, int(count)) for value, count in zip(values, counts, strict=True)]
    return float(accountant.get_epsilon(delta))


def _rounded_down(noise: Floats, levels: int) -> Floats:
    if len(np.unique(noise)) <= levels:
        return noise
    grid = np.geomspace(noise.min(), noise.max(), levels)
    grid[0] = noise.min()
    found: Floats = np.minimum(grid[np.searchsorted(grid, noise, side="right") - 1], noise)
    return found
