"""Measuring ratios: ours and the peer in one process, in turn, so that the machine's mood cancels."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Row", "Timing", "interleaved", "machine"]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds a call of ours and of the peer, and their ratio.

    Attributes:
        ratio: Median over the rounds of ours / peer.
        spread: First and third quartile of the ratio.
        ours: Median seconds a call.
        peer: Median seconds a call.
    """

    ratio: float
    spread: tuple[float, float]
    ours: float
    peer: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the benchmarks.

    Attributes:
        name: The benchmark.
        ratio: Ours over the peer (or what the benchmark says that it counts).
        spread: Its first and third quartile.
        reach: What it has to reach, None where it is only reported.
        aim: What it aims for.
        higher: Whether more is better.
        detail: What was measured, in plain values.
    """

    name: str
    ratio: float
    spread: tuple[float, float]
    reach: float | None = None
    aim: float | None = None
    higher: bool = False
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool | None:
        """Whether the ratio reaches what it has to."""
        if self.reach is None:
            return None
        return self.ratio >= self.reach if self.higher else self.ratio <= self.reach

    def to_document(self) -> dict[str, Any]:
        """Return the row as a JSON document."""
        return {
            "name": self.name,
            "ratio": self.ratio,
            "spread": list(self.spread),
            "reach": self.reach,
            "aim": self.aim,
            "higher_is_better": self.higher,
            "holds": self.holds,
            "detail": self.detail,
        }


def interleaved(
    ours: Callable[[], object],
    peer: Callable[[], object],
    *,
    calls: int,
    rounds: int = 21,
    peer_calls: int | None = None,
) -> Timing:
    """Time `calls` of ours and of the peer in turn, after one round that does not count.

    Args:
        ours: What is measured.
        peer: What it is compared with.
        calls: Calls of ours a round.
        rounds: How often.
        peer_calls: Calls of the peer a round; by default as many.
    """
    pairs = []
    for place in range(rounds + 1):
        pair = _seconds(ours, calls), _seconds(peer, peer_calls or calls)
        if place:
            pairs.append(pair)
    seconds = np.array(pairs)
    ratios = seconds[:, 0] / seconds[:, 1]
    low, middle, high = (float(value) for value in np.quantile(ratios, [0.25, 0.5, 0.75]))
    return Timing(middle, (low, high), float(np.median(seconds[:, 0])), float(np.median(seconds[:, 1])))


def _seconds(call: Callable[[], object], times: int) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - begun) / times


def machine() -> dict[str, Any]:
    """Return what figures depend on: processor, cores, versions, threads."""
    import torch

    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
