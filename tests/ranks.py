"""Processes of one `torch.distributed` group, forked from this one as torchrun would start them, so that each costs no import."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from forked import Child, forked
from ostinato.core.clock import Tick
from ostinato.training import Observer
from ostinato.training.session import Session


class Recorder(Observer):
    """Notes, in its process, what every update left behind: the weights' SHA-256 and the values in force; may kill its process after one."""

    def __init__(self, kill_after: int | None = None) -> None:
        self.kill_after = kill_after
        self.steps: list[dict[str, Any]] = []
        self.begun_with: dict[str, Tensor] = {}

    def begun(self, session: Session, count: int) -> None:
        self.session = session
        self.begun_with = {name: tensor.clone() for name, tensor in session.model.state_dict().items()}

    def updated(self, tick: Tick, loss: float) -> None:
        if tick.step == self.kill_after:
            os.kill(os.getpid(), signal.SIGKILL)
        kept = dict(self.session.model.named_parameters())
        held = dict(self.session.scheduler.values)
        self.steps.append({"weights": digest_of(kept), "used": dict(tick.values), "held": held, "loss": loss})

    def told(self) -> dict[str, Any]:
        left = {name: tensor.clone() for name, tensor in self.session.model.state_dict().items()}
        return {"steps": self.steps, "begun": self.begun_with, "left": left}


def digest_of(tensors: dict[str, Any]) -> str:
    """Return the SHA-256 of all of some tensors."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(tensors[name].detach().numpy().tobytes())
    return found.hexdigest()


def as_torchrun(rank: int, world: int, port: int, machines: int = 1) -> None:
    """Set what torchrun sets in the environment of its processes."""
    machine, local = divmod(rank, world // machines)
    told = {"RANK": rank, "LOCAL_RANK": local, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world // machines}
    told |= {
        "GROUP_WORLD_SIZE": machines,
        "GROUP_RANK": machine,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "TORCHELASTIC_RUN_ID": "test",
    }
    os.environ.update({name: str(value) for name, value in told.items()})


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def launched(world: int, action: Callable[[int], object], machines: int = 1) -> list[Child]:
    """Do something in each of so many processes, which find in their environment what torchrun, on so many machines, would have put there."""
    port = free_port()

    def child(rank: int) -> None:
        torch.set_num_threads(1)
        as_torchrun(rank, world, port, machines)
        action(rank)

    return [forked(lambda rank=rank: child(rank)) for rank in range(world)]


@contextmanager
def grouped() -> Iterator[None]:
    """Be one of the group."""
    dist.init_process_group("gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def together(world: int, action: Callable[[int], Any], folder: Path) -> list[Any]:
    """Do something in each process of a group and return what each of them returned, by rank."""

    def child(rank: int) -> Any:
        with grouped():
            return action(rank)

    return returned(world, child, folder)


def returned(world: int, action: Callable[[int], Any], folder: Path) -> list[Any]:
    """Return what each of so many processes returned, by rank; they form no group before the action does."""
    folder.mkdir(exist_ok=True)
    children = launched(world, lambda rank: torch.save(action(rank), folder / f"{rank}.pt"))
    assert [child.wait() for child in children] == [0] * world
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(world)]
