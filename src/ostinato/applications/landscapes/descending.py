"""Following plans downhill: all arms from all starts at once, with the update rules of torch.optim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.applications.arms import last_cycle, resolved_arms
from ostinato.applications.landscapes.outcome import Descent
from ostinato.applications.landscapes.problem import BLOCK, Problem
from ostinato.core.clock import Span
from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError, suggest
from ostinato.population.rules import RULES, Rule, rule_of
from ostinato.population.values import GroupPlace, Values, place_plans

__all__ = ["descend"]

_CYCLE_READINGS = 50
_OPTIMIZERS: Mapping[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
assert set(_OPTIMIZERS) == set(RULES)


def descend(
    problem: Problem,
    starts: Tensor | NDArray[np.float64],
    plans: Mapping[str, Plan | ResolvedPlan],
    *,
    optimizer: str = "adam",
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    every: int = 10,
) -> Descent:
    """Minimise a problem from every start under every plan.

    The update is torch's: ``Adam``, ``AdamW`` or ``SGD`` with L2 decay, momentum and Nesterov, as in `ostinato.population`, in float64. Plans
    drive ``optimizer.lr``, ``optimizer.weight_decay``, ``optimizer.momentum``, ``optimizer.betas.1``, ...; what they leave alone is the
    optimizer's own. What is random in a step (minibatches, noise) follows from `seed` and the step alone, so that all arms meet the same.

    Nothing is compiled: ten million updates take less time than compiling does (``ostinato bench landscapes``).

    A run whose position or gradient is no longer finite stays where it was and counts as diverged; the others go on.

    Args:
        problem: One instance for all starts, or one for each.
        starts: Positions to start from, (N, D).
        plans: From the arm's name to its plan, all of one total, in steps.
        optimizer: ``"adam"``, ``"adamw"`` or ``"sgd"``.
        options: The optimizer's, such as ``{"momentum": 0.9}``.
        seed: Of what is random.
        every: Values are read after every so many updates, and besides at the peak, the trough and at most 50 evenly placed steps of each
            arm's last complete cycle, and after the last update.

    Returns:
        Values, last positions, and what follows from them.

    Raises:
        ConfigError: `starts` have the wrong shape; plans are missing or of unequal totals; optimizer, options or `every` cannot be.
        TargetError: A plan drives what the optimizer does not have.

    >>> import ostinato as ost
    >>> from ostinato import controls
    >>> from ostinato.applications import landscapes
    >>> problem = landscapes.Rosenbrock.draw(seed=0)
    >>> plan = ost.Plan(total=600, cycle=ost.Cycle("cosine", count=3), bindings={"optimizer.lr": ost.wave(0.0, 0.06)})
    >>> arms = {"restarts": plan, "sorted": controls.sorted(plan), "constant": controls.constant(plan)}
    >>> found = landscapes.descend(problem, problem.starts(seed=0, count=20), arms)
    >>> found.values.shape, found.excess.shape, int((found.diverged >= 0).sum())
    ((101, 3, 20), (3, 20), 0)
    """
    begun = torch.as_tensor(starts, dtype=torch.float64)
    problem.demand_starts(begun)
    resolved = resolved_arms(plans)
    if every < 1:
        raise ConfigError(f"every: got {every}, expected a whole number of steps > 0")
    machine = _Machine(optimizer, options or {}, list(resolved.values()))
    total = next(iter(resolved.values())).total
    spans = [last_cycle(plan) for plan in resolved.values()]
    windows = [_window(span) for span in spans]
    events = {step for span in spans if span for step in (span.peak, span.trough) if step is not None}
    read = sorted({*range(every - 1, total, every), *(step for each in windows for step in each), *events, total - 1})
    with torch.no_grad():
        values, x, died = _run(problem, begun, machine, total, read=read, seed=seed)
    least = problem.least
    return Descent(
        arms=tuple(resolved),
        steps=np.array(read),
        values=values.numpy(),
        positions=x.numpy(),
        diverged=died.numpy(),
        least=np.full(1, np.nan) if least is None else least.numpy(),
        spans=tuple(spans),
        windows=tuple(windows),
        digests=tuple(plan.digest for plan in resolved.values()),
    )


def _window(span: Span | None) -> tuple[int, ...]:
    """Return steps of a cycle at even distances, at most 50."""
    if span is None:
        return ()
    length = span.end - span.start
    count = min(length, _CYCLE_READINGS)
    return tuple(span.start + (place + 1) * length // count - 1 for place in range(count))


class _Machine:
    """An optimizer's rule and every arm's values, as coefficients of shape (A, 1, 1)."""

    def __init__(self, name: str, options: Mapping[str, Any], plans: Sequence[ResolvedPlan]) -> None:
        if name not in _OPTIMIZERS:
            raise ConfigError(f"optimizer: got {name!r}{suggest(str(name), _OPTIMIZERS)}")
        try:
            made = _OPTIMIZERS[name]([nn.Parameter(torch.zeros(1))], **options)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"options: {error}") from error
        placement = place_plans(plans, {"optimizer": made})
        (self._group,) = made.param_groups
        rule = rule_of(name, [self._group], momentum_driven=placement.drives("momentum"))
        if isinstance(rule, str):
            raise ConfigError(rule)
        self.rule: Rule = rule
        self._values = Values(placement.driven)

    def block(self, first: int, stop: int) -> Tensor:
        """Return the coefficients of some steps, (steps, coefficients, A, 1, 1). Blocks come in order."""
        steps = np.arange(first, stop, dtype=np.int64)
        found = {}
        for key, element in self.rule.keys:
            original = self._group[key] if element is None else self._group[key][element]
            found[key, element] = self._values.block(GroupPlace(0, key, element), float(original), steps)
        return torch.from_numpy(np.stack(self.rule.coefficients(found, steps, 0), axis=1))[..., None, None]


def _run(
    problem: Problem, starts: Tensor, machine: _Machine, total: int, *, read: Sequence[int], seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the values that were read, (R, A, N), the last positions, (A, N, D), and the step at which a run diverged or -1, (A, N)."""
    arms = machine.block(0, 1).shape[2]
    machine.rule.restart()
    x = starts.expand(arms, *starts.shape).clone()
    state = [torch.zeros_like(x) for _ in machine.rule.states]
    died = torch.full(x.shape[:2], -1)
    values = x.new_empty(len(read), *x.shape[:2])
    row = 0
    for block, first in enumerate(range(0, total, BLOCK)):
        coefficients = machine.block(first, min(first + BLOCK, total))
        draws = problem.draws(seed, block, len(starts))
        for place, c in enumerate(coefficients):
            step = first + place
            gradient = problem.seen(x, step, None if draws is None else draws[place])
            new, after = machine.rule.update(x, gradient, state, c.unbind())
            alive = torch.isfinite(new.sum(-1)) & (died < 0)
            if not alive.all():
                new, after = _held(alive[..., None], (new, after), (x, state))
                died[~alive & (died < 0)] = step
            x, state = new, after
            if step == read[row]:
                values[row] = torch.where(died < 0, problem.value(x, step + 1), torch.inf)
                row += 1
    return values, x, died


def _held(
    alive: Tensor, new: tuple[Tensor, list[Tensor]], old: tuple[Tensor, list[Tensor]]
) -> tuple[Tensor, list[Tensor]]:
    """Return the new position and state where a run is alive, the old ones where it has diverged."""
    state = [torch.where(alive, after, before) for after, before in zip(new[1], old[1], strict=True)]
    return torch.where(alive, new[0], old[0]), state
