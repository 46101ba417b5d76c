"""Simulating the searches of study ``phase-lock`` on a bank of runs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from ostinato.errors import ConfigError
from ostinato.studies.frame.cells import Cell, Measurement, Request, Stage
from ostinato.studies.frame.spec import Regime
from ostinato.studies.frame.study import regime_of
from ostinato.studies.frame.threads import one_thread
from ostinato.studies.phase_lock import digits, logistic
from ostinato.studies.phase_lock.bank import Bank, Floats
from ostinato.studies.phase_lock.layout import Layout
from ostinato.studies.phase_lock.ranging import ARMS as RANGED
from ostinato.studies.phase_lock.ranging import measure_ranged
from ostinato.studies.phase_lock.searching import EVALUATORS, SAMPLERS, TRIALS, score_table, search, trials_of

__all__ = ["bank_of", "measure", "searched", "together"]

_BLOCK = 1000


def together(regime: Regime, stage: Stage, cells: tuple[Cell, ...]) -> Iterable[tuple[Cell, ...]]:
    """All cells of a regime rest on one bank."""
    return (cells,) if cells else ()


def measure(request: Request) -> Iterator[Measurement]:
    """Make the bank and simulate every search on it."""
    with one_thread():
        yield from _measured(request)


def _measured(request: Request) -> Iterator[Measurement]:
    begun = time.monotonic()
    searches = [cell for cell in request.cells if cell.arm not in RANGED]
    bank = bank_of(request)
    found = list(searched(bank, request, searches))
    wall = (time.monotonic() - begun) / max(len(searches), 1)
    yield from (Measurement(cell, wall_s=wall, **made) for cell, made in found)
    for arm in RANGED:
        yield from _ranged(arm, bank, request, [cell for cell in request.cells if cell.arm == arm])


def bank_of(request: Request) -> Bank:
    """Return the bank that a request rests on: of all seeds of the study, whichever its cells name, so that the truth never depends on them.

    In the development stage the seeds are those of the cells.

    Raises:
        ConfigError: A cell's seed is none of the study's.
    """
    parameters, named = request.parameters, sorted({cell.seed for cell in request.cells})
    first = named[0] - named[0] % _BLOCK
    seeds = range(first, first + parameters["seeds"]) if request.stage == "confirming" else named
    if not set(named) <= set(seeds):
        raise ConfigError(f"phase-lock: got the seeds {named}, expected some of {seeds}")
    layout, regime = Layout.of(parameters), regime_of(request)
    if regime.data == "digits":
        return digits.make_bank(regime, parameters, layout, seeds)
    return logistic.make_bank(parameters, layout, seeds)


def searched(bank: Bank, request: Request, cells: list[Cell]) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Yield what every search came to, in shares of the interquartile range that the specification fixed."""
    parameters, draws = request.parameters, request.parameters["draws"]

    @cache
    def tried(sampler: str, seed: int) -> Any:
        return trials_of(sampler, bank.layout, draws, seed)

    @cache
    def read(evaluator: str, seed: int) -> Floats:
        return score_table(bank, seed, evaluator, draws)

    for cell in sorted(cells, key=lambda cell: cell.seed):
        sampler, evaluator = _parts(cell.arm)
        truth = bank.truth_for(cell.seed)
        outcome = search(bank.layout, tried(sampler, cell.seed), read(evaluator, cell.seed), truth)
        metrics = {
            "regret": outcome.regret / parameters["iqr"],
            "trough_regret": outcome.trough_regret / parameters["trough_iqr"],
            "rank_correlation": outcome.rank_correlation,
            "best": float(truth.mean.min()),
            "trough_best": float(truth.trough.min()),
        }
        curves = {"period": [float(period) for period in bank.layout.periods], "chosen": outcome.chosen.tolist()}
        yield cell, {"metrics": metrics, "plans": (bank.layout.digest,), "curves": curves, "chunks": bank.chunks}


def _parts(arm: str) -> tuple[str, str]:
    """Return sampler and evaluator of an arm."""
    return next((s, e) for s in SAMPLERS for e in EVALUATORS if arm == f"{s}-{e}")


def _ranged(arm: str, bank: Bank, request: Request, cells: list[Cell]) -> Iterator[Measurement]:
    """Yield what the default plan came to after a range test, less the best of the bank as for the searches."""
    if not cells:
        return
    parameters = request.parameters
    images = digits.images_of(regime_of(request))
    seeds = [cell.seed for cell in cells]
    ranged = measure_ranged(arm, images, parameters, seeds, TRIALS)
    for cell, run in zip(cells, ranged, strict=True):
        origin: dict[str, Any] = {"plans": (run.plan,), "chunks": run.chunks, "wall_s": run.wall_s}
        if run.mean is None:
            yield Measurement(cell, {}, status="diverged", **origin)
            continue
        truth = bank.truth_for(cell.seed)
        metrics = {
            "regret": (run.mean - float(truth.mean.min())) / parameters["iqr"],
            "trough_regret": (run.trough - float(truth.trough.min())) / parameters["trough_iqr"],
            "peak": run.peak,
        }
        yield Measurement(cell, metrics, **origin)
