"""Baselines that anything with replay times has to beat: a model trained on the buffer alone, and a rate that falls from task to task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from ostinato import population
from ostinato.applications.continual.buffers import Buffer
from ostinato.applications.continual.feed import Feed
from ostinato.applications.continual.measures import Matrix
from ostinato.applications.continual.streams import Stream
from ostinato.applications.continual.training import accuracy
from ostinato.core.address import Address
from ostinato.core.plan import Plan
from ostinato.errors import ConfigError, PlanError
from ostinato.schedules import hold, join, product

__all__ = ["decayed", "gdumb"]


def gdumb(
    make_model: Callable[[], nn.Module],
    stream: Stream,
    plan: Plan,
    buffer: Buffer,
    *,
    optimizer: str = "sgd",
    optimizer_options: Mapping[str, Any] | None = None,
    batch_size: int = 32,
    seed: int = 0,
) -> Matrix:
    """Return the matrix of accuracies of models that are trained from scratch, after each task, on the buffer alone.

    It learns nothing while the stream passes. What does not beat it owes nothing to learning continually.

    Args:
        make_model: Makes a model with ``stream.classes`` outputs.
        stream: The tasks.
        plan: Followed whole by every one of the models; it drives ``optimizer`` and ``model``. Needs a total.
        buffer: What keeps the examples, empty; a `ClassBalanced` one in the source.
        optimizer: ``"sgd"``, ``"adamw"``, ...
        optimizer_options: What its class accepts.
        batch_size: Examples of an update.
        seed: Of the models and the orders.

    Returns:
        (T, T): row i has the accuracies of the model trained on what the buffer holds after task i.

    Source: A. Prabhu, P. Torr, P. Dokania, GDumb, ECCV 2020.

    >>> import ostinato as ost, torch
    >>> from ostinato.applications.continual import ClassBalanced, split
    >>> data = torch.eye(4).repeat(8, 1), torch.arange(4).repeat(8)
    >>> plan = ost.Plan(total=60, cycle=ost.Cycle(count=1), bindings={"optimizer.lr": ost.wave(0.0, 0.5)})
    >>> gdumb(lambda: nn.Linear(4, 4), split(data, data, 2), plan, ClassBalanced(8), batch_size=4).tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    feed = Feed(stream, None, buffer, batch_size=1, seed=seed)
    matrix = np.zeros((len(stream), len(stream)))
    for place in range(len(stream)):
        feed.close(place)
        result = population.single(
            make_model, plan, (buffer.inputs, buffer.targets), optimizer=optimizer, optimizer_options=optimizer_options, seed=seed,
            batch_size=batch_size, evaluate="last",
        )  # fmt: skip
        model = result.model(0)
        matrix[place] = [accuracy(model, *task.test) for task in stream.tasks]
    return matrix


def decayed(plan: Plan, tasks: int, factor: float = 0.4) -> Plan:
    """Return the plan with its learning rates multiplied by factor^i in task i of tasks of one length: decay across tasks.

    Args:
        plan: With a total.
        tasks: How many.
        factor: From one task to the next.

    Raises:
        ConfigError: `tasks` is below 2, or `factor` is not in (0, 1].
        PlanError: The plan has no total or no learning rate, or its tasks are not of one whole length.

    Source: S. Mirzadeh et al., Understanding the Role of Training Regimes in Continual Learning, NeurIPS 2020: a factor of 0.4.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=4, cycle=ost.Cycle("sawtooth", count=2), bindings={"optimizer.lr": ost.wave(0.0, 1.0)})
    >>> decayed(plan, 2).table()["optimizer.lr"].tolist()
    [1.0, 0.5, 0.4, 0.2]
    """
    if tasks < 2 or not 0.0 < factor <= 1.0:
        raise ConfigError(f"tasks, factor: got {tasks} and {factor}, expected at least 2, and a number in (0, 1]")
    if plan.total is None:
        raise PlanError("total: missing; the tasks divide it, write Plan(total=...)")
    rates = [target for target in plan.bound if Address.parse(target).is_rate]
    if not rates:
        raise PlanError("decayed: the plan drives no learning rate; bind optimizer.lr")
    total = plan.resolve().total
    if total % tasks:
        raise PlanError(f"total: {total} steps are not {tasks} tasks of one length; take a multiple of {tasks}")
    at = [place * total // tasks for place in range(1, tasks)]
    falling = join(*(hold(factor**place) for place in range(tasks)), at=at)
    bound = {
        target: replace(binding, schedule=product(binding.schedule, falling)) if target in rates else binding
        for target, binding in plan.bound.items()
    }
    return replace(plan, bindings=bound)
