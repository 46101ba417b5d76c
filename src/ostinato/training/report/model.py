"""What a report is made from: plain, frozen values that the run fills in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import DataError

__all__ = ["RunReport", "Series"]

Kind = Literal["schedule", "loss", "metric"]
Status = Literal["complete", "interrupted", "stopped"]


@dataclass(frozen=True)
class Series:
    """One named curve over steps.

    Args:
        name: what is drawn, as the reader should see it (a target's address, ``"train loss"``).
        steps: updates, counted from 0; any order, the last of equal steps wins.
        values: one number a step; NaN and infinities leave a gap.
        kind: ``"schedule"`` has a lane of its own, losses share one, metrics share one by their last word.
        low: declared lower bound of a schedule; the data's minimum if None.
        high: declared upper bound of a schedule; the data's maximum if None.
        note: the form in words, for example ``"mirror, shift 0.25"``.

    Raises:
        DataError: ``steps`` and ``values`` differ in length, or ``kind`` is unknown.

    >>> Series("optimizer.lr", [0, 1], [0.1, 0.05], "schedule", low=0.0, high=0.1).name
    'optimizer.lr'
    """

    name: str
    steps: Sequence[int] | NDArray[np.integer[Any]]
    values: Sequence[float] | NDArray[np.floating[Any]]
    kind: Kind
    low: float | None = None
    high: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if len(self.steps) != len(self.values):
            raise DataError(
                f"series {self.name!r} has {len(self.steps)} steps but {len(self.values)} values; give one value a step"
            )
        if self.kind not in ("schedule", "loss", "metric"):
            raise DataError(f"series {self.name!r} has kind {self.kind!r}; use 'schedule', 'loss' or 'metric'")


@dataclass(frozen=True)
class RunReport:
    """Everything that the page of one run shows.

    Args:
        title: name of the run.
        data: name of the data set.
        model: name of the model.
        seed: the run's seed.
        total_steps: updates that the plan has (the time axis runs from 0 to here).
        steps_per_epoch: updates an epoch, or None when unknown (no epoch axis then).
        warmup: updates before the first cycle.
        cycles: ``(start, end)`` of each cycle in steps, half open: ``end`` is the next cycle's ``start``.
        snapshots: updates done when each snapshot was taken.
        schedules: one series a target.
        losses: training loss and others, drawn in one lane.
        metrics: evaluations; those whose names end in the same word share a lane.
        evaluation: JSON document with ``members``, ``ensemble``, ``last``, ``best_member``, ``disagreement``,
            ``calibration`` and ``examples``; None when nothing was evaluated; missing parts are left out.
        plan_toml: the resolved plan as TOML text.
        plan_rows: the resolved plan as rows of text, the first one the header.
        command: what to type to run this again.
        resume_command: what to type to go on, or None when there is nothing to go on with.
        environment: names and versions.
        wall_s: seconds that the run took, or None.
        status: how the run ended.
        message: one line more about the end, may be empty.
    """

    title: str
    data: str
    model: str
    seed: int
    total_steps: int
    steps_per_epoch: int | None
    warmup: int
    cycles: Sequence[tuple[int, int]]
    snapshots: Sequence[int]
    schedules: Sequence[Series]
    losses: Sequence[Series]
    metrics: Sequence[Series]
    evaluation: Mapping[str, Any] | None
    plan_toml: str
    plan_rows: Sequence[Sequence[str]]
    command: str
    resume_command: str | None
    environment: Mapping[str, str]
    wall_s: float | None
    status: Status
    message: str = ""
