"""Training the arms of study ``restart-shapes``: hundreds of perceptrons at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ostinato import controls, evaluation
from ostinato.core.bindings import mirror, wave
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan
from ostinato.population import PopulationResult
from ostinato.studies.frame.cells import Cell, Measurement, Request, Stage
from ostinato.studies.frame.images import load_images, small_mlp
from ostinato.studies.frame.perceptrons import Recipe, by_seeds, measured
from ostinato.studies.frame.spec import Regime
from ostinato.studies.frame.study import regime_of

__all__ = ["measure", "plan_of", "together"]

_PHASES = 8
_OPTIONS: Mapping[str, Mapping[str, float]] = {
    "sgd": {"momentum": 0.9, "weight_decay": 5e-4},
    "adamw": {"weight_decay": 0.01},
}


def together(regime: Regime, stage: Stage, cells: tuple[Cell, ...]) -> Iterable[tuple[Cell, ...]]:
    """Cells of ten seeds are trained at once; on trial, half of the cells."""
    return by_seeds(stage, cells)


def measure(request: Request) -> Iterator[Measurement]:
    """Train all cells of a request as one population and measure them."""
    regime, parameters = regime_of(request), request.parameters
    images = load_images(regime.data, regime.sha256, parameters["pool"], parameters.get("judged_on"))
    steps = parameters["epochs"] * (parameters["examples"] // parameters["batch"])
    steps -= steps % parameters["cycles"]
    plans = [
        plan_of(cell.arm, cell.settings["rate"] * parameters["unit"], steps, parameters["cycles"])
        for cell in request.cells
    ]

    def extra(result: PopulationResult, k: int) -> tuple[dict[str, float], dict[str, list[float]]]:
        at, errors = result.curve(k, "error")
        curves = {"step": [float(step) for step in at], "error": errors.tolist()}
        return _anytime(at, errors, steps, parameters["target"]), curves

    optimizer = parameters["optimizer"]
    evaluations = _evaluations(steps, parameters["cycles"])
    recipe = Recipe(small_mlp(images), optimizer, _OPTIONS[optimizer], evaluations, extra)
    yield from measured(request, images, plans, recipe)


@cache
def plan_of(arm: str, rate: float, steps: int, cycles: int) -> Plan:
    """Return an arm's plan.

    Args:
        arm: Of the specification.
        rate: The peak, or the rate of ``constant``.
        steps: Length.
        cycles: Number of cycles.
    """
    shared = Cycle("cosine", count=cycles)
    restarts = Plan(total=steps, cycle=shared, bindings={"optimizer.lr": wave(0.0, rate)})
    triangles = Plan(total=steps, cycle=Cycle("triangular", count=cycles), bindings={"optimizer.lr": wave(0.0, rate)})
    plans = {
        "restarts": lambda: restarts,
        "sorted": lambda: controls.sorted(restarts),
        "cosine": lambda: restarts.replace({"optimizer.lr": wave(0.0, rate, cycle=Cycle("cosine", count=1))}),
        "triangular": lambda: triangles,
        "triangular-sorted": lambda: controls.sorted(triangles),
        "linear": lambda: restarts.replace({"optimizer.lr": wave(0.0, rate, cycle=Cycle("sawtooth", count=1))}),
        "constant": lambda: Plan(total=steps, cycle=shared, bindings={"optimizer.lr": rate}),
        "mean-constant": lambda: controls.constant(restarts),
        "momentum": lambda: restarts.replace({"optimizer.momentum": mirror(0.85, 0.95)}),
    }
    return plans[arm]()


def _evaluations(steps: int, cycles: int) -> list[int]:
    """Return eight steps a cycle, evenly spread, the last of each cycle among them."""
    share = steps / (cycles * _PHASES)
    return [round(share * (place + 1)) - 1 for place in range(cycles * _PHASES)]


def _anytime(at: NDArray[np.int64], errors: NDArray[np.float64], steps: int, target: float) -> dict[str, float]:
    """Return the area under the error, and the share of the run after which it first met the target: 1 where it never did."""
    reached = np.flatnonzero(errors <= target)
    return {
        "area": evaluation.area_under_error(at, errors),
        "share_to_target": float((at[reached[0]] + 1) / steps) if len(reached) else 1.0,
        "reached_target": float(len(reached) > 0),
    }
