"""From a command line to a run's configuration."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.core.documents import read_document
from ostinato.core.plan import Plan
from ostinato.core.schedules import located
from ostinato.errors import ConfigError, PlanError, TargetError

if TYPE_CHECKING:
    from ostinato.training import RunConfig

__all__ = ["configuration", "named"]

_TABLES = ("data", "model", "optimizer", "loss", "train", "augment", "workers")
_OPTIONS = {"workers.count": "--workers", "workers.phase_shift": "--phase-shift"}


def configuration(
    config: Path | None,
    *,
    data: str | None = None,
    model: str | None = None,
    optimizer: str | None = None,
    total: str | None = None,
    seed: int | None = None,
    recipe: str | None = None,
    devices: int | None = None,
    workers: int | None = None,
    phase_shift: bool | None = None,
    settings: Sequence[str] = (),
    base: RunConfig | None = None,
) -> RunConfig:
    """Return a file's configuration (or `base`) with what the options say put over it.

    Raises:
        ConfigError: The file or an option cannot be used.
        PlanError: The plan cannot be.
    """
    from ostinato.training import RunConfig, load_config, parse_config

    chosen = base or RunConfig()
    if config is not None:
        chosen = (
            parse_config(read_document(config), source=str(config)) if config.suffix == ".json" else load_config(config)
        )
        with located(f"{config}: "):
            Plan.from_document(chosen.plan or {})
    words: dict[str, Any] = {
        "data": data,
        "model": model,
        "optimizer": optimizer,
        "train.seed": seed,
        "train.recipe": recipe,
        "train.devices": devices,
        "workers.count": workers,
        "workers.phase_shift": phase_shift,
    }
    for address, value in words.items():
        if value is not None:
            chosen = chosen.replace(
                {address: value}, source=_OPTIONS.get(address, f"--{address.removeprefix('train.')}")
            )
    changes: dict[str, Any] = {} if total is None else {"total": total}
    for setting in settings:
        address, value = _setting(setting)
        if (
            address.partition(".")[0] in _TABLES
            and "/" not in address
            and "." in address
            and not _drives(chosen, address)
        ):
            chosen = chosen.replace({address: value}, source="--set")
        else:
            changes[address] = value
    if chosen.train.recipe is not None and changes:  # what the recipe binds can be changed, too
        from ostinato.training.session import resolve_config

        chosen = resolve_config(chosen)
    return chosen.replace({"plan": _with(chosen, changes)}) if changes else chosen


def _with(config: RunConfig, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the plan's document with fields replaced by address."""
    if set(changes) <= {"total", "warmup"}:  # also where there is no plan yet
        document = {**(config.plan or {}), **changes}
        Plan.from_document(document)
        return document
    return Plan.from_document(config.plan or {}).replace(changes).to_document()


def _drives(config: RunConfig, address: str) -> bool:
    """Whether an address is a target of the plan, which comes before a key of the same spelling."""
    return any(table.get("target") == address for table in (config.plan or {}).get("bind", []))


def _setting(text: str) -> tuple[str, Any]:
    address, equals, value = text.partition("=")
    if not equals or not address.strip():
        raise ConfigError(
            f"--set: got {text!r}, expected ADDRESS=VALUE such as train.batch_size=128 or optimizer.lr/high=0.2"
        )
    try:
        return address.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return address.strip(), value.strip()


@contextmanager
def named(config: Path | None) -> Iterator[None]:
    """Put the file's name before what is wrong with the plan in it."""
    try:
        yield
    except (PlanError, TargetError) as error:
        raise type(error)(str(error) if config is None else f"{config}: {error}") from error
