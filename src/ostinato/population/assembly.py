"""Putting the parts together: from chunks or single members to one result."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
    return _result(job, scored, weights, diverged, saved=saved, origin=origin)


def from_alone(job: Job, alone: Sequence[Alone], origin: Origin) -> PopulationResult:
    """Return the result of members that were trained one by one."""
    weights = {name: torch.stack([one.weights[name] for one in alone]) for name in alone[0].weights}
    diverged = np.array([one.diverged for one in alone], np.int64)
    scored = {k: one.metrics for k, one in enumerate(alone)}
    saved = {k: one.saved for k, one in enumerate(alone)}
    return _result(job, scored, weights, diverged, saved=saved, origin=origin)


def _result(
    job: Job,
    scored: Mapping[int, Mapping[int, Mapping[str, float]]],
    weights: Mapping[str, Tensor],
    diverged: NDArray[np.int64],
    *,
    saved: Mapping[int, Saved],
    origin: Origin,
) -> PopulationResult:
    steps = np.array(sorted({step for member in job.scored for step in member}), np.int64)
    column = {step: place for place, step in enumerate(steps.tolist())}
    named = {name: None for member in scored.values() for found in member.values() for name in found}
    metrics = {name: np.full((len(job.seeds), len(steps)), np.nan) for name in named or ("train_loss",)}
    for k, member in scored.items():
        for step, found in member.items():
            for name, value in found.items():
                metrics[name][k, column[step]] = value
    return PopulationResult(
        steps, metrics, weights, diverged, np.array(job.totals, np.int64), job.seeds, origin.how, origin.reason, origin.chunks,
        time.monotonic() - origin.begun, saved, origin.names,
    )  # fmt: skip
