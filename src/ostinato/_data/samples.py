"""Samples fetched and transformed for the update that will use them, and the batches they make."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from torch.utils.data import Dataset, IterableDataset, default_collate, get_worker_info

from ostinato._data.sampler import Indices, Place
from ostinato._data.seeding import kept_states, seed_states, seed_words
from ostinato._data.values import BlockValues
from ostinato.checks import whole
from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError, DataError, OstinatoError

if TYPE_CHECKING:
    from ostinato.scheduler import Scheduler

__all__ = [
    "END",
    "Batch",
    "Collate",
    "PlacedTransform",
    "Samples",
    "ScheduledDataset",
    "Stream",
    "Transform",
    "resolved_of",
]

Transform = Callable[[Any, Mapping[str, float]], Any]
_FETCH, _JOIN = 2, 3  # streams of the seed
END = object()


@runtime_checkable
class PlacedTransform(Protocol):
    """A transform of whole batches whose randomness is a function of the batch's place, such as `ostinato.augment.Augment`."""

    def fits(self, resolved: ResolvedPlan, /) -> None:
        """Raise if the plan's values are not what it can take."""

    def placed(self, data: Any, values: Mapping[str, float], /, *, count: int, part: int, first: int) -> Any:
        """Return the data transformed for update `count`; `part` is which batch of the update, `first` the position of its first example."""


@dataclass(frozen=True)
class Batch:
    """A batch, the count of the update that it is for, and the values of that update.

    Attributes:
        count: The update, counted from 0.
        values: The value of every target of the plan that update `count` uses.
        data: What the samples were joined to, such as ``(inputs, targets)``.
        epoch: The epoch, counted from 0.
        index: Which batch of the epoch. With gradient accumulation several have one count.
        digest: The digest of the resolved plan that the values are from.
    """

    count: int
    values: Mapping[str, float]
    data: Any
    epoch: int = 0
    index: int = 0
    digest: str = ""

    @property
    def place(self) -> Place:
        """Epoch, batch and count."""
        return Place(self.epoch, self.index, self.count)

    def check(self, scheduler: Scheduler) -> None:
        """Raise unless the batch is for the update that the scheduler is at, under the scheduler's plan.

        Raises:
            DataError: An update was skipped or made without a batch, one of the two was not resumed, or the plans differ.
        """
        if self.count != scheduler.count:
            raise DataError(
                f"the batch is for {self.place}, the scheduler is at update {scheduler.count}; after a skipped update call loader.skipped(),"
                f" after resuming load the loader's state or call loader.seek({scheduler.count})"
            )
        if self.digest != scheduler.resolved.digest:
            raise DataError(
                f"the batch of {self.place} has values of another plan or other rates than the scheduler's; make the loader with the scheduler itself"
            )

    def pin_memory(self) -> Batch:
        """Return the batch with its tensors in pinned memory; a ``DataLoader`` calls it."""
        from torch.utils.data._utils import pin_memory

        pin: Callable[[Any], Any] = pin_memory.pin_memory
        return dataclasses.replace(self, data=pin(self.data))


class Samples(list[Any]):
    """The samples of one batch, not yet joined."""

    def __init__(self, samples: Iterable[Any], indices: Indices, values: dict[str, float], digest: str) -> None:
        super().__init__(samples)
        self.place, self.first, self.part = indices.place, indices.first, indices.part
        self.values, self.digest = values, digest


def resolved_of(plan: Any) -> ResolvedPlan:
    resolved = plan.resolve() if isinstance(plan, Plan) else getattr(plan, "resolved", plan)
    if not isinstance(resolved, ResolvedPlan):
        raise ConfigError(
            f"plan: got a {type(plan).__name__}, expected a scheduler or plan.resolve(steps_per_epoch=...)"
        )
    return resolved


