"""Smoothing a noisy loss curve: as it comes, and afterwards without delay."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["EarlyStop", "left_noise", "noise_of", "smoothed"]

Losses = NDArray[np.float64]

_NOISE = 5.0


def smoothed(losses: Losses, smoothing: float) -> Losses:
    """Return Σ_s β^|t-s|·l_s / Σ_s β^|t-s|: an exponential mean to both sides, corrected for what is missing at the ends.

    A mean over the past alone lags by β/(1 - β) values (49 for the usual 0.98, half of a sweep of 100) and would move every suggestion
    that far up. Before, losses are cut at 2·start - lowest (start: the median of the first values), so that a blow-up at the end does
    not drown what came before.

    Args:
        losses: float64 (N,), finite.
        smoothing: β in [0, 1); 0 returns the losses.

    >>> smoothed(np.array([1.0, 0.0, 1.0]), 0.5).round(3)
    array([0.714, 0.5  , 0.714])
    """
    if smoothing == 0.0 or len(losses) < 2:
        return losses.copy()
    start = float(np.median(losses[: max(3, len(losses) // 20)]))
    cut = np.minimum(losses, 2 * start - min(start, float(losses.min())))
    ahead, back = _one_sided(cut, smoothing), _one_sided(cut[::-1], smoothing)
    weight = _one_sided(np.ones_like(cut), smoothing)
    mean: Losses = (ahead + back[::-1] - cut) / (weight + weight[::-1] - 1.0)
    return mean


def _one_sided(values: Losses, smoothing: float) -> Losses:
    """Return Σ_{s <= t} β^(t-s)·v_s."""
    sums, total = np.empty_like(values), 0.0
    for place, value in enumerate(values.tolist()):
        total = sums[place] = smoothing * total + value
    return sums


def noise_of(losses: Losses) -> float:
    """Return the standard deviation of the noise on a smooth curve, from the median size of its differences.

    >>> noise_of(np.array([3.0, 2.0, 1.0])), noise_of(np.array([1.0]))
    (1.048..., 0.0)
    """
    differences = np.abs(np.diff(losses))
    return float(1.4826 * np.median(differences) / math.sqrt(2.0)) if len(differences) else 0.0


def left_noise(smoothing: float) -> float:
    """Return which part of the noise's standard deviation `smoothed` leaves, away from the ends: sqrt(Σ β^2|t|) / Σ β^|t|.

    >>> left_noise(0.0), round(left_noise(0.7), 2)
    (1.0, 0.3)
    """
    square = smoothing * smoothing
    return math.sqrt((1 + square) / (1 - square)) * (1 - smoothing) / (1 + smoothing)


class EarlyStop:
    """Says when going on is pointless: the loss is not finite, or its mean has risen far above the lowest.

    With the mean m over the past (β = `smoothing`, corrected for its beginning), it has if all of these hold:
    m - lowest > (factor - 1)·|lowest|, which for a loss above 0 is m > factor·lowest; m > first; and m - lowest > 5 times the noise. So
    neither noise nor rounding stops a loss that came near 0, and one below 0 can stop as well.

    Args:
        factor: More than 1; infinite for never.
        smoothing: β in [0, 1).
    """

    def __init__(self, factor: float, smoothing: float) -> None:
        self._factor, self._smoothing = factor, smoothing
        self._sum = self._weight = 0.0
        self._first = self._lowest = math.nan
        self._seen: list[float] = []

    def reason(self, value: float, loss: float) -> str:
        """Return why to stop after a value and its loss; empty to go on."""
        if not math.isfinite(loss):
            return f"the loss is {loss} at {value:.3g}"
        self._sum = self._smoothing * self._sum + loss
        self._weight = self._smoothing * self._weight + 1.0
        mean = self._sum / self._weight
        self._seen.append(loss)
        if math.isnan(self._first):
            self._first = self._lowest = mean
        self._lowest = min(self._lowest, mean)
        room = max((self._factor - 1.0) * abs(self._lowest), self._first - self._lowest)
        if mean - self._lowest > max(room, _NOISE * noise_of(np.array(self._seen))):
            return f"the loss has risen far above its lowest at {value:.3g}"
        return ""
