"""Training the arms of study ``weight-decay-phase``: perceptrons whose weight decay follows the rate at a phase."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from ostinato.core.bindings import Binding, wave
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan
from ostinato.population import PopulationResult
from ostinato.schedules import hold
from ostinato.studies.frame.cells import Cell, Measurement, Request, Stage
from ostinato.studies.frame.images import load_images, small_mlp
from ostinato.studies.frame.perceptrons import Recipe, by_seeds, measured
from ostinato.studies.frame.spec import Regime
from ostinato.studies.frame.study import regime_of
from ostinato.studies.weight_decay_phase.spec import SHIFTS

__all__ = ["arm_plan", "measure", "plan_of", "together"]

_RATE, _DECAY = "optimizer.lr", "optimizer[decay].weight_decay"


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
        arm_plan(cell.arm, cell.settings, parameters["peak"], steps, parameters["cycles"]) for cell in request.cells
    ]
    recipe = Recipe(small_mlp(images), "adamw", {"weight_decay": 0.01}, extra=_norm)
    yield from measured(request, images, plans, recipe)


def arm_plan(arm: str, settings: Mapping[str, float], peak: float, steps: int, cycles: int) -> Plan:
    """Return an arm's plan.

    Args:
        arm: Of the specification.
        settings: ``decay``, the constant weight decay; and ``shift`` where it was chosen for the arm.
        peak: Highest rate.
        steps: Length.
        cycles: Number of cycles.
    """
    if arm == "constant":
        return plan_of(settings["decay"], None, "product", peak=peak, steps=steps, cycles=cycles)
    match = "product" if "shift" in arm else "mean"
    shift = settings["shift"] if arm.startswith("best") else SHIFTS[int(arm.rpartition("-")[2])]
    return plan_of(settings["decay"], shift, match, peak=peak, steps=steps, cycles=cycles)


@cache
def plan_of(decay: float, shift: float | None, match: str, *, peak: float, steps: int, cycles: int) -> Plan:
    """Return cycles of the rate with a weight decay that follows them late by `shift` of a cycle.

    Args:
        decay: A constant weight decay whose dose is matched.
        shift: None leaves the decay constant.
        match: ``"mean"``: the mean of the decay is `decay`. ``"product"``: the mean of rate * decay is that of the constant decay, so that the
            weights shrink by as much.
        peak: Highest rate.
        steps: Length.
        cycles: Number of cycles.
    """

    def bound(course: Binding) -> Plan:
        return Plan(total=steps, cycle=Cycle("sine", count=cycles), bindings={_RATE: wave(0.0, peak), _DECAY: course})

    if shift is None:
        return bound(Binding(hold(decay)))
    table = bound(wave(0.0, 1.0, shift=shift)).table()
    rate, level = table[_RATE], table[_DECAY]
    weight = rate / math.fsum(rate) if match == "product" else 1.0 / steps
    return bound(wave(0.0, decay / math.fsum(weight * level), shift=shift))


def _norm(result: PopulationResult, k: int) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Return the Euclidean norm of the weights that decay."""
    squares = [
        float((tensor.double() ** 2).sum()) for name, tensor in result.member(k).items() if name.endswith("weight")
    ]
    return {"weight_norm": math.sqrt(math.fsum(squares))}, {}
