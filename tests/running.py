"""Small runs for the tests: configurations, data with random transforms, interruptions, and what two runs must share."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ostinato.atomic import canonical_json
from ostinato.core.clock import Tick
from ostinato.errors import RunInterruptedError
from ostinato.training import Observer, RunConfig, parse_config, resume, train
from ostinato.training.session import Session

PLAN: dict[str, Any] = {
    "total": 26,
    "warmup": 2,
    "cycle": {"waveform": "cosine", "period": 8},
    "bind": [
        {"target": "optimizer.lr", "low": 0.01, "high": 0.1},
        {"target": "model:Dropout.p", "relation": "mirror", "low": 0.05, "high": 0.3},
        {"target": "model:BatchNorm.momentum", "relation": "mirror", "low": 0.01, "high": 0.3},
        {"target": "loss.label_smoothing", "low": 0.0, "high": 0.1, "shift": 0.25},
    ],
}
MODEL = {"name": "mlp", "args": {"hidden": 12, "depth": 1}}


class Jittered(Dataset[tuple[Tensor, int]]):
    """Examples under a random transform that draws from all three global generators."""

    def __init__(self, length: int, bad: int | None = None) -> None:
        self.length = length
        self.bad = bad

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        label = index % 3
        noise = torch.randn(6) + float(np.random.rand()) + random.random()  # noqa: NPY002 - the global one is meant
        inputs = nn.functional.one_hot(torch.tensor(label), 6).float() * 3 + 0.3 * noise
        return (inputs * float("nan") if index == self.bad else inputs), label


def jittered(length: int = 100, bad: int | None = None) -> tuple[Jittered, Jittered, int]:
    return Jittered(length, bad), Jittered(30), 3


def with_nan() -> tuple[Any, Any]:
    inputs = np.random.default_rng(0).random((60, 4)).astype(np.float32)
    inputs[37, 2] = np.nan
    return (torch.utils.data.TensorDataset(torch.from_numpy(inputs), torch.arange(60) % 3)), (
        torch.utils.data.TensorDataset(torch.rand(9, 4), torch.arange(9) % 3)
    )


def narrow(classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(5, classes))


def wrong_classes() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 7))


def no_module() -> int:
    return 3


def broken() -> nn.Module:
    raise ValueError("a broken factory")


def config(plan: dict[str, Any] | None = None, **changes: Any) -> RunConfig:
    """Return a small run on digits; `changes` are addresses with two underscores for the dot."""
    tables = {"model": MODEL, "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9}}
    document = {**(PLAN if plan is None else plan), **tables, "train": {"batch_size": 160, "checkpoint_every": 5}}
    return parse_config(document).replace({key.replace("__", "."): value for key, value in changes.items()})


class Stopper(Observer):
    """Asks for the end of the run while update `at` (from 0) is recorded, so that the run stops after the next one."""

    def __init__(self, at: int, which: signal.Signals = signal.SIGINT) -> None:
        self.at, self.which = at, which

    def begun(self, session: Session, count: int) -> None:
        if count == self.at + 1:
            signal.raise_signal(self.which)

    def updated(self, tick: Tick, loss: float) -> None:
        if tick.step == self.at:
            signal.raise_signal(self.which)


class Crash(BaseException):
    """Ends a run as abruptly as one process can."""


class Crasher(Observer):
    """Ends the run at once when the named observer method is called for the n-th time."""

    def __init__(self, method: str, count: int) -> None:
        self.left = count
        setattr(self, method, self._count)

    def _count(self, *_: Any) -> None:
        self.left -= 1
        if self.left < 0:
            raise Crash


def interrupted_run(setting: RunConfig, out: Path, stops: Iterable[int]) -> dict[str, Any]:
    """Train with an interruption after each of the given counts of updates, resuming each time."""
    start: Callable[[Observer | None], Any] = lambda observer: train(setting, out, observer=observer)  # noqa: E731 - it is one expression
    for number, stop in enumerate(stops):
        which = (signal.SIGINT, signal.SIGTERM)[number % 2]
        with contextlib.suppress(RunInterruptedError):
            start(Stopper(stop - 2, which))
            raise AssertionError(f"not interrupted at {stop}")
        start = lambda observer: resume(out, observer=observer)  # noqa: E731 - it is one expression
    document: dict[str, Any] = start(None)[1]
    return document


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def newest_checkpoint(folder: Path) -> Path:
    return sorted((folder / "checkpoint").glob("step-*"))[-1]


def fingerprint(folder: Path) -> dict[str, Any]:
    """Return the SHA-256 of everything that a run must reproduce: state, log, snapshots, result."""
    place = newest_checkpoint(folder)
    body = json.loads((place / "state.json").read_text())
    state = {key: value for key, value in body.items() if key not in ("elapsed_s", "sha256")}
    result = json.loads((folder / "result.json").read_text())
    return {
        "config": sha(folder / "config.toml"),
        "checkpoint": place.name,
        "tensors": sha(place / "tensors.safetensors"),
        "state": hashlib.sha256(canonical_json(state)).hexdigest(),
        "metrics": sha(folder / "metrics.jsonl"),
        "snapshots": {path.name: sha(path) for path in sorted((folder / "snapshots").iterdir())},
        "result": {key: value for key, value in result.items() if key != "wall_s"},
    }


def tree(folder: Path) -> dict[str, str]:
    """Return every file below a folder with its SHA-256."""
    return {str(path.relative_to(folder)): sha(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def partials(folder: Path) -> list[str]:
    """Return what an interrupted write left behind."""
    return [str(path) for path in folder.rglob("*.ostinato-partial")]
