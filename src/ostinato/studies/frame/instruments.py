"""The instruments' own tests: does the interval cover, and does the timing of an evaluation deceive? Measured here, shown on the page of evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ostinato import evaluation, population
from ostinato.atomic import read_json, write_bytes
from ostinato.core.bindings import wave
from ostinato.core.cycles import Cycle
from ostinato.core.documents import canonical
from ostinato.core.plan import Plan
from ostinato.evaluation.calibration import DISTRIBUTIONS, coverage
from ostinato.studies.frame.provenance import code_digest, versions
from ostinato.studies.frame.threads import one_thread

__all__ = ["lines_of", "measure_coverage", "measure_instruments", "measure_phase_lock"]

_METHODS = ("studentised", "paired t", "percentile")
_SIZES = (8, 12, 20)
_PERIOD, _CYCLES, _LATE, _SEEDS = 10, 30, 20, 4
_EVALUATIONS = 60


def measure_instruments(root: Path, *, studies: int = 10_000) -> Path:
    """Measure coverage and phase locking, write ``instruments.json`` and return its path. It takes some minutes.

    Args:
        root: Folder of all evidence.
        studies: Synthetic studies a cell.
    """
    document = {
        "coverage": measure_coverage(studies),
        "phase_lock": measure_phase_lock(),
        "code": code_digest(),
        "versions": versions(),
    }
    root.mkdir(parents=True, exist_ok=True)
    file = root / "instruments.json"
    write_bytes(file, canonical(document).encode() + b"\n")
    return file


def measure_coverage(studies: int) -> list[dict[str, Any]]:
    """Return how often each interval holds the true mean, and what the rule says where there is no effect and where there is one."""
    return [
        asdict(coverage(method, n, distribution, studies=studies))
        for method in _METHODS
        for distribution in DISTRIBUTIONS
        for n in _SIZES
    ]


def measure_phase_lock() -> dict[str, Any]:
    """Return by how much evaluation at an interval, and at the offered timings, misses the mean over the cycle, on digits.

    A perceptron is trained under a cosine cycle of ten steps and scored after every step, which is the truth; every timing reads some of
    those scores. The last twenty of thirty cycles count.
    """
    from torch import nn

    from ostinato.training import datasets
    from ostinato.training.config import DataConfig

    data = datasets.load(DataConfig(name="digits"))
    plan = Plan(
        total=_PERIOD * _CYCLES,
        cycle=Cycle("cosine", period=_PERIOD),
        bindings={"optimizer.lr": wave(0.001, 0.4)},
    )
    resolved = plan.resolve()

    def make() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    with one_thread():
        dense = population.train(
            make, [plan] * _SEEDS, data, optimizer="sgd", seeds=range(_SEEDS), batch_size=32, evaluate=1, compile=False
        )
    late = range(-_LATE, 0)
    reports = [evaluation.by_phase(resolved, *dense.curve(k, "error"), cycles=late) for k in range(_SEEDS)]
    found: dict[str, Any] = {
        name: float(np.mean([getattr(report, name) for report in reports])) for name in ("cycle_mean", "trough", "peak")
    }
    found["intervals"] = {}
    for interval in (10, 5, 3):
        biases = [float(np.mean([r.bias_of(interval, offset) for r in reports])) for offset in range(interval)]
        seen = len(evaluation.phases_seen(_PERIOD, interval))
        found["intervals"][str(interval)] = {"phases": seen, "low": min(biases), "high": max(biases)}
    timings = {
        "coprime(10)": evaluation.coprime(10),
        f"low_discrepancy({_EVALUATIONS})": evaluation.low_discrepancy(_EVALUATIONS),
        f"jittered({_EVALUATIONS})": evaluation.jittered(_EVALUATIONS),
    }
    found["timings"] = {
        name: {
            "evaluations": len(timing(resolved)),
            "bias": float(np.mean([report.bias_of(timing(resolved)) for report in reports])),
        }
        for name, timing in timings.items()
    }
    return found


def lines_of(root: Path) -> Iterator[str]:
    """Yield the lines of the page about the instruments; none where they were not measured."""
    file = root / "instruments.json"
    if not file.exists():
        return
    document = read_json(file)
    yield "## The instruments\n"
    yield "Measured by `ostinato study instruments`.\n"
    yield from _coverage_lines(document["coverage"])
    yield from _phase_lines(document["phase_lock"])


def _coverage_lines(found: list[Mapping[str, Any]]) -> Iterator[str]:
    studies, names = found[0]["studies"], list(dict.fromkeys(entry["distribution"] for entry in found))
    yield "### Does the interval cover?\n"
    yield (
        f"Share of {studies:,} synthetic studies a cell whose 95 % interval holds the true effect; 93 to 97 % is asked for. The studies here use"
        " `studentised`; Student's t is the cross-check, and the percentile bootstrap is what they avoid.\n"
    )
    yield "| interval | n | " + " | ".join(names) + " |"
    yield "|---|---|" + "---|" * len(names)
    for method in _METHODS:
        for n in _SIZES:
            cells = [entry for entry in found if (entry["method"], entry["n"]) == (method, n)]
            yield f"| {method} | {n} | " + " | ".join(f"{100 * entry['coverage']:.1f}" for entry in cells) + " |"
    own = [entry for entry in found if entry["method"] == "studentised"]
    false = max(entry["false_supported"] for entry in own)
    power = min(entry["power"] for entry in own)
    yield (
        f"\nWith a margin of sqrt(8/n) standard deviations the rule calls a null supported in at most {false:.1%} of the studies of any cell, and"
        f" finds a planted effect of twice the margin in at least {power:.0%}. A null is called not supported in"
        f" {min(e['not_supported'] for e in own):.0%} to {max(e['not_supported'] for e in own):.0%}.\n"
    )


def _phase_lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield "### Does the timing of an evaluation deceive?\n"
    yield (
        f"A perceptron on digits under a cosine cycle of {_PERIOD} steps, test error after every step, last {_LATE} of {_CYCLES} cycles, mean of"
        f" {_SEEDS} seeds: {found['cycle_mean']:.2%} over the cycle, {found['trough']:.2%} at the trough, {found['peak']:.2%} at the peak. The bias is the"
        " mean of what an evaluation sees less the mean over the cycle, in points, over every offset that the interval may have.\n"
    )
    yield "| evaluation | phases seen | bias |"
    yield "|---|---|---|"
    for interval, entry in sorted(found["intervals"].items(), key=lambda item: -int(item[0])):
        yield f"| every {interval} steps | {entry['phases']} of {_PERIOD} | {100 * entry['low']:+.2f} to {100 * entry['high']:+.2f} |"
    for name, entry in found["timings"].items():
        yield f"| `{name}`, {entry['evaluations']} evaluations | all | {100 * entry['bias']:+.2f} |"
    yield ""
