"""Training the arms: blocks of whole seeds on the population engine, each a list of records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ostinato import population
from ostinato.comparison.arms import Arm, rates_of
from ostinato.comparison.endpoints import Endpoint
from ostinato.comparison.scores import scores_of
from ostinato.comparison.setup import Material, Setup
from ostinato.controls import tuned_constant
from ostinato.core.resolved import ResolvedPlan
from ostinato.population import PopulationResult
from ostinato.training import losses
from ostinato.training.datasets import Data
from ostinato.training.held_out import with_held_out
from ostinato.training.outcome import environment

__all__ = ["Progress", "blocks_of", "train_block", "tuned"]

Progress = Callable[[int, int], None]
_MEMBERS = 32
_VALIDATION = 0.2
_TUNING_SEED = 2**40  # far from any seed that is compared
_EXTENSIONS = 3


def blocks_of(seeds: Sequence[int], arms: int) -> list[list[int]]:
    """Share seeds among as few blocks of at most 32 members as there can be, of sizes that differ by one at most.

    What remains after some of the blocks is shared in the same way, so that an interrupted comparison goes on with the same blocks.

    >>> blocks_of(range(20), 4)
    [[0, 1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12, 13], [14, 15, 16, 17, 18, 19]]
    """
    most = max(1, _MEMBERS // arms)
    blocks, rest = [], list(seeds)
    for left in range(-(-len(rest) // most), 0, -1):
        size = -(-len(rest) // left)
        blocks.append(rest[:size])
        rest = rest[size:]
    return blocks


def train_block(
    setup: Setup, material: Material, arms: Sequence[Arm], seeds: Sequence[int], progress: Progress | None
) -> list[dict[str, Any]]:
    """Train every arm with every one of these seeds at once, and return a record for each, seed by seed.

    Arms of one seed share their initial weights, the order of the data and the masks of dropout.

    Raises:
        DataError: The data is not in memory.
        OstinatoError: As `ostinato.population.train`.
    """
    cells = [(arm, seed, *arm.course(seed)) for seed in seeds for arm in arms]
    result = _train(
        material, material.data, [plan for _, _, plan, _ in cells], [seed for _, seed, _, _ in cells], progress
    )
    about = {"comparison": setup.comparison(), "planned": setup.seeds, "versions": environment()}
    trained = {"how": result.how, "reason": result.reason, "chunks": list(result.chunks)}
    each = round(result.wall_s / len(result), 3)
    return [
        {
            "arm": arm.name,
            "seed": seed,
            "control": control,
            "plan_digest": plan.digest,
            **scores,
            "population": trained,
            "wall_s": each,
            **about,
        }
        for (arm, seed, plan, control), scores in zip(cells, scores_of(material, result), strict=True)
    ]


def _train(
    material: Material, data: Data, plans: Sequence[ResolvedPlan], seeds: Sequence[int], progress: Progress | None
) -> PopulationResult:
    config = material.config
    return population.train(
        material.make_model, plans, data, optimizer=config.optimizer.name, optimizer_options=config.optimizer.options, seeds=seeds,
        batch_size=config.train.batch_size, evaluate=material.looks, snapshots=True, progress=progress, loss=losses.build(config.loss, data),
    )  # fmt: skip


def tuned(material: Material, endpoint: Endpoint, progress: Progress | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Choose the rate of ``tuned_constant``: one run for each rate of its grid, scored on a fifth of the training data that is held out.

    A grid whose best rate stands at an edge is extended beyond it, up to three times. The test data is never looked at.

    Returns:
        The control's options, and the runs that they rest on.

    Raises:
        PlanError: The plan has no learning rate.
    """
    data = with_held_out(material.data, _VALIDATION)
    rates, plan = rates_of(material.plan), material.plan.plan
    scores: dict[float, list[float | None]] = {}
    grid: Sequence[float] | None = None
    for _ in range(1 + _EXTENSIONS):
        plans = tuned_constant(plan, grid, **rates)
        courses = [one.resolve(**rates) for one in plans.values()]
        seed = material.config.train.seed + _TUNING_SEED
        result = _train(material, data, courses, [seed] * len(courses), progress)
        for rate, *found in zip(
            plans, result.last(_selected(endpoint)).tolist(), result.last("nll").tolist(), strict=True
        ):
            scores[rate] = [value if np.isfinite(value) else None for value in found]
        best, known = _best(scores), sorted(scores)
        ratio = known[1] / known[0]
        if best not in (known[0], known[-1]):
            break
        grid = [best / ratio, best / ratio**2] if best == known[0] else [best * ratio, best * ratio**2]
    runs = [{"rate": rate, _selected(endpoint): values[0], "nll": values[1]} for rate, values in sorted(scores.items())]
    return {"value": best}, {
        "selected_on": f"{_VALIDATION:.0%} of the training data, {_selected(endpoint)}",
        "seed": seed,
        "runs": runs,
    }


def _selected(endpoint: Endpoint) -> str:
    return "nll" if endpoint.family == "nll" else "error"


def _best(scores: Mapping[float, Sequence[float | None]]) -> float:
    """Return the rate of the lowest score, ties broken by NLL; diverged runs come last."""
    return min(scores, key=lambda rate: [float("inf") if value is None else value for value in scores[rate]])
