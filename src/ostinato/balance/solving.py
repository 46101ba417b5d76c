"""Solving for the strengths that keep a stated total constant."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ostinato.balance.total import after_warmup, peak_of, rate_of, strengths_of
from ostinato.core.address import Address
from ostinato.core.algebra import Clip, Product, Sum
from ostinato.core.bindings import Binding
from ostinato.core.domains import Domain, domain_of
from ostinato.core.plan import Plan
from ostinato.core.schedules import Hold, Schedule, Wave, located
from ostinato.core.units import Number, finite
from ostinato.errors import DomainError, PlanError

__all__ = ["balanced"]

_ROUNDING = 1e-12
Targets = str | Sequence[str] | Mapping[str, float]


@dataclass(frozen=True)
class _Opposed:
    """What the strengths have to make up for: `rate` is rate / peak, `others` the sum of strengths that stay as they are.

    Each is a pair, where the rate is lowest and where it is highest.
    """

    rate: tuple[float, float]
    others: tuple[float, float]


@dataclass(frozen=True)
class _Solution:
    """total, weight, and the sum of the solved strengths where the rate is highest (`low`) and where it is lowest (`high`)."""

    total: float
    weight: float
    low: float
    high: float


def balanced(
    plan: Plan,
    targets: Targets,
    *,
    total: float | None = None,
    weight: float | None = None,
    low: float | None = None,
    high: float | None = None,
    against: str | None = None,
    **rates: Number,
) -> Plan:
    """Return the plan with strengths solved so that their total with the rate's noise is constant after the warm-up.

    .. math:: weight · rate(t) / peak + strength_1(t) + strength_2(t) + ... = total

    The sum counts `targets` and every other strength that the plan drives already (`strengths_of`). Two of total, weight, low and high are
    given, the other two follow; low and high are the sum of the targets' strengths at the highest and at the lowest rate. Where the rate is
    a linear wave on the shared cycle, each target becomes a `mirror` of it. For any other course (a geometric one, `one_cycle`, a product, a
    cycle of its own) it becomes the schedule total - weight·rate/peak itself, which holds a copy of the rate's: balance again after you
    change the rate. During the warm-up, in which rates climb and all else holds its first value, the total is smaller.

    Args:
        plan: It drives the rate.
        targets: The target to solve for; or several, which share the strength evenly; or a mapping to the share of each.
        total: What the sum is to be.
        weight: Above 0; what the rate counts at its peak, in units of strength.
        low: The targets' strength where the rate is highest.
        high: The targets' strength where the rate is lowest.
        against: The target of the rate; by default the first ``*.lr``.
        **rates: `steps_per_epoch` and its like. Needed only for a rate that is no linear wave, in a plan that needs them.

    Raises:
        PlanError: Not exactly two numbers are given, the rate stands still, or the two cannot be had together.
        DomainError: A strength would leave what its target accepts; the message says which totals fit.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=100, cycle=ost.Cycle("cosine", count=5), bindings={"optimizer.lr": ost.wave(0.01, 0.1)})
    >>> one = balanced(plan, "model:Dropout.p", total=0.3, weight=0.25).bindings["model:Dropout.p"].schedule
    >>> one.mirrored, round(one.low, 12), round(one.high, 12)
    (True, 0.05, 0.275)
    >>> two = balanced(plan, {"model:Dropout.p": 3, "loss.label_smoothing": 1}, low=0.0, high=0.4)
    >>> two.bindings["loss.label_smoothing"].schedule.high
    0.1
    """
    with located("balanced: "):
        rate = rate_of(plan, against)
        shares = _shares(targets, rate)
        given = {"total": total, "weight": weight, "low": low, "high": high}
        numbers = {name: finite(value, name) for name, value in given.items() if value is not None}
        if len(numbers) != 2:
            raise PlanError(
                f"got {', '.join(numbers) or 'none'} of total, weight, low and high, expected two of them; the other two follow"
            )
        rest = plan.replace({target: None for target in shares if target in plan.bound})
        others = [target for target in strengths_of(rest) if target != rate]
        wave = _linear(rest, rate, others)
        if wave is not None:
            schedule, solution, extremes = _mirror(rest, wave, others, numbers)
        else:
            schedule, solution, extremes = _complement(rest, rate, others, numbers, rates)
        _demand_fit(plan, shares, solution, extremes, alone=not others)
        courses = {
            target: _binding(plan, target, _scaled(schedule, share, _domain(plan, target)))
            for target, share in shares.items()
        }
        return plan.replace(courses)


def _shares(targets: Targets, rate: str) -> dict[str, float]:
    """Return the share of each target, adding up to 1."""
    if isinstance(targets, str):
        targets = [targets]
    parts = (
        {target: finite(share, target) for target, share in targets.items()}
        if isinstance(targets, Mapping)
        else dict.fromkeys(targets, 1.0)
    )
    if not parts or min(parts.values()) <= 0:
        raise PlanError(f"targets: got {targets!r}, expected at least one target, each with a share above 0")
    for target in parts:
        if Address.parse(target).is_rate or target == rate:
            raise PlanError(f"targets: {target!r} is the rate; name what is to oppose it, such as 'model:Dropout.p'")
    whole = math.fsum(parts.values())
    return {target: share / whole for target, share in parts.items()}


# -- the two numbers that follow ---------------------------------------------------------------------------------


def _solved(given: Mapping[str, float], opposed: _Opposed) -> _Solution:
    """Solve total = weight·rate + others + strength at both ends of the rate."""
    (least, most), (idle, busy) = opposed.rate, opposed.others
    if most - least <= 0:
        raise PlanError(
            "the rate stands still, so that nothing can give way to it; let it move, as in ost.wave(1e-4, 0.1)"
        )
    total, weight, low, high = (given.get(name) for name in ("total", "weight", "low", "high"))
    if weight is None:
        if low is not None and high is not None:
            weight = (high - low + idle - busy) / (most - least)
        elif low is not None and total is not None:
            weight = (total - busy - low) / most
        elif high is not None and total is not None:
            if least <= 0:
                raise PlanError(
                    f"high: where the rate is 0 it is all of the total, {total - idle:.6g}, whatever the weight; give total and low, or total and weight"
                )
            weight = (total - idle - high) / least
    assert weight is not None, "two of the four are given"
    if weight <= 0:
        raise PlanError(
            f"weight: {_listed(given)} need a weight of {weight:.6g}, expected more than 0, so that the strength falls where the rate rises"
        )
    if total is None:
        total = low + weight * most + busy if low is not None else (high or 0.0) + weight * least + idle
    solved_low, solved_high = total - busy - weight * most, total - idle - weight * least
    return _Solution(total, weight, solved_low if low is None else low, solved_high if high is None else high)


def _listed(given: Mapping[str, float]) -> str:
    return " and ".join(f"{name} = {value:.6g}" for name, value in given.items())


# -- the course that follows ---------------------------------------------------------------------------------------


def _linear(plan: Plan, rate: str, others: Sequence[str]) -> Wave | None:
    """Return the rate's wave if it and the other strengths are straight functions of one and the same level."""
    wave = plan.bound[rate].schedule
    if not isinstance(wave, Wave) or wave.scale != "linear" or wave.cycle is not None:
        return None
    for target in others:
        course = plan.bound[target].schedule
        like = isinstance(course, Wave) and course.scale == "linear" and course.cycle is None
        if not isinstance(course, Hold) and not (like and course.shift == wave.shift):  # type: ignore[attr-defined]  # a Wave has a shift
            return None
    return wave


