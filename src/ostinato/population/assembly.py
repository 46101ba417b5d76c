"""Putting the parts together: from chunks or single members to one result."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.errors import ConfigError
from ostinato.population.alone import Alone
from ostinato.population.job import Job
from ostinato.population.result import How, PopulationResult
from ostinato.population.stacked import Chunk

__all__ = ["Origin", "from_alone", "from_chunks"]

Saved = dict[int, dict[str, Tensor]]


@dataclass(frozen=True)
class Origin:
    """Where a result comes from: see `PopulationResult` for `how`, `reason` and `chunks`.

    Attributes:
        names: From each name of the state_dict to the name that the tensor is kept under.
        begun: ``time.monotonic()`` at the beginning.
    """

    names: Mapping[str, str]
    how: How
    reason: str
    chunks: tuple[int, ...]
    begun: float


def from_chunks(job: Job, chunks: Sequence[Chunk], origin: Origin) -> PopulationResult:
    """Return the result of members that were trained at once, in the order of the job."""
    order = torch.from_numpy(np.argsort([k for chunk in chunks for k in chunk.members]))

    def joined(parts: Sequence[Tensor]) -> Tensor:
        own = [part[: len(chunk.members)] for part, chunk in zip(parts, chunks, strict=True)]
        return torch.cat(own)[order.to(own[0].device)]

    states = [chunk.state.tensors() for chunk in chunks]
    weights = {name: joined([state[name] for state in states]) for name in states[0]}
    diverged = joined([chunk.state.died for chunk in chunks]).cpu().numpy()
    scored: dict[int, dict[int, dict[str, float]]] = {}
    saved: dict[int, Saved] = {}
    for chunk in chunks:
        for step, found in chunk.scores.metrics.items():
            for name, (places, values) in found.items():
                for place, value in zip(places, values.tolist(), strict=True):
                    scored.setdefault(chunk.members[place], {}).setdefault(step, {})[name] = value
        for step, (places, tensors) in chunk.scores.saved.items():
            for row, place in enumerate(places):
                held = {name: tensor[row] for name, tensor in tensors.items()}
                saved.setdefault(chunk.members[place], {})[step] = held
    scorer = chunks[0].template.scorer
    named = () if scorer is None else tuple(scorer.metrics)
    return _result(job, scored, weights, diverged, named=named, saved=saved, origin=origin)


def from_alone(job: Job, alone: Sequence[Alone], origin: Origin) -> PopulationResult:
    """Return the result of members that were trained one by one; at least one has not failed."""
    like = next(one.weights for one in alone if not one.failure)
    weights = {name: torch.stack([_of(one, name, tensor) for one in alone]) for name, tensor in like.items()}
    diverged = np.array([one.diverged for one in alone], np.int64)
    scored = {k: one.metrics for k, one in enumerate(alone)}
    saved = {k: one.saved for k, one in enumerate(alone)}
    failures = {k: one.failure for k, one in enumerate(alone) if one.failure}
    named = next(one.named for one in alone if not one.failure)
    return _result(job, scored, weights, diverged, named=named, saved=saved, origin=origin, failures=failures)


def _of(one: Alone, name: str, like: Tensor) -> Tensor:
    """Return a tensor of one member; of one that failed NaN, or 0 where the tensor cannot hold that."""
    if one.failure:
        return torch.full_like(like, float("nan")) if like.is_floating_point() else torch.zeros_like(like)
    if name not in one.weights or one.weights[name].shape != like.shape:
        raise ConfigError(f"make_model: {name} is not the same in every model; members differ in seed and plan only")
    return one.weights[name]


def _result(
    job: Job,
    scored: Mapping[int, Mapping[int, Mapping[str, float]]],
    weights: Mapping[str, Tensor],
    diverged: NDArray[np.int64],
    *,
    named: Sequence[str],
    saved: Mapping[int, Saved],
    origin: Origin,
    failures: Mapping[int, str] | None = None,
) -> PopulationResult:
    failures = failures or {}
    steps = np.array(sorted({step for member in job.scored for step in member}), np.int64)
    column = {step: place for place, step in enumerate(steps.tolist())}
    metrics = {name: np.full((len(job.seeds), len(steps)), np.nan) for name in ("train_loss", *named)}
    for k, member in scored.items():
        for step, found in member.items():
            for name, value in found.items():
                metrics[name][k, column[step]] = value
    return PopulationResult(
        steps, metrics, weights, diverged, np.array(job.totals, np.int64), job.seeds, origin.how,
        origin.reason, origin.chunks, time.monotonic() - origin.begun, saved, origin.names, job.plans, job.make_model, failures,
    )  # fmt: skip
