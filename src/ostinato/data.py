"""Batches that carry their count: values of the plan in data loading, exact and resumable whatever the workers' timing.

A ``DataLoader`` fetches ahead, so a value that the training loop sets reaches a worker too late, and when is a matter of luck. Here each
batch of indices is tagged with the count of the update that will use it; the worker evaluates the plan, a pure function, for that count.

=====================  ==========================================================================================
`ScheduledLoader`      all in one: loads, resumes, explains what fails. Begin here
`CountedSampler`       tags batches of indices with their count       (for a ``DataLoader`` of one's own:
`ScheduledDataset`     fetches and transforms samples for a count      ``DataLoader(ScheduledDataset(...),
`Collate`              joins the samples to a `Batch`                  batch_sampler=CountedSampler(...), collate_fn=Collate())``)
`counted`              tags batches that something else has made, in this process
`Batch`                what comes out: `count`, `values`, `data`
=====================  ==========================================================================================

Values are keyed by the plan's targets (``batch.values["augment.strength"]``); that of a relative binding is the factor. A target that only
data loading reads still needs a place for `Plan.bind`, such as ``bind(augment={"strength": 0.0}, ...)``.

Samples are fetched and transformed under torch's (CPU), numpy's and Python's global random states seeded from (seed, epoch, batch, position),
and the process's own states are left as they were. A generator that a data set keeps for itself is out of reach.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset

from ostinato._data.sampler import CountedSampler, Indices, Place
from ostinato._data.samples import (
    Batch,
    Collate,
    PlacedTransform,
    ScheduledDataset,
    Stream,
    Transform,
    resolved_of,
)
from ostinato._data.workers import explained, watched
from ostinato.checks import is_whole, whole
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError, DataError, StateError

__all__ = ["Batch", "Collate", "CountedSampler", "Indices", "Place", "ScheduledDataset", "ScheduledLoader", "counted"]

_OURS = ("dataset", "batch_size", "shuffle", "sampler", "batch_sampler", "collate_fn")
_KEYS = ("epoch", "batch", "count")


class ScheduledLoader:
    """A loader of `Batch` es, each with the exact values of the update that it is for, from any place on.

    Each ``for`` goes on from where the loader stands to the end of the epoch: after leaving one early, after an error and after resuming
    as well. Batches, values and random transforms are the same for any number of workers, start method and prefetching, and (with an order
    or a sampler of whole batches) for any number of processes.

    Resume with the scheduler's count (``loader.seek(scheduler.count)``), or, if mixed precision skipped updates, with `state_dict`.
    A worker that dies raises a `DataError` that names the batch, between two batches and never inside the loop's body; the loader stands
    at that batch still.

    Limits. Every process must make its own loader; frameworks that rebuild loaders (Lightning's and Accelerate's ``prepare``) would take the
    counts off, so hand rank and world_size here instead. An iterable data set is divided among workers and processes by itself, as torch
    asks of it: the batches then depend on the number of workers, and workers whose parts end more than a turn apart are an error. Resuming
    reads what was passed over, and needs the same number of workers. ``persistent_workers`` is for map-style data sets.

    Args:
        base: A map-style or an iterable data set of samples.
        plan: A resolved plan, or a scheduler, whose count is then the default of `start`.
        batches: For a map-style data set an order or a batch sampler as for `CountedSampler`, for an iterable one the batch size.
        transform: ``transform(sample, values) -> sample``, run by the workers.
        batch_transform: ``transform(data, values) -> data``, run by the workers on the joined batch; or an `ostinato.augment.Augment`,
            which takes its strength from the values and its seeds from the batch's place.
        collate: What joins samples; by default torch's ``default_collate``.
        accumulate: Batches that make one update.
        start: The update to begin with.
        seed: Of the order and of the random states in which samples are made. The same in all processes.
        reseed: False leaves the random states of samples alone, as for `ScheduledDataset`.
        rank: This process.
        world_size: Number of processes. It gives each its slice of every batch (map-style), or different random states (iterable).
        drop_last: Leave out what does not fill a batch, for an iterable data set; a batch sampler decides itself.
        loader: What makes the loader, with the keywords of torch's ``DataLoader``, such as torchdata's ``StatefulDataLoader``.
        **options: Passed on to it: ``num_workers``, ``prefetch_factor``, ``persistent_workers``, ``multiprocessing_context``, ...

    Raises:
        ConfigError: An argument is out of range or contradicts another.
        DataError: While iterating: a sample or batch cannot be made, or a worker died.

    >>> import ostinato as ost
    >>> from torch.utils.data import BatchSampler, SequentialSampler
    >>> resolved = ost.Plan(total=6, cycle=ost.Cycle("sawtooth", count=1), bindings={"augment.shift": ost.wave(0.0, 6.0)}).resolve()
    >>> data = torch.zeros(6)
    >>> batches = BatchSampler(SequentialSampler(data), 2, drop_last=False)
    >>> loader = ScheduledLoader(data, resolved, batches, transform=lambda sample, values: sample + values["augment.shift"], start=2)
    >>> [(batch.count, batch.data.tolist()) for epoch in range(2) for batch in loader]
    [(2, [4.0, 4.0]), (3, [3.0, 3.0]), (4, [2.0, 2.0]), (5, [1.0, 1.0])]
    """

    def __init__(
        self,
        base: Any,
        plan: Any,
        batches: Any,
        *,
        transform: Transform | None = None,
        batch_transform: Transform | PlacedTransform | None = None,
        collate: Callable[[list[Any]], Any] | None = None,
        accumulate: int = 1,
        start: int | None = None,
        seed: int = 0,
        reseed: bool = True,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = False,
        loader: Callable[..., Iterable[Any]] = DataLoader,
        **options: Any,
    ) -> None:
        for name in _OURS:
            if name in options:
                raise ConfigError(
                    f"{name}: the loader sets it itself; say batches=... for the order and collate=... for joining"
                )
        self.dataset = ScheduledDataset(base, plan, transform, seed=seed, reseed=reseed)
        self.collate = Collate(collate, batch_transform, seed)
        if isinstance(batch_transform, PlacedTransform):
            batch_transform.fits(self.dataset.resolved)
        self.accumulate, self._size, self._drop_last = accumulate, batches, drop_last
        self._make, self._options = loader, {"generator": torch.Generator(), **options}
        self._loader: Any = None
        self._turn: object = None
        self._moves, self._handed = 0, False
        self._shares = (rank, world_size)
        self._sampler: CountedSampler | None = None
        start = int(getattr(plan, "count", 0)) if start is None else start
        if isinstance(base, IterableDataset):
            self._check_stream(start, options)
            self._place = Place(0, start * accumulate, start)
        else:
            if drop_last:
                raise ConfigError("drop_last: the batch sampler decides; say it there")
            self._sampler = CountedSampler(
                batches, accumulate=accumulate, start=start, seed=seed, rank=rank, world_size=world_size
            )
            self._place = self._sampler.place

    def _check_stream(self, start: int, options: Mapping[str, Any]) -> None:
        whole("batches", self._size)
        whole("accumulate", self.accumulate)
        whole("world_size", self._shares[1])
        whole("start", start, 0)
        whole("rank", self._shares[0], 0)
        if options.get("persistent_workers"):
            raise ConfigError("persistent_workers: an iterable data set is begun anew each epoch; leave it out")

    # -- place -------------------------------------------------------------------------------------------------

    @property
    def place(self) -> Place:
        """The place of the next batch."""
        return self._place

    def __len__(self) -> int:
        """Return the batches of an epoch; an iterable data set has none to tell."""
        if self._sampler is None:
            raise TypeError("a ScheduledLoader of an iterable data set has no length")
        return len(self._sampler)

    @property
    def updates(self) -> int:
        """Updates of an epoch: ``steps_per_epoch=loader.updates``; the plan has to be resolved with the same."""
        if self._sampler is None:
            raise TypeError("a ScheduledLoader of an iterable data set has no length")
        return self._sampler.updates

    def seek(self, count: int) -> None:
        """Go to the first batch of update `count`, of a run that skipped none; for an iterable data set, within its first pass."""
        whole("count", count, 0)
        self._go(Place(0, count * self.accumulate, count) if self._sampler is None else self._sampler.at(count))

    def skipped(self) -> None:
        """Say that the update of the last batch was not made (``tick.advanced`` is false): the next batch is for the same count.

        Batches fetched ahead are for other counts now, and are fetched anew.

        Raises:
            DataError: The last batch did not complete an update.
        """
        ended = self._place.batch % self.accumulate == 0
        if not ended or not self._handed:
            raise DataError(f"skipped: no update has been completed; the next batch is for {self._place}")
        self._go(dataclasses.replace(self._place, count=self._place.count - 1))

    def state_dict(self) -> dict[str, int]:
        """Return where the loader stands, as a JSON document: the first batch of the first update that is not complete."""
        place = self._place.whole(self.accumulate)
        return {"version": 1, **{key: getattr(place, key) for key in _KEYS}, **self._kind()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go where a loader of the same data and batches stood.

        Raises:
            StateError: The state is malformed, or of another seed or other batches.
        """
        expected = self._kind()
        for key in ("version", *_KEYS, *expected):
            value = state.get(key) if isinstance(state, Mapping) else None
            if not is_whole(value, 0):
                raise StateError(f"state: {key!r} is {value!r}, expected what ScheduledLoader.state_dict() returned")
            if value != {"version": 1, **expected}.get(key, value):
                raise StateError(
                    f"state: {key} was {value}, is {expected.get(key, 1)}; make the loader as it was made then"
                )
        self._go(Place(*(state[key] for key in _KEYS)))

    def _kind(self) -> dict[str, int]:
        batches = {"batch_size": self._size} if self._sampler is None else {"batches": len(self._sampler)}
        return {**batches, "accumulate": self.accumulate, "seed": self.dataset.seed}

    def _go(self, place: Place) -> None:
        if self._sampler is not None:
            self._sampler.seek(place)
        self._place = place
        self._moves, self._handed = self._moves + 1, False

    # -- iterating ---------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Batch]:
        turn = self._turn = object()
        epoch = self._place.epoch
        while self._place.epoch == epoch:
            fetched: Any = None
            while True:
                fetched, batch = self._fetch(fetched)
                if batch is None:
                    self._end(epoch)
                    return
                if not self._accept(batch):
                    continue
                moves = self._moves
                yield batch
                if self._turn is not turn:
                    raise DataError("the loader is being looped over elsewhere; make one loader for each loop")
                if self._moves != moves:
                    break

    def _fetch(self, fetched: Any) -> tuple[Any, Batch | None]:
        """Return the iterator, begun if need be, and its next batch, or None at its end."""
        try:
            if fetched is None:
                fetched = iter(self._opened())
            with watched(fetched):
                batch = next(fetched, None)
        except Exception as error:
            self._loader = None  # its workers may be gone
            reason = explained(error, self._place, fetched)
            if reason is None:
                raise
            raise DataError(reason) from error
        if batch is not None and not isinstance(batch, Batch):
            raise DataError(
                f"the loader gave a {type(batch).__name__} where it was to give a Batch; it must keep collate_fn's result"
            )
        return fetched, batch

    def _opened(self) -> Iterable[Any]:
        if self._sampler is None:
            stream = Stream(
                self.dataset, self.collate, self._size, self._place, self.accumulate, self._shares, self._drop_last
            )
            return self._make(stream, batch_size=None, **self._options)
        self._sampler.seek(self._place)
        if self._loader is None:
            self._loader = self._make(
                self.dataset, batch_sampler=self._sampler, collate_fn=self.collate, **self._options
            )
        return self._loader  # type: ignore[no-any-return]  # a torch loader's own type is not known

    def _accept(self, batch: Batch) -> bool:
        """Go on behind a batch; return False for one of an iterable data set that comes before the place to begin with."""
        if self._sampler is None and batch.index < self._place.batch:
            return False
        if batch.place != self._place:
            hint = "its workers' parts end more than a turn apart: make them equal or take num_workers=1"
            if self._sampler is not None:
                hint = "what makes the loader must keep the order"
            raise DataError(f"got the batch of {batch.place}, expected {self._place}; {hint}")
        self._handed, place = True, self._place
        following = place.ahead(place.batch + 1, self.accumulate)
        self._place = following if self._sampler is None else self._sampler.after(place)
        return True

    def _end(self, epoch: int) -> None:
        """Go on to the next epoch, at the end of an iterable data set."""
        if self._place.epoch == epoch:
            if self._sampler is not None:
                raise DataError(
                    f"the loader ended before the batch of {self._place}; it must give every batch of the sampler"
                )
            self._place = self._place.next_epoch(self.accumulate)


