"""The server's part of a plan: its own rate, on the clock of rounds."""

from __future__ import annotations

from dataclasses import replace

from ostinato.applications.federated.local import SERVER
from ostinato.core.address import Address
from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError

__all__ = ["SERVER_RATE", "server_plan"]

SERVER_RATE = f"{SERVER}.lr"


def server_plan(plan: Plan) -> ResolvedPlan | None:
    """Return what of a plan is the server's, resolved on the clock of rounds: round r has count r - 1. None where nothing is.

    Raises:
        ConfigError: The plan drives more of the server than its rate.
        PlanError: The plan has no total, or counts in something that the server has none of.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total="4round", cycle=ost.Cycle("sawtooth", period="4round"), bindings={"server.lr": ost.wave(0.0, 1.0)})
    >>> [server_plan(plan).values(round - 1)["server.lr"] for round in (1, 2, 3, 4)]
    [1.0, 0.75, 0.5, 0.25]
    """
    own = {target: binding for target, binding in plan.bound.items() if Address.parse(target).root == SERVER}
    if other := sorted(own.keys() - {SERVER_RATE}):
        raise ConfigError(f"{other[0]}: the server has one value to drive, {SERVER_RATE}")
    return replace(plan, bindings=own).resolve(steps_per_round=1) if own else None
