"""Training the arms of study ``restart-shapes``: hundreds of perceptrons at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato import controls, evaluation, population
from ostinato.core.bindings import mirror, wave
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan
from ostinato.errors import RunInterruptedError
from ostinato.studies.frame.cells import Cell, Measurement, Request, Stage, pack_bits
from ostinato.studies.frame.images import Images, load_images, small_mlp, subset
from ostinato.studies.frame.spec import Regime
from ostinato.studies.restart_shapes.spec import SPEC

__all__ = ["measure", "plan_of", "together"]

_SEEDS_AT_ONCE = 10
_PHASES = 8
_CURVE_IMAGES = 2_000
_OPTIONS: Mapping[str, Mapping[str, float]] = {
    "sgd": {"momentum": 0.9, "weight_decay": 5e-4},
    "adamw": {"weight_decay": 0.01},
}


def together(regime: Regime, stage: Stage, cells: tuple[Cell, ...]) -> Iterable[tuple[Cell, ...]]:
    """Cells of ten seeds are trained at once; on trial, half of the cells."""
    if stage == "tuning":
        half = (len(cells) + 1) // 2
        return (part for part in (cells[:half], cells[half:]) if part)
    seeds = sorted({cell.seed for cell in cells})
    blocks = (set(seeds[first : first + _SEEDS_AT_ONCE]) for first in range(0, len(seeds), _SEEDS_AT_ONCE))
    return (tuple(cell for cell in cells if cell.seed in block) for block in blocks)


def measure(request: Request) -> Iterator[Measurement]:
    """Train all cells of a request as one population and measure them."""
    regime, parameters = SPEC.regime(request.regime), request.parameters
    images = load_images(regime.data, regime.sha256, parameters["pool"], parameters.get("judged_on"))
    steps = parameters["epochs"] * (parameters["examples"] // parameters["batch"])
    steps -= steps % parameters["cycles"]
    optimizer = parameters["optimizer"]
    plans = [
        plan_of(cell.arm, cell.settings["rate"] * parameters["unit"], steps, parameters["cycles"])
        for cell in request.cells
    ]
    confirming = request.stage == "confirming"
    curve = tuple(part[:_CURVE_IMAGES] for part in (images.test if confirming else images.validation))
    result = population.train(
        small_mlp(images), plans, ((images.inputs, images.targets), curve), optimizer=optimizer, optimizer_options=dict(_OPTIONS[optimizer]),
        seeds=[cell.seed for cell in request.cells], batch_size=parameters["batch"], drop_last=True,
        evaluate=_evaluations(steps, parameters["cycles"]) if confirming else "last",
        subsets=np.stack([subset(images, parameters["examples"], cell.seed) for cell in request.cells]),
    )  # fmt: skip
    for reason in result.failures.values():  # a process that died says nothing about its arm
        raise RunInterruptedError(f"{SPEC.name}: a run was lost: {reason}; what was finished is kept, run it again")
    wall = result.wall_s / len(request.cells)
    for k, cell in enumerate(request.cells):
        origin: dict[str, Any] = {"plans": (plans[k].resolve().digest,), "chunks": result.chunks, "wall_s": wall}
        if result.status[k] == "diverged":
            yield Measurement(cell, {}, status="diverged", **origin)
            continue
        scores, correct = _final(images, result.member(k), confirming=confirming)
        curves = {}
        if confirming:
            at, errors = result.curve(k, "error")
            curves = {"step": [float(step) for step in at], "error": errors.tolist()}
            scores |= _anytime(at, errors, steps, parameters["target"])
        yield Measurement(cell, scores, curves=curves, correct=correct, **origin)


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


def _final(images: Images, weights: Mapping[str, torch.Tensor], *, confirming: bool) -> tuple[dict[str, float], str]:
    """Return the scores of one member's last weights, and which test images it has right."""
    stacked = {name: tensor[None] for name, tensor in weights.items()}

    def probabilities(inputs: torch.Tensor) -> NDArray[np.float64]:
        found: NDArray[np.float64] = (
            population.predict(small_mlp(images), stacked, inputs)[0].double().softmax(-1).numpy()
        )
        return found

    labels = images.validation[1].numpy()
    own = probabilities(images.validation[0])
    scores = {"validation_error": evaluation.error(own, labels), "validation_nll": evaluation.nll(own, labels)}
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
    }
    return scores, pack_bits(own.argmax(axis=1) == labels)
