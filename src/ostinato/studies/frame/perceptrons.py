"""Cells that are members of one population: trained at once, and scored by their last weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato import evaluation, population
from ostinato.core.plan import Plan
from ostinato.errors import RunInterruptedError
from ostinato.population import PopulationResult
from ostinato.studies.frame.cells import Cell, Measurement, Request, Stage, pack_bits
from ostinato.studies.frame.images import Images, subset

__all__ = ["Recipe", "by_seeds", "final_scores", "measured"]

_CURVE_IMAGES = 2_000

Score = Callable[[NDArray[np.float64], NDArray[np.int64]], float]
Extra = Callable[[PopulationResult, int], tuple[dict[str, float], dict[str, list[float]]]]


def by_seeds(stage: Stage, cells: Sequence[Cell], at_once: int = 10) -> Iterable[tuple[Cell, ...]]:
    """Divide cells among populations: the cells of `at_once` seeds together; on trial, half of the cells."""
    if stage == "tuning":
        half = (len(cells) + 1) // 2
        return (tuple(part) for part in (cells[:half], cells[half:]) if part)
    seeds = sorted({cell.seed for cell in cells})
    blocks = (set(seeds[first : first + at_once]) for first in range(0, len(seeds), at_once))
    return (tuple(cell for cell in cells if cell.seed in block) for block in blocks)


@dataclass(frozen=True)
class Recipe:
    """How the cells of a request are trained.

    Attributes:
        make: Makes the model.
        optimizer: ``"sgd"`` or ``"adamw"``.
        options: The optimizer's.
        evaluate: Steps after which the error on 2,000 images is kept; by default the last one.
        extra: Of the result and a member's place: further metrics, and curves. Asked in the confirming stage alone.
        loss: Of (outputs, targets); a root of the plans.
        rows: Of the images, how many and a seed: what that seed trains on.
        scores: Further scores by name, of probabilities and labels; with ``validation_`` before it, of validation data.
        metrics: What is kept at the evaluations, of outputs and targets; by default error and NLL.
        snapshots: Keep the weights at the cycles' ends for `extra`.
    """

    make: Callable[[], nn.Module]
    optimizer: str
    options: Mapping[str, float]
    evaluate: Sequence[int] | str = "last"
    extra: Extra | None = None
    loss: Callable[[Any, Any], Tensor] = F.cross_entropy
    rows: Callable[[Images, int, int], NDArray[np.int64]] = subset
    scores: Mapping[str, Score] = field(default_factory=dict)
    metrics: Mapping[str, Callable[[Tensor, Tensor], Tensor]] | None = None
    snapshots: bool = False


def measured(request: Request, images: Images, plans: Sequence[Plan], recipe: Recipe) -> Iterator[Measurement]:
    """Train the cells of a request as one population, each on its seed's own images, and measure them.

    Cells of equal plan and seed are one member.

    Args:
        request: The cells; of its parameters ``examples`` and ``batch`` are used.
        images: The data.
        plans: One for each cell.
        recipe: How.

    Raises:
        RunInterruptedError: A run was lost: its process died, which says nothing about its arm.
    """
    confirming, size = request.stage == "confirming", request.parameters["examples"]
    digests = [plan.resolve().digest for plan in plans]
    keys = [(digest, cell.seed) for digest, cell in zip(digests, request.cells, strict=True)]
    first = {key: place for place, key in reversed(list(enumerate(keys)))}
    member = {key: k for k, key in enumerate(first)}
    result = population.train(
        recipe.make, [plans[place] for place in first.values()], ((images.inputs, images.targets), _curve_data(images, confirming=confirming)),
        optimizer=recipe.optimizer, optimizer_options=dict(recipe.options), seeds=[seed for _, seed in first], batch_size=request.parameters["batch"],
        drop_last=True, evaluate=recipe.evaluate if confirming else "last", subsets=np.stack([recipe.rows(images, size, seed) for _, seed in first]),
        loss=recipe.loss, metrics=recipe.metrics, snapshots=confirming and recipe.snapshots,
    )  # fmt: skip
    for reason in result.failures.values():
        raise RunInterruptedError(f"{request.study}: a run was lost: {reason}; what was finished is kept, run it again")
    wall = result.wall_s / len(request.cells)
    found: dict[int, tuple[dict[str, float], dict[str, list[float]], str]] = {}
    for cell, key in zip(request.cells, keys, strict=True):
        k = member[key]
        origin: dict[str, Any] = {"plans": (key[0],), "chunks": result.chunks, "wall_s": wall}
        if result.status[k] == "diverged":
            yield Measurement(cell, {}, status="diverged", **origin)
            continue
        if k not in found:
            scores, correct = final_scores(
                recipe.make, images, result.member(k), confirming=confirming, further=recipe.scores
            )
            more, curves = recipe.extra(result, k) if recipe.extra is not None and confirming else ({}, {})
            found[k] = {**scores, **more}, curves, correct
        metrics, curves, correct = found[k]
        yield Measurement(cell, metrics, curves=curves, correct=correct, **origin)


def _curve_data(images: Images, *, confirming: bool) -> tuple[Tensor, Tensor]:
    inputs, targets = images.test if confirming else images.validation
    return inputs[:_CURVE_IMAGES], targets[:_CURVE_IMAGES]


def final_scores(
    make: Callable[[], nn.Module],
    images: Images,
    weights: Mapping[str, Tensor],
    *,
    confirming: bool,
    further: Mapping[str, Score] | None = None,
) -> tuple[dict[str, float], str]:
    """Return the scores of one member's weights, and which test images it has right; of validation data alone unless `confirming`."""
    stacked = {name: tensor[None] for name, tensor in weights.items()}

    def probabilities(inputs: Tensor) -> NDArray[np.float64]:
        found: NDArray[np.float64] = population.predict(make, stacked, inputs)[0].double().softmax(-1).numpy()
        return found

    labels = images.validation[1].numpy()
    own = probabilities(images.validation[0])
    more = further or {}
    scores = {"validation_error": evaluation.error(own, labels), "validation_nll": evaluation.nll(own, labels)}
    scores |= {f"validation_{name}": score(own, labels) for name, score in more.items()}
    if not confirming:
        return scores, ""
    temperature = evaluation.temperature(own, labels)
    labels = images.test[1].numpy()
    own = probabilities(images.test[0])
    scores |= {
        "error": evaluation.error(own, labels),
        "nll": evaluation.nll(own, labels),
        "nll_at_temperature": evaluation.nll_at_temperature(own, labels, temperature),
        "temperature": temperature,
        "ece": evaluation.ece(own, labels),
        "brier": evaluation.brier(own, labels),
        **{name: score(own, labels) for name, score in more.items()},
    }
    return scores, pack_bits(own.argmax(axis=1) == labels)
