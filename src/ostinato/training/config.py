"""The configuration of a run: the tables beside a plan, validated at the edge.

A configuration file is a plan file with up to six more tables, each of which may also be written short::

    total = "51ep"               # the plan, handed on untouched
    [cycle]
    waveform = "cosine"
    count = 5

    [data]                       # or: data = "digits", "table.csv", "my_module:make_data"
    path = "table.csv"
    label = "outcome"

    [model]                      # or: model = "cnn", "my_module:make_model"
    name = "mlp"
    args = { hidden = 64 }

    [optimizer]                  # or: optimizer = "adamw"
    name = "sgd"
    lr = 0.1                     # options stand beside the name

    [loss]                       # or: loss = "focal"
    name = "focal"
    gamma = 2.0                  # or driven by the plan, as loss.gamma

    [train]
    batch_size = 64

    [augment]                    # or: augment = ["shift", "flip"]
    ops = ["shift", "flip"]

    [workers]                    # or: workers = 4
    count = 4
    phase_shift = true
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ostinato.errors import ConfigError, suggest
from ostinato.training.config_tables import (
    AugmentConfig,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    Table,
    TrainConfig,
    WorkersConfig,
)
from ostinato.training.config_text import explain, one_line

__all__ = [
    "AugmentConfig",
    "DataConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "RunConfig",
    "TrainConfig",
    "WorkersConfig",
    "load_config",
    "parse_config",
]

_TABLES = ("data", "model", "optimizer", "loss", "train", "augment", "workers")


class RunConfig(Table):
    """A run: the plan's document, untouched and perhaps absent, and the tables."""

    plan: dict[str, Any] | None = None
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    loss: LossConfig = LossConfig()
    train: TrainConfig = TrainConfig()
    augment: AugmentConfig = AugmentConfig()
    workers: WorkersConfig = WorkersConfig()

    def to_document(self) -> dict[str, Any]:
        """Return plain data for ``config.toml``: the plan's keys and the tables, without anything that is None.

        ``[augment]`` is there only with operations, ``[loss]`` only where it is not plain cross entropy, ``[workers]`` only where it says
        something. ``parse_config`` of the document gives this configuration again.

        >>> sorted(RunConfig(plan={"total": "5ep"}).to_document())
        ['data', 'model', 'optimizer', 'total', 'train']
        """
        tables = {name: getattr(self, name).model_dump(exclude_none=True) for name in _TABLES}
        tables["data"]["drop"] = list(tables["data"]["drop"])
        for name in ("data", "model"):
            tables[name] = {key: value for key, value in tables[name].items() if value not in ({}, [])}
        tables["augment"] = self.augment.to_table()
        tables["loss"] = self.loss.to_table()
        said = {"augment": self.augment.ops, "loss": tables["loss"], "workers": self.workers.wanted}
        tables = {name: table for name, table in tables.items() if said.get(name, True)}
        return {**(self.plan or {}), **tables}

    def replace(self, changes: Mapping[str, Any], source: str = "options") -> RunConfig:
        """Return this configuration with some addresses changed, validated again.

        Args:
            changes: ``{"train.seed": 3, "optimizer.lr": 0.2, "data": "mnist", "plan": {...}}``: a table's key, or a
                whole table. None removes a key, so that its default holds again.
            source: Where the changes come from, for the message.

        Raises:
            ConfigError: an address or value is refused.

        >>> RunConfig().replace({"train.seed": 3}).train.seed
        3
        """
        plan: Any = self.plan
        document: dict[str, Any] = {name: self.to_document().get(name, {}) for name in _TABLES}
        for address, value in changes.items():
            name, dot, key = address.partition(".")
            if address == "plan":
                plan = value
            elif name not in _TABLES:
                raise ConfigError(f"{source}: {address!r} is no address{suggest(name, [*_TABLES, 'plan'])}")
            elif not dot:
                document[name] = value.model_dump(exclude_none=True) if isinstance(value, Table) else value
            else:
                kept = {k: v for k, v in document[name].items() if k != key}
                document[name] = kept if value is None else {**kept, key: value}
        return parse_config({**(plan or {}), **document}, source=source)


def load_config(path: str | Path) -> RunConfig:
    """Read a configuration file (TOML).

    Raises:
        ConfigError: the file cannot be read, is no TOML (with line and column), or holds what is not understood: one
            line naming the file, the table and the key.
    """
    file = Path(path)
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such file{_near_files(file)}") from None
    except IsADirectoryError:
        raise ConfigError(f"{file}: is a directory, expected a TOML file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from error
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{file}: is no TOML: {' '.join(str(error).split())}") from None
    return parse_config(document, source=str(file))


def parse_config(document: Mapping[str, Any], source: str = "configuration") -> RunConfig:
    """Validate a configuration document; what is no table of ours is the plan.

    Args:
        document: What ``tomllib`` returns.
        source: Where it comes from, for the message.

    Raises:
        ConfigError: something is not understood, in one line.

    >>> parse_config({"train": {"batch_size": "x"}}, "run.toml")
    Traceback (most recent call last):
        ...
    ostinato.errors.ConfigError: run.toml: [train] batch_size: got 'x', expected a whole number > 0 ...
    """
    plan = {key: value for key, value in document.items() if key not in _TABLES}
    for key, value in plan.items():
        near = suggest(key, _TABLES, most=1)
        if isinstance(value, dict) and key != "cycle" and "did you mean" in near:
            raise ConfigError(one_line(f"{source}: [{key}] is no table{near}"))
    tables = {key: document[key] for key in _TABLES if key in document}
    try:
        return RunConfig.model_validate({"plan": plan or None, **tables})
    except ValidationError as error:
        raise ConfigError(explain(error, RunConfig, tables, source)) from None


def _near_files(file: Path) -> str:
    try:
        found = [path.name for path in file.parent.glob("*.toml")]
    except OSError:
        return ""
    near = suggest(file.name, found)
    return near if "did you mean" in near else ""
