"""Controls that keep the means of a plan: constant values, one decay, and the grid of constants to tune."""

from __future__ import annotations

from collections.abc import Sequence
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
    smallest,
)
from ostinato.core.bindings import Binding
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.core.schedules import Hold, Schedule, Wave
from ostinato.core.units import Number, finite
from ostinato.errors import PlanError

__all__ = ["constant", "cosine", "linear", "tuned_constant"]

_GRID = 7
_MOST_GRID = 1000


def constant(
    plan: Plan, *, value: float | None = None, by: str | None = None, match: Match = "product", **rates: Number
) -> Plan:
    """Return the plan with every binding at its mean over the steps after the warm-up.

    Where a product acts it is the product's mean that is kept: a weight decay stands at mean(lr·weight_decay) / mean(lr), so that the sum of
    lr·weight_decay is the plan's, also if it was an effective one, which becomes absolute. Rates still warm up, to their constant. The run
    ends at the mean rate, which costs accuracy by itself: add a common cool-down, or compare with it for the literal claim only.

    Args:
        plan: What to derive the control from.
        value: The rate to hold instead of its mean. Further rates are multiplied by as much, so that their ratios stay; the rest is as
            without it.
        by: The target that `value` means; by default the first ``*.lr``. If it is no rate, nothing else changes with it.
        match: ``"product"`` as above; ``"values"`` holds the weight decay at its own mean, too (an effective one at the mean of what is written).
        **rates: `steps_per_epoch` and its like, where the plan needs them: means are over steps.

    Raises:
        PlanError: The plan has no binding, or cannot be resolved with `rates`; `value` is given and there is no rate.
        DomainError: The target does not accept `value`.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=100, cycle=ost.Cycle("sine", count=5), bindings={
    ...     "optimizer.lr": ost.wave(0.0, 0.2), "optimizer.weight_decay": ost.mirror(0.0, 0.2)})
    >>> {target: round(value, 6) for target, value in constant(plan).resolve().values(0).items()}
    {'optimizer.lr': 0.1, 'optimizer.weight_decay': 0.05}
    """
    with of_control("constant", plan):
        check_match(match)
        lead = None if value is None and by is None else rate_of(plan, by)
        read = resolved(plan, rates)
        return _at_means(read, match, {} if lead is None or value is None else _held(read, lead, value))


def cosine(plan: Plan, *, low: float | None = None, match: Match = "product", **rates: Number) -> Plan:
    """Return the plan with one cosine decay of each rate over the whole run, with the mean that the plan has.

    After the warm-up, count c of n has low + (peak - low)·(1 + cos(πc/n))/2, the plan's own `cosine` as a single cycle (and torch's
    ``CosineAnnealingLR`` with ``T_max = n``). The peak is solved from the discrete steps, whose mean level is 1/2 + 1/(2n), so that the mean
    over the steps after the warm-up is the plan's: peak = low + (mean - low) / mean level.

    All other bindings stand at their means, weight decays at mean(lr·weight_decay) / mean(lr) as in `constant`: the usual practice of one
    decaying rate beside fixed regularisers, with the plan's dose of each. To tune the peak, replace ``"optimizer.lr/high"``.

    Args:
        plan: What to derive the control from.
        low: Where the rates end. By default where the plan's do: the `low` of a wave, of another schedule the smallest value after the warm-up.
        match: As for `constant`.
        **rates: As for `constant`.

    Raises:
        PlanError: The plan has no learning rate, or cannot be resolved with `rates`; `low` is above the mean.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=100, cycle=ost.Cycle("triangular", count=5), bindings={"optimizer.lr": ost.wave(0.0, 0.2)})
    >>> twin = cosine(plan).resolve()
    >>> round(twin.values(0)["optimizer.lr"], 6), round(twin.mean("optimizer.lr"), 6)
    (0.19802, 0.1)
    """
    with of_control("cosine", plan):
        return _one_decay(plan, "cosine", low, match, rates)


def linear(plan: Plan, *, low: float | None = None, match: Match = "product", **rates: Number) -> Plan:
    """Return the plan with one straight decay of each rate over the whole run, with the mean that the plan has.

    After the warm-up, count c of n has low + (peak - low)·(1 - c/n). Everything else is as in `cosine`.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=4, cycle=ost.Cycle("triangular", count=2), bindings={"optimizer.lr": ost.wave(0.0, 0.2)})
    >>> linear(plan).table()["optimizer.lr"].round(3).tolist()
    [0.16, 0.12, 0.08, 0.04]
    """
    with of_control("linear", plan):
        return _one_decay(plan, "sawtooth", low, match, rates)


