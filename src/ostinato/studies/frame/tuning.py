"""Choosing settings: a grid for each arm, on development seeds and validation data, extended where the best lies at its edge."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ostinato.studies.frame.cells import Cell, Measurement
from ostinato.studies.frame.spec import Grid, Profile, Regime, Spec

__all__ = ["settings_of", "tune"]

Measure = Callable[[Sequence[Cell]], Iterable[Measurement]]


def tune(spec: Spec, regime: Regime, profile: Profile, measure: Measure) -> dict[str, Any]:
    """Choose the settings of every arm of a regime that has a grid.

    Returns:
        ``{"chosen": {arm: {setting: value}}, "curves": {arm: [[value, mean score], ...]}, "runs": [...], "at_edge": [arm, ...]}``: every
        run that was made, the whole curve, and the arms whose best value is still at the edge of the extended grid.
    """
    assert spec.tuning is not None
    seeds = spec.development_seeds(profile)
    names = spec.arms_of(regime)
    grids = {arm: grid for arm, grid in spec.tuning.grids.items() if arm in names}
    values = {arm: list(grid.values) for arm, grid in grids.items()}
    if profile == "smoke":
        values = {arm: given[len(given) // 2 :][:2] for arm, given in values.items()}
    scores: dict[str, dict[float, list[float]]] = {arm: {} for arm in grids}
    runs: list[dict[str, Any]] = []
    for extension in range(max((grid.extensions for grid in grids.values()), default=0) + 1):
        cells = [
            Cell(arm, seed, {grids[arm].setting: value})
            for arm, given in values.items()
            for value in given
            if value not in scores[arm]
            for seed in seeds
        ]
        if not cells:
            break
        for done in measure(cells):
            score = done.metrics.get(spec.tuning.metric, math.inf) if done.status == "done" else math.inf
            value = done.cell.settings[grids[done.cell.arm].setting]
            scores[done.cell.arm].setdefault(value, []).append(score)
            runs.append({**done.to_document(), "regime": regime.name, "correct": ""})
        if profile == "smoke":
            break
        for arm, grid in grids.items():
            if extension < grid.extensions:
                values[arm] += _beyond(grid, scores[arm])
    best = {arm: _best(found) for arm, found in scores.items()}
    return {
        "chosen": {arm: {grids[arm].setting: value} for arm, value in best.items()},
        "curves": {arm: [[v, _finite(_mean(found[v]))] for v in sorted(found)] for arm, found in scores.items()},
        "at_edge": [arm for arm, found in scores.items() if best[arm] in (min(found), max(found))],
        "runs": sorted(runs, key=lambda run: (run["arm"], sorted(run["settings"].items()), run["seed"])),
    }


def settings_of(spec: Spec, arm: str, chosen: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the settings that an arm runs with: those chosen for it, or for the arm that it inherits from."""
    if spec.tuning is None:
        return {}
    return dict(chosen.get(spec.tuning.inherits.get(arm, arm), {}))


def _mean(scores: Sequence[float]) -> float:
    return sum(scores) / len(scores)


def _best(scores: Mapping[float, Sequence[float]]) -> float:
    """Return the value of the lowest mean score, the smallest of equal ones."""
    return min(sorted(scores), key=lambda value: _mean(scores[value]))


def _beyond(grid: Grid, scores: Mapping[float, Sequence[float]]) -> list[float]:
    """Return the next value outside the grid on the side where the best lies at the edge."""
    best = _best(scores)
    if best == max(scores):
        return [float(f"{best * grid.factor:.6g}")]
    if best == min(scores):
        return [float(f"{best / grid.factor:.6g}")]
    return []


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
