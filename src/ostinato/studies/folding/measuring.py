"""Folding the batches of study ``folding``."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ostinato import controls
from ostinato.applications import folding
from ostinato.applications.folding.folding import WITHIN, split
from ostinato.core import documents
from ostinato.core.bindings import wave
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan
from ostinato.studies.frame.cells import Cell, Measurement, Request, Stage
from ostinato.studies.frame.spec import Regime
from ostinato.studies.frame.threads import one_thread

__all__ = ["SEARCHES", "measure", "plan_of", "scores", "together"]

SEARCHES = {"multistart": "lbfgs", "basin-hopping": "basin-hopping"}
_NEAR = 0.9
"""Share of the best energy that counts as near it."""
_POINTS = 50


def together(regime: Regime, stage: Stage, cells: tuple[Cell, ...]) -> Iterable[tuple[Cell, ...]]:
    """Every batch is folded by itself, so that its numbers do not depend on what else is measured."""
    return ((cell,) for cell in cells)


def measure(request: Request) -> Iterator[Measurement]:
    """Fold the batch of every cell."""
    with one_thread():
        for cell in request.cells:
            begun = time.monotonic()
            found = _folded(cell, request.parameters)
            metrics, curves = scores(found, request.parameters)
            digest = found.plan or documents.digest({"method": found.method, **cell.settings})
            chunks = (request.parameters["starts"],)
            yield Measurement(cell, metrics, (digest,), curves=curves, chunks=chunks, wall_s=time.monotonic() - begun)


def _folded(cell: Cell, parameters: Mapping[str, Any]) -> folding.Folding:
    options: dict[str, Any] = {"method": SEARCHES.get(cell.arm, "plan"), "evaluations": parameters["evaluations"]}
    if cell.arm == "basin-hopping":
        options |= {"size": cell.settings["size"], "temperature": parameters["temperature"]}
    elif cell.arm not in SEARCHES:
        options["ends"] = "lowest" if cell.arm == "restarts-lowest" else "last"
        options["plan"] = plan_of(cell.arm, cell.settings["peak"], parameters)
    return folding.fold(
        parameters["sequence"], parameters["model"], parameters["dim"], chains=parameters["starts"], target=_NEAR * parameters["best"], seed=cell.seed, **options
    )  # fmt: skip


def plan_of(arm: str, peak: float, parameters: Mapping[str, Any]) -> Plan:
    """Return an arm's plan.

    Args:
        arm: ``restarts``, ``restarts-lowest``, ``sorted``, ``constant``, ``cosine`` or ``noise``.
        peak: Highest rate of the arm, or of the one that it is derived from.
        parameters: Of the regime: ``evaluations`` of a start, number of ``cycles``, ``noise``.
    """
    steps, rate = split(parameters["evaluations"])[0], {"optimizer.lr": wave(0.0, peak)}
    if arm in ("cosine", "noise"):
        noise = {"noise.scale": wave(0.0, parameters["noise"])} if arm == "noise" else {}
        return Plan(total=steps, cycle=Cycle("cosine", count=1), bindings={**rate, **noise})
    plan = Plan(total=steps, cycle=Cycle("cosine", count=parameters["cycles"]), bindings=rate)
    return plan if arm.startswith("restarts") else controls.make(arm, plan).plan


def scores(found: folding.Folding, parameters: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Return the metrics and curves of a batch, in shares of the best energy; energies above 0 count as 0."""
    best = parameters["best"]

    def gap(energies: Any) -> Any:
        return (np.minimum(energies, 0.0) - best) / abs(best)

    ends = found.energies
    last = found.mean[-(len(found.mean) // parameters["cycles"]) :]
    metrics = {
        "energy_gap": float(gap(ends).mean()),
        "best_energy_gap": float(gap(ends).min()),
        "far": float((ends > _NEAR * best).mean()),
        "miss": float((ends > best + WITHIN).mean()),
        "evaluations": found.evaluations / len(ends),
    }
    if found.plan:
        metrics |= {
            "trough_energy_gap": float(gap(last[-1])),
            "peak_energy_gap": float(gap(last.max())),
            "cycle_energy_gap": float(gap(last).mean()),
        }
    places = np.linspace(0, len(found.mean) - 1, _POINTS).astype(int)
    curves = {"ends": ends.tolist(), "reached": found.reached.tolist(), "energy_gap": gap(found.mean[places]).tolist()}
    return metrics, curves
