"""Writing snapshots from a thread of its own, out of host buffers that are used again and again.

A capture copies the weights and returns. One thread encodes, hashes, writes, flushes and commits, one capture after the
other, in order, so that the folder holds what captures without a thread would have put there. At most `PENDING` copies
exist; a further capture waits for one of them.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, cast

import torch
from torch import Tensor

from ostinato.ensembles.store import Member, SnapshotStore
from ostinato.errors import StorageError
from ostinato.storage.tensors import TensorFile, check_entry, view_key

__all__ = ["PENDING", "BackgroundWriter", "PendingMember", "finish_with"]

PENDING = 2


class HostBuffer:
    """A copy of a model's tensors on the host; its memory is used again while names, shapes and dtypes stay."""

    def __init__(self) -> None:
        self._form: Any = None
        self._distinct: list[Tensor] = []
        self._events: list[torch.cuda.Event] = []
        self.tensors: dict[str, Tensor] = {}

    def fill(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy; on CUDA the copy is queued behind the work that made the tensors, and `ready` waits for it."""
        first: dict[Any, int] = {}
        places: dict[str, int] = {}
        sources: list[Tensor] = []
        for name, tensor in tensors.items():
            plain = tensor.detach()
            key = view_key(plain) if plain.numel() else name
            if key not in first:
                first[key] = len(sources)
                sources.append(plain)
            places[name] = first[key]
        form = (tuple(places.items()), tuple((t.shape, t.dtype, t.device) for t in sources))
        if form != self._form:
            self._form, self._distinct = form, [_host(source) for source in sources]
            self.tensors = {name: self._distinct[place] for name, place in places.items()}
        if sources:
            with torch.no_grad():
                torch._foreach_copy_(self._distinct, sources, non_blocking=True)
        self._events = []
        for device in {source.device for source in sources if source.is_cuda}:
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch does not say what it returns
            event.record(torch.cuda.current_stream(device))
            self._events.append(event)

    def ready(self) -> None:
        """Wait until the copy is complete."""
        for event in self._events:
            event.synchronize()


def _host(source: Tensor) -> Tensor:
    """Return dense host memory for a tensor; pinned for CUDA, so that the copy does not stop the host."""
    return torch.empty(source.shape, dtype=source.dtype, device="cpu", pin_memory=source.is_cuda)


@dataclass
class _Job:
    step: int
    cycle: int
    values: dict[str, float]
    buffer: HostBuffer
    done: threading.Event = field(default_factory=threading.Event)
    member: Member | None = None
    error: StorageError | None = None


class PendingMember(Member):
    """A `Member` whose file may still be on its way: ``file`` waits until it is written.

    ``file`` and comparing raise the StorageError where writing failed.
    """

    def __init__(self, job: _Job) -> None:
        for name, value in (("step", job.step), ("cycle", job.cycle), ("values", job.values), ("_job", job)):
            object.__setattr__(self, name, value)

    def _written(self) -> Member:
        job: _Job = self.__dict__["_job"]
        job.done.wait()
        if job.error is not None:
            raise job.error
        return cast(Member, job.member)  # one of the two is set before done

    @property
    def done(self) -> bool:
        """Whether writing has ended, well or not."""
        return bool(self.__dict__["_job"].done.is_set())

    @property
    def file(self) -> TensorFile:
        """Where the weights are."""
        return self._written().file

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PendingMember):
            other = other._written()
        return self._written() == other

    def __hash__(self) -> int:
        return hash(self._written())

    def __repr__(self) -> str:
        return f"PendingMember(step={self.step}, cycle={self.cycle}, done={self.done})"

    def __reduce__(self) -> Any:
        return self._written().__reduce_ex__(2)


class BackgroundWriter:
    """One thread that adds to a store, in order; errors wait until they are asked for."""

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store
        self._reset()
        _WRITERS.add(self)  # so that a forked child starts anew

    def _reset(self) -> None:
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._free: SimpleQueue[HostBuffer] = SimpleQueue()
        for _ in range(PENDING):
            self._free.put(HostBuffer())
        self._open: deque[_Job] = deque()
        self._errors: deque[StorageError] = deque()
        self._thread: threading.Thread | None = None

    def after_fork(self) -> None:
        """In a forked child: what was pending is the parent's to write, and no thread came along."""
        for job in self._open:
            job.done = threading.Event()
            job.error = StorageError(f"the snapshot of step {job.step} is left to the process that captured it")
            job.done.set()
        self._reset()

    def submit(self, step: int, cycle: int, values: Mapping[str, float], tensors: Mapping[str, Tensor]) -> Member:
        """Copy the tensors and have them written; wait where `PENDING` copies are on their way already.

        Raises:
            StorageError: an entry cannot be stored; nothing was queued.
        """
        for name, tensor in tensors.items():
            check_entry(name, tensor)
        buffer = self._free.get()
        try:
            buffer.fill(tensors)
        except BaseException:
            self._free.put(buffer)
            raise
        job = _Job(step, cycle, dict(values), buffer)
        self._open.append(job)
        self._queue.put(job)
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, name="ostinato-snapshots", daemon=True)
            self._thread.start()
        return PendingMember(job)

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            self._write(job)
            if job.error is not None:
                self._errors.append(job.error)
            self._free.put(job.buffer)
            self._open.popleft()
            job.done.set()

    def _write(self, job: _Job) -> None:
        try:
            job.buffer.ready()
            job.member = self._store.add(job.step, job.cycle, job.values, job.buffer.tensors)
        except Exception as error:
            job.error = StorageError(f"the snapshot of step {job.step} was not saved: {error}")
            job.error.__cause__ = error

    def drain(self) -> None:
        """Wait until everything queued is written; errors stay for `raise_errors`."""
        while self._open:
            with contextlib.suppress(IndexError):  # written in between
                self._open[-1].done.wait()

    def raise_errors(self) -> None:
        """Raise what failed since the last time, once.

        Raises:
            StorageError: a snapshot was not saved; where several were not, each is named.
        """
        errors = []
        while self._errors:
            errors.append(self._errors.popleft())
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise StorageError("; ".join(str(error) for error in errors)) from errors[0]

    def stop(self) -> None:
        """Write what is queued and end the thread; a later `submit` starts another."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._queue.put(None)
        if thread is not threading.current_thread():  # garbage may be collected by the thread itself
            thread.join()

    def finish(self) -> None:
        """At the object's or the interpreter's end: write what is queued, and say on stderr what failed."""
        self.stop()
        while self._errors:
            error = self._errors.popleft()
            with contextlib.suppress(Exception):
                print(f"ostinato: {error}", file=sys.stderr)


_WRITERS: weakref.WeakSet[BackgroundWriter] = weakref.WeakSet()


def finish_with(owner: object, writer: BackgroundWriter) -> None:
    """Finish ``writer`` when ``owner`` is gone, or the interpreter ends, or a process of multiprocessing does."""
    weakref.finalize(owner, writer.finish)
    if multiprocessing.parent_process() is not None:  # such a process ends without the atexit callbacks
        from multiprocessing.util import Finalize

        Finalize(owner, writer.finish, exitpriority=10)


def _after_fork() -> None:
    for writer in list(_WRITERS):
        writer.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
