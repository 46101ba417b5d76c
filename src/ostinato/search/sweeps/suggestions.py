"""Suggestions: what a curve of losses says about the value to take, each with its reason, or the reason why there is none.

For one run through all learning rates, with y the smoothed loss and x the logarithm of the rate (or the rate, in a linear sweep):

- ``peak``: the geometric mean (arithmetic in a linear sweep) of where the loss falls fastest and where it is lowest, for the top of a cycle;
- ``valley``: two thirds of the way, in x, from where 5 % to where 95 % of the fall is done;
- ``steepest``: where dy/dx is lowest;
- ``minimum/10``: a tenth of where y is lowest;
- ``slide``: 15 % of the sweep's width before the loss begins to slide up.

Where every value starts from the same weights, y is the loss itself:

- ``minimum``: where y is lowest, if that is at least 1 % below y at the low end;
- ``tolerated``: the largest value up to which y stays within 5 % of its lowest.

Sources: L. N. Smith, arXiv 1506.01186 (the test) and 1803.09820 (other values); the rules are in the spirit of fastai's ``lr_find``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.search.sweeps.result import Suggestion
from ostinato.search.sweeps.smoothing import noise_of
from ostinato.search.sweeps.sweep import Sweep

__all__ = ["apart", "in_one_run"]

Array = NDArray[np.float64]

_RULES = ("peak", "valley", "steepest", "minimum/10", "slide")
_RULES_APART = ("minimum", "tolerated")
_FALL_IN_NOISE = 8.0
_FALL_IN_SIZE = 1e-3
_TURNED = 0.1
_BOTTOM = 0.05
_SLIDE = 0.15
_TOLERANCE = 0.05
_GAIN = 0.01
_FEWEST = 8


@dataclass(frozen=True)
class _Curve:
    """The curve of one run: y over x, its lowest place, and how far it fell."""

    sweep: Sweep
    values: Array
    losses: Array
    y: Array
    stopped: str
    left: float

    @property
    def x(self) -> Array:
        return np.log(self.values) if self.sweep.scale == "exponential" else self.values

    @property
    def bottom(self) -> int:
        return int(np.argmin(self.y))

    @property
    def fall(self) -> float:
        return float(self.y[0] - self.y[self.bottom])

    @property
    def turned(self) -> bool:
        """Whether the loss has risen again after its lowest: what is stopped early has."""
        return bool(self.y[-1] - self.y[self.bottom] > _TURNED * self.fall) or bool(self.stopped)

    def value_at(self, x: float) -> float:
        return math.exp(x) if self.sweep.scale == "exponential" else x

    def why_nothing(self) -> str:
        """Return why the curve suggests nothing at all; empty if it may."""
        sweep = self.sweep
        if not sweep.is_rate:
            return (
                "in one run through all values the loss falls by the training itself, whatever the value;"
                " pass restart=20, so that each starts from the same weights"
            )
        if len(self.y) < _FEWEST:
            least = "low" if self.stopped else "steps"
            change = f"lower low ({sweep.low:g})" if least == "low" else f"use at least {_FEWEST} steps"
            return f"only {len(self.y)} losses" + (f": {self.stopped}" if self.stopped else "") + f"; {change}"
        noise, size = noise_of(self.losses[: self.bottom + 1]) * self.left, abs(float(self.y[0]))
        if self.fall <= max(_FALL_IN_NOISE * noise, _FALL_IN_SIZE * size):
            return "the loss never fell by more than its noise" + (f"; {self.stopped}" if self.stopped else "")
        return ""


def in_one_run(
    sweep: Sweep, values: Array, losses: Array, stopped: str, *, smooth: Array, left: float
) -> Mapping[str, Suggestion]:
    """Return what one run through all values suggests; `left` is the part of the noise that is left in the smooth losses."""
    curve = _Curve(sweep, values, losses, smooth, stopped, left)
    nothing = curve.why_nothing()
    if nothing:
        return {name: Suggestion(name, None, nothing) for name in _RULES}
    found = (_peak(curve), _valley(curve), _steepest(curve), _tenth(curve), _slide(curve))
    return {each.name: _checked(curve, each) for each in found}


def _checked(curve: _Curve, found: Suggestion) -> Suggestion:
    """Keep a suggestion only inside the sweep and below where the loss is lowest."""
    if found.value is None or curve.values[0] <= found.value <= curve.values[curve.bottom]:
        return found
    outside = "below the sweep; lower low" if found.value < curve.values[0] else "above where the loss is lowest"
    return Suggestion(found.name, None, f"{found.value:.3g} lies {outside}")


def _still_falling(curve: _Curve, name: str) -> Suggestion:
    return Suggestion(
        name, None, f"the loss has not risen again at the highest value tried ({curve.values[-1]:.3g}); raise high"
    )


def _peak(curve: _Curve) -> Suggestion:
    steepest = _steepest(curve)
    if steepest.value is None:
        return Suggestion("peak", None, steepest.reason)
    if not curve.turned:
        return _still_falling(curve, "peak")
    ends = float(curve.x[int(np.flatnonzero(curve.values == steepest.value)[0])]), float(curve.x[curve.bottom])
    lowest = curve.values[curve.bottom]
    reason = f"half way from where the loss falls fastest ({steepest.value:.3g}) to where it is lowest ({lowest:.3g})"
    return Suggestion("peak", curve.value_at(sum(ends) / 2), reason)


def _valley(curve: _Curve) -> Suggestion:
    if not curve.turned:
        return _still_falling(curve, "valley")
    done = (curve.y[0] - curve.y[: curve.bottom + 1]) / curve.fall
    begin = int(np.flatnonzero(done <= _BOTTOM)[-1])
    end = int(np.flatnonzero(done >= 1 - _BOTTOM)[0])
    x = curve.x[begin] + (curve.x[end] - curve.x[begin]) * 2 / 3
    reason = f"two thirds into the descent from {curve.values[begin]:.3g} to {curve.values[end]:.3g}"
    return Suggestion("valley", curve.value_at(float(x)), reason)


def _steepest(curve: _Curve) -> Suggestion:
    slope = np.gradient(curve.y, curve.x)
    place = int(np.argmin(slope[: curve.bottom + 1]))
    if place <= 1:
        return Suggestion("steepest", None, f"the loss falls fastest at the low end ({curve.values[0]:.3g}); lower low")
    if not curve.turned and place >= len(slope) - 2:
        return _still_falling(curve, "steepest")
    return Suggestion("steepest", float(curve.values[place]), "the loss falls fastest here")


def _tenth(curve: _Curve) -> Suggestion:
    if curve.sweep.scale == "linear":
        return Suggestion("minimum/10", None, "a tenth means nothing in a linear sweep; use sweep='exponential'")
    if not curve.turned:
        return _still_falling(curve, "minimum/10")
    lowest = float(curve.values[curve.bottom])
    return Suggestion("minimum/10", lowest / 10, f"a tenth of where the loss is lowest ({lowest:.3g})")


def _slide(curve: _Curve) -> Suggestion:
    if not curve.turned:
        return _still_falling(curve, "slide")
    risen = np.flatnonzero(curve.y[curve.bottom :] > curve.y[curve.bottom] + _BOTTOM * curve.fall)
    onset = curve.bottom + (int(risen[0]) - 1 if len(risen) else 0)
    whole = math.log(curve.sweep.high / curve.sweep.low) if curve.sweep.scale == "exponential" else 0.0
    width = _SLIDE * (whole or curve.sweep.high - curve.sweep.low)
    value = curve.value_at(float(curve.x[onset]) - width)
    return Suggestion("slide", value, f"an interval before the loss slides up from {curve.values[onset]:.3g} on")


# -- every value from the same weights -------------------------------------------------------------------------


def apart(sweep: Sweep, values: Array, losses: Array, stopped: str) -> Mapping[str, Suggestion]:
    """Return what losses suggest of which each had its own run, from the same weights."""
    nothing = ""
    if len(losses) < 3:
        nothing = f"only {len(losses)} losses" + (f": {stopped}; lower low" if stopped else "; use more steps")
    elif float(np.ptp(losses)) <= _FALL_IN_SIZE * float(np.abs(losses).max()):
        nothing = f"the value makes no difference within {sweep.restart} updates (less than 0.1 % of the loss)"
    if nothing:
        return {name: Suggestion(name, None, nothing) for name in _RULES_APART}
    found = (_minimum(sweep, values, losses), _tolerated(sweep, values, losses, stopped))
    return {each.name: each for each in found}


def _minimum(sweep: Sweep, values: Array, losses: Array) -> Suggestion:
    place = int(np.argmin(losses))
    value, domain = float(values[place]), sweep.domain
    if not sweep.is_rate and losses[0] - losses[place] <= _GAIN * abs(losses[place]):
        reason = f"no value is better than the low end ({values[0]:.3g}) by more than {_GAIN:.0%} within {sweep.restart} updates"
        return Suggestion("minimum", None, reason)
    if place == len(values) - 1 and value != domain.high:
        return Suggestion("minimum", None, f"the loss is lowest at the highest value tried ({value:.3g}); raise high")
    if place == 0 and value != domain.low:
        return Suggestion("minimum", None, f"the loss is lowest at the low end ({value:.3g}); lower low")
    ends = f", an end of what {sweep.target} accepts" if value in (domain.low, domain.high) else ""
    return Suggestion("minimum", value, f"the loss after {sweep.restart} updates is lowest here{ends}")


def _tolerated(sweep: Sweep, values: Array, losses: Array, stopped: str) -> Suggestion:
    place = int(np.argmin(losses))
    worse = np.flatnonzero(losses[place:] > losses[place] + _TOLERANCE * abs(losses[place]))
    if not len(worse) and not stopped and values[-1] != sweep.domain.high:
        return Suggestion(
            "tolerated", None, f"even {values[-1]:.3g} does no harm within {sweep.restart} updates; raise high"
        )
    last = place + (int(worse[0]) - 1 if len(worse) else len(losses) - 1 - place)
    return Suggestion(
        "tolerated", float(values[last]), f"the largest value whose loss stays within {_TOLERANCE:.0%} of the lowest"
    )
