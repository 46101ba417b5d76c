"""What remarks on records are made of: records by arm, and means over the runs that came to an end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["Records", "finished", "grouped", "mean"]

Records = Sequence[dict[str, Any]]


def grouped(records: Records) -> dict[str, list[dict[str, Any]]]:
    """Return records by the names of their arms, in the order in which they came.

    >>> grouped([{"arm": "a", "seed": 0}, {"arm": "b", "seed": 0}, {"arm": "a", "seed": 1}])["a"]
    [{'arm': 'a', 'seed': 0}, {'arm': 'a', 'seed': 1}]
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        found.setdefault(record["arm"], []).append(record)
    return found


def finished(records: Records) -> list[dict[str, Any]]:
    """Return the records of runs that did not diverge."""
    return [record for record in records if record["status"] == "done"]


def mean(records: Records, metric: str) -> float:
    """Return the mean over the records that have the metric; NaN where none has.

    >>> mean([{"metrics": {"error": 0.1}}, {"metrics": {"error": 0.3}}, {"metrics": {}}], "error")
    0.2
    """
    found = [record["metrics"][metric] for record in records if metric in record["metrics"]]
    return float(np.mean(found)) if found else float("nan")
