"""The pictures of a search: its scores along each field, and over the two that matter most; drawn by Optuna."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from ostinato.atomic import write_bytes
from ostinato.search.queue import Queue
from ostinato.search.samplers import quiet

__all__ = ["draw_pictures"]

_DPI = 120
_FEWEST = 2


def draw_pictures(queue: Queue, importance: Mapping[str, float | None], folder: Path) -> list[Path]:
    """Write ``slices.png`` and ``contour.png`` into a folder and return those that could be drawn."""
    fields = _drawn(queue)
    if not fields:
        return []
    pictures = [_saved(folder / "slices.png", "plot_slice", queue, fields)]
    ranked = sorted(fields, key=lambda name: -(importance.get(name) or 0.0))[:2]
    if len(ranked) == 2:
        pictures.append(_saved(folder / "contour.png", "plot_contour", queue, ranked))
    return pictures


def _drawn(queue: Queue) -> list[str]:
    """Return the fields that every scored trial has, and in which they differ."""
    done = queue.trials(TrialState.COMPLETE)
    if len(done) < _FEWEST:
        return []
    return [
        name
        for name in queue.setup.space.fields
        if all(name in trial.params for trial in done) and len({trial.params[name] for trial in done}) > 1
    ]


def _saved(file: Path, plot: str, queue: Queue, fields: list[str]) -> Path:
    import matplotlib as mpl

    mpl.use("Agg", force=False)
    import matplotlib.pyplot as plt
    from optuna.visualization import matplotlib as drawing

    metric = f"{queue.setup.objective.metric} ({queue.setup.objective.moment})"
    before = set(plt.get_fignums())
    try:
        with quiet(), warnings.catch_warnings(), plt.style.context("default"):
            warnings.simplefilter("ignore")
            axes: Any = getattr(drawing, plot)(queue.study, params=fields, target_name=metric)
            figure = plt.gcf()
            del axes
            figure.set_size_inches(
                max(6.4, 3.2 * len(fields)) if plot == "plot_slice" else 7.2, 4.4 if plot == "plot_slice" else 5.4
            )
            stream = io.BytesIO()
            figure.savefig(stream, format="png", dpi=_DPI, bbox_inches="tight", metadata={"Software": None})
    finally:
        for number in set(plt.get_fignums()) - before:
            plt.close(number)
    write_bytes(file, stream.getvalue())
    return file