def counted(
    batches: Iterable[Any], plan: Any, *, start: int = 0, accumulate: int = 1, transform: Transform | None = None
) -> Iterator[Batch]:
    """Tag batches that something else has made (any loader, any iterable), one after another, in this process.

    Args:
        batches: One pass of them. To resume, begin it where it was left, and say `start`.
        plan: A resolved plan or a scheduler.
        start: The update that the first batch is for.
        accumulate: Batches that make one update.
        transform: ``transform(data, values) -> data``, run in this process when the batch is asked for; random states are left alone.

    >>> import ostinato as ost
    >>> resolved = ost.Plan(total=4, cycle=ost.Cycle("sawtooth", count=1), bindings={"augment.degrees": ost.wave(0.0, 8.0)}).resolve()
    >>> [(batch.count, batch.values["augment.degrees"], batch.data) for batch in counted("abc", resolved, start=1, accumulate=2)]
    [(1, 6.0, 'a'), (1, 6.0, 'b'), (2, 4.0, 'c')]
    """
    whole("start", start, 0)
    whole("accumulate", accumulate)
    return _counted(batches, resolved_of(plan), start, accumulate, transform)


def _counted(
    batches: Iterable[Any], resolved: ResolvedPlan, start: int, accumulate: int, transform: Transform | None
) -> Iterator[Batch]:
    for index, data in enumerate(batches):
        count = start + index // accumulate
        values = resolved.values(count)
        changed = data if transform is None else transform(data, MappingProxyType(values))
        yield Batch(count, values, changed, index=index, digest=resolved.digest)
