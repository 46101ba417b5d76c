"""Training the arms of study ``moving-landscape``: hundreds of perceptrons at once, each on a draw of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato import evaluation
from ostinato.nn import FocalLoss
from ostinato.population import PopulationResult
from ostinato.studies.frame.cells import Cell, Measurement, Request, Stage
from ostinato.studies.frame.images import Images, load_images, small_mlp, subset
from ostinato.studies.frame.perceptrons import Recipe, by_seeds, measured
from ostinato.studies.frame.spec import Regime
from ostinato.studies.frame.study import regime_of
from ostinato.studies.moving_landscape.curves import (
    CURVED,
    SEEN_UNDER,
    balanced_error,
    evaluations,
    landscape,
    over_the_last_cycle,
)
from ostinato.studies.moving_landscape.plans import plan_of
from ostinato.training.imbalanced import long_tailed_rows

__all__ = ["measure", "rows_of", "together"]

_OPTIONS = {"momentum": 0.9, "weight_decay": 5e-4}


def together(regime: Regime, stage: Stage, cells: tuple[Cell, ...]) -> Iterable[tuple[Cell, ...]]:
    """Cells of eight seeds are trained at once; on trial, half of the cells."""
    return by_seeds(stage, cells, 8)


def measure(request: Request) -> Iterator[Measurement]:
    """Train all cells of a request as one population and measure them."""
    regime, parameters = regime_of(request), request.parameters
    images = load_images(regime.data, regime.sha256, parameters["pool"], parameters.get("judged_on"))
    cycles = parameters["cycles"]
    steps = parameters["epochs"] * (parameters["examples"] // parameters["batch"])
    steps -= steps % cycles
    plans = [plan_of(cell.arm, cell.settings["rate"] * parameters["unit"], steps, cycles) for cell in request.cells]
    seen = {
        (plan.resolve().digest, cell.seed)
        for cell, plan in zip(request.cells, plans, strict=True)
        if cell.seed % 1000 < CURVED and cell.arm.endswith(SEEN_UNDER)
    }
    make = small_mlp(images)

    @cache
    def rows(seed: int) -> NDArray[np.int64]:
        return rows_of(images, parameters, seed)

    def extra(result: PopulationResult, k: int) -> tuple[dict[str, float], dict[str, list[float]]]:
        at, values = result.curve(k, "balanced_error")
        metrics = over_the_last_cycle(result.plans[k], at, values)
        curves = {"step": [float(step) for step in at], "balanced_error": values.tolist()}
        if (result.plans[k].digest, result.seeds[k]) in seen:
            growth, courses = landscape(
                result, k, images, rows(result.seeds[k]), batch=parameters["batch"], batches=parameters["batches"]
            )
            metrics, curves = metrics | growth, curves | courses
        return metrics, curves

    recipe = Recipe(
        make,
        "sgd",
        _OPTIONS,
        evaluations(steps, cycles),
        extra,
        loss=FocalLoss(0.0),
        rows=lambda images, size, seed: rows(seed),
        scores={"balanced_error": evaluation.balanced_error, "average_precision": evaluation.average_precision},
        metrics={"balanced_error": balanced_error},
        snapshots=True,
    )
    yield from measured(request, images, plans, recipe)


def rows_of(images: Images, parameters: Mapping[str, Any], seed: int) -> NDArray[np.int64]:
    """Return what a seed trains on: a long tail, over the classes in an order that the seed draws; without a ratio, a subset."""
    if "ratio" not in parameters:
        return subset(images, parameters["examples"], seed)
    order = np.random.default_rng([seed, 20_262]).permutation(images.classes)
    return long_tailed_rows(
        images.targets, ratio=parameters["ratio"], seed=seed, most=parameters["most"], order=order.tolist()
    )
