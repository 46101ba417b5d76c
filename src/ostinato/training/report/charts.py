"""The shared time axis with its lanes, cycle ends and snapshots, as static markup."""

from __future__ import annotations

import numpy as np

from ostinato.training.report.curves import Axis, at, axis_for, downsample, label_stride, nice_ticks, thin, tidy
from ostinato.training.report.draw import area, dots, gutter, path_data, per_cent, picture, stretch, vertical
from ostinato.training.report.lanes import SPARSE, Lane, Trace
from ostinato.training.report.markup import DASH, Markup, breakable, join, number, table, tag
from ostinato.training.report.model import RunReport, Series

__all__ = ["hero_strip", "line_stride", "score", "values_table"]

_MOST_LINES = 120


def score(report: RunReport, lanes: list[Lane]) -> Markup:
    """Draw the whole score: ruler, lanes with the rules behind them, and the axis of steps and epochs."""
    rows = [_lane(lane, i, report) for i, lane in enumerate(lanes)]
    class_ = "stage busy" if len(report.cycles) > 60 else "stage"
    return tag("div", _rules(report), _ruler(report), *rows, _axis(report), class_=class_, id="stage")


def hero_strip(report: RunReport) -> Markup:
    """Draw the first schedule as a quiet band with a dot at each snapshot; a decoration."""
    series = _first_drawable(report)
    if series is None:
        return Markup("")
    steps, values = downsample(*tidy(series), 600)
    axis = axis_for(values, series.low, series.high, linear="geometric" not in series.note)
    heights = vertical(axis, values)
    total = report.total_steps
    marks = np.array(report.snapshots, dtype=np.float64) / max(1, total)
    where = [at(steps, heights, int(s) - 1) for s in report.snapshots]
    lines = stretch(("area", area(steps, heights, total)), ("line", path_data(steps, heights, total)))
    many = len(where) > 60
    return picture(lines, Markup("") if many else dots(marks, np.array(where), "snap", 5), label=None, class_="strip")


def _first_drawable(report: RunReport) -> Series | None:
    return next((s for s in report.schedules if np.isfinite(np.asarray(s.values, dtype=np.float64)).any()), None)


def _fraction(report: RunReport, step: float) -> float:
    return step / max(1, report.total_steps)


def line_stride(report: RunReport) -> int:
    """Return n where every n-th cycle end has a line: 1 as long as the lines can be told apart."""
    return label_stride(len(report.cycles), _MOST_LINES)


def _rules(report: RunReport) -> Markup:
    """Lines and shades behind all lanes: warm-up, every second cycle, cycle ends, the cursor."""
    parts = []
    if report.warmup > 0:
        width = per_cent(min(1.0, _fraction(report, report.warmup)))
        parts.append(tag("rect", x="0", y="0", width=width, height="100%", class_="warm"))
    stride = line_stride(report)
    ends = [end for _, end in report.cycles]
    for end in ends[stride - 1 :: stride]:
        x = per_cent(_fraction(report, end))
        parts.append(tag("line", x1=x, x2=x, y1="0", y2="100%", class_="cycle-end"))
    parts.append(tag("line", x1="0", x2="0", y1="0", y2="100%", class_="cursor", id="cursor"))
    busy = " busy" if len(ends) > 40 else ""
    return picture(*parts, label=None, class_=f"rules{busy}")


def _ruler(report: RunReport) -> Markup:
    """The row above the lanes: numbers of the cycles and a dot at each snapshot."""
    words = []
    if _fraction(report, report.warmup) > 0.09:
        middle = per_cent(_fraction(report, report.warmup) / 2)
        words.append(tag("text", "warm-up", x=middle, y="13", text_anchor="middle", class_="wide"))
    words.extend(_cycle_numbers(report))
    radius = 4.5 if len(report.snapshots) <= 40 else 2.0
    marks = np.array(report.snapshots, dtype=np.float64) / max(1, report.total_steps)
    stops = join(tag("circle", cx=per_cent(float(x)), cy="26", r=f"{radius:g}", class_="snap") for x in marks)
    said = f"{len(report.cycles)} cycles, snapshots at {_listed(report.snapshots)}"
    key = tag("span", "snapshot", class_="key snap-key") if report.snapshots else Markup("")
    label = tag("div", tag("span", "cycle"), key, class_="label")
    return tag(
        "div",
        label,
        tag("span", class_="gutter"),
        picture(*words, stops, label=said, class_="plot"),
        class_="row ruler",
    )


def _listed(steps: object) -> str:
    numbers = [f"{int(step)}" for step in steps]  # type: ignore[attr-defined]  # arrays of numbers by then
    if not numbers:
        return "no step"
    return "steps " + ", ".join(numbers[:12]) + (f" and {len(numbers) - 12} more" if len(numbers) > 12 else "")


def _cycle_numbers(report: RunReport) -> list[Markup]:
    middles = [_fraction(report, (start + end) / 2) for start, end in report.cycles]
    stride = label_stride(len(middles), 24)
    chosen = [(i + 1, x) for i, x in enumerate(middles) if stride == 1 or (i + 1) % stride == 0]
    wide = thin([x for _, x in chosen], 0.03)
    narrow = thin([x for _, x in chosen], 0.09)
    return [
        tag("text", k, x=per_cent(x), y="13", text_anchor="middle", class_=None if small else "wide")
        for (k, x), large, small in zip(chosen, wide, narrow, strict=True)
        if large
    ]


