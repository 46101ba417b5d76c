"""Members against their ensemble: error and likelihood, calibration, disagreement."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ostinato.training.report.curves import Floats, axis_for, label_stride, nice_ticks, thin
from ostinato.training.report.draw import dots, gutter, path_data, per_cent, picture, stretch, vertical
from ostinato.training.report.markup import DASH, Markup, join, number, percent, table, tag

__all__ = ["members_section", "part", "places"]

_MOST_NUMBERS = 12
_MOST_CELLS = 48
_LEVELS = 10


def part(document: Any, *keys: str) -> Any:
    """Look up nested keys and return None where anything on the way is missing.

    >>> part({"a": {"b": 1}}, "a", "b"), part({"a": None}, "a", "b")
    (1, None)
    """
    for key in keys:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document


def places(evaluation: Mapping[str, Any] | None) -> int:
    """Decimals of a percentage that so many examples can tell apart."""
    examples = part(evaluation, "examples")
    return 2 if isinstance(examples, int) and examples >= 2000 else 1


def _numbers(values: Any) -> Floats:
    def one(value: Any) -> float:
        try:
            found = float(value)
        except (TypeError, ValueError):
            return math.nan
        return found if math.isfinite(found) else math.nan

    return np.array([one(v) for v in values] if isinstance(values, (list, tuple, np.ndarray)) else [], dtype=np.float64)


def members_section(evaluation: Mapping[str, Any], best_step: int | None) -> Markup:
    """Draw everything about the members; parts that the document lacks are left out."""
    members = [m for m in part(evaluation, "members") or [] if isinstance(m, Mapping)]
    figures = [
        _member_figure(evaluation, members, "error", "Error", best_step),
        _member_figure(evaluation, members, "nll", "Negative log-likelihood", best_step),
        _calibration(evaluation),
        _disagreement(part(evaluation, "disagreement"), members),
    ]
    details = tag("details", tag("summary", "Members as a table"), _member_table(evaluation, members))
    return join([tag("div", *figures, class_="figures"), details])


def _writer(key: str, decimals: int) -> Any:
    return (lambda v: percent(v, decimals)) if key in ("error", "ece") else (lambda v: number(v, 3))


def _member_table(evaluation: Mapping[str, Any], members: list[Mapping[str, Any]]) -> Markup:
    decimals = places(evaluation)

    def row(name: str, entry: Any) -> list[str]:
        figures = [_writer(key, decimals)(part(entry, key)) for key in ("error", "nll", "ece")]
        return [name, str(part(entry, "step") if part(entry, "step") is not None else DASH), *figures]

    rows = [["member", "step", "error", "NLL", "ECE"]]
    rows += [row(_member_name(m, i), m) for i, m in enumerate(members)]
    rows.append(row("ensemble", part(evaluation, "ensemble")))
    return table(rows, caption="Error, negative log-likelihood and calibration error of each member")


def _member_name(member: Mapping[str, Any], index: int) -> str:
    cycle = member.get("cycle")
    return f"cycle {cycle + 1}" if isinstance(cycle, int) else f"member {index + 1}"


def _member_figure(
    evaluation: Mapping[str, Any], members: list[Mapping[str, Any]], key: str, title: str, best_step: int | None
) -> Markup:
    values = _numbers([m.get(key) for m in members])
    together = _numbers([part(evaluation, "ensemble", key)])[0]
    if not np.isfinite(values).any():
        return Markup("")
    write = _writer(key, places(evaluation))
    axis = axis_for(np.append(values, together))
    heights, x = vertical(axis, values), (np.arange(len(values)) + 0.5) / len(values)
    looks = _looks(members, best_step)
    radius = 5.5 if len(values) <= 40 else 3.0 if len(values) <= 120 else 1.8
    ticks = nice_ticks(axis, 4)
    lines = [
        tag("line", x1="0", x2="100%", y1=per_cent(h), y2=per_cent(h), class_="grid")
        for h in vertical(axis, np.array(ticks)).tolist()
    ]
    if math.isfinite(together):
        h = per_cent(float(vertical(axis, np.array([together]))[0]))
        lines.append(tag("line", x1="0", x2="100%", y1=h, y2=h, class_="ensemble-line"))
    scaled = np.rint(x * 10_000).astype(np.int64)
    points = join(dots(x[i : i + 1], heights[i : i + 1], f"member {looks[i]}", radius) for i in range(len(values)))
    said = f"{title} of {len(values)} members in order of cycle, ensemble {write(together)}: " + ", ".join(
        write(v) for v in values[:40].tolist()
    )
    thread = stretch(("thread", path_data(scaled, heights, 10_000)))
    plot = picture(*lines, thread, points, label=said, class_="plot")
    ticked = gutter(axis, ticks, [write(t) if key != "error" else percent(t, _tick_places(ticks)) for t in ticks])
    base = tag(
        "div", tag("span", class_="gutter"), picture(*_member_labels(x), label=None, class_="plot"), class_="base"
    )
    legend = _legend([("ensemble", "ensemble " + write(together)), *_kinds(looks)])
    body = tag("div", ticked, plot, class_="body")
    return tag("figure", tag("figcaption", tag("h3", title), legend), body, base)


def _tick_places(ticks: list[float]) -> int:
    return next((d for d in (0, 1, 2, 3) if len({round(100 * t, d) for t in ticks}) == len(ticks)), 4)


def _looks(members: list[Mapping[str, Any]], best_step: int | None) -> list[str]:
    looks = ["plain"] * len(members)
    looks[-1] = "last"
    for i, member in enumerate(members):
        if best_step is not None and member.get("step") == best_step:
            looks[i] += " best"
    return looks


def _member_labels(x: Floats) -> list[Markup]:
    stride = label_stride(len(x), 20)
    chosen = [(i + 1, p) for i, p in enumerate(x.tolist()) if stride == 1 or (i + 1) % stride == 0]
    narrow = thin([p for _, p in chosen], 0.09 if len(x) < 100 else 0.14)
    return [
        tag("text", k, x=per_cent(p), y="14", text_anchor="middle", class_=None if small else "wide")
        for (k, p), small in zip(chosen, narrow, strict=True)
    ]


def _kinds(looks: list[str]) -> list[tuple[str, str]]:
    there = {word for look in looks for word in look.split()}
    return [(k, words) for k, words in (("last", "last"), ("best", "best"), ("plain", "member")) if k in there]


def _legend(entries: list[tuple[str, str]]) -> Markup:
    return tag("ul", *(tag("li", words, class_=f"key {look}") for look, words in entries), class_="keys")


def _calibration(evaluation: Mapping[str, Any]) -> Markup:
    """Draw accuracy against confidence; the diagonal is perfect calibration, bars are the share of predictions."""
    drawn, bars, said, legend = [], [], [], []
    for i, name in enumerate(("ensemble", "last")):
        x, y, sizes, share = _reliability(part(evaluation, "calibration", name))
        if not len(x):
            continue
        drawn.append(stretch((f"line {name}", path_data(np.rint(x * 10_000).astype(np.int64), 1 - y, 10_000))))
        drawn.extend(dots(x[k : k + 1], 1 - y[k : k + 1], f"dot {name}", float(r)) for k, r in enumerate(sizes))
        bars.append(_bars(share, name, i, 2))
        legend.append((name, f"{name}, ECE {percent(part(evaluation, name, 'ece'), 1)}"))
        pairs = (f"{percent(a, 0)} sure, {percent(b, 0)} right" for a, b in zip(x, y, strict=True))
        said.append(f"{name}: " + ", ".join(pairs))
    if not drawn:
        return Markup("")
    plot = picture(_square_grid(), *drawn, label="Reliability. " + "; ".join(said), class_="plot square")
    left = [tag("text", w, x="100%", y=p, dy=d, text_anchor="end") for w, p, d in _SIDES]
    feet = [tag("text", w, x=p, y="14", text_anchor=a) for w, p, a in _FEET]
    rows = [
        tag("div", picture(*left, label=None, class_="gutter"), plot, class_="body"),
        tag("div", tag("span", class_="gutter"), picture(*bars, label=None, class_="plot share"), class_="base"),
        tag("div", tag("span", class_="gutter"), picture(*feet, label=None, class_="plot"), class_="base"),
    ]
    words = tag("p", _HOW_TO_READ, class_="hint")
    return tag("figure", tag("figcaption", tag("h3", "Calibration"), _legend(legend)), *rows, words)


def _reliability(curve: Any) -> tuple[Floats, Floats, Floats, Floats]:
    """Return confidence, accuracy and dot size of the bins that hold something, and the share of every bin."""
    columns = [_numbers(part(curve, key)) for key in ("confidence", "accuracy", "count")]
    n = min(len(column) for column in columns)
    confidence, accuracy, count = (column[:n] for column in columns)
    count = np.nan_to_num(count)
    seen = (count > 0) & np.isfinite(confidence) & np.isfinite(accuracy)
    share = count / max(1.0, float(count.sum()))
    sizes = np.round(2.2 + 3.3 * np.sqrt(share[seen] / max(float(share.max(initial=0.0)), 1e-12)), 1)
    return confidence[seen], accuracy[seen], sizes, share


def _square_grid() -> Markup:
    diagonal = tag("line", x1="0", y1="100%", x2="100%", y2="0", class_="diagonal")
    levels = (tag("line", x1="0", x2="100%", y1=p, y2=p, class_="grid") for p in ("0.3%", "50%", "99.7%"))
    return join([*levels, diagonal])


_HOW_TO_READ = (
    "Up: share that was right. Across: confidence. On the diagonal, confidence is honest. "
    "Bars and dot sizes: share of predictions."
)
_SIDES = (("100\u00a0%", "0", "0.9em"), ("50\u00a0%", "50%", "0.35em"), ("0", "100%", "-0.2em"))
_FEET = (("0", "0", "start"), ("50\u00a0%", "50%", "middle"), ("100\u00a0%", "100%", "end"))


def _bars(share: Floats, name: str, index: int, many: int) -> Markup:
    width = 0.8 / len(share) / many
    top = float(share.max()) or 1.0
    return join(
        tag(
            "rect",
            x=per_cent((i + 0.1) / len(share) + index * width),
            y=per_cent(1 - float(v) / top),
            width=per_cent(width * 0.9),
            height=per_cent(float(v) / top),
            class_=f"bar {name}",
        )
        for i, v in enumerate(share.tolist())
        if v > 0
    )


def _disagreement(matrix: Any, members: list[Mapping[str, Any]]) -> Markup:
    rows = [_numbers(row) for row in matrix] if isinstance(matrix, (list, tuple, np.ndarray)) else []
    n = len(rows)
    if n < 2 or any(len(row) != n for row in rows):
        return Markup("")
    field = np.array(rows)
    apart = field[~np.eye(n, dtype=bool)]
    apart = apart[np.isfinite(apart)]
    if not len(apart):
        return Markup("")
    low, high = float(apart.min()), float(apart.max())
    words = (
        f"Share of examples on which two members predict different classes: {percent(low)} to {percent(high)}. "
        "An ensemble gains only where its members disagree."
    )
    drawn = _numbered(field, low, high) if n <= _MOST_NUMBERS else _cells(field, low, high)
    title = tag("figcaption", tag("h3", "Disagreement"))
    return tag("figure", title, drawn, tag("p", words, class_="hint"), class_="wide-figure" if n > 8 else None)


def _level(value: float, low: float, high: float) -> int:
    return min(_LEVELS - 1, int(_LEVELS * (value - low) / (high - low))) if high > low else _LEVELS // 2


def _numbered(field: Floats, low: float, high: float) -> Markup:
    n = len(field)
    head = tag("tr", tag("th", tag("span", "cycle", class_="sr")), *(tag("th", j + 1, scope="col") for j in range(n)))
    body = []
    for i in range(n):
        cells = [tag("th", i + 1, scope="row")]
        for j in range(n):
            value = float(field[i, j])
            known = math.isfinite(value) and i != j
            class_ = f"h{_level(value, low, high)}" if known else "none"
            cells.append(tag("td", f"{100 * value:.1f}" if known else "·", class_=class_))
        body.append(tag("tr", *cells))
    caption = tag("caption", "Disagreement between members in per cent", class_="sr")
    inner = tag("table", caption, tag("thead", head), tag("tbody", *body), class_="heat")
    return tag("div", inner, class_="scroll", tabindex="0", role="region", aria_label="Disagreement in per cent")


def _cells(field: Floats, low: float, high: float) -> Markup:
    """Draw a large matrix as squares without numbers, at most 48 members evenly chosen."""
    n = len(field)
    chosen = np.unique(np.linspace(0, n - 1, min(n, _MOST_CELLS)).astype(int)).tolist()
    paths: list[str] = [""] * _LEVELS
    for row, i in enumerate(chosen):
        for column, j in enumerate(chosen):
            if i != j and math.isfinite(field[i, j]):
                paths[_level(float(field[i, j]), low, high)] += f"M{column} {row}h1v1h-1z"
    squares = [tag("path", d=d, class_=f"h{k}") for k, d in enumerate(paths) if d]
    said = f"Disagreement of {len(chosen)} of {n} members, from {percent(low)} to {percent(high)}"
    box = {"viewBox": f"0 0 {len(chosen)} {len(chosen)}"}
    drawing = tag("svg", tag("title", said), *squares, class_="cells", role="img", aria_label=said, **box)
    return join([drawing, tag("p", f"{len(chosen)} of {n} members, evenly chosen.", class_="hint")])
