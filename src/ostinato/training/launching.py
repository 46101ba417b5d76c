"""How the processes of a run are launched: those that share every update, and the workers of a ``[workers]`` table, which train apart."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.strategy import _BackwardSyncControl
from torch import nn

from ostinato.errors import ConfigError
from ostinato.training.config import RunConfig

__all__ = ["ApartStrategy", "is_first_process", "launched", "settled", "started"]


class _NothingToSync(_BackwardSyncControl):
    def no_backward_sync(self, module: nn.Module, enabled: bool) -> AbstractContextManager[None]:
        return nullcontext()


class ApartStrategy(DDPStrategy):
    """Fabric's launching of processes and its process group, for models that stay apart: gradients are not averaged."""

    def __init__(self) -> None:
        super().__init__()
        self._backward_sync_control = _NothingToSync()

    def setup_module(self, module: nn.Module) -> nn.Module:  # type: ignore[override]  # it is not wrapped
        return module


def started() -> int | None:
    """Return how many processes torchrun started in all; None where it did not start this one."""
    return int(os.environ["WORLD_SIZE"]) if TorchElasticEnvironment.detect() else None


def _layout(count: int) -> dict[str, Any]:
    """Return Fabric's arguments for so many workers, on as many machines as torchrun started them on."""
    local = count if started() is None else int(os.environ["LOCAL_WORLD_SIZE"])
    return {"devices": local, "num_nodes": count // local, "strategy": ApartStrategy()}


def settled(config: RunConfig) -> RunConfig:
    """Return the configuration with the number of workers filled in where torchrun says it.

    Raises:
        ConfigError: The number is not known, or is not torchrun's, or something else cannot be had with workers.
    """
    workers, train, running = config.workers, config.train, started()
    if not workers.wanted:
        return config
    if workers.count is None and running is None:
        raise ConfigError("[workers] count: is not said; write count = 2 (--workers 2), or start the run with torchrun")
    if running is not None and workers.count not in (None, running):
        raise ConfigError(
            f"[workers] count: got {workers.count}, but torchrun started {running} processes; type --nproc-per-node={workers.count}, or leave count out"
        )
    for key, value, wanted in (("devices", train.devices, 1), ("strategy", train.strategy, "auto")):
        if value != wanted:
            default = f'"{wanted}"' if isinstance(wanted, str) else wanted
            raise ConfigError(
                f"[train] {key}: got {value!r}, but each worker is a process with one device and a model of its own; write {key} = {default}"
            )
    if train.precision == "16-mixed":
        raise ConfigError(
            '[train] precision: 16-mixed skips updates of one worker and not of another; write precision = "bf16-mixed"'
        )
    return config.replace({"workers.count": running or workers.count})


def launched(config: RunConfig) -> Fabric:
    """Return Fabric, launched as the configuration says.

    Raises:
        ConfigError: The machine has no such accelerator or cannot compute so.
    """
    train, count = config.train, config.workers.count
    where = {"devices": train.devices, "strategy": train.strategy} if count is None else _layout(count)
    try:
        fabric = Fabric(accelerator=train.accelerator, precision=train.precision, **where)
    except (RuntimeError, ValueError, ImportError) as error:
        raise ConfigError(
            f"[train] accelerator, devices, precision, strategy: {' '.join(str(error).split())}"
        ) from error
    fabric.launch()
    return fabric


def is_first_process() -> bool:
    """Return whether this process is the first one of its run, as far as a launcher has said so."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))
