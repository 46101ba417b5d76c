"""Batches: the same ones whatever the number of workers and wherever a run resumes.

Order and randomness are pure functions of (seed, epoch, batch), so that nothing about data needs saving but the
position. Promised for one version of numpy and torch, as their generators' streams are.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from ostinato.errors import ConfigError, DataError, OstinatoError
from ostinato.training.datasets import Split
from ostinato.training.order import EpochOrder

__all__ = ["Batches", "EpochOrder", "seeded"]

_FETCH = 2  # a stream of the seed beside the order's
_WORDS = 4  # 32-bit words of seed for one example


class Batches:
    """Batches (inputs, targets) of a data set, from any position.

    A `Split` is indexed in memory. Any other map-style data set is fetched example by example through a
    ``DataLoader`` and joined by torch's ``default_collate``; each example is fetched with torch's (CPU), numpy's and
    Python's global random states seeded from (seed, epoch, batch, position), so that random transforms give the same
    batch for any number of workers, processes and wherever a run resumes. The random states of the calling process are
    left as they were. A generator that a data set keeps for itself is out of reach: draw from the global ones.

    Args:
        dataset: A `Split` or a map-style ``Dataset`` of (input, target) with a length.
        order: Which examples make which batch.
        workers: Worker processes; 0 fetches in this one. They live for one call of ``epoch``.
        rank: This process, 0 to world_size - 1: it gets its contiguous slice of each batch.
        world_size: Number of processes. Slices of one batch differ by at most one example.
        start_method: ``"fork"``, ``"spawn"`` or ``"forkserver"`` for the workers; without it, Python's default.

    Raises:
        ConfigError: lengths differ, or a process would get nothing from some batch.

    >>> split = Split(torch.arange(6.0).reshape(6, 1), torch.tensor([0, 1, 0, 1, 0, 1]))
    >>> batches = Batches(split, EpochOrder(6, 4, seed=0, shuffle=False))
    >>> [targets.tolist() for inputs, targets in batches.epoch(0)]
    [[0, 1, 0, 1], [0, 1]]
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        order: EpochOrder,
        *,
        workers: int = 0,
        rank: int = 0,
        world_size: int = 1,
        start_method: str | None = None,
    ) -> None:
        length = len(dataset)  # type: ignore[arg-type]
        if length != order.length:
            raise ConfigError(f"order: made for {order.length} examples, the data set has {length}")
        if world_size < 1 or not 0 <= rank < world_size:
            raise ConfigError(f"rank: got {rank} of {world_size}, expected 0 to world_size - 1")
        if workers < 0:
            raise ConfigError(f"workers: got {workers}, expected a whole number >= 0")
        _check_shares(order, world_size)
        self.dataset = dataset
        self.order = order
        self.workers = workers
        self.rank = rank
        self.world_size = world_size
        self.start_method = start_method

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return self.order.batches

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Any, Any]]:
        """Yield the batches of one epoch from batch ``start`` on; ``start = len(self)`` yields nothing."""
        if not 0 <= start <= len(self):
            raise ConfigError(f"batch: got {start}, expected 0 to {len(self)}")
        if isinstance(self.dataset, Split) or (self.workers == 0):
            return (self.batch(epoch, index) for index in range(start, len(self)))
        return self._fetched(epoch, start)

    def batch(self, epoch: int, index: int) -> tuple[Any, Any]:
        """Return one batch, fetched in this process."""
        if isinstance(self.dataset, Split):
            return self.dataset.batch(_slice(self.order.batch(epoch, index), self.rank, self.world_size)[1])
        with _kept_states():
            return self._source(epoch)[index]

    def endless(self, epoch: int = 0, start: int = 0) -> Iterator[tuple[int, int, tuple[Any, Any]]]:
        """Yield (epoch, batch, (inputs, targets)) from a position on, epoch after epoch, without end."""
        if start == len(self):
            epoch, start = epoch + 1, 0
        while True:
            for index, batch in enumerate(self.epoch(epoch, start), start):
                yield epoch, index, batch
            epoch, start = epoch + 1, 0

    def _source(self, epoch: int) -> _EpochSource:
        return _EpochSource(self.dataset, self.order, epoch, self.rank, self.world_size)

    def _fetched(self, epoch: int, start: int) -> Iterator[tuple[Any, Any]]:
        if start == len(self):
            return
        loader: DataLoader[Any] = DataLoader(
            self._source(epoch),
            batch_size=None,
            sampler=range(start, len(self)),
            num_workers=self.workers,
            multiprocessing_context=self.start_method,
            generator=torch.Generator(),  # the loader draws a seed for its workers: not from the global generator
        )
        fetched = iter(loader)
        for _ in range(start, len(self)):
            try:
                batch = next(fetched)
            except DataError as error:  # from a worker it comes with the worker's traceback as its text
                raise DataError(str(error).strip().splitlines()[-1].partition("DataError: ")[2]) from error
            yield batch


