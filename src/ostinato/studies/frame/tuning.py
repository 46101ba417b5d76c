"""Choosing settings: a grid for each arm, on development seeds and validation data, extended where the best lies at its edge."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ostinato.studies.frame.cells import Cell, Measurement
from ostinato.studies.frame.spec import Grid, Profile, Regime, Spec

__all__ = ["settings_of", "tune"]

Measure = Callable[[Sequence[Cell]], Iterable[Measurement]]
Chosen = Mapping[str, Mapping[str, float]]
Scores = dict[float, list[float]]


def tune(spec: Spec, regime: Regime, profile: Profile, measure: Measure) -> dict[str, Any]:
    """Choose the settings of every arm of a regime that has a grid.

    Arms that take over another arm's settings come after those that take over none.

    Returns:
        ``{"chosen": {arm: {setting: value}}, "curves": {arm: [[value, mean score], ...]}, "runs": [...], "at_edge": [arm, ...]}``: every
        run that was made, the whole curve, and the arms whose best value is still at the edge of the extended grid.
    """
    assert spec.tuning is not None
    names, inherits = spec.arms_of(regime), spec.tuning.inherits
    grids = {arm: grid for arm, grid in spec.tuning.grids.items() if arm in names}
    scores: dict[str, Scores] = {}
    runs: list[dict[str, Any]] = []
    chosen: dict[str, dict[str, float]] = {}
    while waiting := [arm for arm in grids if arm not in scores]:
        ready = {arm: grids[arm] for arm in waiting if not _ancestors(arm, inherits) & set(waiting)}
        found, more = _searched(spec, profile, measure, ready, chosen)
        scores, runs = scores | found, runs + more
        chosen |= {arm: {grids[arm].setting: _best(found[arm])} for arm in ready}
    best = {arm: chosen[arm][grids[arm].setting] for arm in grids}
    return {
        "chosen": {arm: chosen[arm] for arm in grids},
        "curves": {arm: [[v, _finite(_mean(scores[arm][v]))] for v in sorted(scores[arm])] for arm in grids},
        "at_edge": [
            arm for arm in grids if grids[arm].extensions and best[arm] in (min(scores[arm]), max(scores[arm]))
        ],
        "runs": sorted(
            ({**run, "regime": regime.name} for run in runs),
            key=lambda run: (run["arm"], sorted(run["settings"].items()), run["seed"]),
        ),
    }


def _ancestors(arm: str, inherits: Mapping[str, str]) -> set[str]:
    """Return every arm whose settings an arm takes over, also by way of others."""
    before = inherits.get(arm)
    return set() if before is None else {before} | _ancestors(before, inherits)


def _searched(
    spec: Spec, profile: Profile, measure: Measure, grids: Mapping[str, Grid], chosen: Chosen
) -> tuple[dict[str, Scores], list[dict[str, Any]]]:
    """Try every value of some arms' grids, extending them; return the scores by arm and value, and every run."""
    assert spec.tuning is not None
    values = {arm: list(grid.values) for arm, grid in grids.items()}
    if profile == "smoke":
        values = {arm: given[len(given) // 2 :][:2] for arm, given in values.items()}
    scores: dict[str, Scores] = {arm: {} for arm in grids}
    runs: list[dict[str, Any]] = []
    for extension in range(max((grid.extensions for grid in grids.values()), default=0) + 1):
        cells = [
            Cell(arm, seed, {**settings_of(spec, arm, chosen), grids[arm].setting: value})
            for arm, given in values.items()
            for value in given
            if value not in scores[arm]
            for seed in spec.development_seeds(profile)
        ]
        if not cells:
            break
        for done in measure(cells):
            score = done.metrics.get(spec.tuning.metric, math.inf) if done.status == "done" else math.inf
            value = done.cell.settings[grids[done.cell.arm].setting]
            scores[done.cell.arm].setdefault(value, []).append(score)
            runs.append({**done.to_document(), "correct": ""})
        if profile == "smoke":
            break
        for arm, grid in grids.items():
            if extension < grid.extensions:
                values[arm] += _beyond(grid, scores[arm])
    return scores, runs


def settings_of(spec: Spec, arm: str, chosen: Chosen) -> dict[str, float]:
    """Return the settings that an arm runs with: those chosen for the arm that it inherits from, and those chosen for it."""
    if spec.tuning is None:
        return {}
    before = spec.tuning.inherits.get(arm)
    inherited = settings_of(spec, before, chosen) if before is not None else {}
    return {**inherited, **chosen.get(arm, {})}


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
