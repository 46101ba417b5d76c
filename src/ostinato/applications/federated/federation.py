"""What is to be simulated: federations, checked and in one form."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from ostinato.applications.federated.drawing import batches_of, updates_of
from ostinato.applications.federated.holdings import Parts, checked_parts
from ostinato.applications.federated.local import client_plan
from ostinato.applications.federated.phases import Phases
from ostinato.applications.federated.serving import SERVER_RATE, server_plan
from ostinato.checks import whole
from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError, TruncatedCycleWarning
from ostinato.population.job import Arrays
from ostinato.population.scoring import Metric

__all__ = ["Federation", "Setup", "make_setup"]

_whole = partial(whole, of=Integral)


@dataclass(frozen=True, eq=False)
class Federation:
    """One federation: a plan, who has which phase, and who holds what.

    Attributes:
        plan: The common plan; or one for each client, where they differ by more than a phase.
        parts: Indices of the training examples that each client holds, as `partitions` makes them.
        phases: Who has which phase; without them all are together.
        seed: Draws the first common model, every client's batches and masks, and who takes part.
        normalise: Let every client pull alike however far it went: `merge`.

    >>> import ostinato as ost
    >>> from ostinato.applications.federated import Phases, partitions
    >>> plan = ost.Plan(total="4round", cycle=ost.Cycle(period="2round"), bindings={"optimizer.lr": ost.wave(0.01, 0.1)})
    >>> federation = Federation(plan, partitions.even(40, 4), Phases(4), normalise=True)
    >>> [federation.phase_of(client) for client in range(4)], federation.plan_of(3) is plan
    ([0.0, 0.25, 0.5, 0.75], True)
    """

    plan: Plan | Sequence[Plan]
    parts: Sequence[ArrayLike]
    phases: Phases | None = None
    seed: int = 0
    normalise: bool = False

    def plan_of(self, client: int) -> Plan:
        """Return a client's plan, before its phase."""
        return self.plan if isinstance(self.plan, Plan) else self.plan[client]

    def phase_of(self, client: int) -> float:
        """Return a client's shift, in fractions of a cycle."""
        return 0.0 if self.phases is None else self.phases.of(client)


@dataclass(frozen=True, eq=False)
class Setup:
    """Federations and how they are simulated.

    Attributes:
        parts: Checked parts by federation and client.
        plans: Completed plans (with a total) by federation and client, before the phase.
        curves: The same at the client's phase, resolved on its clock.
        updates: Updates of a round, int64 (F, n).
        scored: Rounds after which the common models are scored.
    """

    make_model: Callable[[], nn.Module]
    federations: tuple[Federation, ...]
    arrays: Arrays
    parts: tuple[Parts, ...]
    plans: tuple[tuple[Plan, ...], ...]
    curves: tuple[tuple[ResolvedPlan, ...], ...]
    updates: NDArray[np.int64]
    rounds: int
    batch_size: int
    fraction: float
    loss: Callable[[Any, Any], Tensor]
    optimizer: str
    options: Mapping[str, Any]
    scored: frozenset[int]
    metrics: Mapping[str, Metric] | None

    @property
    def clients(self) -> int:
        """Clients of each federation."""
        return int(self.updates.shape[1])

    @property
    def longest(self) -> int:
        """The most updates that any client makes in a round."""
        return int(self.updates.max())

    @cached_property
    def servers(self) -> tuple[ResolvedPlan | None, ...]:
        """For every federation what drives the server."""
        return tuple(server_plan(plans[0]) for plans in self.plans)

    def server_rate(self, f: int, round: int) -> float:
        """Return the rate that the server moves with in a round; 1 where no plan drives it."""
        server = self.servers[f]
        return 1.0 if server is None else float(server.values(round - 1)[SERVER_RATE])

    def per_epoch(self, f: int, client: int) -> int:
        """Return the updates that one pass over a client's examples takes."""
        return updates_of(len(self.parts[f][client]), self.batch_size)

    def rows(self, f: int, client: int, round: int) -> NDArray[np.int64]:
        """Return the training examples of each update of a client's round, (updates, batch)."""
        own = self.parts[f][client]
        number = int(self.updates[f, client])
        seed = self.federations[f].seed
        return own[batches_of(seed, client, round, len(own), self.batch_size, updates=number)]


