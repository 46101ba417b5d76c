"""What the records of study ``membership-breathing`` say beside the verdict."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.evaluation import studentised_bootstrap
from ostinato.studies.frame.telling import Records, finished, grouped, mean
from ostinato.studies.membership_breathing.spec import CYCLES

__all__ = ["harmonic", "remarks"]

Floats = NDArray[np.float64]


def remarks(records: Records) -> list[str]:
    """Return sentences for one regime: leak and accuracy over the cycle, the swing after detrending, how the accuracies matched, what to release."""
    by_arm = grouped(finished(records))
    if "quarter" not in by_arm:
        return []
    leak, accuracy = _curve(by_arm["quarter"], "auc"), _curve(by_arm["quarter"], "accuracy")
    late = [np.mean(course.reshape(len(course), CYCLES, -1)[:, 1:], axis=(0, 1)) for course in (leak, accuracy)]
    lines = [
        f"LiRA area at each {'eighth' if len(late[0]) == 8 else 'evaluation'} of cycles 2 to {CYCLES}, from high to low rate: {_listed(late[0], '.3f')};"
        f" accuracy {_listed(100 * late[1], '.1f')} %."
    ]
    lines.append(_harmonic_line(leak))
    for arm in ("sorted", "constant", "cosine"):
        if arm in by_arm:
            own = by_arm[arm]
            lines.append(
                f"The {arm} arm was read at an accuracy of {100 * mean(own, 'accuracy'):.2f} %, the first quarters have {100 * mean(by_arm['quarter'], 'accuracy'):.2f} %;"
                f" it reached {100 * mean(own, 'reached'):.0f} % of the accuracies that were wanted."
            )
    lines.append(_release(by_arm, leak, accuracy))
    return lines


def harmonic(course: Floats) -> tuple[float, float, float]:
    """Fit a + b t + c cos 2 pi f + s sin 2 pi f, f the phase, to the cycles from the second on.

    Returns:
        c, s, and the share of what the straight line leaves of the course's variance that they explain.

    >>> phase = np.tile(np.arange(1, 9) / 8, 4)
    >>> c, s, share = harmonic(np.arange(32) * 0.01 - 0.02 * np.sin(2 * np.pi * phase))
    >>> abs(round(c, 6)), round(s, 6), round(share, 6)
    (0.0, -0.02, 1.0)
    """
    each = len(course) // CYCLES
    values = course[each:]
    time = np.arange(len(values), dtype=np.float64)
    turn = 2 * np.pi * (time % each + 1) / each
    line = np.stack([np.ones_like(time), time], axis=1)
    waves = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    rest = [part - line @ np.linalg.lstsq(line, part, rcond=None)[0] for part in (values, waves)]
    found = np.linalg.lstsq(rest[1], rest[0], rcond=None)[0]
    whole = float((rest[0] ** 2).sum())
    share = 1.0 - float(((rest[0] - rest[1] @ found) ** 2).sum()) / whole if whole > 1e-20 else 0.0
    return float(found[0]), float(found[1]), share


def _harmonic_line(leak: Floats) -> str:
    fits = np.array([harmonic(course) for course in leak])
    c, s = fits[:, 0].mean(), fits[:, 1].mean()
    amplitude, highest = float(np.hypot(c, s)), float(np.arctan2(s, c) / (2 * np.pi) % 1.0)
    along = (fits[:, 0] * c + fits[:, 1] * s) / amplitude if amplitude > 0 else fits[:, 0]
    interval = studentised_bootstrap(along)
    return (
        f"Regressed on phase after a straight line in time is taken off, the area swings by {amplitude:.4f} to either side (95 % interval {interval}, over blocks), highest at"
        f" {highest:.2f} of the cycle, lowest at {(highest + 0.5) % 1.0:.2f}; this explains {100 * fits[:, 2].mean():.0f} % of what the line leaves."
    )


def _release(by_arm: dict[str, list[dict[str, Any]]], leak: Floats, accuracy: Floats) -> str:
    each = leak.shape[1] // CYCLES
    ends = slice(each - 1, None, each)
    told = ", ".join(
        f"{area:.3f} at {100 * right:.1f} %"
        for area, right in zip(leak[:, ends].mean(axis=0), accuracy[:, ends].mean(axis=0), strict=True)
    )
    twin = ""
    if "sorted" in by_arm:
        area, right = (_curve(by_arm["sorted"], name)[:, -1].mean() for name in ("auc", "accuracy"))
        twin = f" The sorted twin ends with {area:.3f} at {100 * right:.1f} %."
    late = leak.mean(axis=0).reshape(CYCLES, each)[1:].mean(axis=0)
    place = (
        "highest" if late[-1] == late.max() else "lowest" if late[-1] == late.min() else "neither highest nor lowest"
    )
    lesson = ", so that breathing by itself protects nobody" if place == "highest" else ""
    return (
        f"Snapshots are released at troughs, where the area is {place} in its cycle{lesson}."
        f" Area and accuracy at the {CYCLES} troughs: {told}.{twin}"
    )


def _curve(records: Records, name: str) -> Floats:
    return np.array([record["curves"][name] for record in records], dtype=np.float64)


def _listed(values: Floats, form: str) -> str:
    return ", ".join(f"{value:{form}}" for value in values)
