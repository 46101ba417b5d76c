"""The plans of study ``moving-landscape``: three losses, each under four schedules of the rate."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ostinato import controls
from ostinato.core.bindings import Binding, mirror, wave
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan
from ostinato.schedules import hold

__all__ = ["LOSSES", "SCHEDULES", "arms", "plan_of"]

_FOCUS, _HIGHEST = 2.0, 4.0

LOSSES: Mapping[str, str] = {
    "ce": "cross entropy",
    "focal": "focal loss, gamma 2",
    "rising": "focal loss, gamma rising from 0 to 4 in a straight line",
}
"""From each loss to its description."""

SCHEDULES: Mapping[str, str] = {
    "constant": "one rate, tuned",
    "cycles": "cosine cycles of equal length, peak tuned",
    "sorted": "the rates of the cycles in descending order",
    "cosine": "one cosine, peak tuned",
}
"""From each schedule to its description."""


def arms() -> dict[str, str]:
    """Return every arm with its description."""
    return {
        f"{loss}-{schedule}": f"{loss_text}; {text}"
        for loss, loss_text in LOSSES.items()
        for schedule, text in SCHEDULES.items()
    }


@cache
def plan_of(arm: str, rate: float, steps: int, cycles: int) -> Plan:
    """Return an arm's plan: its rate, and the gamma of a focal loss, of which 0 is cross entropy.

    Gamma follows the count alone: the sorted twin has the rates in another order and gamma where it was.

    Args:
        arm: Of the specification.
        rate: The peak, or the rate of ``constant``.
        steps: Length.
        cycles: Number of cycles, also of the clock of the arms whose rate has none.
    """
    loss, _, schedule = arm.partition("-")
    once = Cycle("sawtooth", count=1)
    gammas = {
        "ce": Binding(hold(0.0)),
        "focal": Binding(hold(_FOCUS)),
        "rising": mirror(0.0, _HIGHEST, cycle=once),
    }
    cycling = Plan(total=steps, cycle=Cycle("cosine", count=cycles), bindings={"optimizer.lr": wave(0.0, rate)})
    rates = {
        "constant": lambda: Binding(hold(rate)),
        "cycles": lambda: cycling.bound["optimizer.lr"],
        "sorted": lambda: controls.sorted(cycling).bound["optimizer.lr"],
        "cosine": lambda: wave(0.0, rate, cycle=Cycle("cosine", count=1)),
    }
    return Plan(
        total=steps,
        cycle=cycling.cycle,
        bindings={"optimizer.lr": rates[schedule](), "loss.gamma": gammas[loss]},
    )
