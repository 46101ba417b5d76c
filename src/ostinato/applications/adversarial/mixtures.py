"""Mixtures of Gaussians in the plane: what a game is about when one wants to see every mode."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import ConfigError, suggest

__all__ = ["MIXTURES", "Mixture", "mixture"]

Floats = NDArray[np.float64]
HIGH_QUALITY = 3.0
"""A sample is of high quality within so many standard deviations of a mode."""


@dataclass(frozen=True)
class Mixture:
    """Gaussians of one spread and equal weight in the plane.

    Attributes:
        name: What it is called.
        centres: The modes, (x, y) each.
        sigma: Standard deviation of each in every coordinate; > 0.

    Raises:
        ConfigError: There is no mode, or `sigma` is not positive.

    >>> two = Mixture("two", ((-1.0, 0.0), (1.0, 0.0)), 0.1)
    >>> two.sample(np.random.default_rng(0), 4).shape, round(two.scale, 3)
    ((4, 2), 0.714)
    """

    name: str
    centres: tuple[tuple[float, float], ...]
    sigma: float

    def __post_init__(self) -> None:
        if not self.centres or any(len(centre) != 2 for centre in self.centres):
            raise ConfigError(f"centres: got {self.centres!r}, expected at least one pair (x, y)")
        if not self.sigma > 0.0:
            raise ConfigError(f"sigma: got {self.sigma!r}, expected a standard deviation > 0")

    @property
    def modes(self) -> int:
        """How many modes there are."""
        return len(self.centres)

    @cached_property
    def scale(self) -> float:
        """Root mean square of the coordinates: what networks see is divided by it."""
        return float(np.sqrt(np.mean(np.square(self.centres)) + self.sigma**2))

    @property
    def junk(self) -> float:
        """Share of the mixture's own samples farther than three sigma from their mode: exp(-9/2) = 1.1 %."""
        return math.exp(-(HIGH_QUALITY**2) / 2)

    @property
    def shares(self) -> Floats:
        """Share of the mixture's own samples in each mode, and of junk, (M + 1,)."""
        return np.array([(1.0 - self.junk) / self.modes] * self.modes + [self.junk])

    def sample(self, rng: np.random.Generator, size: int | tuple[int, ...]) -> Floats:
        """Return samples, (*size, 2)."""
        modes = rng.integers(self.modes, size=size)
        centres: Floats = np.array(self.centres)[modes]
        return centres + self.sigma * rng.standard_normal(centres.shape)


def _ring(modes: int, radius: float, sigma: float) -> Mixture:
    turns = 2 * np.pi * np.arange(modes) / modes
    places = radius * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    return Mixture("ring", tuple((float(x), float(y)) for x, y in places), sigma)


def _grid(side: tuple[float, ...], sigma: float) -> Mixture:
    return Mixture("grid", tuple((x, y) for x in side for y in side), sigma)


MIXTURES: Mapping[str, Mixture] = {
    "ring": _ring(8, 1.0, 0.01),
    "grid": _grid((-4.0, -2.0, 0.0, 2.0, 4.0), 0.05),
}
"""``ring``: 8 modes on a circle of radius 1, sigma 0.01. ``grid``: 25 modes on {-4, -2, 0, 2, 4} squared, sigma 0.05."""


def mixture(name: str) -> Mixture:
    """Return one of the two mixtures that mode collapse is measured on (A. Srivastava et al., VEEGAN, NeurIPS 2017; Z. Lin et al., PacGAN, NeurIPS 2018).

    Raises:
        ConfigError: There is none of that name.

    >>> mixture("grid").modes, mixture("ring").modes
    (25, 8)
    """
    if name not in MIXTURES:
        raise ConfigError(f"mixture: got {name!r}{suggest(str(name), MIXTURES)}")
    return MIXTURES[name]
