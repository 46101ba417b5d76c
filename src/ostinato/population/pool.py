"""Members one by one in processes: for models that cannot be mapped over members."""

from __future__ import annotations

import logging
import multiprocessing
import pickle
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

import torch

from ostinato.errors import ConfigError, OstinatoError
from ostinato.population.alone import Alone, train_alone
from ostinato.population.job import Job

__all__ = ["train_in_processes"]

_job: Job | None = None


def train_in_processes(job: Job, workers: int, progress: Callable[[int, int], None] | None) -> list[Alone]:
    """Train every member by a plain loop, `workers` at a time; results do not depend on their number.

    Workers are forked where that is safe (Linux, no CUDA in use), so that any model may be given; elsewhere they are spawned, which
    needs `make_model`, `loss` and `metrics` that a new process can import.
    """
    total, done = sum(job.totals), 0
    results: list[Alone | None] = [None] * len(job.seeds)
    forking = sys.platform == "linux" and not torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    context = multiprocessing.get_context("fork" if forking else "spawn")
    with ProcessPoolExecutor(min(workers, len(job.seeds)), context, _begin, _given(job, forking)) as pool:
        try:
            futures = {pool.submit(_train, k): k for k in range(len(job.seeds))}
            for future in as_completed(futures):
                k = futures[future]
                results[k] = _received(future.result())
                done += job.totals[k]
                if progress is not None:
                    progress(done, total)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [result for result in results if result is not None]


def _given(job: Job, forking: bool) -> tuple[Job | None]:
    """Return what a worker is started with; a forked one inherits it."""
    global _job  # noqa: PLW0603 - the only way to hand a forked process what cannot be pickled
    _job = job
    if not forking:
        try:
            pickle.dumps((job.make_model, job.loss, job.metrics))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ConfigError(
                f"make_model, loss, metrics: a new process cannot import them ({error}); define them at the top of a module"
            ) from error
    return (None if forking else job,)


def _begin(job: Job | None) -> None:
    global _job  # noqa: PLW0603
    if job is not None:
        _job = job
    torch.set_num_threads(1)
    logging.getLogger("ostinato").setLevel(logging.ERROR)  # what a binding leaves out was said once


def _train(k: int) -> dict[str, Any]:
    if _job is None:
        raise OstinatoError("a worker has no job")
    done = train_alone(_job, k)
    return {
        "metrics": done.metrics,
        "weights": {name: tensor.numpy() for name, tensor in done.weights.items()},
        "saved": {step: {name: tensor.numpy() for name, tensor in state.items()} for step, state in done.saved.items()},
        "diverged": done.diverged,
    }


def _received(document: dict[str, Any]) -> Alone:
    weights = {name: torch.from_numpy(array.copy()) for name, array in document["weights"].items()}
    saved = {
        step: {name: torch.from_numpy(array.copy()) for name, array in state.items()}
        for step, state in document["saved"].items()
    }
    return Alone(document["metrics"], weights, saved, document["diverged"])
