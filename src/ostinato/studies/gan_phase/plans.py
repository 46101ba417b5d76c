"""The arms of study ``gan-phase`` as plans of two rates on one clock."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ostinato import controls
from ostinato.applications.adversarial import waves
from ostinato.core.bindings import wave
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError

__all__ = ["plan_of"]

_LOW = 0.05
"""Lowest rate of a cycle, as a share of the highest."""
_OWN = 7
"""Cycles of the decorrelated discriminator while the generator makes ten."""
_DISCRIMINATOR = "discriminator.lr"
_TURNS = {"in-phase": 0.5, "lead": 0.25, "lag": 0.75}
"""How much later than in anti-phase the discriminator is, in fractions of a cycle."""


def plan_of(arm: str, settings: Mapping[str, float], rounds: int, cycles: int) -> ResolvedPlan:
    """Return an arm's plan, resolved.

    Args:
        arm: Of the specification.
        settings: ``rate``, the mean of both players' rates; for ``two-time-scale`` also ``ratio``, the discriminator's over the generator's,
            whose mean stays `rate`.
        rounds: Length.
        cycles: Number of cycles.

    Raises:
        ConfigError: There is no such arm.
    """
    return _plan_of(arm, settings["rate"], settings.get("ratio", 1.0), rounds, cycles)


@cache
def _plan_of(arm: str, rate: float, ratio: float, rounds: int, cycles: int) -> ResolvedPlan:
    high = 2 * rate / (1 + _LOW)
    anti = waves(_LOW * high, high, total=rounds, count=cycles)
    if arm in _TURNS:
        return controls.shifted(anti, target=_DISCRIMINATOR, shift=_TURNS[arm]).resolve()
    if arm in ("constant", "cosine"):
        return controls.make(arm, anti).plan.resolve()
    if arm in ("two-time-scale", "tuned-constant"):
        generator = 2 * rate / (1 + ratio)
        return _held(anti, generator, ratio * generator).resolve()
    if arm == "decorrelated":
        own = wave(_LOW * high, high, cycle=Cycle("sine", count=_OWN))
        return anti.replace({_DISCRIMINATOR: own}).resolve()
    if arm == "anti":
        return anti.resolve()
    raise ConfigError(f"arm: got {arm!r}, expected one of the study's")


def _held(plan: Plan, generator: float, discriminator: float) -> Plan:
    """Return the plan with two constant rates."""
    return plan.replace(
        {"generator.lr": wave(generator, generator), _DISCRIMINATOR: wave(discriminator, discriminator)}
    )