def _lane(lane: Lane, index: int, report: RunReport) -> Markup:
    heights = [vertical(lane.axis, trace.values) for trace in lane.traces]
    total = report.total_steps
    paths = []
    for trace, height in zip(lane.traces, heights, strict=True):
        if lane.kind == "schedule":
            paths.append((f"area {trace.look}", area(trace.steps, height, total)))
        paths.append((f"line {trace.look}", path_data(trace.steps, height, total)))
    points = [
        dots(trace.steps / max(1, total), height, f"dot {trace.look}", 2.5)
        for trace, height in zip(lane.traces, heights, strict=True)
        if trace.pointed
    ]
    plot = picture(_grid(lane), stretch(*paths), *points, label=_described(lane), class_="plot")
    written = gutter(lane.axis, lane.ticks, lane.tick_labels())
    return tag("div", _label(lane), written, plot, _readout(lane), class_=f"row lane {lane.kind}", data_lane=index)


def _grid(lane: Lane) -> Markup:
    heights = [per_cent(float(h)) for h in vertical(lane.axis, np.array(lane.ticks))] if lane.ticks else []
    return join(tag("line", x1="0", x2="100%", y1=h, y2=h, class_="grid") for h in heights)


def _label(lane: Lane) -> Markup:
    if lane.kind == "schedule":
        note = tag("p", lane.note or "schedule", class_=f"note {lane.traces[0].look}")
        ends = f" {DASH} ".join(lane.write(t) for t in lane.ticks)
        return tag("div", tag("h3", breakable(lane.name)), note, tag("p", ends, class_="span"), class_="label")
    keys = [tag("li", breakable(trace.name), class_=f"key {trace.look}") for trace in lane.traces]
    title = tag("h3", lane.name)
    return tag("div", title, tag("ul", *keys, class_="keys"), class_="label")


def _last(trace: Trace) -> float:
    present = trace.values[np.isfinite(trace.values)]
    return float(present[-1]) if len(present) else float("nan")


def _readout(lane: Lane) -> Markup:
    values = [tag("output", lane.write(_last(trace)), class_=f"value {trace.look}") for trace in lane.traces]
    return tag("div", *values, class_="readout")


def _described(lane: Lane) -> str:
    parts = []
    for trace in lane.traces:
        present = trace.values[np.isfinite(trace.values)]
        if not len(present):
            parts.append(f"{trace.name}: no values")
            continue
        low, high = lane.write(present.min()), lane.write(present.max())
        parts.append(
            f"{trace.name}: between {low} and {high}, first {lane.write(present[0])}, last {lane.write(present[-1])}"
        )
    note = f" ({lane.note})" if lane.note else ""
    scale = ", logarithmic axis" if lane.axis.log else ""
    return f"{lane.name}{note}{scale}. " + "; ".join(parts)


def _axis(report: RunReport) -> Markup:
    """The row below the lanes: steps, and epochs where their length is known."""
    total = max(1, report.total_steps)
    marks = _time_labels(float(total), 1.0, "15")
    names = [tag("span", "step")]
    if report.steps_per_epoch:
        marks += _time_labels(total / report.steps_per_epoch, float(report.steps_per_epoch), "33", total, "minor")
        names.append(tag("span", "epoch"))
    said = f"steps 0 to {report.total_steps}"
    label = tag("div", *names, class_="label")
    class_ = "row axis two" if report.steps_per_epoch else "row axis"
    return tag("div", label, tag("span", class_="gutter"), picture(*marks, label=said, class_="plot"), class_=class_)


def _time_labels(end: float, unit: float, y: str, total: int | None = None, class_: str = "") -> list[Markup]:
    width = end * unit if total is None else total
    values = [t for t in nice_ticks(Axis(0.0, end), 9) if t == int(t)]
    places = [t * unit / width for t in values]
    narrow = thin(places, 0.21)
    labels = []
    for value, x, small in zip(values, places, narrow, strict=True):
        anchor = "start" if x < 0.02 else "end" if x > 0.98 else "middle"
        classes = " ".join(filter(None, (class_, "" if small else "wide"))) or None
        labels.append(tag("text", _whole(value), x=per_cent(x), y=y, text_anchor=anchor, class_=classes))
    return labels


def _whole(value: float) -> str:
    return f"{int(value):,}".replace(",", "\u202f") if abs(value) < 1e7 else number(value)


def values_table(report: RunReport, lanes: list[Lane]) -> Markup:
    """Write the values of all lanes at cycle starts, middles and last updates, at most 31 rows."""
    moments = {0, max(0, report.total_steps - 1)}
    for start, end in report.cycles:
        moments |= {start, (start + end) // 2, end - 1}
    ordered = sorted(moments)
    if len(ordered) > 31:
        ordered = [ordered[i] for i in np.unique(np.linspace(0, len(ordered) - 1, 31).astype(int)).tolist()]
    writers = {trace.name: lane.write for lane in lanes for trace in lane.traces}
    every = (*report.schedules, *report.losses, *report.metrics)
    columns = [
        (writers[series.name], series.kind == "schedule" or len(series.steps) > SPARSE, *tidy(series))
        for series in every
    ]
    rows = [["step", *(series.name for series in every)]]
    rows.extend(
        [str(step), *(write(at(steps, values, step, hold=not dense)) for write, dense, steps, values in columns)]
        for step in ordered
    )
    return table(rows, caption="Scheduled and measured values at cycle starts, middles and last updates")
