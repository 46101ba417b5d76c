"""The arms without a search: a range test says how high the default plan's peak is."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ostinato.search import range_test
from ostinato.studies.frame.images import Images, subset
from ostinato.studies.phase_lock.digits import perceptron, train
from ostinato.training import optimizers, recipes
from ostinato.training.batches import EpochOrder
from ostinato.training.defaults import DEFAULT_RECIPE

__all__ = ["ARMS", "Ranged", "measure_ranged"]

ARMS = ("range-test", "range-test-long")
_JUDGED_CYCLES = 2


@dataclass(frozen=True)
class Ranged:
    """One run of the default plan under the peak that its seed's range test suggested.

    Attributes:
        peak: The peak; the optimizer's own default rate where nothing was suggested.
        mean: True score over the last two of five cycles; None where the run diverged.
        trough: True score at the end.
        plan: Digest of the resolved plan.
        chunks: How many members were trained at once.
        wall_s: Seconds, the range test's included.
    """

    peak: float
    mean: float | None
    trough: float
    plan: str
    chunks: tuple[int, ...]
    wall_s: float


def measure_ranged(
    arm: str, images: Images, parameters: Mapping[str, Any], seeds: Sequence[int], trials: int
) -> list[Ranged]:
    """Run the default plan, five cosine cycles, under each seed.

    Args:
        arm: ``range-test`` runs as long as one trial of a search; ``range-test-long`` as long as all of them, less the range test.
        images: The images.
        parameters: Of the regime.
        seeds: The seeds.
        trials: Trials of a search.
    """
    tested = [_peak(images, parameters, seed) for seed in seeds]
    steps = parameters["steps"]
    total = steps if arm == "range-test" else trials * steps - max(updates for _, updates, _ in tested)
    plans = [recipes.plan(DEFAULT_RECIPE, total=total, rate=peak) for peak, _, _ in tested]
    first = plans[0].resolve().cycles[-_JUDGED_CYCLES].start
    result = train(images, parameters, plans, seeds, range(first, total))
    found = []
    for k, (peak, _, seconds) in enumerate(tested):
        at, values = result.curve(k, "nll")
        lost = result.status[k] == "diverged"
        mean, trough = (None, float("nan")) if lost else (float(values[at >= first].mean()), float(values[-1]))
        wall = seconds + result.wall_s / len(seeds)
        found.append(Ranged(peak, mean, trough, plans[k].resolve().digest, result.chunks, wall))
    return found


def _peak(images: Images, parameters: Mapping[str, Any], seed: int) -> tuple[float, int, float]:
    """Return the suggested peak, the updates that finding it took, and the seconds."""
    begun = time.monotonic()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = perceptron(images)()
    optimizer = optimizers.build("sgd", model)
    rows = subset(images, parameters["examples"], seed)
    order = EpochOrder(len(rows), parameters["batch"], seed, drop_last=True)
    chosen = [torch.from_numpy(rows[order.batch(0, index)]) for index in range(order.batches)]
    batches = [(images.inputs[each], images.targets[each]) for each in chosen]
    test = range_test(batches, model=model, optimizer=optimizer, loss=nn.CrossEntropyLoss(), seed=seed)
    peak = test.suggestion.value
    default = float(optimizer.param_groups[0]["lr"])
    return default if peak is None else peak, len(test.values), time.monotonic() - begun