class ScheduledDataset(Dataset[Any]):
    """A map-style data set whose samples are transformed with the values of the update that will use them.

    Args:
        base: Any data set with ``base[index]``.
        plan: A resolved plan or a scheduler (of which the plan is kept).
        transform: ``transform(sample, values) -> sample``. Under ``spawn`` it must be a function of a module, as all that a worker gets.
        seed: Any whole number >= 0.
        reseed: False leaves the random states alone: for data sets and transforms that draw nothing, where seeding costs more than fetching.

    Raises:
        DataError: While fetching: the indices carry no count, or a sample cannot be made; the message names the update and the example.

    >>> import ostinato as ost
    >>> resolved = ost.Plan(total=4, cycle=ost.Cycle("sawtooth", count=1), bindings={"augment.degrees": ost.wave(0.0, 8.0)}).resolve()
    >>> dataset = ScheduledDataset([10.0, 20.0], resolved, lambda sample, values: sample + values["augment.degrees"])
    >>> dataset.__getitems__(Indices([1, 0], Place(count=3)))
    [22.0, 12.0]
    """

    def __init__(
        self, base: Any, plan: Any, transform: Transform | None = None, *, seed: int = 0, reseed: bool = True
    ) -> None:
        whole("seed", seed, 0)
        self.base, self.transform, self.seed, self.reseed = base, transform, seed, reseed
        self.resolved = resolved_of(plan)
        self._values = BlockValues(self.resolved)

    def values(self, count: int) -> dict[str, float]:
        """Return the value of every target for an update."""
        return self._values.at(count)

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.base)

    def __getitem__(self, index: Any) -> Any:
        raise DataError(
            "the indices carry no count; write DataLoader(dataset, batch_sampler=CountedSampler(...), collate_fn=Collate()), or take ScheduledLoader"
        )

    def __getitems__(self, indices: Any) -> list[Any]:
        """Return the samples of one batch; called by ``DataLoader``."""
        if not isinstance(indices, Indices):
            self[indices]
        return self.samples(indices, self.base.__getitem__)

    def samples(self, indices: Indices, fetch: Callable[[Any], Any]) -> Samples:
        """Return what `fetch` gives for each index, transformed, up to where it gives `END`."""
        place, made = indices.place, list[Any]()
        values = self.values(place.count)
        view = MappingProxyType(values)
        with kept_states() if self.reseed else contextlib.nullcontext():
            for index, state in zip(indices, self._states(indices), strict=True):
                if state is not None:
                    seed_states(state)
                try:
                    sample = fetch(index)
                    if sample is END:
                        break
                    made.append(sample if self.transform is None else self.transform(sample, view))
                except Exception as error:
                    raise DataError(f"{place}: example {index!r} cannot be made: {_reason(error)}") from error
        return Samples(made, indices, values, self._values.digest)

    def _states(self, indices: Indices) -> Iterable[Any]:
        """Return the seeds for each sample: a function of seed, epoch, batch and the position in the batch of all processes."""
        if not self.reseed:
            return [None] * len(indices)
        last = indices.first + indices.stride * (len(indices) - 1)
        words = seed_words((_FETCH, self.seed, indices.place.epoch, indices.place.batch), last + 1)
        return list(words[indices.first :: indices.stride])


@dataclass(frozen=True)
class Collate:
    """Joins the samples of a `ScheduledDataset` to a `Batch`: the ``collate_fn`` of a ``DataLoader``.

    Attributes:
        function: What joins samples to data; by default torch's ``default_collate``.
        transform: ``transform(data, values) -> data``, applied to the joined batch (mixing examples, for one), or an
            `ostinato.augment.Augment`.
        seed: Of the random states in which both run.
    """

    function: Callable[[list[Any]], Any] | None = None
    transform: Transform | PlacedTransform | None = None
    seed: int = 0

    def __call__(self, samples: Any) -> Batch:
        if not isinstance(samples, Samples):
            raise DataError("the samples carry no count; Collate joins what a ScheduledDataset gives")
        place = samples.place
        try:
            data = self._joined(samples)
        except Exception as error:
            raise DataError(f"{place}: the samples do not make one batch: {_reason(error)}") from error
        return Batch(place.count, samples.values, data, place.epoch, place.batch, samples.digest)

    def _joined(self, samples: Samples) -> Any:
        if self.function is None and self.transform is None:
            return default_collate(list(samples))
        place = samples.place
        with kept_states():
            seed_states(seed_words((_JOIN, self.seed, place.epoch, place.batch, samples.first))[0])
            data = (self.function or default_collate)(list(samples))
            if self.transform is None:
                return data
            values = MappingProxyType(samples.values)
            if isinstance(self.transform, PlacedTransform):
                return self.transform.placed(data, values, count=place.count, part=samples.part, first=samples.first)
            return self.transform(data, values)


@dataclass(eq=False)
class Stream(IterableDataset[Batch]):
    """Batches of an iterable data set from a place on, numbered as a ``DataLoader`` asks its workers for them: in turn."""

    dataset: ScheduledDataset
    collate: Collate
    size: int
    place: Place
    accumulate: int
    shares: tuple[int, int]
    drop_last: bool

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        own, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        if hasattr(self.dataset.base, "set_epoch"):
            self.dataset.base.set_epoch(self.place.epoch)
        source = iter(self.dataset.base)
        first = self.place.batch - self.place.batch % workers
        for batch in itertools.count(own, workers):
            examples = range(batch * self.size, (batch + 1) * self.size)
            indices = Indices(
                examples, self.place.ahead(batch, self.accumulate), *self.shares, part=batch % self.accumulate
            )
            if batch < first:
                passed = self._plain.samples(indices, lambda _: next(source, END))
                if len(passed) < self.size:
                    return
                continue
            samples = self.dataset.samples(indices, lambda _: next(source, END))
            if len(samples) < (self.size if self.drop_last else 1):
                return
            yield self.collate(samples)

    @property
    def _plain(self) -> ScheduledDataset:
        """The data set without its transform: what is passed over when resuming is read and nothing more."""
        return ScheduledDataset(
            self.dataset.base, self.dataset.resolved, seed=self.dataset.seed, reseed=self.dataset.reseed
        )


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or "no message"
    return text if isinstance(error, OstinatoError) else f"{type(error).__name__}: {text}"
