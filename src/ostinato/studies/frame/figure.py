"""A study's figure: every effect with its interval, regime by regime."""

from __future__ import annotations

import io
from pathlib import Path
from textwrap import fill

from ostinato.atomic import write_bytes
from ostinato.studies.frame.judging import Finding, Judgement
from ostinato.studies.frame.summary import Summary, factor_of, unit_of

__all__ = ["draw"]

_COLOURS = {"primary": "#b3261e", "required": "#b3261e", "literal": "#7a5c00", "secondary": "#2f5d8a"}
_WIDE = 40.0
"""From so many margins on, effects are drawn on an axis that is logarithmic outside of the margin."""
_PANEL, _LETTER = 3.9, 0.07  # inches of a panel beside its labels, and of a letter
_TICKS = 6  # intervals between the numbers of an axis: more would touch
_TITLE = 62  # letters of a line of a panel's title


def draw(summary: Summary, folder: Path) -> Path:
    """Draw the effects on the primary metric and return the picture's file, an SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    spec = summary.study.spec
    judgements = [judgement for judgement in summary.judgements if judgement.verdict is not None]
    shown = [found for found in judgements[0].findings if found.contrast.metric == spec.primary.metric]
    height = 0.9 + 0.36 * len(shown)
    width = _PANEL + _LETTER * max(len(found.contrast.name) for found in shown)
    columns = min(2, len(judgements))
    rows = -(-len(judgements) // columns)
    with mpl.rc_context({"svg.hashsalt": spec.name, "font.size": 9}):
        figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax, judgement in zip(axes, judgements, strict=False):
            _panel(ax, judgement, spec.primary.metric)
        for ax in axes[len(judgements) :]:
            ax.set_axis_off()
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    file = folder / f"{spec.name}.svg"
    write_bytes(file, stream.getvalue())
    return file


def _panel(ax: object, judgement: Judgement, metric: str) -> None:
    from matplotlib.axes import Axes

    assert isinstance(ax, Axes)
    findings = [found for found in judgement.findings if found.contrast.metric == metric]
    scale = factor_of(metric)
    margin = scale * findings[0].contrast.margin
    ax.axvline(0.0, color="0.3", linewidth=0.8)
    ax.axvline(margin, color="0.3", linewidth=0.8, linestyle="--")
    for place, found in enumerate(findings):
        _interval(ax, found, -place, scale)
    if max(abs(end) for found in findings for end in found.decision.interval.to_document()) * scale > _WIDE * margin:
        ax.set_xscale("symlog", linthresh=2 * margin)
    else:
        ax.locator_params(axis="x", nbins=_TICKS)
    ax.set_yticks([-place for place in range(len(findings))], [found.contrast.name for found in findings])
    assert judgement.verdict is not None
    ax.set_title(fill(f"{judgement.regime.title}: {judgement.verdict.verdict}", _TITLE), fontsize=9, loc="left")
    unit = f" in {unit_of(metric)}" if unit_of(metric) else ""
    ax.set_xlabel(f"difference of {metric}{unit}; right of the dashed line as claimed", fontsize=8)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)


def _interval(ax: object, found: Finding, place: int, scale: float) -> None:
    from matplotlib.axes import Axes

    assert isinstance(ax, Axes)
    low, high = found.decision.interval.low, found.decision.interval.high
    colour = _COLOURS[found.contrast.role]
    ax.plot([scale * low, scale * high], [place, place], color=colour, linewidth=2.0, solid_capstyle="butt")
    ax.plot(scale * found.decision.effect, place, marker="o", markersize=5, color=colour)
