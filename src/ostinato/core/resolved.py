"""The resolved plan: a plan with its rates and total filled in. Everything about a run that can be known before it starts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.core import documents, domains
from ostinato.core.address import Address
from ostinato.core.algebra import ramp
from ostinato.core.bindings import Binding
from ostinato.core.clock import Clock, Cycles, Ends
from ostinato.core.curves import Curve, blocks
from ostinato.core.cycles import Rhythm
from ostinato.core.memory import Remembered, frozen
from ostinato.core.plan import Plan
from ostinato.core.schedules import Context, located
from ostinato.core.units import Duration, Rates, whole
from ostinato.core.waveforms import FloatArray, IntArray
from ostinato.errors import PlanError, suggest

__all__ = ["ResolvedPlan", "Table", "resolve"]

Table = NDArray[np.void]


@dataclass(frozen=True)
class ResolvedPlan:
    """A plan whose every step is known: values, tables, cycles, events, digest.

    `curves` maps each target to its value at every step, warm-up included; the last value holds past the total. For a relative binding the
    value is the factor; for an effective one it is the weight decay that is written, schedule / lr. `context` is what every schedule of the
    plan was resolved in: unit, rates, span and shared rhythm.
    """

    plan: Plan
    rates: Rates
    clock: Clock
    curves: Mapping[str, Curve]
    context: Context

    @property
    def total(self) -> int:
        """Steps of the run."""
        return self.clock.total

    @property
    def warmup(self) -> int:
        """Steps before the first cycle."""
        return self.clock.warmup

    @property
    def cycles(self) -> Cycles:
        """The cycles as a lazy sequence of `Span`."""
        return self.clock.cycles

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets, in the plan's order."""
        return tuple(self.curves)

    @property
    def snapshots(self) -> Ends:
        """The steps after which a snapshot is taken, the last of every complete cycle: a lazy sequence that equals the list of them."""
        return self.clock.snapshots

    @property
    def truncated(self) -> bool:
        """Whether the run ends inside a cycle."""
        return len(self.cycles) > 0 and not self.cycles[-1].complete

    @property
    def totals_that_fit(self) -> tuple[int, ...]:
        """The nearest totals, in steps, that end with a cycle: the one below (if any cycle is complete) and the one above."""
        if self.clock.rhythm is None or not self.truncated:
            return (self.total,)
        last = len(self.cycles) - 1
        below, above = self.clock.rhythm.end(last - 1), self.clock.rhythm.end(last)
        return tuple(self.warmup + end for end in (below, above) if end > 0)

    def values(self, step: int) -> dict[str, float]:
        """Return the value of every target that update `step` uses."""
        return {target: curve(step) for target, curve in self.curves.items()}

    def table(self, start: int = 0, stop: int | None = None, stride: int = 1) -> Table:
        """Return a structured array with the field `step` (int64) and one float64 field a target, named as the target is.

        Args:
            start: First step.
            stop: One past the last step; by default the total.
            stride: Steps from row to row.

        Raises:
            PlanError: `start` is negative or `stride` is below 1.
        """
        if start < 0 or stride < 1:
            raise PlanError(f"table: got start={start}, stride={stride}, expected start >= 0 and stride >= 1")
        steps = frozen(np.arange(start, self.total if stop is None else stop, stride, dtype=np.int64))
        dtype = np.dtype([("step", np.int64), *((target, np.float64) for target in self.curves)])
        table = np.empty(steps.shape, dtype=dtype)
        table["step"] = steps
        for target, curve in self.curves.items():
            table[target] = curve.function(steps)
        return table

    def mean(self, target: str) -> float:
        """Return the mean of a target's values over the whole run, warm-up included."""
        if target not in self.curves:
            raise PlanError(f"{target}: the plan does not drive it{suggest(target, self.curves)}")
        function = self.curves[target].function
        return math.fsum(float(np.sum(function(counts))) for counts in blocks(0, self.total)) / self.total

    def rate_of(self, target: str) -> str:
        """Return the learning rate's target that an effective weight decay divides by.

        Raises:
            PlanError: There is none that surely drives the same parameter groups.
        """
        return _rate_of(target, self.plan)

    def to_document(self) -> dict[str, Any]:
        """Return the plan in exact steps: what its values follow from, without the units that it was written in."""
        context, clock = self.context, self.clock
        document: dict[str, Any] = {"version": documents.VERSION, "total": clock.total, "warmup": clock.warmup}
        if clock.cycle is not None and clock.rhythm is not None:
            period = {"period": str(clock.rhythm.period)}
            document["cycle"] = {
                key: value for key, value in clock.cycle.to_document().items() if key not in ("period", "count")
            } | period
        tables = (
            documents.binding_document(target, replace(binding, warmup=_warms(target, binding)), context.write)
            for target, binding in self.plan.bound.items()
        )
        document["bind"] = sorted(tables, key=lambda table: str(table["target"]))
        return document

    def __reduce__(self) -> tuple[Any, ...]:
        return resolve, (self.plan, self.rates)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the resolved plan in steps: equal when every value at every step is meant to be equal."""
        return documents.digest(self.to_document())


def resolve(plan: Plan, rates: Rates) -> ResolvedPlan:
    """Fill in a plan's rates and total, and check every value's domain."""
    total, warmup = _lengths(plan, rates)
    span = total - warmup
    rhythm = None
    if plan.cycle is not None:
        with located("cycle."):
            duration = plan.cycle.duration
            period = None if duration is None else rates.counts(duration, plan.unit, "period", span)
            rhythm = Rhythm.of(plan.cycle, period, span)
    context = Context(plan.unit, rates, span, plan.cycle, rhythm)
    held = Remembered(lambda step: frozen(np.maximum(np.minimum(step, total - 1) - warmup, 0)))
    base = {}
    for target, binding in plan.bound.items():
        with located(f"{target}: "):
            base[target] = _on_clock(binding.schedule.resolve(context), held, warmup, climbs=_warms(target, binding))
    curves = {
        target: _effective(target, plan, base) if plan.bound[target].effective else curve
        for target, curve in base.items()
    }
    for target, curve in curves.items():
        if not plan.bound[target].relative:
            domains.demand(
                target, curve, plan.bound[target].chosen_domain(domains.domain_of(Address.parse(target))), total
            )
        else:
            domains.demand(target, curve, domains.FINITE, total)
    return ResolvedPlan(plan, rates, Clock(total, warmup, plan.cycle, rhythm), curves, context)


def _lengths(plan: Plan, rates: Rates) -> tuple[int, int]:
    """Return total and warm-up in counts."""
    if plan.total is None:
        raise PlanError("total: missing; write Plan(total='10ep', ...) or plan.replace({'total': '10ep'})")
    total = whole(rates.counts(Duration.parse(plan.total), plan.unit, "total"), "total")
    if total < 1:
        raise PlanError(f"total: {plan.total} is less than one {plan.unit}")
    warmup = whole(rates.counts(Duration.parse(plan.warmup), plan.unit, "warmup", total), "warmup")
    if warmup >= total:
        raise PlanError(f"warmup: {warmup} steps leave nothing of a total of {total}; shorten it")
    return total, warmup


def _warms(target: str, binding: Binding) -> bool:
    return Address.parse(target).is_rate if binding.warmup is None else binding.warmup


def _on_clock(curve: Curve, held: Callable[[IntArray], IntArray], warmup: int, *, climbs: bool) -> Curve:
    """Return the curve over steps: `held` before the cycles and after the total; for `warmup` steps a rate climbs instead."""
    if not warmup or (not climbs and curve.before is None):
        return Curve(lambda step: curve.function(held(step)), curve.low, curve.high)
    first = curve(0) if curve.before is None else curve.before

    def before(step: IntArray) -> FloatArray | float:
        return ramp(step, warmup, 0.0, first) if climbs else first

    def value(step: IntArray) -> FloatArray:
        return np.where(step < warmup, before(step), curve.function(held(step)))

    earliest = float(np.ravel(before(np.zeros(1, dtype=np.int64)))[0])
    return Curve(value, min(curve.low, first, earliest), max(curve.high, first, earliest))


def _rate_of(target: str, plan: Plan) -> str:
    """Return the binding of the learning rate on a weight decay's groups: the one spelled alike, or one that covers them."""
    address = Address.parse(target)
    if address.key != "weight_decay" or address.owner is not None:
        raise PlanError(f"{target}/effective: only a weight decay has an effective value, lr·weight_decay")
    alike = address.sibling("lr")
    rates = [found for found in map(Address.parse, plan.bound) if found.path == ("lr",) and found.covers(address)]
    if not rates:
        raise PlanError(
            f"{target}/effective: needs a binding of {alike!r} on the same groups that is not relative and stays above 0"
        )
    return next((rate.text for rate in rates if rate.text == alike), rates[0].text)


def _effective(target: str, plan: Plan, base: Mapping[str, Curve]) -> Curve:
    """Return schedule / lr, so that lr·weight_decay follows the schedule."""
    rate = _rate_of(target, plan)
    if plan.bound[rate].relative or base[rate].low <= 0:
        raise PlanError(
            f"{target}/effective: needs a binding of {rate!r} on the same groups that is not relative and stays above 0"
        )
    decay, learning_rate = base[target], base[rate]
    corners = [bound / other for bound in (decay.low, decay.high) for other in (learning_rate.low, learning_rate.high)]
    return Curve(lambda step: decay.function(step) / learning_rate.function(step), min(corners), max(corners))
