"""The arms of study ``rl-curriculum`` as plans: one difficulty, and the rate in some relation to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ostinato.core.bindings import Binding, mirror, wave
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan
from ostinato.core.schedules import Scale
from ostinato.errors import ConfigError

__all__ = ["LOWEST", "plan_of", "rate_of", "steps_of"]

LOWEST = 0.1
"""The lowest rate, as a share of the peak."""


def steps_of(parameters: Mapping[str, Any]) -> int:
    """Return the environment steps of a rollout, over all environments."""
    return int(parameters["environments"] * parameters["steps"])


def plan_of(arm: str, peak: float, parameters: Mapping[str, Any]) -> Plan:
    """Return an arm's plan: difficulty in sine cycles from 0 to 1 and back, the rate as `rate_of` has it. Every arm has the same mean rate.

    Raises:
        ConfigError: There is no such arm.
    """
    total = parameters["rollouts"] * steps_of(parameters)
    own = Cycle("sine", period=total // parameters["own_cycles"])
    return Plan(
        total=total,
        cycle=Cycle("sine", count=parameters["cycles"]),
        bindings={"environment.difficulty": wave(0.0, 1.0), "optimizer.lr": rate_of(arm, peak, LOWEST, own=own)},
    )


def rate_of(arm: str, peak: float, lowest: float, *, own: Cycle | None = None, scale: Scale = "linear") -> Binding:
    """Return the rate's course between `lowest` times the peak and the peak.

    Args:
        arm: ``anti`` is high where the cycle is low, ``in-phase`` high where it is high, ``constant`` their mean, ``independent`` in cycles of its own.
        peak: The highest rate.
        lowest: The lowest, as a share of it.
        own: The cycle of ``independent``.
        scale: ``geometric`` makes ``anti`` inversely proportional to what grows geometrically with the cycle.

    Raises:
        ConfigError: There is no such arm.
    """
    low = lowest * peak
    if arm == "anti":
        return mirror(low, peak, scale=scale)
    if arm == "in-phase":
        return wave(low, peak, scale=scale)
    if arm == "constant":
        return wave((low + peak) / 2, (low + peak) / 2)
    if arm == "independent":
        return wave(low, peak, cycle=own, scale=scale)
    raise ConfigError(f"arm: got {arm!r}, expected one of the study's")
