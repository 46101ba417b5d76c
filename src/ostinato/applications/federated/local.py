"""A client's part in a round: the common plan, at the client's phase and at the round's place on the clock."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ostinato.applications.federated.progress import Progress
from ostinato.checks import whole
from ostinato.core.address import Address
from ostinato.core.clock import Tick
from ostinato.core.plan import Plan
from ostinato.core.units import Number
from ostinato.errors import ConfigError

__all__ = ["SERVER", "LocalRound", "client_plan"]

SERVER = "server"


def client_plan(plan: Plan) -> Plan:
    """Return what of a plan is the clients': all but the bindings of the root ``server``."""
    own = {target: binding for target, binding in plan.bound.items() if Address.parse(target).root != SERVER}
    return replace(plan, bindings=own)


class LocalRound:
    """What one client does in one round of a federation, on the common clock.

    A plan written in rounds (``total="30round"``) that counts steps has one value an update: update u of round r, which makes k of them, is
    count (r - 1) k + u of the clock, so that clients with more data or more local epochs go through the same part of the cycle in a round.
    A plan that counts rounds (``unit="round"``) has one value a round. Nothing is remembered between rounds: whoever is started again, or
    missed some, is in step.

    Args:
        plan: The common plan; bindings of ``server`` are left to the server.
        round: The round, from 1, as Flower counts.
        shift: The client's, in fractions of a cycle: `Phases.of`.
        steps: Updates that this client makes in a round: local epochs times ceil(examples / batch).
        steps_per_epoch: Updates in one of its epochs, where the plan counts in epochs too.
        **roots: What the plan drives: ``optimizer=optimizer``, ``model=model``, ...

    Raises:
        ConfigError: The number of a round or of steps cannot be.
        PlanError: The plan cannot be resolved.
        TargetError: An address matches nothing.

    >>> import ostinato as ost, torch
    >>> plan = ost.Plan(total="4round", cycle=ost.Cycle("sawtooth", period="2round"), bindings={"optimizer.lr": ost.wave(0.0, 0.8)})
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    >>> part = LocalRound(plan, 2, shift=0.5, steps=2, optimizer=optimizer)
    >>> [(round(optimizer.param_groups[0]["lr"], 6), part.step().step) for _ in range(2)], round(part.progress, 6)
    ([(0.8, 2), (0.6, 3)], 1.4)
    """

    def __init__(
        self,
        plan: Plan,
        round: int,
        *,
        shift: float = 0.0,
        steps: int,
        steps_per_epoch: Number | None = None,
        **roots: Any,
    ) -> None:
        for name, value in (("round", round), ("steps", steps)):
            whole(name, value)
        self._steps, self._done = steps, 0
        self._by_round = plan.unit == "round"
        own = client_plan(plan).shifted(shift)
        self.scheduler = own.bind(**roots, steps_per_round=steps, steps_per_epoch=steps_per_epoch)
        start = (round - 1) * (1 if self._by_round else steps)
        if start:
            self.scheduler.step(by=start)
        self._progress = Progress(next(iter(self.scheduler.optimizers), None))

    @property
    def done(self) -> int:
        """How many updates of the round are done."""
        return self._done

    @property
    def progress(self) -> float:
        """How far the client went: see `ostinato.applications.federated.progress.Progress`."""
        return self._progress.way

    def step(self) -> Tick | None:
        """Say that an update was made; of a plan that counts rounds, the last update of the round gives the tick, the others None.

        Raises:
            ConfigError: The round has no more updates.
        """
        if self._done >= self._steps:
            raise ConfigError(
                f"step: the round has {self._steps} updates, and all are done; pass steps= as many as there are"
            )
        self._progress.add(self._progress.in_force())
        self._done += 1
        if self._by_round and self._done < self._steps:
            return None
        return self.scheduler.step()
