"""Members one by one in processes: for models that cannot be mapped over members."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import pickle
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any, cast

import torch
from torch import Tensor

from ostinato.errors import ConfigError, OstinatoError
from ostinato.population.alone import Alone, train_alone
from ostinato.population.job import Job

__all__ = ["train_in_processes"]

_PATIENCE_S = 10.0  # for a process whose pipe is closed to end


def train_in_processes(job: Job, workers: int, progress: Callable[[int, int], None] | None) -> list[Alone]:
    """Train every member by a plain loop, `workers` at a time; results do not depend on their number.

    Workers are forked where that is safe (Linux, no CUDA in use), so that any model may be given; elsewhere they are spawned, which
    needs `make_model`, `loss` and `metrics` that a new process can import. A member whose process ends without a result (killed, crashed)
    is tried once more when the others are through, with nothing beside it; if that fails too, its result says so and the others' stand.

    Raises:
        Exception: What training a member raises; a note names the member.
        OstinatoError: The processes of all members ended without a result.
    """
    total, done = sum(job.totals), 0
    results: dict[int, Alone] = {}

    def keep(k: int, result: Alone) -> None:
        nonlocal done
        results[k] = result
        done += job.totals[k]
        if progress is not None:
            progress(done, total)

    crew = _Crew(job)
    try:
        lost = [k for k, result in crew.train(range(len(job.seeds)), workers, keep)]
        for k, reason in crew.train(lost, 1, keep):
            keep(k, Alone(failure=f"its process ended twice without a result, {reason}"))
    finally:
        crew.dismiss()
    if all(result.failure for result in results.values()):
        raise OstinatoError(f"no member could be trained; member 0: {results[0].failure}")
    return [results[k] for k in range(len(job.seeds))]


class _Worker:
    """A process that trains one member after another, and the pipe to it."""

    def __init__(self, context: Any, job: Job) -> None:
        self.member = -1
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(job, theirs), name="ostinato-member", daemon=True)
        self.process.start()
        theirs.close()  # so that the end of the process is the end of the pipe

    def give(self, k: int) -> None:
        """Let it train member `k`; that it has died is seen at the other end of the pipe."""
        self.member = k
        with contextlib.suppress(OSError):
            self.connection.send(k)

    def end(self) -> str:
        """End the process and return how it had ended."""
        self.process.join(_PATIENCE_S)
        code = self.process.exitcode
        self.stop()
        if code is None:
            return "it had closed its pipe"
        if code >= 0:
            return f"with exit status {code}"
        name = signal.Signals(-code).name
        return f"ended by {name}" + (", as the system does when memory runs out" if name == "SIGKILL" else "")

    def stop(self) -> None:
        """End the process at once."""
        self.process.kill()
        self.process.join()
        self.connection.close()


class _Crew:
    """Workers that share a job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        forking = sys.platform == "linux" and not torch.cuda.is_initialized()  # type: ignore[no-untyped-call]  # torch does not say what it returns
        self._context = multiprocessing.get_context("fork" if forking else "spawn")
        if not forking:
            _demand_importable(job)
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, _Worker] = {}

    def train(
        self, members: Iterable[int], workers: int, keep: Callable[[int, Alone], None]
    ) -> Iterator[tuple[int, str]]:
        """Train members, hand each result to `keep`, and yield those whose process ended without one, and how it ended."""
        waiting = deque(members)
        while waiting or self._busy:
            while waiting and len(self._busy) < workers:
                worker = self._idle.pop() if self._idle else _Worker(self._context, self._job)
                worker.give(waiting.popleft())
                self._busy[worker.connection] = worker
            for connection in wait(list(self._busy)):
                worker = self._busy.pop(cast(Connection, connection))
                try:
                    answer = worker.connection.recv()
                except (EOFError, OSError):
                    yield worker.member, worker.end()
                    continue
                self._idle.append(worker)
                if isinstance(answer, Exception):
                    raise answer
                keep(worker.member, _received(answer))

    def dismiss(self) -> None:
        """End all processes."""
        for worker in (*self._idle, *self._busy.values()):
            worker.stop()


def _demand_importable(job: Job) -> None:
    try:
        pickle.dumps((job.make_model, job.loss, job.metrics))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"make_model, loss, metrics: a new process cannot import them ({error}); define them at the top of a module"
        ) from error


def _serve(job: Job, connection: Connection) -> None:
    """Train the members that come through the pipe, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that leads decides
    torch.set_num_threads(1)
    logging.getLogger("ostinato").setLevel(logging.ERROR)  # what a binding leaves out was said once
    while True:
        try:
            k = connection.recv()
        except EOFError:
            return
        try:
            answer: Any = _sent(train_alone(job, k))
        except Exception as error:
            answer = _portable(error, k)
        connection.send(answer)


def _portable(error: Exception, k: int) -> Exception:
    """Return an exception that survives the way to another process, with a note of where it was raised."""
    where = f"member {k} of the population, in a process of its own:\n{''.join(traceback.format_exception(error))}"
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    except Exception:
        text = " ".join(str(error).split()) or "no message"
        error = OstinatoError(f"member {k}: {type(error).__name__}: {text}")
    error.add_note(where)
    return error


def _sent(done: Alone) -> dict[str, Any]:
    return {
        "metrics": done.metrics,
        "weights": {name: _bytes(tensor) for name, tensor in done.weights.items()},
        "saved": {step: {name: _bytes(tensor) for name, tensor in state.items()} for step, state in done.saved.items()},
        "diverged": done.diverged,
        "named": done.named,
    }


def _received(document: dict[str, Any]) -> Alone:
    weights = {name: _tensor(*parts) for name, parts in document["weights"].items()}
    saved = {
        step: {name: _tensor(*parts) for name, parts in state.items()} for step, state in document["saved"].items()
    }
    return Alone(document["metrics"], weights, saved, document["diverged"], document["named"])


def _bytes(tensor: Tensor) -> tuple[bytes, torch.dtype, tuple[int, ...]]:
    """Return a tensor's content, dtype and shape: numpy does not know every dtype, and a pipe cannot hand over torch's own memory."""
    plain = tensor.detach().cpu().contiguous().reshape(-1)
    return plain.view(torch.uint8).numpy().tobytes(), tensor.dtype, tuple(tensor.shape)


def _tensor(content: bytes, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    if not content:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(content), dtype=dtype).reshape(shape)
