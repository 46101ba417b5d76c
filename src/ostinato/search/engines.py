"""Who works on a queue: this process, processes of this machine, or a Ray cluster. Each worker needs the storage's address alone."""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from ostinato import errors
from ostinato.checks import whole
from ostinato.cluster import ADDRESS, connected, ray_module
from ostinato.errors import ConfigError, OstinatoError, RunInterruptedError, suggest
from ostinato.search.queue import Queue
from ostinato.search.storage import open_storage
from ostinato.search.trials import Laboratory
from ostinato.search.worker import TOGETHER, Worker, obey
from ostinato.training.signals import StopRequest

__all__ = ["ENGINES", "Crew", "check_engine", "crew_of"]

ENGINES = (TOGETHER, "processes", "ray")
"""``population``: many trials at once in this process. ``processes``: one by one in processes of this machine, one thread each, with pruning.
``ray``: the same on a Ray cluster, the one that ``RAY_ADDRESS`` names or a new one."""

_RESTARTS = 3
_LOOK_S = 0.5

Crew = Callable[[Queue, Laboratory, StopRequest, Callable[[int, int], None] | None], None]


@dataclass(frozen=True)
class Errand:
    """What a worker in another process is told.

    Attributes:
        url: The storage, password included: it goes through a pipe, never over a command line.
        name: The study.
        heartbeat_s: Seconds between signs of life.
    """

    url: str
    name: str
    heartbeat_s: int


def check_engine(name: str, workers: int | None = None) -> str:
    """Return the name of an engine.

    Raises:
        ConfigError: There is none of that name, it is not installed, or the number of workers cannot be.
    """
    if name not in ENGINES:
        raise ConfigError(f"engine: got {name!r}{suggest(str(name), ENGINES)}")
    if workers is not None:
        whole("workers", workers)
    if workers is not None and name == TOGETHER:
        raise ConfigError(
            "workers: the population engine is one process; leave --workers out, or choose --engine processes"
        )
    if name == "ray":
        ray_module("engine")
    return name


def crew_of(name: str, workers: int | None, errand: Errand) -> Crew:
    """Return what works on a queue until it is empty."""
    count = workers or os.cpu_count() or 1
    if name == "processes" and count == 1:
        return lambda queue, laboratory, stop, progress: Worker(queue, laboratory, "alone", stop, progress).run()
    if name == "processes":
        return lambda queue, laboratory, stop, progress: _Processes(errand, count, queue, stop, progress).run()
    if name == "ray":
        return lambda queue, laboratory, stop, progress: _on_ray(errand, count, stop)
    return lambda queue, laboratory, stop, progress: Worker(queue, laboratory, TOGETHER, stop, progress).run()


def serve(errand: Errand) -> None:
    """Work on a queue in a process of its own."""
    import torch

    torch.set_num_threads(1)
    with StopRequest() as stop:
        queue = Queue.join(open_storage(errand.url, heartbeat_s=errand.heartbeat_s), errand.name)
        laboratory = Laboratory.of(queue.setup.config, queue.setup.objective, queue.setup.seeds)
        Worker(queue, laboratory, "alone", stop).run()


# -- processes of this machine ---------------------------------------------------------------------------------------


class _Processes:
    """Workers beside this process; one that dies is replaced, and its trial given to another."""

    def __init__(
        self, errand: Errand, count: int, queue: Queue, stop: StopRequest, progress: Callable[[int, int], None] | None
    ) -> None:
        self._errand, self._count, self._queue, self._stop, self._progress = errand, count, queue, stop, progress
        self._context = multiprocessing.get_context("spawn")
        self._running: dict[Connection, Any] = {}
        self._restarts = 0

    def run(self) -> None:
        for _ in range(self._count):
            self._start()
        try:
            while self._running:
                for connection in wait(list(self._running), timeout=_LOOK_S):
                    self._ended(connection)  # type: ignore[arg-type]  # wait hands back what it was given
                if self._progress is not None:
                    self._progress(*self._queue.progress)
                obey(self._stop)
        finally:
            self._dismiss()

    def _start(self) -> None:
        here, there = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_serve, args=(self._errand, there), name="ostinato-search", daemon=True)
        process.start()
        there.close()
        self._running[here] = process

    def _ended(self, connection: Connection) -> None:
        process = self._running.pop(connection)
        message: tuple[str, str] | None = None
        with suppress(EOFError, OSError):
            message = connection.recv()
        process.join()
        if message is not None and message[0]:
            kind = getattr(errors, message[0], OstinatoError)
            raise kind(message[1])
        if message is None and self._queue.open:
            self._restarts += 1
            if self._restarts > _RESTARTS:
                raise OstinatoError(
                    f"workers: {self._restarts} died, the last with exit status {process.exitcode}, perhaps for want of memory; finished trials are kept: run it again with --workers 1"
                )
            self._start()

    def _dismiss(self) -> None:
        for process in self._running.values():
            with suppress(OSError, ValueError):
                process.terminate()  # SIGTERM, on which it puts its trial back
        for process in self._running.values():
            process.join(10)
            if process.is_alive():
                process.kill()


def _serve(errand: Errand, connection: Connection) -> None:
    """Work, and say how it ended: nothing wrong, or the error's name and words."""
    os.setpgrp()  # Ctrl-C reaches every process of a terminal's group; here the process that leads decides, and sends SIGTERM
    warnings.simplefilter("ignore")  # said once by the process that leads
    try:
        serve(errand)
        connection.send(("", ""))
    except RunInterruptedError:
        connection.send(("", ""))
    except OstinatoError as error:
        connection.send((type(error).__name__, str(error)))
        sys.exit(2)


# -- a Ray cluster -----------------------------------------------------------------------------------------------------


def _on_ray(errand: Errand, count: int, stop: StopRequest) -> None:
    if os.environ.get(ADDRESS) and errand.url.startswith("sqlite"):
        raise ConfigError(
            "storage: the machines of a cluster do not share a file; give --storage postgresql://USER@HOST/DATABASE"
        )
    with connected(count) as ray:
        task = ray.remote(num_cpus=1, max_retries=_RESTARTS)(_serve_on_ray)
        waiting = [task.remote(errand) for _ in range(count)]
        while waiting:
            done, waiting = ray.wait(waiting, num_returns=1, timeout=_LOOK_S)
            for name, words in ray.get(done):
                if name:
                    raise getattr(errors, name, OstinatoError)(words)
            obey(stop)


def _serve_on_ray(errand: Errand) -> tuple[str, str]:
    try:
        serve(errand)
    except OstinatoError as error:
        return type(error).__name__, str(error)
    return "", ""
