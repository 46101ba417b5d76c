"""Batches: the same ones whatever the number of workers and wherever a run resumes.

Order and randomness are pure functions of (seed, epoch, batch), so that nothing about data needs saving but the
position. Promised for one version of numpy and torch, as their generators' streams are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from ostinato._data.sampler import Place
from ostinato._data.samples import Batch, PlacedTransform
from ostinato._data.seeding import kept_states, seed_states, seed_words, seeded
from ostinato._data.values import BlockValues
from ostinato._data.workers import explained, watched
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError, DataError, OstinatoError
from ostinato.training.examples import Split
from ostinato.training.order import EpochOrder

__all__ = ["Batches", "EpochOrder", "seeded"]

_FETCH = 2  # a stream of the seed beside the order's


class Batches:
    """Batches (inputs, targets) of a data set, from any position.

    A `Split` is indexed in memory. Any other map-style data set is fetched example by example through a
    ``DataLoader`` and joined by torch's ``default_collate``; each example is fetched with torch's (CPU), numpy's and
    Python's global random states seeded from (seed, epoch, batch, position), so that random transforms give the same
    batch for any number of workers, processes and wherever a run resumes. The random states of the calling process are
    left as they were. A generator that a data set keeps for itself is out of reach: draw from the global ones.

    Each batch is for one update, so that a transform of whole batches (an augmentation) takes the plan's values of that very update, in
    whichever process it runs.

    Args:
        dataset: A `Split` or a map-style ``Dataset`` of (input, target) with a length.
        order: Which examples make which batch.
        workers: Worker processes; 0 fetches in this one. They stay until `close`. A `Split` is left to them only if there is a transform.
        rank: This process, 0 to world_size - 1: it gets its contiguous slice of each batch.
        world_size: Number of processes. Slices of one batch differ by at most one example.
        start_method: ``"fork"``, ``"spawn"`` or ``"forkserver"`` for the workers; without it, Python's default.
        accumulate: Batches that make one update.
        plan: Whose values the batches carry; without it, they carry none.
        transform: Applied to each batch where it is made, such as an `ostinato.augment.Augment`.

    Raises:
        ConfigError: lengths differ, or a process would get nothing from some batch, or the plan does not fit the transform.

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
        accumulate: int = 1,
        plan: ResolvedPlan | None = None,
        transform: PlacedTransform | None = None,
    ) -> None:
        length = len(dataset)  # type: ignore[arg-type]  # map-style: it has a length
        if length != order.length:
            raise ConfigError(f"order: made for {order.length} examples, the data set has {length}")
        if world_size < 1 or not 0 <= rank < world_size:
            raise ConfigError(f"rank: got {rank} of {world_size}, expected 0 to world_size - 1")
        if workers < 0:
            raise ConfigError(f"workers: got {workers}, expected a whole number >= 0")
        _check_shares(order, world_size)
        if transform is not None and plan is not None:
            transform.fits(plan)
        self.dataset = dataset
        self.order = order
        self.workers = workers
        self.rank = rank
        self.world_size = world_size
        self.start_method = start_method
        self.accumulate = accumulate
        values = None if plan is None else BlockValues(plan)
        self._source = _Source(dataset, order, rank, world_size, accumulate, values, transform)
        self._places = _Places(len(self), accumulate)
        self._loader: DataLoader[Any] | None = None
        self._turn: object = None

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return self.order.batches

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Any, Any]]:
        """Yield the batches of one epoch from batch ``start`` on; ``start = len(self)`` yields nothing."""
        return (batch.data for batch in self.counted(epoch, start))

    def counted(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of ``epoch`` with the update that each is for and the plan's values there.

        Raises:
            DataError: While iterating: a batch cannot be made, a worker died, or another loop has taken the workers over.
        """
        if not 0 <= start <= len(self):
            raise ConfigError(f"batch: got {start}, expected 0 to {len(self)}")
        if self.workers == 0 or (isinstance(self.dataset, Split) and self._source.transform is None):
            return (self._made(self._places.at(epoch, index)) for index in range(start, len(self)))
        return self._fetched(epoch, start)

    def batch(self, epoch: int, index: int) -> tuple[Any, Any]:
        """Return one batch, fetched in this process."""
        pair: tuple[Any, Any] = self._made(self._places.at(epoch, index)).data
        return pair

    def _made(self, place: Place) -> Batch:
        with contextlib.nullcontext() if isinstance(self.dataset, Split) else kept_states():
            return self._source[place]

    def close(self) -> None:
        """End the worker processes; the next epoch begins new ones."""
        self._loader = None

    def endless(self, epoch: int = 0, start: int = 0) -> Iterator[tuple[int, int, tuple[Any, Any]]]:
        """Yield (epoch, batch, (inputs, targets)) from a position on, epoch after epoch, without end."""
        if start == len(self):
            epoch, start = epoch + 1, 0
        while True:
            for index, batch in enumerate(self.epoch(epoch, start), start):
                yield epoch, index, batch
            epoch, start = epoch + 1, 0

    def _fetched(self, epoch: int, start: int) -> Iterator[Batch]:
        turn = self._turn = object()
        self._places.epoch, self._places.start = epoch, start
        if self._loader is None:
            self._loader = DataLoader(
                self._source,
                batch_size=None,
                sampler=self._places,
                num_workers=self.workers,
                persistent_workers=True,
                multiprocessing_context=self.start_method,
                generator=torch.Generator(),  # the loader draws a seed for its workers: not from the global generator
            )
        fetched: Any = None
        for index in range(start, len(self)):
            if self._turn is not turn:
                raise DataError("the batches are being looped over elsewhere; make Batches for each loop")
            place = self._places.at(epoch, index)
            try:
                fetched = iter(self._loader) if fetched is None else fetched
                with watched(fetched):
                    batch: Batch = next(fetched)
            except Exception as error:
                self._loader = None  # its workers may be gone
                reason = explained(error, place, fetched)
                if reason is None:
                    raise
                raise DataError(reason) from error
            yield batch


@dataclass
class _Places:
    """The places of an epoch from a batch on, which the loader asks for anew for each epoch."""

    batches: int
    accumulate: int
    epoch: int = 0
    start: int = 0

    def at(self, epoch: int, index: int) -> Place:
        """Return the place of a batch, if every update so far was made."""
        return Place(epoch, index, epoch * -(-self.batches // self.accumulate) + index // self.accumulate)

    def __len__(self) -> int:
        return self.batches - self.start

    def __iter__(self) -> Iterator[Place]:
        return (self.at(self.epoch, index) for index in range(self.start, self.batches))


@dataclass(frozen=True)
class _Source(Dataset[Any]):
    """The batches by their places, as a map-style data set: what a worker process receives."""

    dataset: Dataset[Any]
    order: EpochOrder
    rank: int
    world_size: int
    accumulate: int
    values: BlockValues | None
    transform: PlacedTransform | None

    def __getitem__(self, place: Place) -> Batch:
        chosen = self.order.batch(place.epoch, place.batch)
        first, mine = _slice(chosen, self.rank, self.world_size)
        data = self.dataset.batch(mine) if isinstance(self.dataset, Split) else self._joined(place, first, mine, chosen)
        values: Mapping[str, float] = {} if self.values is None else self.values.at(place.count)
        if self.transform is not None:
            part = place.batch % self.accumulate
            data = self.transform.placed(data, MappingProxyType(values), count=place.count, part=part, first=first)
        digest = "" if self.values is None else self.values.digest
        return Batch(place.count, values, data, place.epoch, place.batch, digest)

    def _joined(
        self, place: Place, first: int, mine: npt.NDArray[np.int64], chosen: npt.NDArray[np.int64]
    ) -> tuple[Any, Any]:
        words = seed_words((_FETCH, self.order.seed, place.epoch, place.batch), len(chosen))
        samples = []
        for position, example in enumerate(mine.tolist(), first):
            seed_states(words[position])
            samples.append(_example(self.dataset, example))
        return _collate(samples, mine)


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
