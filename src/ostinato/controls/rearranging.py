"""Controls that keep every value of a plan and change when it comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ostinato.controls.reading import (
    Match,
    check_match,
    mean,
    of_control,
    rate_beside,
    rate_of,
    rates_of,
    resolved,
)
from ostinato.core.address import Address
from ostinato.core.bindings import Binding
from ostinato.core.plan import Plan
from ostinato.core.reordering import Reordered
from ostinato.core.schedules import Schedule
from ostinato.core.units import DurationLike, Number
from ostinato.errors import PlanError

__all__ = ["in_phase", "phase_shuffled", "shuffled", "sorted"]


def sorted(plan: Plan, *, by: str | None = None, **rates: Number) -> Plan:
    """Return the plan with its rows in descending order of the rate: the sorted twin.

    One permutation of the steps after the warm-up, applied to every binding: mean, distribution, joint distribution and every sum of
    products are the plan's, exactly; only the cycling is gone. Steps of equal rate keep their order. Warm-up, total and cycle stay.

    The order is found where the plan is resolved, so that it needs no rate and no total here, and follows a change of period or amplitude.

    Args:
        plan: What to derive the control from.
        by: The target whose values are sorted; by default the first ``*.lr``. With the rates of several optimizers, say which. Of an
            effective weight decay it is lr·weight_decay.
        **rates: `steps_per_epoch` and its like. If any is given the control is resolved once, so that what cannot be is refused now.

    Raises:
        PlanError: The plan has no binding, or none that is a learning rate; or it cannot be resolved with `rates`.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=6, cycle=ost.Cycle("sawtooth", count=2),
    ...     bindings={"optimizer.lr": ost.wave(0.0, 0.3), "loss.x": ost.mirror(0.0, 3.0)})
    >>> sorted(plan).table()["loss.x"].round(3).tolist()
    [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]
    """
    with of_control("sorted", plan):
        key = plan.bound[rate_of(plan, by)].schedule
        return _checked(_reordered(plan, lambda own: Reordered(_with_key(own, key), "descending")), rates)


def shuffled(plan: Plan, *, seed: int = 0, blocks: DurationLike | None = None, **rates: Number) -> Plan:
    """Return the plan with blocks of steps in random order: its values and their local run, without its rhythm.

    Whole rows are moved, and the warm-up stays. The run may well end at a high rate, which costs accuracy by itself: add a common cool-down,
    or compare at matched rates only.

    Args:
        plan: What to derive the control from.
        seed: Of the order; the same everywhere, see `ostinato.core.reordering`.
        blocks: Length of a block. By default a tenth of the (first) cycle, ``"0.1cycle"``: short enough that no rhythm of the cycle is
            left, long enough that values still move as smoothly as they did; ``"0.02dur"`` for a plan without a cycle.
        **rates: As for `sorted`.

    Raises:
        PlanError: The plan has no binding, or `seed` or `blocks` cannot be.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=8, cycle=ost.Cycle("sawtooth", count=2), bindings={"optimizer.lr": ost.wave(0.0, 0.4)})
    >>> shuffled(plan, seed=1, blocks=2).table()["optimizer.lr"].round(3).tolist()
    [0.4, 0.3, 0.4, 0.3, 0.2, 0.1, 0.2, 0.1]
    """
    with of_control("shuffled", plan):
        block = ("0.02dur" if plan.cycle is None else "0.1cycle") if blocks is None else blocks
        return _checked(_reordered(plan, lambda own: Reordered((own,), "shuffled", block=block, seed=seed)), rates)


def in_phase(plan: Plan, *, by: str | None = None, match: Match = "values", **rates: Number) -> Plan:
    """Return the plan with all its values in step with the rate: in each cycle the highest meet the highest rate.

    Within every shared cycle the values of each other binding are rearranged to be comonotone with the rate, ties in order: its distribution
    in each cycle is kept exactly. A plan whose bindings are in step already is left as it is. The rate itself and the warm-up stay.

    Of an effective weight decay the values are lr·weight_decay: their distribution is what stays.

    Args:
        plan: What to derive the control from.
        by: The target to be in step with; by default the first ``*.lr``. All others move, also the rates of other optimizers.
        match: ``"values"`` keeps the values as they are, which changes the mean of lr·weight_decay, the dose of decay. ``"product"`` then
            multiplies an absolute weight decay by the one factor that keeps the mean of lr·weight_decay after the warm-up instead; it needs
            the plan's total, and `rates` where the plan does.
        **rates: As for `sorted`.

    Raises:
        PlanError: The plan has one binding only, no learning rate, or no shared cycle; or the products cannot be matched.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=6, cycle=ost.Cycle("sawtooth", count=2),
    ...     bindings={"optimizer.lr": ost.wave(0.0, 0.3), "loss.x": ost.mirror(0.0, 3.0)})
    >>> in_phase(plan).table()["loss.x"].round(3).tolist()
    [2.0, 1.0, 0.0, 2.0, 1.0, 0.0]
    """
    with of_control("in_phase", plan):
        check_match(match)
        lead = _demand_phases(plan, by)
        key = plan.bound[lead].schedule
        control = _reordered(plan, lambda own: Reordered((own, key), "comonotone"), {lead})
        return _matched(plan, control, rates) if match == "product" else _checked(control, rates)


def phase_shuffled(
    plan: Plan, *, seed: int = 0, by: str | None = None, match: Match = "values", **rates: Number
) -> Plan:
    """Return the plan with the phases between the rate and everything else destroyed: same values, at random shares of the cycle.

    Within every shared cycle the other bindings are turned round by a random share of it, all of them by the same one: their values in each
    cycle, their run from step to step and the relations among themselves stay, the relation to the rate does not. The shares of the cycles
    are uniform and lie evenly (see `ostinato.core.reordering`), so that over m equal cycles the correlation with the rate vanishes but for
    every m-th harmonic, instead of as 1/sqrt(m). The rate and the warm-up stay; so do further rates of the same optimizer.

    Args:
        plan: What to derive the control from.
        seed: Of the shares; the same everywhere.
        by: The target that the phases are taken from; by default the first ``*.lr``.
        match: As for `in_phase`.
        **rates: As for `sorted`.

    Raises:
        PlanError: As `in_phase` does. A plan of a single cycle is refused where it is resolved: a turn would leave it one phase.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=8, cycle=ost.Cycle("sawtooth", count=2),
    ...     bindings={"optimizer.lr": ost.wave(0.0, 0.4), "loss.x": ost.wave(0.0, 4.0)})
    >>> phase_shuffled(plan, seed=1).table()["loss.x"].round(3).tolist()
    [4.0, 3.0, 2.0, 1.0, 2.0, 1.0, 4.0, 3.0]
    """
    with of_control("phase_shuffled", plan):
        check_match(match)
        lead = _demand_phases(plan, by)
        root = Address.parse(lead).root
        own_rates = {rate for rate in rates_of(plan) if Address.parse(rate).root == root}
        stay = own_rates if lead in own_rates else {lead}
        if stay >= set(plan.bound):
            raise PlanError("all bindings are rates of one optimizer, which stay; name another optimizer's with by=...")
        control = _reordered(plan, lambda own: Reordered((own,), "rotated", seed=seed), stay)
        return _matched(plan, control, rates) if match == "product" else _checked(control, rates)


def _with_key(own: Schedule, key: Schedule) -> tuple[Schedule, ...]:
    return (own,) if own == key else (own, key)


def _demand_phases(plan: Plan, by: str | None) -> str:
    """Return the target that leads, of a plan in which phases can be changed."""
    lead = rate_of(plan, by)
    if len(plan.bound) < 2:
        raise PlanError(f"the plan drives {lead!r} alone; bind something beside it whose phase can be changed")
    if plan.cycle is None:
        raise PlanError(
            "the plan has no shared cycle to take phases from; write Plan(cycle=Cycle('cosine', count=5), ...)"
        )
    return lead


def _reordered(plan: Plan, order: Callable[[Schedule], Schedule], stay: set[str] | None = None) -> Plan:
    """Return the plan with the schedules of its bindings, but those that stay, put into an order."""
    kept = stay or set()
    bindings = {
        target: binding if target in kept else replace(binding, schedule=order(binding.schedule))
        for target, binding in plan.bound.items()
    }
    return replace(plan, bindings=bindings)


def _checked(control: Plan, rates: dict[str, Number]) -> Plan:
    if rates:
        resolved(control, rates)
    return control


def _matched(plan: Plan, control: Plan, rates: dict[str, Number]) -> Plan:
    """Return the control with each weight decay multiplied so that the mean of lr·weight_decay is the plan's."""
    before, after = resolved(plan, rates), resolved(control, rates)
    bindings = dict(control.bound)
    for target, binding in control.bound.items():
        rate = rate_beside(plan, target)
        if rate is None or binding.effective or not isinstance(binding.schedule, Reordered):
            continue
        wanted, found = mean(before, rate, target), mean(after, rate, target)
        if wanted != found:
            if wanted == 0.0 or found == 0.0:
                raise PlanError(
                    f"{target}: the mean of its product with {rate!r} is {wanted:g} in the plan and {found:g} here, which no factor matches; pass match='values'"
                )
            bindings[target] = _scaled(binding, binding.schedule, wanted / found)
    result = replace(control, bindings=bindings)
    resolved(result, rates)
    return result


def _scaled(binding: Binding, schedule: Reordered, factor: float) -> Binding:
    return replace(binding, schedule=replace(schedule, factor=factor))
