"""Running the arms of study ``adam-cycles``: every arm, rate and start of one seed's problem at once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.applications import landscapes
from ostinato.applications.landscapes import Descent, Problem
from ostinato.applications.landscapes.logistic import DATA, digest_of
from ostinato.errors import ConfigError, DataError
from ostinato.studies.adam_cycles.plans import plan_of
from ostinato.studies.adam_cycles.spec import SPEC
from ostinato.studies.frame.cells import Cell, Measurement, Request, Stage
from ostinato.studies.frame.spec import Regime
from ostinato.studies.frame.threads import one_thread

__all__ = ["Logs", "gaps", "make_problem", "measure", "together"]

Floats = NDArray[np.float64]
_SGD = "sgd-"
_FLOOR = 1e-16
"""Excess below this is rounding."""


def together(regime: Regime, stage: Stage, cells: tuple[Cell, ...]) -> Iterable[tuple[Cell, ...]]:
    """The cells of one seed rest on the same runs."""
    seeds = sorted({cell.seed for cell in cells})
    return (tuple(cell for cell in cells if cell.seed == seed) for seed in seeds)


def measure(request: Request) -> Iterator[Measurement]:
    """Run all arms under the seeds of a request, and measure the cells that were asked for."""
    regime = SPEC.regime(request.regime)
    _demand_data(regime)
    arms = SPEC.arms_of(regime)
    with one_thread():
        for seed in sorted({cell.seed for cell in request.cells}):
            begun = time.monotonic()
            logs = _followed(request.parameters, arms, seed)
            wall = (time.monotonic() - begun) / len(arms)
            for cell in request.cells:
                if cell.seed == seed:
                    yield _measured(cell, logs, request.parameters, wall)


def _demand_data(regime: Regime) -> None:
    """Check that bundled data is what the study was specified for.

    Raises:
        DataError: It is other data.
    """
    if regime.sha256 and (found := digest_of(regime.data)) != regime.sha256:
        raise DataError(
            f"{regime.data}: has SHA-256 {found}, the study was specified for {regime.sha256}; restore the data"
        )


@dataclass(frozen=True, eq=False)
class Logs:
    """What one arm came to, each the mean over the starts of a decimal logarithm, by mean rate, (M,).

    Attributes:
        excess: Of the excess after the last update.
        cycle: Of the mean excess over the last cycle.
        peak: Of the excess after the update at that cycle's beginning, where restarts have their highest rate.
        time: Of the updates until the target was reached, the total for a run that never did.
        reached: Share of the runs that reached it.
        diverged: Share of the runs that diverged.
        digests: Of the plans.
    """

    excess: Floats
    cycle: Floats
    peak: Floats
    time: Floats
    reached: Floats
    diverged: Floats
    digests: tuple[str, ...]


def _followed(parameters: Mapping[str, Any], arms: Iterable[str], seed: int) -> dict[str, Logs]:
    """Return every arm's logarithms under a seed: its own problem, starts, minibatches and noise, shared by all arms."""
    problem = make_problem(parameters, seed)
    starts = problem.starts(seed, parameters["starts"])
    steps, cycles = parameters["steps"], parameters["cycles"]
    found: dict[str, Logs] = {}
    for optimizer, options in (("adam", {}), ("sgd", {"momentum": 0.9})):
        own = [arm for arm in arms if arm.startswith(_SGD) == (optimizer == "sgd")]
        rates = parameters["sgd_rates" if optimizer == "sgd" else "rates"]
        plans = {
            f"{arm} {rate:g}": plan_of(arm.removeprefix(_SGD), rate, steps, cycles, seed)
            for arm in own
            for rate in rates
        }
        descent = landscapes.descend(
            problem, starts, plans, optimizer=optimizer, options=options, seed=seed, every=parameters["every"]
        )
        found |= _logs(descent, own, len(rates), parameters["target"], steps // cycles)
    return found


def make_problem(parameters: Mapping[str, Any], seed: int) -> Problem:
    """Return a seed's own problem: its data and scales, or its condition number, rotation, steepness and width, are drawn.

    Raises:
        ConfigError: The regime names no problem.
    """
    kind = parameters["problem"]
    if kind in DATA:
        return landscapes.Logistic.of(
            kind, seed=seed, examples=parameters["examples"], features=parameters["features"], scales=parameters["scales"],
            ridge=parameters["ridge"], batch=parameters["batch"],
        )  # fmt: skip
    size = parameters["dimension"]
    if kind == "quadratic":
        return landscapes.Quadratic.draw(seed, dimension=size, condition=parameters["condition"])
    if kind == "rosenbrock":
        return landscapes.Rosenbrock.draw(seed, dimension=size, steepness=parameters["steepness"])
    if kind == "saddle":
        return landscapes.Saddle.draw(seed, dimension=size, width=parameters["width"])
    if kind == "plateau":
        return landscapes.Plateau.draw(seed, dimension=size, condition=parameters["condition"])
    raise ConfigError(f"problem: got {kind!r}, expected a data set, quadratic, rosenbrock, saddle or plateau")


def _logs(descent: Descent, arms: list[str], rates: int, target: float, period: int) -> dict[str, Logs]:
    """Return logarithms by arm. All arms are read on the clock of the cycles; a diverged run counts with the worst that any run has."""
    shape = (len(arms), rates, -1)
    clock = int(descent.steps[-1]) + 1 - period
    begin = np.flatnonzero(descent.steps == clock)
    times = descent.times(target)
    parts = {
        "excess": _log(descent.excess),
        "cycle": _log(descent.cycle_mean),
        "peak": _log(descent.excesses[begin[0]]),
        "time": np.log10(times.steps),
        "reached": times.reached.astype(np.float64),
        "diverged": (descent.diverged >= 0).astype(np.float64),
    }
    means = {name: part.reshape(shape).mean(axis=-1) for name, part in parts.items()}
    return {
        arm: Logs(
            **{name: mean[place] for name, mean in means.items()},
            digests=descent.digests[place * rates : (place + 1) * rates],
        )
        for place, arm in enumerate(arms)
    }


def _log(excess: Floats) -> Floats:
    finite = excess[np.isfinite(excess)]
    worst = finite.max() if finite.size else 1.0
    found: Floats = np.log10(np.maximum(np.where(np.isfinite(excess), excess, worst), _FLOOR))
    return found


def gaps(logs: Logs, claimed: Logs, endpoint: str) -> dict[str, float]:
    """Return by how many decades an arm is above the claimed one, rate by rate, and of the rates the median."""
    apart = {name: getattr(logs, name) - getattr(claimed, name) for name in ("excess", "cycle", "peak", "time")}
    found = {f"gap_{name}": float(np.median(part)) for name, part in apart.items()}
    return {"gap": found[f"gap_{endpoint}"], **found}


def _measured(cell: Cell, logs: Mapping[str, Logs], parameters: Mapping[str, Any], wall: float) -> Measurement:
    own = logs[cell.arm]
    claimed = logs["sgd-restarts" if cell.arm.startswith(_SGD) else "restarts"]
    metrics = gaps(own, claimed, parameters["endpoint"])
    for name in ("excess", "cycle", "peak", "time"):
        metrics[f"log_{name}"] = float(np.median(getattr(own, name)))
    metrics |= {"reached": float(own.reached.mean()), "diverged": float(own.diverged.mean())}
    rates = parameters["sgd_rates" if cell.arm.startswith(_SGD) else "rates"]
    curves = {
        "rate": list(rates),
        "log": getattr(own, parameters["endpoint"]).tolist(),
        "log_cycle": own.cycle.tolist(),
    }
    return Measurement(cell, metrics, plans=own.digests, curves=curves, wall_s=wall)
