"""The arms of study ``weight-decay-escape`` as plans of rate and weight decay on one clock."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ostinato import controls
from ostinato.core.bindings import Binding, wave
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.schedules import hold

__all__ = ["RATE", "highest", "plan_of"]

RATE, DECAY = "optimizer.lr", "optimizer.weight_decay"
_WEAK = "weak-"


def highest(arm: str, settings: Mapping[str, float], weak: float) -> float:
    """Return the highest weight decay of an arm: what was chosen for it, or the weak one."""
    if arm == "none":
        return 0.0
    if arm.startswith(_WEAK):
        return weak
    return settings["decay"] if arm == "constant" else settings["high"]


@cache
def plan_of(arm: str, high: float, rate: float, steps: int, cycles: int, *, seed: int = 0) -> ResolvedPlan:
    """Return an arm's plan, resolved.

    Args:
        arm: Of the specification.
        high: Highest weight decay; what is compared at equal mean has half of it throughout.
        rate: Mean learning rate, which only ``rate-kick`` cycles.
        steps: Length.
        cycles: Number of cycles.
        seed: Of the order, for ``shuffled`` alone.
    """
    shape = arm.removeprefix(_WEAK)

    def bound(decay: Binding, waveform: str = "sine", lr: Binding | None = None) -> Plan:
        bindings = {RATE: lr or Binding(hold(rate)), DECAY: decay}
        return Plan(total=steps, cycle=Cycle(waveform, count=cycles), bindings=bindings)

    cyclic = bound(wave(0.0, high))
    made = {
        "cyclic": lambda: cyclic,
        "sorted": lambda: controls.sorted(cyclic, by=DECAY),
        "shuffled": lambda: controls.shuffled(cyclic, seed=seed),
        "from-peak": lambda: bound(wave(0.0, high), "cosine"),
        "to-peak": lambda: bound(wave(0.0, high, shift=0.5)),
        "rate-kick": lambda: bound(Binding(hold(high / 2)), lr=wave(0.0, 2 * rate)),
    }
    held = high / 2 if shape in ("mean", "noise") else high
    return (made[shape]() if shape in made else bound(Binding(hold(held)))).resolve()
