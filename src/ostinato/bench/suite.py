"""The benchmarks by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module

from ostinato.bench.harness import Row
from ostinato.errors import ConfigError, suggest

__all__ = ["BENCHMARKS", "names_of", "run"]

BENCHMARKS: Mapping[str, tuple[str, str, str]] = {
    "overhead": (
        "overhead",
        "measure_overhead",
        "Scheduler.step() with 8 bindings, against one CosineAnnealingWarmRestarts",
    ),
    "overhead-tensor": ("overhead", "measure_overhead_tensor", "the same with 8 tensors filled in place"),
    "overhead-100": (
        "overhead",
        "measure_overhead_100",
        "one rate over 100 groups, against torch's fastest scheduler there",
    ),
    "compile": (
        "compile",
        "measure",
        "recompiles of a compiled step with 7 scheduled values, and with augmentation; its time against fixed ones",
    ),
    "concert": (
        "concert",
        "measure",
        "a step of a training run with 6 scheduled targets, against the same step with a plain rate schedule",
    ),
    "population": (
        "population",
        "measure",
        "256 small members at once, against a loop of plain training (fused AdamW)",
    ),
    "search": (
        "search",
        "measure",
        "200 trials of a small model on the population engine, against Optuna with one trial at a time (trials a minute)",
    ),
    "landscapes": (
        "landscapes",
        "measure",
        "1,000 starts of Rosenbrock's function under 5 plans at once, against a loop over torch.optim.Adam",
    ),
    "snapshot": ("snapshot", "measure", "time that training stands still for a capture, against one training step"),
    "inference": ("inference", "measure", "an ensemble of 8 small models, batch 1, against a loop over live models"),
    "quality": ("quality", "measure", "error and NLL of a snapshot ensemble, from the committed records of its study"),
}
"""Name to (module in this package, function that returns a row or several, what it measures)."""


def names_of(wanted: str) -> list[str]:
    """Return the benchmarks that a name means; ``all`` means every one.

    Raises:
        ConfigError: There is none.
    """
    if wanted == "all":
        return list(BENCHMARKS)
    if wanted not in BENCHMARKS:
        raise ConfigError(f"bench: got {wanted!r}{suggest(wanted, [*BENCHMARKS, 'all'])}")
    return [wanted]


def run(names: Iterable[str], *, told: Callable[[str], None] = lambda name: None) -> list[Row]:
    """Run benchmarks one after another and return their rows.

    Args:
        names: Which.
        told: Is called with each name before it runs.
    """
    rows: list[Row] = []
    for name in names:
        told(name)
        module, function, _ = BENCHMARKS[name]
        measured = getattr(import_module(f"ostinato.bench.{module}"), function)()
        rows.extend([measured] if isinstance(measured, Row) else measured)
    return rows
