"""Controls that turn one binding round the cycle, and that keep the dose of weight decay while its course changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from numbers import Integral
from typing import Literal

from ostinato.checks import whole
from ostinato.controls.reading import of_control, rate_beside, rates_of, resolved, whole_mean
from ostinato.core.address import Address
from ostinato.core.algebra import Product
from ostinato.core.bindings import Binding
from ostinato.core.plan import Plan
from ostinato.core.reordering import Reordered
from ostinato.core.schedules import Hold, Schedule, Wave
from ostinato.core.units import Number, exact
from ostinato.errors import PlanError, suggest

__all__ = ["Dose", "matched_decay", "matched_product", "shifted", "shifts"]

Dose = Literal["decay", "product"]
_MOST_SHIFTS = 1000


def shifted(plan: Plan, *, target: str | None = None, shift: Number = 0.5, **rates: Number) -> Plan:
    """Return the plan with one binding turned by a share of its cycle; all others stay. `Plan.shifted` turns all of them.

    The values of the binding in each whole cycle stay; its mean product with the rate does not, which for a weight decay is the dose: see
    `matched_product`.

    Args:
        plan: What to derive the control from.
        target: The binding to turn; by default the first that is no learning rate.
        shift: How much later, in fractions of the cycle; it adds to the shift that the binding has.
        **rates: `steps_per_epoch` and its like. If any is given the control is resolved once, so that what cannot be is refused now.

    Raises:
        PlanError: The plan has no such binding, or its course has no wave that could be turned.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=8, cycle=ost.Cycle("sawtooth", count=2),
    ...     bindings={"optimizer.lr": ost.wave(0.0, 0.4), "loss.x": ost.wave(0.0, 4.0)})
    >>> shifted(plan, shift=0.25).table()["loss.x"].round(3).tolist()
    [1.0, 4.0, 3.0, 2.0, 1.0, 4.0, 3.0, 2.0]
    """
    with of_control("shifted", plan):
        chosen = _turned_target(plan, target)
        control = _turned(plan, [chosen], exact(shift, "shift"))
        if rates:
            resolved(control, rates)
        return control


def shifts(
    plan: Plan, target: str | None = None, n: int = 8, *, match: Dose | None = None, **rates: Number
) -> dict[float, Plan]:
    """Return the plan with one binding at each of `n` shifts, 0, 1/n, ... (n-1)/n of its cycle: what a sweep over phases trains.

    Args:
        plan: What to derive the controls from.
        target: The binding to turn; by default the first that is no learning rate.
        n: How many shifts, at least 2.
        match: Only for a weight decay: ``"decay"`` keeps the plan's mean of the decay (`matched_decay`), ``"product"`` its mean of lr·decay
            (`matched_product`). An effect that is there with the first and gone with the second was one of dose, not of phase.
        **rates: As for `shifted`.

    Returns:
        From shift to plan; shift 0 is the plan itself.

    Raises:
        PlanError: As `shifted`; or `n` or `match` cannot be.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=80, cycle=ost.Cycle("sine", count=4), bindings={
    ...     "optimizer.lr": ost.wave(0.0, 0.2), "optimizer.weight_decay": ost.wave(0.0, 0.2)})
    >>> sweep = shifts(plan, "optimizer.weight_decay", 4, match="product")
    >>> {shift: round(each.resolve().mean("optimizer.weight_decay"), 4) for shift, each in sweep.items()}
    {0.0: 0.1, 0.25: 0.15, 0.5: 0.3, 0.75: 0.15}
    """
    with of_control("shifts", plan):
        whole("n", n, 2, _MOST_SHIFTS, of=Integral, error=PlanError)
        if match not in (None, "decay", "product"):
            raise PlanError(f"match: got {match!r}, expected 'decay', 'product' or None")
        chosen = _turned_target(plan, target)
        if match is not None and not _is_decay(chosen):
            raise PlanError(f"match: {chosen!r} is no weight decay, whose dose could be kept; leave match out")
        sweep = {}
        for place in range(int(n)):
            turned = _turned(plan, [chosen], Fraction(place, int(n)))
            sweep[place / n] = turned if match is None else _dosed(plan, turned, [chosen], match, rates)
        return sweep


def matched_decay(plan: Plan, *, shift: Number | None = None, **rates: Number) -> Plan:
    """Return the plan with another course of the weight decay, and the plan's mean of the decay over the run.

    The decay is held constant, or turned by `shift`, and multiplied by the one factor that makes its mean over all steps, the warm-up
    included, that of the plan. Every other value stays.

    Args:
        plan: What to derive the control from; each ``*.weight_decay`` that it drives changes.
        shift: How much later the decay follows, in fractions of its cycle. None holds it constant.
        **rates: `steps_per_epoch` and its like, where the plan needs them.

    Raises:
        PlanError: The plan drives no weight decay, or none that can be turned; or it cannot be resolved with `rates`; or the means cannot be
            matched, since one of them is 0.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=80, cycle=ost.Cycle("cosine", count=4), bindings={
    ...     "optimizer.lr": ost.wave(0.0, 0.2), "optimizer.weight_decay": ost.mirror(0.0, 0.2)})
    >>> matched_decay(plan).resolve().values(0)["optimizer.weight_decay"]
    0.095
    """
    with of_control("matched_decay", plan):
        return _matched_course(plan, shift, "decay", rates)


def matched_product(plan: Plan, *, shift: Number | None = None, **rates: Number) -> Plan:
    """Return the plan with another course of the weight decay, and the plan's mean of lr·decay over the run: its dose.

    AdamW and SGD shrink weights by lr·decay in a step, so that the sum of the products is the decay that a weight has seen (in SGD with
    momentum, up to the momentum's constant factor). What is said of `matched_decay` holds for the product here.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=80, cycle=ost.Cycle("sine", count=4), bindings={
    ...     "optimizer.lr": ost.wave(0.0, 0.2), "optimizer.weight_decay": ost.mirror(0.0, 0.2)})
    >>> round(matched_product(plan).resolve().values(0)["optimizer.weight_decay"], 12)
    0.05
    """
    with of_control("matched_product", plan):
        return _matched_course(plan, shift, "product", rates)


def _matched_course(plan: Plan, shift: Number | None, dose: Dose, rates: dict[str, Number]) -> Plan:
    decays = [target for target in plan.bound if _is_decay(target)]
    if not decays:
        raise PlanError("the plan drives no weight decay; bind one, such as 'optimizer.weight_decay'")
    if shift is not None:
        return _dosed(plan, _turned(plan, decays, exact(shift, "shift")), decays, dose, rates)
    held = {target: replace(plan.bound[target], schedule=Hold(1.0), effective=False) for target in decays}
    return _dosed(plan, plan.replace(held), decays, dose, rates)


def _is_decay(target: str) -> bool:
    address = Address.parse(target)
    return address.owner is None and address.key == "weight_decay"


def _turned_target(plan: Plan, target: str | None) -> str:
    """Return the binding that turns: `target`, or the first that is no rate."""
    if target is not None:
        if target not in plan.bound:
            raise PlanError(f"target: no binding drives {target!r}{suggest(str(target), plan.bound)}")
        return target
    others = [each for each in plan.bound if each not in rates_of(plan)]
    if not others:
        raise PlanError(
            f"target: all bindings are rates; name the one to turn, as in target={next(iter(plan.bound))!r}"
        )
    return others[0]


def _turned(plan: Plan, targets: Sequence[str], by: Fraction) -> Plan:
    bindings = {target: plan.bound[target].shifted(by) for target in targets}
    for target, binding in bindings.items():
        if by % 1 and binding == plan.bound[target]:
            raise PlanError(
                f"shift: {target} has no wave that could be turned; bind it as ost.wave(...) or ost.mirror(...)"
            )
    return plan.replace(bindings)


def _dosed(reference: Plan, plan: Plan, decays: Sequence[str], dose: Dose, rates: dict[str, Number]) -> Plan:
    """Return the plan with each weight decay multiplied so that its dose is that of the reference."""
    before, after = resolved(reference, rates), resolved(plan, rates)
    bindings: dict[str, Binding] = {}
    for target in decays:
        rate = rate_beside(reference, target) if dose == "product" else None
        together = (target,) if rate is None else (target, rate)
        wanted, found = whole_mean(before, *together), whole_mean(after, *together)
        if wanted == found:
            continue
        if wanted == 0.0 or found == 0.0:
            what = target if rate is None else f"{rate}·{target}"
            raise PlanError(f"the mean of {what} is {wanted:g} in the plan and {found:g} here, which no factor matches")
        bindings[target] = _multiplied(plan.bound[target], wanted / found)
    control = plan.replace(bindings)
    resolved(control, rates)
    return control


def _multiplied(binding: Binding, factor: float) -> Binding:
    schedule: Schedule = binding.schedule
    if isinstance(schedule, Wave):
        return replace(binding, schedule=replace(schedule, low=schedule.low * factor, high=schedule.high * factor))
    if isinstance(schedule, Hold):
        return replace(binding, schedule=Hold(schedule.value * factor))
    if isinstance(schedule, Reordered):
        return replace(binding, schedule=replace(schedule, factor=schedule.factor * factor))
    return replace(binding, schedule=Product((Hold(factor), schedule)))
