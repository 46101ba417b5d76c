"""The picture of a fold: its beads and bonds, and how the energy got there."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ostinato.applications.folding.folding import Folding
from ostinato.atomic import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["figure", "save_picture"]

_BEADS = {"A": ("#c04e00", "A, hydrophobic"), "B": ("#0067a6", "B, polar")}
_BOND, _INK, _SOFT, _PAPER = "#8a8d93", "#1c1d20", "#5c5f66", "#fffefb"
_DPI = 130


def figure(folding: Folding) -> Figure:
    """Return a matplotlib figure: the lowest fold on the left, the course of the energies on the right.

    The fold is turned to its principal axes, so that its longest extent lies across the page.
    """
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(10.0, 4.8), facecolor=_PAPER, layout="constrained")
    grid = drawn.add_gridspec(1, 2, width_ratios=(1.0, 1.15))
    flat = folding.dim == 2
    ax: Any = drawn.add_subplot(grid[0], projection=None if flat else "3d", facecolor=_PAPER)
    _draw_chain(ax, _turned(folding.coordinates), folding.sequence)
    _draw_course(drawn.add_subplot(grid[1], facecolor=_PAPER), folding)
    shown = folding.sequence if len(folding.sequence) <= 40 else f"{folding.sequence[:37]}..."
    drawn.suptitle(
        f"{shown}   model {folding.model}, {folding.dim}D   energy {folding.best:.4f}", fontsize=10, color=_INK, x=0.02, ha="left", weight="bold"
    )  # fmt: skip
    return drawn


def save_picture(folding: Folding, file: str | Path) -> Path:
    """Write the figure to a PNG or SVG file, by its ending, whole or not at all."""
    import matplotlib as mpl

    place, stream = Path(file), io.BytesIO()
    kind = place.suffix.lower().removeprefix(".") or "png"
    with mpl.rc_context({"svg.hashsalt": "fold"}):
        figure(folding).savefig(
            stream, format=kind, dpi=_DPI, metadata={"Date": None} if kind == "svg" else {"Software": None}
        )
    write_bytes(place, stream.getvalue())
    return place


def _turned(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the points about their middle, in the frame of their principal axes."""
    centred = points - points.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    turned: NDArray[np.float64] = centred @ axes.T
    return turned


def _draw_chain(ax: Any, points: NDArray[np.float64], sequence: str) -> None:
    places = points.T
    ax.plot(*places, color=_BOND, linewidth=3.0, solid_capstyle="round", zorder=1)
    for bead, (colour, label) in _BEADS.items():
        here = [letter == bead for letter in sequence]
        if any(here):
            depth = {"depthshade": False} if len(places) == 3 else {"zorder": 2}
            ax.scatter(
                *places[:, here],
                s=190 if len(sequence) < 30 else 90,
                color=colour,
                edgecolors=_PAPER,
                linewidths=1.0,
                label=label,
                **depth,
            )
    for name, place in (("1", points[0]), (str(len(points)), points[-1])):
        ax.text(*place, f" {name} ", color=_PAPER, fontsize=7, ha="center", va="center", zorder=9)
    ax.set_aspect("equal")
    ax.set_axis_off()
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0.0, 0.0), ncols=2)


def _draw_course(ax: Axes, folding: Folding) -> None:
    counts = np.arange(1, len(folding.lowest) + 1)
    kind = "mean of the starts" if folding.method in ("plan", "noise") else "mean of the starts' lowest so far"
    ax.plot(counts, folding.mean, color="#56b4e9", linewidth=0.9, label=kind)
    ax.plot(counts, folding.lowest, color=_INK, linewidth=1.6, label="lowest so far")
    ax.plot(
        counts[-1], folding.best, marker="o", color="#c04e00", markersize=5, linestyle="none", label="lowest, polished"
    )
    if folding.reference is not None:
        ax.axhline(
            folding.reference.energy,
            color="#00755a",
            linewidth=1.0,
            linestyle="--",
            label=f"reference {folding.reference.energy:g}",
        )
    lowest = min(folding.best, folding.reference.energy if folding.reference is not None else folding.best)
    if lowest < 0.0:
        ax.set_ylim(1.08 * lowest, -0.35 * lowest)
    ax.set_xlabel("evaluations of each start", fontsize=9, color=_SOFT)
    ax.set_ylabel("energy", fontsize=9, color=_SOFT)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8, colors=_SOFT)
    ax.legend(frameon=False, fontsize=8, loc="upper right")
