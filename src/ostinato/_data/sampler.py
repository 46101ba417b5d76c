"""Which update a batch belongs to, and indices that carry it. A pure function of the place, so that prefetching changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from ostinato._data.seeding import kept_states, seed_states, seed_words
from ostinato.checks import whole
from ostinato.errors import ConfigError, DataError

__all__ = ["CountedSampler", "Indices", "Order", "Place"]

_SAMPLER = 4  # a stream of the seed


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the data: batch `batch` of epoch `epoch` is for update `count`. Each is counted from 0."""

    epoch: int = 0
    batch: int = 0
    count: int = 0

    def __str__(self) -> str:
        return f"update {self.count} (epoch {self.epoch}, batch {self.batch})"

    def ahead(self, batch: int, accumulate: int) -> Place:
        """Return the place of another batch of the same epoch, when `accumulate` batches make an update."""
        return Place(self.epoch, batch, self.count + batch // accumulate - self.batch // accumulate)

    def next_epoch(self, accumulate: int) -> Place:
        """Return the place of the first batch of the next epoch, if this one has nothing more: an update begun ends with it."""
        return Place(self.epoch + 1, 0, self.count + (self.batch % accumulate != 0))

    def whole(self, accumulate: int) -> Place:
        """Return the place of the first batch of the update that this batch belongs to."""
        return Place(self.epoch, self.batch - self.batch % accumulate, self.count)


class Indices(list[Any]):
    """The indices of one batch, tagged with its place.

    Attributes:
        place: Epoch, batch and count.
        first: Position of the first one in the whole batch, over all processes.
        stride: Distance of the positions.
        part: Which batch of its update it is, counted from 0.
    """

    def __init__(self, indices: Iterable[Any], place: Place, first: int = 0, stride: int = 1, part: int = 0) -> None:
        super().__init__(indices)
        self.place, self.first, self.stride, self.part = place, first, stride, part

    def __reduce__(self) -> tuple[Any, ...]:
        return Indices, (list(self), self.place, self.first, self.stride, self.part)


@runtime_checkable
class Order(Protocol):
    """Batches as a pure function of their place, such as ``ostinato.training.batches.EpochOrder``."""

    @property
    def batches(self) -> int:
        """Batches of an epoch."""

    def batch(self, epoch: int, index: int, /) -> Any:
        """Return the indices of one batch."""


class CountedSampler:
    """A batch sampler that tags each batch with the count of the update that it will be used by.

    Batch b of an epoch belongs to update e·ceil(B / accumulate) + floor(b / accumulate), with B batches an epoch. Iterating gives one epoch
    from `place` on; when it is exhausted, `place` is the next epoch's beginning. A ``DataLoader`` asks for indices ahead, so after leaving
    its loop early call `seek`; `ScheduledLoader` does so itself.

    Args:
        batches: An order (`batches`, `batch(epoch, index)`), or a batch sampler with a length, such as ``torch.utils.data.BatchSampler``.
            The order of a batch sampler follows from `seed` and the epoch: it is drawn whole under global random states seeded from them,
            and ``set_epoch`` is called where it or its ``sampler`` has it.
        accumulate: Batches that make one update. The last update of an epoch may have fewer.
        start: The update to begin with.
        seed: Any whole number >= 0. The same in all processes.
        rank: This process: it gets its contiguous slice of each batch.
        world_size: Number of processes that share each batch. Leave 1 with a ``DistributedSampler``, which has divided the data already.

    Raises:
        ConfigError: A value is out of range, or `batches` is neither, or has a generator of its own (its order would depend on history).
        DataError: While iterating: a batch has less than one example a process, or an epoch another number of batches.

    >>> from torch.utils.data import BatchSampler, SequentialSampler
    >>> sampler = CountedSampler(BatchSampler(SequentialSampler(range(6)), 2, drop_last=False), accumulate=2, start=1)
    >>> [(indices.place.count, list(indices)) for indices in sampler]
    [(1, [4, 5])]
    >>> [(indices.place.count, list(indices)) for indices in sampler]
    [(2, [0, 1]), (2, [2, 3]), (3, [4, 5])]
    """

    def __init__(
        self, batches: Any, *, accumulate: int = 1, start: int = 0, seed: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        for name, value, least in (
            ("accumulate", accumulate, 1), ("world_size", world_size, 1), ("start", start, 0), ("seed", seed, 0), ("rank", rank, 0),
        ):  # fmt: skip
            whole(name, value, least)
        if rank >= world_size:
            raise ConfigError(f"rank: got {rank} of {world_size}, expected 0 to world_size - 1")
        self.source = batches if isinstance(batches, Order) else _Drawn(batches, seed)
        shares = getattr(self.source, "shares", (0, 1))
        if shares[1] > 1 and world_size > 1:
            raise ConfigError(
                "world_size: the DistributedSampler divides the batches already; leave rank and world_size out"
            )
        self.batches = self.source.batches
        whole("batches", self.batches)
        self.accumulate, self.rank, self.world_size = accumulate, rank, world_size
        self._shares = shares
        self.place = self.at(start)

    @property
    def updates(self) -> int:
        """Updates of an epoch, ceil(batches / accumulate): the plan's ``steps_per_epoch``."""
        return -(-self.batches // self.accumulate)

    def at(self, count: int) -> Place:
        """Return the place of the first batch of update `count`, if every update so far was made."""
        whole("count", count, 0)
        epoch, update = divmod(count, self.updates)
        return Place(epoch, update * self.accumulate, count)

    def seek(self, place: int | Place) -> None:
        """Go to an update, or to a place."""
        place = place if isinstance(place, Place) else self.at(place)
        if not 0 <= place.batch < self.batches:
            raise DataError(
                f"batch: got {place.batch} of an epoch of {self.batches} batches; was it saved with other data or batches?"
            )
        self.place = place

    def after(self, place: Place) -> Place:
        """Return the place that follows."""
        following = place.ahead(place.batch + 1, self.accumulate)
        return following if following.batch < self.batches else following.next_epoch(self.accumulate)

    def __len__(self) -> int:
        """Return the batches of an epoch."""
        return self.batches

    def __iter__(self) -> Iterator[Indices]:
        first = self.place
        for batch in range(first.batch, self.batches):
            yield self._indices(first.ahead(batch, self.accumulate))
        if self.place is first:
            self.place = self.after(first.ahead(self.batches - 1, self.accumulate))

    def _indices(self, place: Place) -> Indices:
        batch: Any = self.source.batch(place.epoch, place.batch)
        chosen: Sequence[Any] = batch.tolist() if hasattr(batch, "tolist") else list(batch)
        start, stop = (len(chosen) * part // self.world_size for part in (self.rank, self.rank + 1))
        if len(chosen) < self.world_size:
            raise DataError(
                f"{place}: {len(chosen)} examples for {self.world_size} processes; leave out the last batch (drop_last=True)"
            )
        first, stride = self._shares
        return Indices(chosen[start:stop], place, start + first, stride, place.batch % self.accumulate)


class _Drawn:
    """The batches of a batch sampler as a pure function of their place; keeps one epoch's."""

    def __init__(self, sampler: Any, seed: int) -> None:
        inner = getattr(sampler, "sampler", None)
        if isinstance(sampler, int) or not hasattr(sampler, "__iter__") or not hasattr(sampler, "__len__"):
            raise ConfigError(
                f"batches: got a {type(sampler).__name__}, expected an order or a batch sampler with a length,"
                " such as BatchSampler(RandomSampler(dataset), 32, drop_last=False)"
            )
        if any(getattr(part, "generator", None) is not None for part in (sampler, inner)):
            raise ConfigError(
                "batches: the sampler has a generator of its own, so its order depends on what was drawn before;"
                " leave generator out: the order follows from seed and the epoch"
            )
        distributed = next((part for part in (sampler, inner) if hasattr(part, "num_replicas")), None)
        self.shares = (0, 1) if distributed is None else (int(distributed.rank), int(distributed.num_replicas))
        self.batches = len(sampler)
        self._sampler, self._seed = sampler, seed
        self._epoch, self._drawn = -1, list[Any]()

    def batch(self, epoch: int, index: int, /) -> Any:
        if epoch != self._epoch:
            self._drawn = self._draw(epoch)
            self._epoch = epoch
        return self._drawn[index]

    def _draw(self, epoch: int) -> list[Any]:
        parts: tuple[Any, ...] = (self._sampler, getattr(self._sampler, "sampler", None))
        for part in parts:
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)
        with kept_states():
            seed_states(seed_words((_SAMPLER, self._seed, epoch))[0])
            drawn = [list(batch) for batch in self._sampler]
        if len(drawn) != self.batches:
            raise DataError(f"epoch {epoch}: the batch sampler gave {len(drawn)} batches, its length is {self.batches}")
        return drawn
