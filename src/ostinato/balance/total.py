"""The total of the rate's noise and the regularisers' strengths, as a plan has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ostinato.core.address import Address
from ostinato.core.curves import Curve, blocks
from ostinato.core.domains import PROBABILITY, domain_of
from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.core.schedules import Wave
from ostinato.core.waveforms import FloatArray, IntArray
from ostinato.errors import PlanError, suggest

__all__ = ["CONSTANT", "Total", "after_warmup", "peak_of", "rate_of", "strengths_of", "total_of"]

CONSTANT = 1e-9
"""A total whose spread is at most this is called constant."""

_MOST_EXACT = 2_000_000
_NO_STRENGTH = ("momentum", "dampening")


@dataclass(frozen=True)
class Total:
    """weight · rate / peak + the sum of the strengths, over the steps after the warm-up.

    Attributes:
        against: The target of the rate.
        weight: What the rate counts at its peak.
        peak: The rate's highest value.
        parts: The targets of the strengths.
        low: Smallest value.
        high: Largest value.
        exact: Whether every step was looked at; of a very long run it is every so many-th.
        curve: The value at every step.
    """

    against: str
    weight: float
    peak: float
    parts: tuple[str, ...]
    low: float
    high: float
    exact: bool
    curve: Curve

    @property
    def spread(self) -> float:
        """The largest value less the smallest."""
        return self.high - self.low

    @property
    def constant(self) -> bool:
        """Whether the spread is at most 1e-9."""
        return self.spread <= CONSTANT

    @property
    def formula(self) -> str:
        """What is added up, as text."""
        return " + ".join((f"{self.weight:.6g}·{self.against}/{self.peak:.6g}", *self.parts))

    def __str__(self) -> str:
        if self.constant:
            return f"{self.formula} = {(self.low + self.high) / 2:.6g}, constant"
        return f"{self.formula} = {self.low:.6g} to {self.high:.6g}"

    def to_document(self) -> dict[str, Any]:
        """Return everything but the curve as a JSON document."""
        names = ("against", "weight", "peak", "low", "high", "spread", "constant", "exact")
        return {**{name: getattr(self, name) for name in names}, "parts": list(self.parts)}


def strengths_of(plan: Plan) -> tuple[str, ...]:
    """Return the targets of a plan that are strengths of a regulariser: probabilities, smoothing, and what is called ``strength``.

    Momenta are no strengths. Nor is a weight decay, which has another scale; nor a relative binding, whose value the plan does not know.

    >>> import ostinato as ost
    >>> strengths_of(ost.Plan(bindings={"optimizer.lr": 0.1, "model:Dropout.p": 0.2, "model:BatchNorm.momentum": 0.1}))
    ('model:Dropout.p',)
    """
    return tuple(target for target, binding in plan.bound.items() if not binding.relative and _is_strength(target))


def _is_strength(target: str) -> bool:
    address = Address.parse(target)
    return address.key == "strength" or (domain_of(address) == PROBABILITY and address.key not in _NO_STRENGTH)


def rate_of(plan: Plan, against: str | None) -> str:
    """Return the target of the rate: `against`, or the plan's first learning rate.

    Raises:
        PlanError: The plan has no such binding.
    """
    if against is not None:
        if against not in plan.bound:
            raise PlanError(f"against: no binding drives {against!r}{suggest(str(against), plan.bound)}")
        return against
    rates = [target for target in plan.bound if Address.parse(target).is_rate]
    if not rates:
        raise PlanError("the plan drives no learning rate; bind one first, as in {'optimizer.lr': ost.wave(1e-4, 0.1)}")
    return rates[0]


def total_of(resolved: ResolvedPlan, *, against: str | None = None, weight: float | None = None) -> Total | None:
    """Return the total of a plan; None where there is nothing to add up, or the strengths do not oppose the rate.

    Args:
        resolved: The plan.
        against: The target of the rate; by default the first ``*.lr``.
        weight: What the rate counts at its peak. By default what levels the total between the steps of the highest and the lowest rate:
            weight = (strengths at the lowest - strengths at the highest) · peak / (highest - lowest). Of a balanced plan that is the weight
            that it was balanced with, and the total is constant; of any other the spread tells how far it is from that.

    Raises:
        PlanError: The plan does not drive `against`.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=100, cycle=ost.Cycle("sine", count=5), bindings={
    ...     "optimizer.lr": ost.wave(0.0, 0.1), "model:Dropout.p": ost.mirror(0.1, 0.3, shift=0.25)})
    >>> print(total_of(plan.resolve(), weight=0.2))
    0.2·optimizer.lr/0.1 + model:Dropout.p = 0.16032 to 0.43968
    """
    plan = resolved.plan
    parts = strengths_of(plan)
    if not parts or (against is None and not any(Address.parse(target).is_rate for target in plan.bound)):
        return None
    rate = rate_of(plan, against)
    parts = tuple(part for part in parts if part != rate)
    curves = [resolved.curves[part] for part in parts]

    def strength(steps: IntArray) -> FloatArray:
        values: FloatArray = np.sum([curve.function(steps) for curve in curves], axis=0)
        return values

    steps, exact = after_warmup(resolved)
    rates = np.concatenate([resolved.curves[rate].function(block) for block in steps])
    peak = peak_of(resolved, rate, float(rates.max()))
    found = weight
    if found is None:
        ends = np.concatenate(steps)[[int(rates.argmin()), int(rates.argmax())]]
        found = _levelling(strength(ends), float(rates.min()), float(rates.max()), peak)
    if not parts or peak <= 0 or found is None or found <= 0:
        return None
    share = found / peak
    curve = Curve(lambda at: share * resolved.curves[rate].function(at) + strength(at))
    ranges = [(float(values.min()), float(values.max())) for values in map(curve.function, steps)]
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    return Total(rate, found, peak, parts, low, high, exact, curve)


def _levelling(strengths: FloatArray, lowest: float, highest: float, peak: float) -> float | None:
    """Return the weight that makes the totals at the lowest and the highest rate equal; None where the rate stands still."""
    if highest <= lowest:
        return None
    weight = float(strengths[0] - strengths[1]) * peak / (highest - lowest)
    return weight if weight > CONSTANT else None


def peak_of(resolved: ResolvedPlan, rate: str, seen: float) -> float:
    """Return the highest value of a rate: what a wave declares, else what was seen."""
    schedule = resolved.plan.bound[rate].schedule
    return schedule.high if isinstance(schedule, Wave) else seen


def after_warmup(resolved: ResolvedPlan) -> tuple[list[IntArray], bool]:
    """Return the steps after the warm-up in blocks, and whether they are all: of a very long run, so many evenly spread ones."""
    length = resolved.total - resolved.warmup
    if length <= _MOST_EXACT:
        return list(blocks(resolved.warmup, resolved.total)), True
    spread = np.linspace(resolved.warmup, resolved.total - 1, _MOST_EXACT // 2).round().astype(np.int64)
    return [np.unique(spread)], False
