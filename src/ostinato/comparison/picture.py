"""The picture of a comparison: for every control the paired differences, their mean and its interval, beside the margin."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING

from ostinato.comparison.analysis import Effect, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

_INK, _SOFT, _HAIR, _PAPER, _BAND = "#1c1d20", "#5c5f66", "#d9d4c8", "#fffefb", "#f1ede1"
_TONES = {"supported": "#00755a", "not supported": "#c04e00", "inconclusive": "#5c5f66"}
_ROLES = {
    "primary": "the comparator",
    "required": "required too",
    "secondary": "secondary",
    "literal": "literal, ends hot",
}
_WIDTH, _ROW, _FRAME = 8.4, 0.62, 2.15
_DPI = 144
_LINE = 96


def draw(summary: Summary) -> bytes:
    """Return the picture as a PNG file. To the right of 0 the plan is better; in the shaded band it is so by less than the margin matters."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = len(summary.effects)
    text = textwrap.wrap(summary.sentence, _LINE)
    height = _FRAME + _ROW * rows + 0.2 * len(text)
    figure = Figure(figsize=(_WIDTH, height), facecolor=_PAPER)
    FigureCanvasAgg(figure)
    top = 1 - (0.5 + 0.2 * len(text)) / height
    axes = figure.add_axes((0.2, 0.95 / height, 0.6, top - 0.95 / height - 0.12 / height), facecolor=_PAPER)
    figure.text(
        0.03,
        1 - 0.3 / height,
        f"{summary.data}: the plan against its controls",
        size=12,
        weight="bold",
        color=_INK,
        va="center",
    )
    figure.text(0.03, 1 - 0.47 / height, "\n".join(text), size=9, color=_INK, va="top", linespacing=1.4)
    _frame(axes, summary)
    for place, effect in enumerate(summary.effects):
        _row(axes, summary, effect, rows - 1 - place)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
    return file.getvalue()


def _frame(axes: Axes, summary: Summary) -> None:
    endpoint, margin = summary.endpoint, summary.endpoint.scale * summary.margin
    axes.axvspan(-margin, margin, color=_BAND, zorder=0, lw=0)
    axes.axvline(0, color=_INK, lw=1, zorder=1)
    axes.axvline(margin, color=_SOFT, lw=1, ls=(0, (4, 3)), zorder=1)
    axes.set_ylim(-0.6, len(summary.effects) - 0.4)
    axes.set_yticks([])
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_HAIR)
    axes.tick_params(colors=_SOFT, labelsize=9)
    unit = f", {endpoint.unit}" if endpoint.unit else ""
    axes.set_xlabel(
        f"gain of the plan: how much lower its {endpoint.words} is{unit}\n"
        f"small dots: the {len(summary.seeds)} seeds; bars: 95 % intervals of the mean; dashed: the margin of {endpoint.number(summary.margin)}",
        fontsize=9, color=_SOFT, linespacing=1.5,
    )  # fmt: skip


def _row(axes: Axes, summary: Summary, effect: Effect, y: int) -> None:
    scale, decision = summary.endpoint.scale, effect.decision
    tone = _TONES[decision.verdict]
    heavy = effect.role in ("primary", "required")
    low, high, middle = (scale * value for value in (decision.interval.low, decision.interval.high, decision.effect))
    axes.plot(
        [scale * value for value in effect.differences],
        [y - 0.24] * decision.n,
        "o",
        ms=3.2,
        color=tone,
        alpha=0.45,
        mew=0,
        zorder=2,
    )
    axes.plot([low, high], [y, y], color=tone, lw=2.6 if heavy else 1.4, solid_capstyle="butt", zorder=3)
    axes.plot([middle], [y], "o", ms=7.5 if heavy else 5.5, color=tone, mec=_PAPER, mew=1, zorder=4)
    side = axes.get_yaxis_transform()
    axes.text(
        -0.03,
        y + 0.02,
        effect.control,
        transform=side,
        ha="right",
        va="bottom",
        size=10,
        color=_INK,
        weight="bold" if heavy else "normal",
    )
    axes.text(
        -0.03,
        y - 0.05,
        _ROLES[effect.role] if not effect.single else f"its last model, {_ROLES[effect.role]}",
        transform=side,
        ha="right",
        va="top",
        size=8,
        color=_SOFT,
    )
    number = summary.endpoint.number
    axes.text(
        1.03,
        y + 0.02,
        decision.verdict,
        transform=side,
        ha="left",
        va="bottom",
        size=10,
        color=tone,
        weight="bold" if heavy else "normal",
    )
    span = f"{number(decision.effect)} ({number(decision.interval.low)} to {number(decision.interval.high)})"
    axes.text(1.03, y - 0.05, span, transform=side, ha="left", va="top", size=8, color=_SOFT)
