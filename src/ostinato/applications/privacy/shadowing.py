"""Training shadow models on the population engine, all under one plan at once, and asking them about every point."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from ostinato import population
from ostinato.applications.privacy.scores import Bools, Floats, confidence
from ostinato.applications.privacy.shadows import Shadows
from ostinato.core.address import Address
from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import DataError, RunInterruptedError, TruncatedCycleWarning
from ostinato.evaluation import at_phases

__all__ = ["Progress", "lead_of", "train_shadows"]

When = str | int | Iterable[int] | Callable[[ResolvedPlan], Iterable[int]]
Progress = Callable[[int, int], None]


def train_shadows(
    make_model: Callable[[], nn.Module],
    plans: Sequence[Plan | ResolvedPlan],
    pool: tuple[Tensor, Tensor],
    inside: ArrayLike,
    *,
    fresh: tuple[Tensor, Tensor] | None = None,
    when: When | None = None,
    seeds: Sequence[int] | None = None,
    optimizer: str = "sgd",
    optimizer_options: Mapping[str, Any] | None = None,
    batch_size: int = 64,
    drop_last: bool = True,
    keep_weights: bool = False,
    progress: Progress | None = None,
) -> tuple[list[Shadows], population.PopulationResult]:
    """Train K shadow models under each of some plans, all at once, and ask them about every point at each evaluation.

    Model k has the same weights to begin with, the same points and the same order of them under every plan.

    Args:
        make_model: Makes a model that returns logits (N, C).
        plans: The plans; each is resolved with the steps that an epoch over half of the pool has.
        pool: Inputs and labels that the models are trained with, half each, N of them.
        inside: From `halves`, (K, N).
        fresh: Inputs and labels that no model is trained with: accuracy is measured on them, and RMIA compares with them.
        when: Evaluations, as `evaluate` of `ostinato.population.train` says them; by default 8 phases of each cycle. The end always is one.
        seeds: One a model; by default 0 to K - 1.
        optimizer: As there.
        optimizer_options: As there.
        batch_size: As there.
        drop_last: As there.
        keep_weights: Keep each evaluation's weights.
        progress: Is told (member-steps done, in all).

    Returns:
        What the models of each plan say, and the population.

    Raises:
        DataError: The halves do not fit the pool, the labels are no classes, or a model returns no logits.
        RunInterruptedError: A model diverged or was lost: a leak cannot be told of it.
    """
    among = np.asarray(inside, dtype=np.bool_)
    inputs, labels = pool
    if among.ndim != 2 or among.shape[1] != len(labels):
        raise DataError(
            f"inside: got shape {among.shape} for a pool of {len(labels)} points, expected (K, {len(labels)})"
        )
    count = len(among)
    rows = np.stack([np.flatnonzero(row) for row in among])
    batches = rows.shape[1] // batch_size if drop_last else -(-rows.shape[1] // batch_size)
    courses = [
        plan
        if isinstance(plan, ResolvedPlan)
        else plan.resolve(steps_per_epoch=max(batches, 1), samples_per_step=batch_size)
        for plan in plans
    ]
    chosen = tuple(range(count)) if seeds is None else tuple(seeds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncatedCycleWarning)
        result = population.train(
            make_model, [course for course in courses for _ in range(count)], (inputs, labels), optimizer=optimizer, optimizer_options=optimizer_options,
            seeds=[*chosen] * len(plans), batch_size=batch_size, drop_last=drop_last, evaluate="last",
            snapshots=at_phases(8) if when is None else when, subsets=np.tile(rows, (len(plans), 1)), progress=progress,
        )  # fmt: skip
    lost = [k for k, status in enumerate(result.status) if status != "done"]
    if lost:
        raise RunInterruptedError(
            f"shadows: model {lost[0] % count} of plan {lost[0] // count} {result.status[lost[0]]}; lower the rate, a leak of it cannot be told"
        )
    made = [
        _asked(
            make_model,
            result,
            range(p * count, (p + 1) * count),
            (pool, fresh),
            (among, course),
            keep_weights=keep_weights,
        )
        for p, course in enumerate(courses)
    ]
    return made, result


def _asked(
    make_model: Callable[[], nn.Module],
    result: population.PopulationResult,
    members: range,
    data: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor] | None],
    design: tuple[Bools, ResolvedPlan],
    *,
    keep_weights: bool,
) -> Shadows:
    """Return what the members of one plan say at each evaluation."""
    inside, plan = design
    (inputs, labels), fresh = data
    if fresh is not None:
        inputs, labels = torch.cat([inputs, fresh[0]]), torch.cat([labels, fresh[1]])
    known = labels.cpu().numpy()
    saved = [result.snapshots(k) for k in members]
    steps = np.array(sorted(saved[0]), np.int64)
    asked, right, kept = [], [], []
    for step in steps.tolist():
        weights = {name: torch.stack([each[step][name] for each in saved]) for name in saved[0][step]}
        logits = population.predict(make_model, weights, inputs).float().cpu().numpy()
        asked.append(confidence(logits, known).astype(np.float32))
        right.append(logits.argmax(axis=-1) == known)
        if keep_weights:
            kept.append(weights)
    n = inside.shape[1]
    confidences, correct = np.stack(asked), np.stack(right)
    outside = correct[:, :, n:].mean(axis=-1) if fresh is not None else _of_others(correct, inside)
    return Shadows(
        steps, *_places(plan, steps), confidences[:, :, :n], outside, inside, confidences[:, :, n:], tuple(kept)
    )


def lead_of(plan: ResolvedPlan) -> str | None:
    """Return the first target that is a learning rate; None where the plan drives none."""
    return next((target for target in plan.targets if Address.parse(target).is_rate), None)


def _of_others(correct: NDArray[np.bool_], inside: Bools) -> Floats:
    """Return the share of right answers among the points that a model was not trained with, (E, K)."""
    found: Floats = np.where(inside, 0.0, correct).sum(axis=-1) / (~inside).sum(axis=-1)
    return found


def _places(plan: ResolvedPlan, steps: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return the cycle, the share of it that is through and the rate of each update."""
    cycle, phase = np.full(len(steps), -1, np.int64), np.full(len(steps), np.nan)
    for number, span in enumerate(plan.cycles):
        within = (steps >= span.start) & (steps < span.end)
        cycle[within], phase[within] = number, (steps[within] + 1 - span.start) / (span.end - span.start)
    lead = lead_of(plan)
    rate = np.full(len(steps), np.nan) if lead is None else np.asarray(plan.curves[lead](steps), dtype=np.float64)
    return cycle, phase, rate
