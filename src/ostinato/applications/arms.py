"""What every package shares that follows several plans at once: their resolution at one budget, their places, and the cycle that is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ostinato.core.clock import Span
from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError, suggest

__all__ = ["last_cycle", "place_of", "resolved_arms"]


def resolved_arms(plans: Mapping[str, Plan | ResolvedPlan]) -> dict[str, ResolvedPlan]:
    """Return the arms' plans, resolved, of one total.

    Raises:
        ConfigError: There are none, or their totals differ.
    """
    if not isinstance(plans, Mapping) or not plans:
        raise ConfigError('plans: expected a table from names to plans, such as {"restarts": plan}')
    found = {name: plan.resolve() if isinstance(plan, Plan) else plan for name, plan in plans.items()}
    totals = {name: plan.total for name, plan in found.items()}
    if len(set(totals.values())) > 1:
        raise ConfigError(f"plans: got the totals {totals}, expected equal ones: arms are compared at one budget")
    return found


def place_of(arm: str, arms: Sequence[str]) -> int:
    """Return the place of an arm among all.

    Raises:
        ConfigError: There is none of that name.
    """
    if arm not in arms:
        raise ConfigError(f"arm: got {arm!r}{suggest(str(arm), arms)}")
    return arms.index(arm)


def last_cycle(plan: ResolvedPlan) -> Span | None:
    """Return the last complete cycle of a plan; None where it has none."""
    complete = len(plan.snapshots)
    return plan.cycles[complete - 1] if complete else None
