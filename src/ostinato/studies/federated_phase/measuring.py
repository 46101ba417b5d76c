"""Simulating the arms of study ``federated-phase``: every client of every federation is a member of one population."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ostinato.applications.federated import SimulationResult, simulate
from ostinato.studies.federated_phase.plans import federation_of, parts_of
from ostinato.studies.frame.cells import Cell, Measurement, Request, Stage
from ostinato.studies.frame.images import load_images, small_mlp, subset
from ostinato.studies.frame.perceptrons import by_seeds, final_scores
from ostinato.studies.frame.spec import Regime
from ostinato.studies.frame.study import regime_of
from ostinato.studies.frame.threads import one_thread

__all__ = ["course_of", "measure", "together"]

_PLAIN_SGD = {"momentum": 0.0, "weight_decay": 0.0, "nesterov": False}


def together(regime: Regime, stage: Stage, cells: tuple[Cell, ...]) -> Iterable[tuple[Cell, ...]]:
    """Cells of eight seeds are simulated at once; on trial, half of the cells."""
    return by_seeds(stage, cells, at_once=8)


def measure(request: Request) -> Iterator[Measurement]:
    """Simulate all cells of a request at once and measure them."""
    with one_thread():
        yield from _measured(request)


def _measured(request: Request) -> Iterator[Measurement]:
    regime, parameters = regime_of(request), request.parameters
    confirming = request.stage == "confirming"
    images = load_images(regime.data, regime.sha256, parameters["pool"], parameters.get("judged_on"))
    rows = {cell.seed: subset(images, parameters["examples"], cell.seed) for cell in request.cells}
    parts = {
        seed: tuple(own[part] for part in parts_of(parameters, images.targets[own].numpy(), seed))
        for seed, own in rows.items()
    }
    federations = [
        federation_of(cell.arm, cell.settings["rate"], parameters, parts[cell.seed], cell.seed)
        for cell in request.cells
    ]
    inputs, targets = images.test if confirming else images.validation
    shown = parameters["shown"]
    make = small_mlp(images)
    result = simulate(
        make, federations, ((images.inputs, images.targets), (inputs[:shown], targets[:shown])), local_updates=parameters["updates"],
        batch_size=parameters["batch"], optimizer="sgd", optimizer_options=_PLAIN_SGD, evaluate=1 if confirming else parameters["rounds"],
    )  # fmt: skip
    for f, (cell, federation) in enumerate(zip(request.cells, federations, strict=True)):
        digests = {federation.plan_of(client).digest for client in range(parameters["clients"])}
        origin: dict[str, Any] = {
            "plans": tuple(sorted(digests)),
            "chunks": result.chunks,
            "wall_s": result.wall_s / len(request.cells),
        }
        if result.diverged[f] >= 0:
            yield Measurement(cell, {}, status="diverged", **origin)
            continue
        metrics, correct = final_scores(make, images, result.common(f), confirming=confirming)
        more, curves = course_of(result, f, parameters) if confirming else ({}, {})
        yield Measurement(cell, {**metrics, **more}, curves=curves, correct=correct, **origin)


def course_of(result: SimulationResult, f: int, parameters: Any) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Return what a federation went through: errors before the cooldown, the share of the rounds to the target, how far the clients drifted.

    The share is 1 where the target was never met, so that those federations count too. Drift and spread are means over the rounds before the
    cooldown.
    """
    rounds, period = parameters["rounds"], parameters["period"]
    errors = result.metrics["error"][f]
    reached = result.rounds_to("error", parameters["target"])[f]
    before = slice(0, rounds)
    metrics = {
        "trough_error": float(errors[rounds - 1]),
        "peak_error": float(errors[rounds - period]),
        "cycle_error": float(errors[rounds - period : rounds].mean()),
        "share_to_target": min(float(reached) / result.rounds, 1.0),
        "log_drift": float(np.log10(result.drift[f, before]).mean()),
        "log_spread": float(np.log10(result.spread[f, before]).mean()),
    }
    return metrics, {"error": errors.tolist(), "drift": result.drift[f].tolist(), "spread": result.spread[f].tolist()}
