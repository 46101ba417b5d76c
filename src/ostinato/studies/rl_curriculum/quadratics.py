"""Quadratics whose curvature breathes with the cycle: the claim's premise made true, and the curvature known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ostinato.applications.landscapes import MovingQuadratic, descend
from ostinato.applications.landscapes.problem import Count
from ostinato.core.bindings import Binding
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan
from ostinato.studies.rl_curriculum.plans import rate_of

__all__ = ["ARMS", "Breathing", "excess_of"]

ARMS = ("anti", "in-phase", "constant")
_CYCLES, _GROWTH, _STARTS, _CONDITION = 4, 10.0, 40, (100.0, 1000.0)
_RATES = tuple(float(f"{2.0 ** (k / 2):.6g}") for k in range(-14, 5))
"""Mean rates; at the sharpest, the curvature is 10 and a fixed rate is stable below 0.2."""

_LEAST, _MOST = 1e-30, 1e30
"""Excesses below are rounding, those above have diverged."""


@dataclass(frozen=True, eq=False)
class Breathing(MovingQuadratic):
    """f_t(x) = 1/2 growth^(s_t) z·(c z) with s_t = (1 - cos 2π·cycles·t/total)/2: flat at a cycle's ends, `growth` times as sharp in its middle."""

    cycles: int = _CYCLES

    def _factor(self, step: Count) -> float:
        return float(self.growth ** ((1.0 - math.cos(2.0 * math.pi * self.cycles * float(step) / self.total)) / 2.0))


def excess_of(arm: str, seed: int, parameters: Mapping[str, Any], *, noise: float) -> float:
    """Return the decimal logarithm of the mean excess over the last cycle, of SGD on a seed's own quadratic.

    The mean rate is the best of 19 for each arm, chosen on one half of the starts and scored on the other.

    Args:
        arm: One of `ARMS`.
        seed: Of the problem, the starts and the noise, which all arms share.
        parameters: Of the regime, for the number of steps.
        noise: Standard deviation of the noise in every coordinate of the gradient.
    """
    steps = parameters["quadratic_steps"]
    problem = Breathing.draw(seed, total=steps, growth=_GROWTH, dimension=10, condition=_CONDITION, noise=noise)
    plans = {f"{rate:g}": _plan(arm, rate, steps) for rate in _RATES}
    found = descend(problem, problem.starts(seed, _STARTS), plans, optimizer="sgd", seed=seed, every=steps)
    with np.errstate(over="ignore"):  # rates beyond what is stable
        means = np.clip(found.cycle_mean, _LEAST, _MOST)
    best = int(np.argmin(np.log10(means[:, 0::2]).mean(axis=1)))
    return float(np.log10(means[best, 1::2].mean()))


def _plan(arm: str, mean: float, steps: int) -> Plan:
    """Return a plan of one mean rate over the discrete steps."""

    def made(peak: float) -> Plan:
        return Plan(total=steps, cycle=Cycle("sine", count=_CYCLES), bindings={"optimizer.lr": course(peak)})

    def course(peak: float) -> Binding:
        return rate_of(arm, peak, 1.0 / _GROWTH, scale="geometric")

    return made(mean / made(1.0).resolve().mean("optimizer.lr"))
