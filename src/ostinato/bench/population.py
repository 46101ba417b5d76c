"""Many members at once against a loop of plain training."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ostinato.bench.harness import Row
from ostinato.core.bindings import wave
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.population import recipes
from ostinato.population.job import Job, make_job
from ostinato.population.stacked import Chunk, Steps
from ostinato.population.template import Template, prepare

__all__ = ["measure"]

_BLOCK = 64  # updates from one yield of `Chunk.updates` to the next
_TOTAL = 20_000


def make_mlp() -> nn.Module:
    """Return the model: 64-64-10."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def _job(members: int) -> Job:
    from ostinato.training.config import DataConfig
    from ostinato.training.datasets import load

    plans = [
        Plan(
            total=_TOTAL,
            cycle=Cycle("cosine", period=500),
            bindings={
                "optimizer.lr": wave(1e-5, 1e-3 * (1 + k / members)),
                "optimizer.weight_decay": wave(1e-3, 1e-2, shift=k / members),
            },
        )
        for k in range(members)
    ]
    return make_job(
        make_mlp, plans, load(DataConfig(name="digits")), loss=F.cross_entropy, optimizer="adamw", options=None, seeds=None, batch_size=64,
        drop_last=False, steps=None, evaluate="last", metrics=None, snapshots=False, subsets=None,
    )  # fmt: skip


def _plain(job: Job, k: int) -> Iterator[None]:
    """Train one member by a loop that has all values and indices at hand: rate and decay written at each step, fused AdamW."""
    with recipes.kept_randomness():
        model = recipes.built(make_mlp, job.seeds[k])
    groups: list[dict[str, Any]] = [
        {"params": [p for p in model.parameters() if p.dim() > 1]},
        {"params": [p for p in model.parameters() if p.dim() <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, fused=True)
    plan: ResolvedPlan = job.plans[k]
    counts = np.arange(_TOTAL, dtype=np.int64)
    rates, decays = (
        plan.curves[target].function(counts).tolist() for target in ("optimizer.lr", "optimizer.weight_decay")
    )
    order = job.order(k)
    inputs, targets = job.arrays.inputs, job.arrays.targets
    step = 0
    for epoch in range(_TOTAL // order.batches):
        batches: list[Tensor] = [torch.tensor(order.batch(epoch, index)) for index in range(order.batches)]
        for chosen in batches:
            optimizer.param_groups[0]["lr"] = optimizer.param_groups[1]["lr"] = rates[step]
            optimizer.param_groups[0]["weight_decay"] = decays[step]
            optimizer.zero_grad()
            F.cross_entropy(model(inputs[chosen]), targets[chosen]).backward()  # type: ignore[no-untyped-call]  # torch does not say what it returns
            optimizer.step()
            step += 1
            yield


def _rate(advance: Callable[[], object], updates: int) -> float:
    begun = time.perf_counter()
    advance()
    return updates / (time.perf_counter() - begun)


def measure(members: int = 256, rounds: int = 9) -> Row:
    """Measure member-steps a second of MLPs 64-64-10 on digits (batch 64, AdamW, own rate and decay at every step), compiled.

    The peer, in turn, is a plain loop over fused AdamW. Everything that an update needs is inside: tables of values, order of the data,
    gathering. Compilation is not.
    """
    job = _job(members)
    template = prepare(job, make_mlp())
    if not isinstance(template, Template):
        raise RuntimeError(template)
    begun = time.perf_counter()
    ours = Chunk(template, list(range(members)), members).updates(Steps(template, compile=True))
    plain = _plain(job, 0)
    with torch.no_grad():
        next(ours)
    first = time.perf_counter() - begun

    def many() -> None:
        with torch.no_grad():
            next(ours)

    def one() -> None:
        for _ in range(300):
            next(plain)

    pairs = np.array([(_rate(many, _BLOCK * members), _rate(one, 300)) for _ in range(rounds + 1)][1:])
    ratios = pairs[:, 0] / pairs[:, 1]
    low, middle, high = (float(value) for value in np.quantile(ratios, [0.25, 0.5, 0.75]))
    rates = np.median(pairs, axis=0)
    detail = {
        "peer": "loop over fused AdamW",
        "members": members,
        "member_steps_per_s": float(rates[0]),
        "peer_steps_per_s": float(rates[1]),
        "first_block_s": first,
        "threads": torch.get_num_threads(),
    }
    return Row("population", middle, (low, high), 15.0, 25.0, higher=True, detail=detail)