def make_setup(
    make_model: Callable[[], nn.Module],
    federations: Sequence[Federation],
    arrays: Arrays,
    *,
    rounds: int | None,
    local_epochs: int,
    local_updates: int | None,
    batch_size: int,
    fraction: float,
    loss: Callable[[Any, Any], Tensor],
    optimizer: str,
    options: Mapping[str, Any] | None,
    evaluate: int,
    metrics: Mapping[str, Metric] | None,
) -> Setup:
    """Check everything that can be checked before a model is made.

    Raises:
        ConfigError: An argument cannot be.
        PlanError: A plan cannot be resolved.

    Warns:
        TruncatedCycleWarning: A run ends inside a cycle.
    """
    if not federations:
        raise ConfigError("federations: got none, expected at least one")
    for name, value in (("local_epochs", local_epochs), ("batch_size", batch_size), ("evaluate", evaluate)):
        _whole(name, value)
    for name, given in (("rounds", rounds), ("local_updates", local_updates)):
        if given is not None:
            _whole(name, given)
    if not 0.0 < fraction <= 1.0:
        raise ConfigError(f"fraction: got {fraction!r}, expected a share of the clients above 0 and at most 1")
    parts = tuple(checked_parts(one.parts, len(arrays.targets)) for one in federations)
    if len(sizes := {len(part) for part in parts}) > 1:
        raise ConfigError(
            f"federations: got {sorted(sizes)} clients, expected as many in each; simulate them one by one"
        )
    made = [[local_updates or updates_of(len(own), batch_size, local_epochs) for own in part] for part in parts]
    plans = tuple(_plans_of(one, len(part), rounds) for one, part in zip(federations, parts, strict=True))
    known: dict[Any, ResolvedPlan] = {}
    curves = tuple(
        tuple(
            _resolved(known, plan, one.phase_of(client), made[f][client], updates_of(len(parts[f][client]), batch_size))
            for client, plan in enumerate(plans[f])
        )
        for f, one in enumerate(federations)
    )
    length = _rounds(rounds, curves, made)
    scored = frozenset({*range(evaluate, length + 1, evaluate), length})
    return Setup(
        make_model, tuple(federations), arrays, parts, plans, curves, np.array(made, np.int64), length, batch_size, fraction, loss,
        optimizer, dict(options or {}), scored, metrics,
    )  # fmt: skip


def _plans_of(one: Federation, clients: int, rounds: int | None) -> tuple[Plan, ...]:
    if not isinstance(one.plan, Plan) and len(one.plan) != clients:
        raise ConfigError(f"plan: got {len(one.plan)} for {clients} clients, expected one for each, or one for all")
    if one.phases is not None and one.phases.clients != clients:
        raise ConfigError(f"phases: made for {one.phases.clients} clients, but {clients} have examples")
    plans = [one.plan_of(client) for client in range(clients)]
    if rounds is None:
        return tuple(plans)
    return tuple(plan if plan.total is not None else replace(plan, total=f"{rounds}round") for plan in plans)


def _resolved(known: dict[Any, ResolvedPlan], plan: Plan, shift: float, updates: int, per_epoch: int) -> ResolvedPlan:
    """Return a client's plan on its clock, one object for equal ones."""
    key = id(plan), shift, updates, per_epoch
    if key not in known:
        own = client_plan(plan).shifted(shift)
        known[key] = own.resolve(steps_per_round=updates, steps_per_epoch=per_epoch)
    return known[key]


def _rounds(rounds: int | None, curves: Sequence[Sequence[ResolvedPlan]], made: Sequence[Sequence[int]]) -> int:
    """Return how many rounds there are: as asked, at most as many as every plan has."""
    lengths = [
        resolved.total / (1 if resolved.plan.unit == "round" else updates)
        for plans, numbers in zip(curves, made, strict=True)
        for resolved, updates in zip(plans, numbers, strict=True)
    ]
    least = int(min(lengths))
    if least < 1 or (rounds is not None and rounds > least):
        raise ConfigError(f"rounds: got {rounds}, but a plan has a total of {min(lengths):g} rounds; lengthen the plan")
    chosen = least if rounds is None else rounds
    if any(resolved.truncated for plans in curves for resolved in plans) and chosen == least:
        warnings.warn("the federation's last round ends inside a cycle", TruncatedCycleWarning, stacklevel=4)
    return chosen