def _mirror(
    plan: Plan, wave: Wave, others: Sequence[str], given: Mapping[str, float]
) -> tuple[Schedule, _Solution, tuple[float, float]]:
    """Return the wave that opposes another one."""
    if wave.high <= 0:
        raise PlanError(f"the rate's highest value is {wave.high:g}, expected more than 0")
    ends = [_ends(plan.bound[target].schedule, wave.mirrored) for target in others]
    idle, busy = (math.fsum(end[place] for end in ends) for place in (0, 1))
    solution = _solved(given, _Opposed((wave.low / wave.high, 1.0), (idle, busy)))
    low, high = sorted((solution.low, solution.high))
    mirrored = wave.mirrored != (solution.low <= solution.high)
    return Wave(low, high, wave.shift, mirrored=mirrored), solution, (low, high)


def _ends(course: Schedule, mirrored: bool) -> tuple[float, float]:
    """Return the values of a strength where the rate is lowest and where it is highest."""
    if isinstance(course, Hold):
        return course.value, course.value
    assert isinstance(course, Wave), "_linear has checked it"
    return (course.low, course.high) if course.mirrored == mirrored else (course.high, course.low)


def _complement(
    plan: Plan, rate: str, others: Sequence[str], given: Mapping[str, float], rates: Mapping[str, Number]
) -> tuple[Schedule, _Solution, tuple[float, float]]:
    """Return total - weight·rate/peak - others as a schedule, for a rate of any course."""
    resolved = plan.resolve(**rates)
    steps = np.concatenate(after_warmup(resolved)[0])
    values = resolved.curves[rate].function(steps)
    peak = peak_of(resolved, rate, float(values.max()))
    if peak <= 0:
        raise PlanError(f"the rate's highest value is {peak:g}, expected more than 0")
    beside = np.zeros(steps.shape)
    for target in others:
        beside += resolved.curves[target].function(steps)
    ends = [int(values.argmin()), int(values.argmax())]
    fractions, strengths = (values[ends] / peak).tolist(), beside[ends].tolist()
    solution = _solved(given, _Opposed((fractions[0], fractions[1]), (strengths[0], strengths[1])))
    course = solution.total - solution.weight * values / peak - beside
    parts = [Product((Hold(-solution.weight / peak), plan.bound[rate].schedule))]
    parts += [Product((Hold(-1.0), plan.bound[target].schedule)) for target in others]
    return Sum((Hold(solution.total), *parts)), solution, (float(course.min()), float(course.max()))


