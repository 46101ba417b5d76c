"""Loader workers that die: noticed between batches, and said in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from multiprocessing.connection import wait
from typing import Any

from torch.utils.data._utils import signal_handling

from ostinato._data.sampler import Place
from ostinato.errors import OstinatoError

__all__ = ["explained", "watched"]

_signals: Any = signal_handling
_GOING_S = 5.0
_DEATH = ("DataLoader ", "Pin memory thread")


@contextlib.contextmanager
def watched(fetched: Any) -> Iterator[None]:
    """Let torch's handler of dead workers raise inside this block only.

    The handler is a signal's: left alone it raises wherever the main process happens to be, in the middle of an optimizer's update too.
    An iterator without worker processes, or of a torch that keeps them otherwise, is left as it is.
    """
    if not getattr(fetched, "_workers", None) or not hasattr(fetched, "_worker_pids_set"):
        yield
        return
    if not fetched._worker_pids_set:
        _signals._set_worker_pids(id(fetched), tuple(worker.pid for worker in fetched._workers))
        fetched._worker_pids_set = True
        _signals._error_if_any_worker_fails()
        _refuse_dead(fetched)
    try:
        yield
    finally:
        if fetched._worker_pids_set:
            _signals._remove_worker_pids(id(fetched))
            fetched._worker_pids_set = False


def _refuse_dead(fetched: Any) -> None:
    """Raise as torch does, for workers whose end somebody else has asked the system about already."""
    dead = [str(worker.pid) for worker in _dead(fetched)]
    if dead:
        raise RuntimeError(f"DataLoader worker (pid(s) {', '.join(dead)}) exited unexpectedly")


def _dead(fetched: Any) -> list[Any]:
    return [worker for worker in getattr(fetched, "_workers", None) or () if worker.exitcode not in (None, 0)]


def explained(error: Exception, place: Place, fetched: Any) -> str | None:
    """Return in one line why the batch of `place` did not come, or None for an error that is not the loader's."""
    text = str(error).strip()
    if isinstance(error, OstinatoError):  # from a worker it comes with the worker's traceback as its text
        return text.splitlines()[-1].partition(f"{type(error).__name__}: ")[2] if "\n" in text else text
    workers = getattr(fetched, "_workers", None)
    gone: list[Any] = []
    if workers and isinstance(error, ConnectionError | EOFError):  # noticed before the worker is quite gone
        gone = wait(
            [worker.sentinel for worker in workers], timeout=_GOING_S
        )  # its exit status may be known to nobody any more
    if gone or _dead(fetched) or (isinstance(error, RuntimeError) and text.startswith(_DEATH)):
        said = text.splitlines()[0].rstrip(". ") if text.startswith(_DEATH) else "a DataLoader worker died"
        return (
            f"{place}: {said}; no batch is lost, loop over the loader again to go on with this one"
            " (if memory ran out: fewer workers, a smaller prefetch_factor)"
        )
    return None
