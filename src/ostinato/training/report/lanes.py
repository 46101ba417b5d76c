"""The score of a run: one lane a scheduled value, losses and metrics, all on one time axis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ostinato.training.report.curves import (
    Axis,
    Floats,
    Ints,
    axis_for,
    downsample,
    from_zero,
    nice_ticks,
    reach,
    smooth,
    tidy,
)
from ostinato.training.report.markup import number, percent
from ostinato.training.report.model import RunReport, Series

__all__ = ["SPARSE", "Lane", "Trace", "build_lanes", "lanes_document"]

_POINT_BUDGET = 30_000
SPARSE = 80
_FRACTIONS = ("error", "accuracy")


@dataclass(frozen=True)
class Trace:
    """One curve of a lane, already thinned out for drawing; ``look`` is a CSS class."""

    name: str
    look: str
    steps: Ints
    values: Floats
    pointed: bool = False


@dataclass(frozen=True)
class Lane:
    """One row of the picture: a name, an axis, its ticks and one or more traces."""

    name: str
    kind: str
    note: str
    axis: Axis
    ticks: list[float]
    traces: list[Trace]
    fraction: bool = False

    def write(self, value: object, digits: int = 4) -> str:
        """Write a value as this lane's readers expect it: fractions in per cent."""
        return percent(value, 2) if self.fraction else number(value, digits)

    def tick_labels(self) -> list[str]:
        """Write the ticks with as many digits as tell neighbours apart."""
        for digits in (2, 3, 4, 5, 6):
            words = [percent(t, digits - 2) if self.fraction else number(t, digits) for t in self.ticks]
            if len(set(words)) == len(words) and (digits > 2 or self.fraction or all(_short(t) for t in self.ticks)):
                break
        return words


def _short(value: float) -> bool:
    return float(f"{value:.2g}") == value


def build_lanes(report: RunReport) -> list[Lane]:
    """Turn the series of a report into lanes: schedules, then losses, then metrics by the last word of their names."""
    losses, metrics = list(report.losses), list(report.metrics)
    count = len(report.schedules) + 2 * len(losses) + len(metrics)
    limit = int(np.clip(_POINT_BUDGET // max(1, count), 120, 1500))
    lanes = [_schedule_lane(series, limit) for series in report.schedules]
    if losses:
        lanes.append(_loss_lane(losses, report, limit))
    groups: dict[str, list[Series]] = {}
    for series in metrics:
        groups.setdefault(_last_word(series.name), []).append(series)
    return lanes + [_metric_lane(word, group, limit) for word, group in groups.items()]


def _last_word(name: str) -> str:
    words = name.replace("/", " ").replace("_", " ").replace(".", " ").replace("-", " ").split()
    return words[-1].lower() if words else name


def _schedule_lane(series: Series, limit: int) -> Lane:
    steps, values = tidy(series)
    axis = axis_for(values, series.low, series.high, linear="geometric" not in series.note)
    look = "mirror" if "mirror" in series.note.lower() else "wave"
    present = values[np.isfinite(values)]
    low = series.low if series.low is not None else (float(present.min()) if len(present) else axis.low)
    high = series.high if series.high is not None else (float(present.max()) if len(present) else axis.high)
    ticks = [low] if low == high else [low, high]
    trace = Trace(series.name, look, *downsample(steps, values, limit))
    return Lane(series.name, "schedule", series.note, axis, ticks, [trace])


def _loss_lane(losses: list[Series], report: RunReport, limit: int) -> Lane:
    traces: list[Trace] = []
    for i, series in enumerate(losses):
        steps, values = tidy(series)
        if len(steps) <= SPARSE:
            traces.append(Trace(series.name, f"c{i % 4}", steps, values, pointed=True))
            continue
        points_per_cycle = len(steps) / max(1, len(report.cycles))
        window = int(max(3, min(len(steps) // 40, points_per_cycle // 6)))
        traces.append(Trace(series.name, f"raw c{i % 4}", *downsample(steps, values, limit)))
        traces.append(
            Trace(f"mean of {window | 1} points", f"c{i % 4}", *downsample(*smooth(steps, values, window), limit))
        )
    axis = from_zero(axis_for(np.concatenate([trace.values for trace in traces])))
    return Lane("loss", "loss", "", axis, nice_ticks(axis, 4), traces)


def _metric_lane(word: str, group: list[Series], limit: int) -> Lane:
    traces = []
    for i, series in enumerate(group):
        steps, values = tidy(series)
        traces.append(
            Trace(series.name, f"c{(i + 1) % 4}", *downsample(steps, values, limit), pointed=len(steps) <= SPARSE)
        )
    every = np.concatenate([trace.values for trace in traces])
    axis = from_zero(axis_for(every))
    present = every[np.isfinite(every)]
    fraction = word in _FRACTIONS and bool(((present >= 0) & (present <= 1)).all())
    return Lane(word, "metric", "", axis, nice_ticks(axis, 3), traces, fraction)


def lanes_document(report: RunReport, lanes: list[Lane]) -> dict[str, Any]:
    """Return what the cursor reads: the clock, and each trace with steps as differences and values to six digits."""
    return {
        "total": report.total_steps,
        "steps_per_epoch": report.steps_per_epoch,
        "warmup": report.warmup,
        "cycles": [[int(a), int(b)] for a, b in report.cycles],
        "snapshots": [int(step) for step in report.snapshots],
        "lanes": [_lane_document(lane) for lane in lanes],
    }


def _lane_document(lane: Lane) -> dict[str, Any]:
    return {
        "name": lane.name,
        "kind": lane.kind,
        "low": lane.axis.low,
        "high": lane.axis.high,
        "log": lane.axis.log,
        "fraction": lane.fraction,
        "traces": [
            {
                "name": trace.name,
                "reach": None if trace.pointed else reach(trace.steps),
                "steps": np.diff(trace.steps, prepend=0).tolist(),
                "values": [float(f"{v:.6g}") if math.isfinite(v) else None for v in trace.values.tolist()],
            }
            for trace in lane.traces
        ],
    }
