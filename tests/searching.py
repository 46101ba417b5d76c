"""Small searches for the tests: digits, a linear model, plans of a few dozen steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ostinato.search import Objective, Range, Space
from ostinato.search.queue import Queue
from ostinato.search.setup import Setup
from ostinato.search.storage import open_storage
from ostinato.search.trials import Laboratory
from ostinato.training import RunConfig, parse_config
from ostinato.training.session import resolve_config

PLAN: dict[str, Any] = {
    "total": 24,
    "cycle": {"waveform": "cosine", "count": 2},
    "bind": [{"target": "optimizer.lr", "low": 0.001, "high": 0.1}],
}
LONG: dict[str, Any] = {**PLAN, "total": 900}
"""Trials that last long enough to be caught running."""
SPACE = Space({"optimizer.lr/high": Range(0.01, 1.0, log=True), "cycle.count": Range(1, 6)})


def config(plan: dict[str, Any] | None = None, **changes: Any) -> RunConfig:
    """Return a run that takes a second at most; `changes` are addresses with two underscores for the dot."""
    document = {
        **(PLAN if plan is None else plan),
        "model": "linear",
        "optimizer": {"name": "sgd", "lr": 0.1},
        "train": {"batch_size": 256},
    }
    return parse_config(document).replace({key.replace("__", "."): value for key, value in changes.items()})


def setup(**changes: Any) -> Setup:
    """Return a setup, without its data."""
    fields: dict[str, Any] = {
        "config": resolve_config(config()),
        "space": SPACE,
        "objective": Objective(),
        "sampler": "random",
        "trials": 6,
        "seed": 0,
        "seeds": 1,
        "pruner": "none",
        "data": {"name": "digits"},
    }
    return Setup(**{**fields, **changes})


def queue(folder: Path, heartbeat_s: int = 10, **changes: Any) -> Queue:
    """Return the queue of a search, in a file of its own."""
    return Queue.begin(open_storage(folder / "trials.sqlite3", heartbeat_s=heartbeat_s), "small", setup(**changes))


def laboratory(**changes: Any) -> Laboratory:
    """Return what trains and scores the trials of such a search."""
    given = setup(**changes)
    return Laboratory.of(given.config, given.objective, given.seeds)
