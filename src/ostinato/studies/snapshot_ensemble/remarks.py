"""What the records of study ``snapshot-ensemble`` say beside the verdict."""

from __future__ import annotations

from typing import Any

import numpy as np

from ostinato.studies.frame.telling import Records

__all__ = ["remarks"]


def remarks(records: Records) -> list[str]:
    """Return sentences for one regime: diversity, barrier, and how many full runs the snapshots are worth."""
    done = [record for record in records if record["status"] == "done"]
    by_arm: dict[str, dict[int, dict[str, Any]]] = {}
    for record in done:
        by_arm.setdefault(record["arm"], {})[record["seed"]] = record
    lines = []
    pairs = {arm: [r["metrics"]["disagreement"] for r in by_arm.get(arm, {}).values()] for arm in _ENSEMBLES}
    if all(pairs.values()):
        told = ", ".join(f"{arm} {np.mean(values):.1%}" for arm, values in pairs.items())
        lines.append(f"Pairs of members disagree on so many test images: {told}.")
    barriers = [record["metrics"]["barrier"] for record in by_arm.get("snapshots", {}).values()]
    if barriers:
        lines.append(
            f"Half-way between neighbouring snapshots the training loss lies {np.mean(barriers):+.3f} nat from the mean of its ends"
            f" (batch norm measured anew): {'they lie in different basins' if np.mean(barriers) > 0.02 else 'no barrier parts them'}."
        )
    worth = [
        w for seed, full in by_arm.get("full-ensemble", {}).items() if (w := _worth(by_arm, seed, full)) is not None
    ]
    if worth:
        lines.append(
            f"In NLL after temperature the snapshots are worth {np.mean(worth):.2f} runs of full length (mean of {len(worth)} seeds;"
            " 1 is a single model, five such runs cost five times as much)."
        )
    return lines


_ENSEMBLES = ("snapshots", "sorted", "no-cycle", "cold-starts", "full-ensemble")


def _worth(by_arm: dict[str, dict[int, dict[str, Any]]], seed: int, full: dict[str, Any]) -> float | None:
    """Return the size of an ensemble of full runs that reaches the snapshots' NLL, interpolated linearly; at least 0, at most its size."""
    curve = full["curves"]["nll_at_temperature_by_size"]
    own = by_arm.get("snapshots", {}).get(seed)
    if own is None:
        return None
    falling = np.minimum.accumulate(curve)
    sizes = np.arange(1, len(curve) + 1, dtype=float)
    value = own["metrics"]["nll_at_temperature"]
    if value > falling[0]:
        return float(max(0.0, 1.0 - (value - falling[0]) / max(falling[0] - falling[1], 1e-9)))
    return float(np.interp(-value, -falling, sizes))