def tuned_constant(
    plan: Plan,
    grid: int | Sequence[float] | None = None,
    *,
    ratio: float = 2.0,
    by: str | None = None,
    match: Match = "product",
    **rates: Number,
) -> dict[float, Plan]:
    """Return constant plans over a geometric grid of rates round the plan's mean: what the practical baseline is chosen from.

    The rates are mean·ratio^i for i from -(n-1)/2 to (n-1)/2, ascending; each plan is ``constant(plan, value=rate)``. Give it as many
    trials as the plan's own tuning had, and where the best stands at an edge, go on beyond it with a grid of values.

    Args:
        plan: What to derive the control from.
        grid: How many rates (7 by default), or the rates.
        ratio: From each rate to the next, above 1.
        by: The target that the grid means; by default the first ``*.lr``, to which further rates keep their ratio.
        match: As for `constant`.
        **rates: As for `constant`.

    Returns:
        From rate to plan.

    Raises:
        PlanError: The plan has no learning rate, its mean is 0, or the plan cannot be resolved with `rates`.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=100, cycle=ost.Cycle("triangular", count=5), bindings={"optimizer.lr": ost.wave(0.0, 0.2)})
    >>> [round(rate, 6) for rate in tuned_constant(plan, 3)]
    [0.05, 0.1, 0.2]
    """
    with of_control("tuned_constant", plan):
        centre = mean(resolved(plan, rates), rate_of(plan, by))
        chosen = _geometric(grid, centre, ratio) if grid is None or isinstance(grid, int) else list(grid)
        if not chosen:
            raise PlanError("grid: got no rates, expected at least one")
    return {float(rate): constant(plan, value=rate, by=by, match=match, **rates) for rate in chosen}


def _geometric(grid: int | None, centre: float, ratio: float) -> list[float]:
    count = _GRID if grid is None else int(grid)
    if isinstance(grid, bool) or not 1 <= count <= _MOST_GRID:
        raise PlanError(f"grid: got {grid!r}, expected a number of rates from 1 to {_MOST_GRID}, or the rates")
    if finite(ratio, "ratio") <= 1.0:
        raise PlanError(f"ratio: got {ratio!r}, expected more than 1")
    if centre <= 0.0:
        raise PlanError(
            f"grid: the mean rate is {centre:g}, which no grid can stand round; give the rates, as in grid=[0.01, 0.1]"
        )
    return [centre * ratio ** (place - (count - 1) / 2) for place in range(count)]


def _held(read: ResolvedPlan, lead: str, value: float) -> dict[str, Schedule]:
    """Return `lead` at a value, and if it is a rate all others multiplied by as much as it is."""
    rates = rates_of(read.plan)
    others = [rate for rate in rates if rate != lead] if lead in rates else []
    centre = mean(read, lead)
    if others and centre <= 0.0:
        raise PlanError(
            f"value: the mean of {lead!r} is {centre:g}, to which the other rates have no ratio; name a rate above 0 by=..."
        )
    chosen = finite(value, "value")
    held: dict[str, Schedule] = {rate: Hold(mean(read, rate) * (chosen / centre)) for rate in others}
    return {**held, lead: Hold(chosen)}


def _one_decay(plan: Plan, waveform: str, low: float | None, match: Match, rates: dict[str, Number]) -> Plan:
    check_match(match)
    if not rates_of(plan):
        raise PlanError("the plan drives no learning rate, so that nothing can decay; bind one, such as 'optimizer.lr'")
    read = resolved(plan, rates)
    level = _mean_level(plan, waveform, rates)
    decays: dict[str, Schedule] = {}
    for rate in rates_of(plan):
        middle = mean(read, rate)
        end = _lowest(read, rate) if low is None else finite(low, "low")
        if end > middle:
            if low is not None:
                raise PlanError(f"low: got {low!r}, which is above the mean {middle:g} of {rate!r}; choose a lower one")
            end = middle  # a constant, whose mean was rounded
        decays[rate] = Wave(end, end + (middle - end) / level, cycle=Cycle(waveform, count=1))
    return _at_means(read, match, decays)


def _mean_level(plan: Plan, waveform: str, rates: dict[str, Number]) -> float:
    """Return the mean of a single cycle from 1 to 0 over the steps after the warm-up."""
    level = Binding(Wave(0.0, 1.0, cycle=Cycle(waveform, count=1)))
    return mean(resolved(replace(plan, bindings={"level": level}), rates), "level")


def _lowest(read: ResolvedPlan, rate: str) -> float:
    """Return the low of a wave, of another schedule the smallest value after the warm-up."""
    schedule = read.plan.bound[rate].schedule
    if isinstance(schedule, Wave):
        return schedule.low
    return smallest(read, rate)


def _at_means(read: ResolvedPlan, match: Match, given: dict[str, Schedule]) -> Plan:
    """Return the plan with the given schedules, and every other binding at its mean."""
    bindings = {}
    for target, binding in read.plan.bound.items():
        schedule = given.get(target) or Hold(_middle(read, target, match))
        bindings[target] = replace(binding, schedule=schedule, effective=False)
    control = replace(read.plan, bindings=bindings)
    control.resolve(**read.rates.to_document())
    return control


def _middle(read: ResolvedPlan, target: str, match: Match) -> float:
    """Return the mean of a target, of a weight decay the mean weighted with its rate."""
    rate = rate_beside(read.plan, target) if match == "product" else None
    weight = 0.0 if rate is None else mean(read, rate)
    if rate is None or weight == 0.0:
        return mean(read, target)
    return mean(read, target, rate) / weight
