"""Where requests are carried out: this process, processes of this machine, or a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from multiprocessing import get_context
from types import TracebackType
from typing import Any, Protocol, Self

from ostinato.cluster import connected, ray_module
from ostinato.errors import ConfigError, RunInterruptedError, suggest
from ostinato.studies.frame.cells import Measurement, Request
from ostinato.studies.frame.study import perform

__all__ = ["ENGINES", "Engine", "engine_of"]

ENGINES = ("local", "ray")
"""``local``: processes of this machine, one thread each. ``ray``: a Ray cluster, the one that ``RAY_ADDRESS`` names or a new one."""


class Engine(Protocol):
    """Carries requests out; used in a ``with`` block, at the end of which its processes end too."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def carry_out(self, requests: Sequence[Request]) -> Iterator[list[Measurement]]:
        """Yield what came out of each request, as they are finished.

        Raises:
            RunInterruptedError: A process died.
        """
        ...


def engine_of(name: str = "local", workers: int | None = None) -> Engine:
    """Return an engine.

    Args:
        name: One of `ENGINES`.
        workers: Processes at once; by default one for each core. 1 with ``local`` stays in this process.

    Raises:
        ConfigError: There is no such engine, it is not installed, or `workers` is less than 1.
    """
    if name not in ENGINES:
        raise ConfigError(f"--engine: got {name!r}{suggest(name, ENGINES)}")
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers: got {workers}, expected a whole number > 0")
    if name == "ray":
        return _Ray(workers)
    return _Here() if workers == 1 else _Processes(workers or os.cpu_count() or 1)


class _Here:
    """This process, one request after another."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def carry_out(self, requests: Sequence[Request]) -> Iterator[list[Measurement]]:
        return map(perform, requests)


class _Processes:
    """Processes of this machine, which stay for all requests and so keep what they loaded and compiled."""

    def __init__(self, workers: int) -> None:
        self._pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in list((self._pool._processes or {}).values()):
            with suppress(OSError, ValueError):
                process.terminate()

    def carry_out(self, requests: Sequence[Request]) -> Iterator[list[Measurement]]:
        try:
            waiting: set[Future[list[Measurement]]] = {self._pool.submit(perform, request) for request in requests}
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BrokenProcessPool as error:
            raise RunInterruptedError(
                "a process of the study died, perhaps for want of memory; what was finished is kept: run it again, with --workers 1 if need be"
            ) from error


def _one_thread() -> None:
    """Keep to one thread, and leave Ctrl-C to the process that waits."""
    import signal

    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


class _Ray:
    """A Ray cluster, as `ostinato.cluster` finds it."""

    def __init__(self, workers: int | None) -> None:
        ray_module("--engine ray")
        self._workers = workers

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self._ray: Any = self._stack.enter_context(connected(self._workers))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def carry_out(self, requests: Sequence[Request]) -> Iterator[list[Measurement]]:
        remote = self._ray.remote(num_cpus=1, max_retries=2)(_perform_alone)
        waiting = [remote.remote(request) for request in requests]
        while waiting:
            done, waiting = self._ray.wait(waiting, num_returns=1)
            yield from self._ray.get(done)


def _perform_alone(request: Request) -> list[Measurement]:
    import torch

    torch.set_num_threads(1)
    return perform(request)
