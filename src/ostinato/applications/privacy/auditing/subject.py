"""What an audit is about: a finished run, or a configuration whose recipe is trained by shadow models alone."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ostinato.core.plan import Plan
from ostinato.ensembles import SnapshotEnsemble
from ostinato.errors import ConfigError, DataError
from ostinato.training import RunConfig, RunFolder, datasets, models
from ostinato.training.datasets import Split
from ostinato.training.session import resolve_config

__all__ = ["Subject", "of_config", "of_run"]

_LEAST = 40


@dataclass(frozen=True, eq=False)
class Subject:
    """A recipe and the points that its leak is measured on.

    Attributes:
        name: Of the data.
        model: Of the model, in words.
        make: Makes the model.
        plan: The plan, its durations not yet resolved.
        optimizer: Its name.
        options: Its options.
        batch_size: Examples of an update.
        inputs: Of all points, training examples first, (N, ...); N is even.
        labels: Theirs, (N,).
        trained: How many of them the run itself was trained with.
        snapshots: The run's own, if there is a run.
    """

    name: str
    model: str
    make: Callable[[], nn.Module]
    plan: Plan
    optimizer: str
    options: Mapping[str, Any]
    batch_size: int
    inputs: Tensor
    labels: Tensor
    trained: int
    snapshots: SnapshotEnsemble | None


def of_run(path: str | Path) -> Subject:
    """Return the subject that a finished run is.

    Raises:
        ConfigError: There is no run, it is not finished, or shadow models cannot be trained as it was.
        DataError: Its data is not in memory.
        StorageError: Its snapshots cannot be trusted.
    """
    folder = RunFolder.open(path)
    if not folder.result.exists():
        raise ConfigError(
            f"{folder.path}: the run is not finished (no result.json); go on with it: ostinato train --resume {shlex.quote(str(folder.path))}"
        )
    return _subject(folder.load_config(), str(folder.path), folder.snapshots)


def of_config(config: RunConfig) -> Subject:
    """Return the subject that a configuration is: a recipe without a run.

    Raises:
        ConfigError: The configuration cannot be, or shadow models cannot be trained so.
        DataError: Its data is not in memory.
    """
    return _subject(resolve_config(config), "audit", None)


def _subject(config: RunConfig, where: str, snapshots: Path | None) -> Subject:
    if config.augment.ops or config.train.clip_norm is not None:
        what = "[augment]" if config.augment.ops else "clip_norm"
        raise ConfigError(
            f"{where}: trains with {what}, which shadow models cannot do yet; audit a run without it (augmentation inside the model, ost.nn.RandomShift, can be)"
        )
    data = datasets.load(config.data)
    if not isinstance(data.train, Split) or not isinstance(data.test, Split):
        raise DataError(f"{data.name}: is not in memory; an audit asks every model about every example, give arrays")
    inputs, labels = (
        torch.cat([data.train.inputs, data.test.inputs]),
        torch.cat([data.train.targets, data.test.targets]),
    )
    points = len(labels) - len(labels) % 2
    if points < _LEAST:
        raise DataError(
            f"{data.name}: has {points} examples, expected at least {_LEAST}; an audit of so few tells nothing"
        )
    make = partial(models.build, config.model, data.shape, data.classes)
    ensemble = None
    if snapshots is not None:
        ensemble = SnapshotEnsemble(make(), snapshots)
        if not len(ensemble):
            raise ConfigError(
                f"{where}: holds no snapshot, so that there is nothing to release; train with a plan that has a cycle"
            )
    return Subject(
        data.name, config.model.name or config.model.factory or ("cnn" if len(data.shape) == 3 else "mlp"), make,  # (C, H, W)
        Plan.from_document(config.plan or {}), config.optimizer.name, config.optimizer.options,
        config.train.batch_size * config.train.accumulate, inputs[:points], labels[:points], min(len(data.train), points), ensemble,
    )  # fmt: skip
