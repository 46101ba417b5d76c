"""The plans of study ``antiphase-regularisation``: three regularisers, each alone or all together, against one rate."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ostinato import controls
from ostinato.core.bindings import Binding, mirror, wave
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan
from ostinato.schedules import hold

__all__ = ["MOST_PIXELS", "SETS", "arm_of", "arms_of", "plan_of"]

MOST_PIXELS = 4
_UNITS = {
    "augmentation": ("model:RandomShift.strength", 0.25),
    "smoothing": ("loss.label_smoothing", 0.1),
    "dropout": ("model:Dropout.p", 0.2),
}

SETS: Mapping[str, tuple[str, ...]] = {"all": tuple(_UNITS), **{name: (name,) for name in _UNITS}}
"""From each set of regularisers to what is in it."""

_ARMS = {
    "anti": "0 where the rate is high, highest where it is low; high tuned",
    "shuffled": "the values of anti, turned in each cycle by a random share of it",
    "in-phase": "the values of anti in step with the rate",
    "tuned": "constant strength, tuned on the same grid",
    "constant": "constant at the mean of anti",
    "high": "constant at the high of anti",
    "rising": "strength rising once from 0 to the high of anti, under one cosine of the rate",
}
"""From the arms of a set to descriptions."""

_OF_ALL = ("high", "rising")


def arms_of(chosen: str) -> dict[str, str]:
    """Return the arms of a set with their descriptions: constant at high and rising strength are run for all three together alone."""
    return {arm: text for arm, text in _ARMS.items() if chosen == "all" or arm not in _OF_ALL}


def arm_of(name: str) -> tuple[str, str]:
    """Return set and arm of an arm's full name.

    >>> arm_of("dropout-in-phase")
    ('dropout', 'in-phase')
    """
    chosen, _, arm = name.partition("-")
    return chosen, arm


@cache
def plan_of(name: str, strength: float, *, peak: float, steps: int, cycles: int, seed: int = 0) -> Plan:
    """Return an arm's plan.

    Args:
        name: Set and arm, such as ``"all-anti"``.
        strength: 1 is dropout 0.2, label smoothing 0.1 and shifts up to 1 pixel (0.25 of 4); the high of `anti`, the value of ``tuned``.
        peak: Highest rate.
        steps: Length.
        cycles: Number of cycles.
        seed: Of the shares that ``shuffled`` turns by.
    """
    chosen, arm = arm_of(name)
    highs = {_UNITS[part][0]: strength * _UNITS[part][1] for part in SETS[chosen]}

    def bound(courses: Mapping[str, Binding], count: int = cycles) -> Plan:
        rate = wave(0.0, peak, cycle=None if count == cycles else Cycle("cosine", count=count))
        return Plan(total=steps, cycle=Cycle("cosine", count=cycles), bindings={"optimizer.lr": rate, **courses})

    def constant(values: Mapping[str, float]) -> Plan:
        return bound({target: Binding(hold(value)) for target, value in values.items()})

    anti = bound({target: mirror(0.0, high) for target, high in highs.items()})
    once = Cycle("cosine", count=1)
    plans = {
        "anti": lambda: anti,
        "shuffled": lambda: controls.phase_shuffled(anti, seed=seed),
        "in-phase": lambda: controls.in_phase(anti),
        "tuned": lambda: constant(highs),
        "constant": lambda: constant({target: anti.resolve().mean(target) for target in highs}),
        "high": lambda: constant(highs),
        "rising": lambda: bound({target: mirror(0.0, high, cycle=once) for target, high in highs.items()}, 1),
    }
    return plans[arm]()