@dataclass(frozen=True)
class _EpochSource(Dataset[Any]):
    """The batches of one epoch as a map-style data set: what a worker process receives."""

    dataset: Dataset[Any]
    order: EpochOrder
    epoch: int
    rank: int
    world_size: int

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        chosen = self.order.batch(self.epoch, index)
        start, mine = _slice(chosen, self.rank, self.world_size)
        words = np.random.SeedSequence((_FETCH, self.order.seed, self.epoch, index)).generate_state(
            _WORDS * len(chosen)
        )
        samples = []
        for position, example in enumerate(mine.tolist(), start):
            _seed_states(words[_WORDS * position : _WORDS * (position + 1)])
            samples.append(_example(self.dataset, example))
        return _collate(samples, mine)


@contextlib.contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Run a block under torch's (CPU), numpy's and Python's random states seeded from ``key``, then put them back.

    >>> with seeded(7, 0):
    ...     first = torch.rand(2)
    >>> with seeded(7, 0):
    ...     print(torch.equal(first, torch.rand(2)))
    True
    """
    with _kept_states():
        _seed_states(np.random.SeedSequence(key).generate_state(_WORDS))
        yield


@contextlib.contextmanager
def _kept_states() -> Iterator[None]:
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002 - the global one is meant
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        random.setstate(states[2])


def _seed_states(words: npt.NDArray[Any]) -> None:
    torch.default_generator.manual_seed(int(words[0]) | int(words[1]) << 32)
    np.random.seed(words[1:3])  # noqa: NPY002 - what transforms draw from
    random.seed(int(words[3]) << 32 | int(words[0]))


def _slice(chosen: npt.NDArray[np.int64], rank: int, world_size: int) -> tuple[int, npt.NDArray[np.int64]]:
    """Return where the slice of a rank starts in the batch, and the slice."""
    start, stop = (len(chosen) * part // world_size for part in (rank, rank + 1))
    return start, chosen[start:stop]


def _check_shares(order: EpochOrder, world_size: int) -> None:
    if order.batch_size % world_size:
        near = max(world_size, order.batch_size - order.batch_size % world_size)
        raise ConfigError(
            f"batch_size: {order.batch_size} is not shared equally by {world_size} processes (write batch_size = {near})"
        )
    smallest = min(order.size(0), order.size(order.batches - 1))
    if smallest < world_size:
        raise ConfigError(
            f"batch_size: the last batch of an epoch has {smallest} examples for {world_size} processes; "
            f"use smallest = {world_size} or drop_last = true"
        )


def _example(dataset: Dataset[Any], index: int) -> Any:
    try:
        return dataset[index]
    except OstinatoError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or "no message"
        raise DataError(f"example {index} cannot be fetched: {type(error).__name__}: {reason}") from error


def _collate(samples: list[Any], examples: npt.NDArray[np.int64]) -> tuple[Any, Any]:
    if not isinstance(samples[0], tuple | list) or len(samples[0]) != 2:
        raise DataError(f"example {examples[0]} is a {type(samples[0]).__name__}, expected (input, target)")
    try:
        inputs, targets = default_collate(samples)
    except (RuntimeError, TypeError, ValueError) as error:
        near = f"{examples[0]} to {examples[-1]}" if len(examples) > 1 else f"{examples[0]}"
        raise DataError(f"examples {near} do not make one batch: {' '.join(str(error).split())}") from error
    return inputs, targets
