"""The arms of study ``adam-cycles`` as plans: all of one mean rate, on one clock."""

from __future__ import annotations

from functools import cache

from ostinato import controls
from ostinato.core.bindings import Binding, mirror, wave
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError

__all__ = ["plan_of"]

_RATE = "optimizer.lr"


def plan_of(arm: str, mean: float, steps: int, cycles: int, seed: int) -> ResolvedPlan:
    """Return an arm's plan, resolved.

    Args:
        arm: Without the ``sgd-`` that names another optimizer.
        mean: Mean rate over all steps, the same for every arm.
        steps: Length.
        cycles: Number of cycles.
        seed: Of the order, for ``shuffled``.
    """
    return _plan_of(arm, mean, steps, cycles, seed if arm == "shuffled" else 0)


@cache
def _plan_of(arm: str, mean: float, steps: int, cycles: int, seed: int) -> ResolvedPlan:
    if arm == "shuffled":
        return controls.shuffled(_of_mean("restarts", mean, steps, cycles), seed=seed).resolve()
    if arm in ("sorted", "cosine", "constant"):
        return controls.make(arm, _of_mean("restarts", mean, steps, cycles)).plan.resolve()
    return _of_mean(arm, mean, steps, cycles).resolve()


def _of_mean(shape: str, mean: float, steps: int, cycles: int) -> Plan:
    """Return cycles between 0 and the high that gives the mean over the discrete steps."""

    def bound(high: float) -> Plan:
        waveform, course = _shape(shape, high)
        return Plan(total=steps, cycle=Cycle(waveform, count=cycles), bindings={_RATE: course})

    return bound(mean / bound(1.0).resolve().mean(_RATE))


def _shape(shape: str, high: float) -> tuple[str, Binding]:
    """Return waveform and course: which end of the range a cycle begins and ends at is all that differs."""
    if shape == "restarts":
        return "cosine", wave(0.0, high)
    if shape == "trough-to-trough":
        return "sine", wave(0.0, high)
    if shape == "peak-to-peak":
        return "sine", wave(0.0, high, shift=0.5)
    if shape == "trough-to-peak":
        return "cosine", mirror(0.0, high)
    raise ConfigError(f"arm: got {shape!r}, expected one of the study's")
