"""Pictures that stretch: positions in per cent, so that text and dots keep their size at every width."""

from __future__ import annotations

import math

import numpy as np

from ostinato.training.report.curves import Axis, Floats, Ints
from ostinato.training.report.markup import Markup, join, tag

__all__ = ["area", "dots", "gutter", "path_data", "per_cent", "picture", "stretch", "vertical"]

_WIDTH, _HEIGHT = 10_000, 1_000
_TOP, _SPAN = 0.07, 0.86


def vertical(axis: Axis, values: Floats) -> Floats:
    """Map values to the distance from the top as a fraction of the picture, with a little air above and below."""
    placed: Floats = _TOP + _SPAN * (1.0 - axis.place(np.asarray(values, dtype=np.float64)))
    return placed


def per_cent(fraction: float) -> str:
    """Write a fraction as an SVG percentage.

    >>> per_cent(0.12345), per_cent(0.5)
    ('12.35%', '50%')
    """
    return f"{100 * fraction:.2f}".rstrip("0").rstrip(".") + "%"


def _runs(good: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]]).astype(np.int8)))
    return list(zip(edges[0::2].tolist(), edges[1::2].tolist(), strict=True))


def _whole(steps: Ints, heights: Floats, total: int) -> tuple[list[int], list[int]]:
    x = np.rint(steps / max(1, total) * _WIDTH).astype(np.int64).tolist()
    y = np.rint(np.clip(np.nan_to_num(heights, nan=0.0), -9.0, 9.0) * _HEIGHT).astype(np.int64).tolist()
    return x, y


def _strokes(x: list[int], y: list[int]) -> str:
    moves = []
    for i in range(1, len(x)):
        dx, dy = x[i] - x[i - 1], y[i] - y[i - 1]
        if dx or dy:
            moves.append(f"{dx},{dy}" if dy >= 0 else f"{dx}{dy}")
    return "l" + " ".join(moves) if moves else "h0"


def path_data(steps: Ints, heights: Floats, total: int) -> str:
    """Write a line as path data on a 10000 by 1000 field; NaN interrupts it, a lone point becomes a dot."""
    x, y = _whole(steps, heights, total)
    runs = _runs(np.isfinite(heights))
    return "".join(f"M{x[a]} {y[a]}{_strokes(x[a:b], y[a:b])}" for a, b in runs)


def area(steps: Ints, heights: Floats, total: int) -> str:
    """Write the surface between a line and the bottom as path data."""
    x, y = _whole(steps, heights, total)
    runs = [(a, b) for a, b in _runs(np.isfinite(heights)) if b - a > 1]
    return "".join(f"M{x[a]} {_HEIGHT}V{y[a]}{_strokes(x[a:b], y[a:b])}V{_HEIGHT}z" for a, b in runs)


def stretch(*paths: tuple[str, str]) -> Markup:
    """Stretch ``(class, path data)`` over the whole picture; strokes keep their width."""
    drawn = [tag("path", class_=class_, d=data) for class_, data in paths if data]
    box = {"viewBox": f"0 0 {_WIDTH} {_HEIGHT}", "preserveAspectRatio": "none", "width": "100%", "height": "100%"}
    return tag("svg", *drawn, **box) if drawn else Markup("")


def dots(x: Floats, y: Floats, class_: str, radius: float = 3.5) -> Markup:
    """Draw one circle a finite point; ``x`` and ``y`` are fractions of the picture."""
    points = zip(np.asarray(x).tolist(), np.asarray(y).tolist(), strict=True)
    return join(
        tag("circle", cx=per_cent(a), cy=per_cent(b), r=f"{radius:g}", class_=class_)
        for a, b in points
        if math.isfinite(a) and math.isfinite(b)
    )


def picture(*inside: object, label: str | None, class_: str) -> Markup:
    """Wrap drawings into an SVG picture with a text alternative, or a decoration when ``label`` is None."""
    if label is None:
        return tag("svg", *inside, class_=class_, aria_hidden="true", focusable="false")
    return tag("svg", tag("title", label), *inside, class_=class_, role="img", aria_label=label)


def gutter(axis: Axis, ticks: list[float], written: list[str], class_: str = "gutter") -> Markup:
    """Write tick labels beside a picture, right-aligned at their heights."""
    heights = vertical(axis, np.array(ticks)) if ticks else np.array([])
    labels = [
        tag("text", word, x="100%", y=per_cent(height), dy="0.35em", text_anchor="end")
        for word, height in zip(written, heights.tolist(), strict=True)
    ]
    if axis.log:
        labels.append(tag("text", "log", x="100%", y="50%", dy="0.35em", text_anchor="end", class_="log"))
    return picture(*labels, label=None, class_=class_)
