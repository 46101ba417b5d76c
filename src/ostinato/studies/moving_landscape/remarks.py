"""What the records of study ``moving-landscape`` say beside the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ostinato.studies.frame.telling import Records, finished, grouped
from ostinato.studies.moving_landscape.curves import SEEN_UNDER
from ostinato.studies.moving_landscape.plans import LOSSES, SCHEDULES

__all__ = ["remarks", "table"]

Done = Mapping[str, Sequence[Mapping[str, Any]]]

_COURSES = {
    "eigenvalue": "largest eigenvalue",
    "relative_to_loss": "eigenvalue / loss",
    "relative_to_gradient": "eigenvalue / norm of the gradient",
    "noise": "trace of the gradient's covariance",
    "relative_noise": "trace / loss^2",
    "signal": "1 / noise scale",
    "loss": "training loss",
    "stability": "peak rate x eigenvalue / 2",
}


def remarks(records: Records) -> list[str]:
    """Return sentences for one regime: chosen rates, the error at the end and over the last cycle, and what stopping at a trough is worth."""
    done = grouped(finished(records))
    chosen = [f"{arm} {done[arm][0]['settings']['rate']:g}" for arm in done if not arm.endswith("sorted") and done[arm]]
    lines = [f"Chosen rates: {', '.join(chosen)}."] if chosen else []
    lines += [
        f"Balanced error in points under {loss}: {_ends(done, loss)}."
        for loss in LOSSES
        if all(f"{loss}-{schedule}" in done for schedule in SCHEDULES)
    ]
    return lines + [line for loss in LOSSES for line in _at_a_trough(done, loss)]


def table(records: Records) -> list[str]:
    """Return how curvature and noise moved: medians over the seeds at the cycles' ends, under the constant rate and one cosine."""
    done = grouped(finished(records))
    lines = []
    for loss in LOSSES:
        for schedule in SEEN_UNDER:
            seen = [
                record["curves"] for record in done.get(f"{loss}-{schedule}", ()) if "eigenvalue" in record["curves"]
            ]
            for name, words in _COURSES.items() if seen else ():
                values = _medians([curves[name] for curves in seen])
                lines.append(f"| {loss}-{schedule} | {words} | {' | '.join(f'{value:.3g}' for value in values)} |")
    if not lines:
        return []
    width = lines[0].count("|") - 3
    head = "| arm | after cycle | " + " | ".join(str(place + 1) for place in range(width)) + " |"
    return [head, "|---|---|" + "---|" * width, *lines, ""]


def _ends(done: Done, loss: str) -> str:
    """Return, for every schedule, the error at the end, its mean over the last cycle, and its highest there."""
    return "; ".join(
        f"{schedule} {_mean(done, f'{loss}-{schedule}', 'balanced_error'):.2f} at the end,"
        f" {_mean(done, f'{loss}-{schedule}', 'last_cycle_mean'):.2f} over the last cycle,"
        f" {_mean(done, f'{loss}-{schedule}', 'last_cycle_worst'):.2f} at its worst"
        for schedule in SCHEDULES
    )


def _at_a_trough(done: Done, loss: str) -> list[str]:
    """Say so where the order of cycles and cosine is another at the end than over the last cycle."""
    arms = f"{loss}-cycles", f"{loss}-cosine"
    if not all(arm in done for arm in arms):
        return []
    ends, means = (
        _mean(done, arms[0], metric) - _mean(done, arms[1], metric) for metric in ("balanced_error", "last_cycle_mean")
    )
    if ends * means > 0:
        return []
    return [
        f"Under {loss}, cycles less cosine is {ends:+.2f} points at the end and {means:+.2f} over the last cycle: the answer holds only where training stops at a trough."
    ]


def _mean(done: Done, arm: str, metric: str) -> float:
    return 100 * float(np.mean([record["metrics"][metric] for record in done[arm]]))


def _medians(courses: Sequence[Sequence[float | None]]) -> list[float]:
    """Return the median over seeds at each place; what is not finite is left out as unknown."""
    values = np.array([[np.nan if value is None else value for value in course] for course in courses], np.float64)
    return [float(np.median(column[~np.isnan(column)])) if (~np.isnan(column)).any() else np.nan for column in values.T]
