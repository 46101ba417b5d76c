"""Reading a plan: which binding is the rate, where a product of two acts, and what the means are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np

from ostinato.core.address import Address
from ostinato.core.curves import blocks
from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.core.schedules import located
from ostinato.core.units import Number, Rates
from ostinato.core.waveforms import FloatArray
from ostinato.errors import PlanError, suggest

__all__ = [
    "Match",
    "check_match",
    "mean",
    "of_control",
    "rate_beside",
    "rate_of",
    "rates_of",
    "resolved",
    "smallest",
    "whole_mean",
]

Match = Literal["product", "values"]


@contextmanager
def of_control(name: str, plan: Plan) -> Iterator[None]:
    """Put the control's name before what goes wrong inside; refuse what is no plan, or an empty one."""
    with located(f"{name}: "):
        if not isinstance(plan, Plan):
            raise PlanError(f"got {type(plan).__name__}, expected an ostinato.Plan; a resolved one has it as .plan")
        if not plan.bound:
            raise PlanError(
                "the plan drives nothing; give it bindings such as {'optimizer.lr': ost.wave(0.0, 0.1)} first"
            )
        yield


def check_match(match: str) -> None:
    """Refuse a `match` that is neither ``"product"`` nor ``"values"``."""
    if match not in ("product", "values"):
        raise PlanError(f"match: got {match!r}, expected 'product' or 'values'")


def rates_of(plan: Plan) -> list[str]:
    """Return the targets that are learning rates, in the plan's order."""
    return [target for target in plan.bound if Address.parse(target).is_rate]


def rate_of(plan: Plan, by: str | None) -> str:
    """Return the target that leads: `by`, or the first learning rate.

    Raises:
        PlanError: The plan has no such binding.
    """
    if by is not None:
        if by not in plan.bound:
            raise PlanError(f"by: no binding drives {by!r}{suggest(str(by), plan.bound)}")
        return by
    rates = rates_of(plan)
    if not rates:
        raise PlanError(
            f"the plan drives no learning rate; name the binding that leads, as in by={next(iter(plan.bound))!r}"
        )
    return rates[0]


def rate_beside(plan: Plan, target: str) -> str | None:
    """Return the learning rate that acts in a product with a target: for a weight decay that of the same groups; None for anything else.

    Raises:
        PlanError: The groups of a weight decay have learning rates of their own, so that there is no one product.
    """
    address = Address.parse(target)
    if address.owner is not None or address.key != "weight_decay":
        return None
    rates = [found for found in map(Address.parse, plan.bound) if found.is_rate and found.root == address.root]
    covering = [rate.text for rate in rates if rate.covers(address)]
    if covering:
        alike = address.sibling("lr")
        return alike if alike in covering else covering[0]
    near = [rate.text for rate in rates if not _apart(rate, address)]
    if near:
        raise PlanError(
            f"{target}: its groups have rates of their own ({', '.join(near)}), so that it has no one product with them; bind it group by group too, or pass match='values'"
        )
    return None


def _apart(one: Address, other: Address) -> bool:
    """Return whether two addresses surely name different parameter groups: by different indices."""
    groups = one.group or "", other.group or ""
    return all(group.isdigit() for group in groups) and int(groups[0]) != int(groups[1])


def resolved(plan: Plan, rates: dict[str, Number]) -> ResolvedPlan:
    """Return `Plan.resolve`; an unknown rate is a PlanError.

    Raises:
        PlanError: The total or a rate is missing or unknown.
    """
    for name in rates:
        if name not in Rates.__slots__:
            raise PlanError(f"{name}: unknown option{suggest(name, Rates.__slots__)}")
    return plan.resolve(**rates)


def after_warmup(plan: ResolvedPlan, *targets: str) -> Iterator[FloatArray]:
    """Yield the products of the targets' values over the steps after the warm-up, in blocks."""
    for steps in blocks(plan.warmup, plan.total):
        yield np.prod([plan.curves[target].function(steps) for target in targets], axis=0)


def mean(plan: ResolvedPlan, *targets: str) -> float:
    """Return the mean over the steps after the warm-up of a target's values, or of the product of several targets'."""
    return math.fsum(float(np.sum(values)) for values in after_warmup(plan, *targets)) / (plan.total - plan.warmup)


def whole_mean(plan: ResolvedPlan, *targets: str) -> float:
    """Return the mean over all steps, the warm-up included, of a target's values, or of the product of several targets'."""
    products = (
        np.prod([plan.curves[target].function(steps) for target in targets], axis=0) for steps in blocks(0, plan.total)
    )
    return math.fsum(float(np.sum(values)) for values in products) / plan.total


def smallest(plan: ResolvedPlan, target: str) -> float:
    """Return the smallest value of a target after the warm-up."""
    return min(float(values.min()) for values in after_warmup(plan, target))
