"""A pilot: what the spread and the cost of a study are, learnt on development seeds with the arms' names hidden."""

from __future__ import annotations

from typing import Any

import numpy as np

from ostinato.evaluation import n_to_decide
from ostinato.studies.frame.cells import Cell, Request
from ostinato.studies.frame.engines import engine_of
from ostinato.studies.frame.study import Study
from ostinato.studies.frame.tuning import settings_of

__all__ = ["pilot"]

_NO_SPREAD = 1e-9
"""What stands for a spread of 0: where all arms score alike, the fewest seeds decide."""


def pilot(study: Study, seeds: int, *, engine: str = "local", workers: int | None = None) -> list[dict[str, Any]]:
    """Return, for every regime, the spread of validation errors and the seconds that a seed takes; no mean of any arm.

    Args:
        study: The study; its settings are the middles of its grids. Where nothing is tuned, the arms are all of the regime's, and what spreads is
            the primary metric.
        seeds: Development seeds, from the end of their block so that tuning never meets them.
        engine: Where it runs.
        workers: Processes at once.
    """
    spec = study.spec
    grids = spec.tuning.grids if spec.tuning is not None else {}
    metric = spec.tuning.metric if spec.tuning is not None else spec.primary.metric
    middles = {arm: {grid.setting: grid.values[len(grid.values) // 2]} for arm, grid in grids.items()}
    tuned = {arm: settings_of(spec, arm, middles) for arm in grids}
    rows = []
    for regime in spec.regimes:
        middle: dict[str, dict[str, float]] = tuned or {arm: {} for arm in spec.arms_of(regime)}
        cells = tuple(Cell(arm, seed, setting) for seed in range(100 - seeds, 100) for arm, setting in middle.items())
        requests = [
            Request(spec.name, regime.name, spec.parameters(regime, "full"), "tuning", together)
            for together in study.together(regime, "tuning", cells)
        ]
        with engine_of(engine, workers) as carrier:
            done = [one for found in carrier.carry_out(requests) for one in found]
        table = np.array([[_score(done, arm, seed, metric) for seed in range(100 - seeds, 100)] for arm in middle])
        paired = np.array([np.std(a - b, ddof=1) for i, a in enumerate(table) for b in table[i + 1 :]])
        spread = float(np.sqrt(np.mean(paired**2)))
        rows.append(
            {
                "regime": regime.name,
                "pooled_sd": float(np.sqrt(np.mean(np.var(table, axis=1, ddof=1)))),
                "paired_sd": spread,
                "minutes_a_seed": sum(one.wall_s for one in done) / 60 / seeds,
                "seeds_for_80": n_to_decide(max(spread, _NO_SPREAD), spec.primary.margin) or 0,
            }
        )
    return rows


def _score(done: Any, arm: str, seed: int, metric: str) -> float:
    return next(
        (one.metrics.get(metric, np.nan) for one in done if (one.cell.arm, one.cell.seed) == (arm, seed)), np.nan
    )
