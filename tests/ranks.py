"""Processes of one `torch.distributed` group, forked from this one as torchrun would start them, so that each costs no import."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from forked import Child, forked


def as_torchrun(rank: int, world: int, port: int) -> None:
    """Set what torchrun sets in the environment of its processes."""
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "GROUP_WORLD_SIZE": 1}
    told |= {"GROUP_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test"}
    os.environ.update({name: str(value) for name, value in told.items()})


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def launched(world: int, action: Callable[[int], object]) -> list[Child]:
    """Do something in each of so many processes, which find in their environment what torchrun would have put there."""
    port = free_port()

    def child(rank: int) -> None:
        torch.set_num_threads(1)
        as_torchrun(rank, world, port)
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
    folder.mkdir(exist_ok=True)

    def child(rank: int) -> None:
        with grouped():
            torch.save(action(rank), folder / f"{rank}.pt")

    assert [each.wait() for each in launched(world, child)] == [0] * world
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(world)]


def kill_all(children: list[Child]) -> None:
    """Kill -9 every one of them at once."""
    for child in children:
        os.kill(child.pid, signal.SIGKILL)
    assert [child.wait() for child in children] == [-signal.SIGKILL] * len(children)