def _scaled(schedule: Schedule, share: float, domain: Domain) -> Schedule:
    """Return a share of the strength, held inside the domain, which it leaves by rounding at most."""

    def inside(value: float) -> float:
        return min(max(value * share, domain.low), domain.high)

    if isinstance(schedule, Wave):
        return replace(schedule, low=inside(schedule.low), high=inside(schedule.high))
    part = schedule if share == 1.0 else Product((Hold(share), schedule))
    bounded = math.isfinite(domain.low) and math.isfinite(domain.high)
    return Clip(part, domain.low, domain.high) if bounded else part


def _binding(plan: Plan, target: str, schedule: Schedule) -> Binding:
    before = plan.bound.get(target)
    return Binding(schedule, domain=None if before is None else before.domain)


def _domain(plan: Plan, target: str) -> Domain:
    default = domain_of(Address.parse(target))
    return plan.bound[target].chosen_domain(default) if target in plan.bound else default


def _demand_fit(
    plan: Plan, shares: Mapping[str, float], solution: _Solution, extremes: tuple[float, float], *, alone: bool
) -> None:
    """Raise if a strength leaves what its target accepts, and say which totals fit.

    Raises:
        DomainError: It does.
    """
    least, most = extremes
    domains = {target: _domain(plan, target) for target in shares}
    for target, share in shares.items():
        domain = domains[target]
        if share * least >= domain.low - _ROUNDING and share * most <= domain.high + _ROUNDING:
            continue
        from_, to = share * least, share * most
        first = max(domains[each].low / shares[each] for each in shares) - (least - solution.total)
        last = min(domains[each].high / shares[each] for each in shares) - (most - solution.total)
        if first <= last + _ROUNDING:
            reach = f"from {first:.6g} to {last:.6g}" if math.isfinite(last) else f"from {first:.6g} on"
            fits = f"at this weight totals {reach} fit"
        else:
            room = min((domains[each].high - domains[each].low) / shares[each] for each in shares)
            most_weight = f" to {solution.weight * room / (most - least):.6g} or below" if alone else ""
            fits = f"no total fits at this weight; lower it{most_weight}"
        raise DomainError(
            f"{target}: total {solution.total:.6g} and weight {solution.weight:.6g} need {from_:.6g} to {to:.6g}, expected {domain}; {fits}"
        )
