"""The picture of a range test."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ostinato.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ostinato.search.sweeps.result import RangeTest

__all__ = ["plot", "save_picture"]

_INK, _SOFT, _HAIR, _PAPER = "#1c1d20", "#5c5f66", "#d9d4c8", "#fffefb"
_LINE = "#00755a"
_TONES = ("#c04e00", "#0067a6", "#9a4a86", "#8a6300", "#56b4e9")
_STROKES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)), (0, (1, 3)))


def plot(result: RangeTest, *, ax: Axes | None = None) -> Axes:
    """Draw losses as dots, the smoothed ones as a line, suggestions as vertical lines; return the axes."""
    return _draw(result, _figure().add_subplot() if ax is None else ax)


def _draw(result: RangeTest, drawn: Axes) -> Axes:
    drawn.set_facecolor(_PAPER)
    apart = bool(result.sweep.restart)
    if len(result.values):
        drawn.plot(result.values, result.losses, "o", color=_SOFT, markersize=2.5, alpha=0.55, label="loss", zorder=2)
        label = None if apart else "smoothed"
        drawn.plot(result.values, result.smoothed, color=_LINE, linewidth=1.8, label=label, zorder=3)
        _limit(drawn, result)
    for each, tone, stroke in zip(result.suggestions.values(), _TONES, _STROKES, strict=False):
        if each.value is not None:
            width = 2.0 if each is result.suggestion else 1.1
            drawn.axvline(
                each.value,
                color=tone,
                linestyle=stroke,
                linewidth=width,
                label=f"{each.name}  {each.value:.3g}",
                zorder=1,
            )
    if result.sweep.scale == "exponential":
        drawn.set_xscale("log")
    _dress(drawn, result)
    return drawn


def _figure() -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(8.0, 4.2), facecolor=_PAPER, layout="constrained")


def _limit(ax: Axes, result: RangeTest) -> None:
    """Keep a blow-up at the end from flattening everything else."""
    low, high = float(result.losses.min()), float(result.losses.max())
    usual = float(np.quantile(result.losses, 0.9))
    top = min(high, usual + 1.0 * (usual - low)) if usual > low else high
    room = 0.06 * (top - low) or 0.1 * abs(low) or 0.1
    ax.set_ylim(low - room, top + room)


def _dress(ax: Axes, result: RangeTest) -> None:
    sweep = result.sweep
    ax.set_xlim(sweep.low, sweep.high)
    ax.set_xlabel(f"{sweep.target}{' (times the original)' if sweep.relative else ''}", color=_INK, fontsize=9)
    after = f" after {sweep.restart} updates from the same weights" if sweep.restart else ""
    ax.set_ylabel(f"{'validation' if result.judge == 'validation' else 'training'} loss{after}", color=_INK, fontsize=9)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        ax.spines[side].set_color(_HAIR)
    ax.tick_params(axis="both", which="both", colors=_SOFT, labelsize=8)
    found = result.suggestion
    title = f"{found.name}: {found.value:.3g}" if found.value is not None else f"no suggestion: {found.reason}"
    ax.set_title(title, loc="left", fontsize=9.5, color=_INK, weight="bold", wrap=True)
    if result.stopped:
        ax.set_title(f"stopped: {result.stopped}", loc="right", fontsize=8, color=_SOFT)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, fontsize=8, loc="best", labelcolor=_INK)


def save_picture(result: RangeTest, path: str | Path) -> None:
    """Write the picture as .png or .svg, whole or not at all; the same result gives the same bytes."""
    from matplotlib import rc_context

    from ostinato.atomic import write_bytes

    kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in ("svg", "png"):
        raise ConfigError(f"picture: got {str(path)!r}, expected a name that ends in .png or .svg")
    metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {}
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "ostinato", "svg.fonttype": "path", "font.family": "DejaVu Sans"}):
        figure = _figure()
        _draw(result, figure.add_subplot())
        figure.savefig(buffer, format=kind, dpi=160, metadata=metadata)
    write_bytes(Path(path), buffer.getvalue())
