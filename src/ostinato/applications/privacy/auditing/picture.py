"""The picture of an audit: rate, leak and accuracy on one time axis, and the leak against the accuracy."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ostinato.applications.privacy.auditing.result import Audit, Reading

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

_INK, _SOFT, _HAIR, _PAPER = "#1c1d20", "#5c5f66", "#d9d4c8", "#fffefb"
_PLAN, _CONSTANT, _CHOSEN = "#00755a", "#8a6300", "#c04e00"
_DPI = 144


def draw(audit: Audit) -> bytes:
    """Return the picture as a PNG file; the same audit gives the same bytes."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context({"font.family": "DejaVu Sans", "font.size": 9}):
        figure = Figure(figsize=(10.5, 5.6), facecolor=_PAPER, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(3, 2, width_ratios=(1.7, 1.0), height_ratios=(0.6, 1.5, 1.0))
        rate, leak, accuracy = (figure.add_subplot(grid[row, 0]) for row in range(3))
        _rate(rate, audit)
        _leak(leak, audit)
        _accuracy(accuracy, audit)
        _tradeoff(figure.add_subplot(grid[:, 1]), audit)
        for axes in (rate, leak):
            axes.set_xlim(accuracy.get_xlim())
            axes.tick_params(labelbottom=False)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
    return file.getvalue()


def _dress(axes: Axes, audit: Audit, label: str, *, cycles: bool = True) -> None:
    axes.set_facecolor(_PAPER)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color(_HAIR)
    axes.tick_params(colors=_SOFT, labelsize=8)
    axes.set_ylabel(label, color=_INK)
    for snapshot in audit.snapshots if cycles else ():
        axes.axvline(snapshot.reading.step + 1, color=_HAIR, linewidth=0.8, zorder=0)


def _steps(readings: Sequence[Reading]) -> list[int]:
    return [reading.step + 1 for reading in readings]


def _rate(axes: Axes, audit: Audit) -> None:
    _dress(axes, audit, "rate")
    for readings, tone in ((audit.constant, _CONSTANT), (audit.readings, _PLAN)):
        known = [(reading.step + 1, reading.rate) for reading in readings if reading.rate is not None]
        axes.plot([step for step, _ in known], [value for _, value in known], color=tone, linewidth=1.4)
    axes.set_ylim(bottom=0.0)
    axes.set_title(
        f"{audit.data}, {audit.model}: what {audit.attack} finds", loc="left", size=10.5, weight="bold", color=_INK
    )


def _leak(axes: Axes, audit: Audit) -> None:
    _dress(axes, audit, "area of the attack")
    axes.axhline(0.5, color=_SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
    for readings, tone, name in (
        (audit.constant, _CONSTANT, "constant rate of the same mean"),
        (audit.readings, _PLAN, "the plan"),
    ):
        if not readings:
            continue
        steps = _steps(readings)
        low, high = [one.interval.low for one in readings], [one.interval.high for one in readings]
        axes.fill_between(steps, low, high, color=tone, alpha=0.13, linewidth=0)
        axes.plot(steps, [one.auc for one in readings], color=tone, linewidth=1.6, label=name)
    ends = [snapshot.reading for snapshot in audit.snapshots]
    axes.plot(_steps(ends), [one.auc for one in ends], "o", color=_PLAN, markersize=5, mec=_PAPER, label="snapshots")
    own = [(snapshot.reading.step + 1, snapshot.own["auc"]) for snapshot in audit.snapshots if snapshot.own]
    if own:
        axes.plot(
            [step for step, _ in own],
            [value for _, value in own],
            "D",
            color=_INK,
            markersize=4.5,
            label="this run's own",
        )
    chosen = audit.chosen.reading
    axes.plot(chosen.step + 1, chosen.auc, "o", color="none", mec=_CHOSEN, markersize=11, mew=1.8, label="to release")
    axes.legend(frameon=False, fontsize=7.5, labelcolor=_INK, loc="best", ncols=2)


def _accuracy(axes: Axes, audit: Audit) -> None:
    _dress(axes, audit, "accuracy, %")
    for readings, tone in ((audit.constant, _CONSTANT), (audit.readings, _PLAN)):
        axes.plot(_steps(readings), [100 * one.accuracy for one in readings], color=tone, linewidth=1.4)
    levels = [100 * one.accuracy for one in (*audit.readings, *audit.constant)]
    axes.set_ylim(max(min(levels), sorted(levels)[len(levels) // 5] - 5.0), max(levels) + 0.5)
    axes.set_xlabel("updates; bands are 95 % intervals over models, vertical lines cycle ends", color=_SOFT)


def _tradeoff(axes: Axes, audit: Audit) -> None:
    _dress(axes, audit, "area of the attack", cycles=False)
    for readings, tone in ((audit.constant, _CONSTANT), (audit.readings, _PLAN)):
        axes.plot(
            [100 * one.accuracy for one in readings],
            [one.auc for one in readings],
            ".-",
            color=tone,
            linewidth=0.7,
            markersize=4,
            alpha=0.75,
        )
    for snapshot in audit.snapshots:
        reading = snapshot.reading
        axes.plot(100 * reading.accuracy, reading.auc, "o", color=_PLAN, markersize=6, mec=_PAPER)
        axes.annotate(
            str(reading.cycle + 1), (100 * reading.accuracy, reading.auc), xytext=(-6, 6), textcoords="offset points", size=8, color=_INK, ha="right"
        )  # fmt: skip
    chosen = audit.chosen.reading
    axes.plot(100 * chosen.accuracy, chosen.auc, "o", color="none", mec=_CHOSEN, markersize=12, mew=1.8)
    levels = [100 * one.accuracy for one in (*audit.readings, *audit.constant)]
    axes.set_xlim(max(min(levels), sorted(levels)[len(levels) // 5] - 1.0), max(levels) + 0.3)
    axes.set_xlabel("accuracy, %: further right and lower is better", color=_SOFT)
    axes.set_title("leak against accuracy", loc="left", size=10.5, color=_INK)
