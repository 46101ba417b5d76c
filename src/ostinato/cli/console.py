"""Where output goes: people's and machines'."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console

__all__ = ["err", "out", "print_json", "sparkline"]

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

_BARS = "▁▂▃▄▅▆▇█"


def print_json(document: Any) -> None:
    """Write one JSON document to standard output."""
    json.dump(document, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def sparkline(values: Sequence[float], width: int) -> str:
    """Return a line of `width` bars for equally spaced values.

    >>> sparkline([0.0, 1.0, 0.0], 3)
    '▁█▁'
    """
    if not values or width < 1:
        return ""
    chosen = [values[place * (len(values) - 1) // max(width - 1, 1)] for place in range(min(width, len(values)))]
    low, high = min(chosen), max(chosen)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((value - low) * scale)] for value in chosen)
