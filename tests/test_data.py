from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    RandomSampler,
    SequentialSampler,
    WeightedRandomSampler,
)

import ostinato as ost
from loading import Deadly, Numbers, Part, Shared, bumps, rolled, stamped
from ostinato.data import Batch, Collate, CountedSampler, Indices, Place, ScheduledDataset, ScheduledLoader, counted
from ostinato.errors import ConfigError, DataError, PlanError, StateError
from ostinato.training.batches import Batches, EpochOrder

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")

LENGTH, SIZE, ACCUMULATE = 13, 2, 2  # 7 batches, 4 updates an epoch, the last of one batch
ORDER = EpochOrder(LENGTH, SIZE, seed=5, smallest=1)
PLAN = ost.Plan(
    total=12,
    cycle=ost.Cycle("cosine", period=5, mult=1.5),
    bindings={
        "augment.noise": ost.wave(0.1, 0.9, shift=0.3),
        "augment.bump": bumps(low=0.0, high=1.0, every=3),
    },
)
RESOLVED = PLAN.resolve()


def _loader(plan: Any = RESOLVED, batches: Any = ORDER, base: Any = None, **options: Any) -> ScheduledLoader:
    base = Numbers(LENGTH) if base is None else base
    kept = {"transform": stamped, "batch_transform": rolled, "accumulate": ACCUMULATE, "seed": 3, **options}
    return ScheduledLoader(base, plan, batches, **kept)


def _run(loader: ScheduledLoader, epochs: int = 3) -> list[Batch]:
    return [batch for _ in range(epochs) for batch in loader]


def _equal(left: list[Batch], right: list[Batch]) -> bool:
    def key(batch: Batch) -> tuple[Any, ...]:
        return batch.place, dict(batch.values), batch.digest, batch.data.tolist()

    return [key(batch) for batch in left] == [key(batch) for batch in right]


@pytest.fixture(scope="module")
def reference() -> list[Batch]:
    """Three epochs, fetched in this process."""
    return _run(_loader())


# -- exactness -----------------------------------------------------------------------------------------------------


def test_values_are_the_tables_and_data_the_orders() -> None:
    table = RESOLVED.table()
    batches = _run(_loader(batch_transform=None))
    assert [batch.count for batch in batches] == [0, 0, 1, 1, 2, 2, 3, 4, 4, 5, 5, 6, 6, 7, 8, 8, 9, 9, 10, 10, 11]
    assert len({batch.values["augment.noise"] for batch in batches}) > 6
    for batch in batches:
        assert batch.values == {name: float(table[name][batch.count]) for name in RESOLVED.targets}
        assert batch.data[:, 0].tolist() == ORDER.batch(batch.epoch, batch.index).tolist()
        assert set(batch.data[:, 4].tolist()) == {float(table["augment.noise"][batch.count])}


@pytest.mark.parametrize(
    ("workers", "persistent", "prefetch"), [(1, False, 1), (1, True, 4), (3, False, 4), (3, True, 1)]
)
def test_forked_workers_give_the_same(reference: list[Batch], workers: int, persistent: bool, prefetch: int) -> None:
    loader = _loader(
        num_workers=workers, persistent_workers=persistent, prefetch_factor=prefetch, multiprocessing_context="fork"
    )
    assert _equal(_run(loader), reference)


def test_spawned_workers_give_the_same(reference: list[Batch]) -> None:
    loader = _loader(num_workers=1, persistent_workers=True, prefetch_factor=4, multiprocessing_context="spawn")
    assert _equal(_run(loader), reference)
    loader.seek(6)
    assert _equal(list(loader), [batch for batch in reference if batch.epoch == 1 and batch.count >= 6])


def test_random_states_of_the_process_stay_and_do_not_matter(reference: list[Batch]) -> None:
    torch.manual_seed(1)
    np.random.seed(2)  # noqa: NPY002 - the global one is meant
    random.seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002 - the global one is meant
    assert _equal(_run(_loader(num_workers=1)), reference)
    assert _equal(_run(_loader()), reference)
    after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002 - the global one is meant
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_the_seed_matters(reference: list[Batch]) -> None:
    other = _run(_loader(seed=4))
    assert all(one.values == two.values for one, two in zip(other, reference, strict=True))
    assert not any(torch.equal(one.data, two.data) for one, two in zip(other, reference, strict=True))


def test_without_reseeding_what_draws_nothing_is_the_same(reference: list[Batch]) -> None:
    state = torch.get_rng_state()
    plain = _run(_loader(transform=None, batch_transform=None, reseed=False))
    assert not torch.equal(state, torch.get_rng_state())
    for batch, seeded in zip(plain, reference, strict=True):
        assert (batch.place, batch.values) == (seeded.place, seeded.values)
        assert batch.data[:, 0].tolist() == ORDER.batch(batch.epoch, batch.index).tolist()


def test_without_a_transform_it_is_batches() -> None:
    class Pairs(Numbers):
        def __getitem__(self, index: int) -> Any:
            return super().__getitem__(index), index % 3

    order = EpochOrder(LENGTH, 4, seed=5)
    ours = _run(ScheduledLoader(Pairs(LENGTH), RESOLVED, order, seed=5), 2)
    theirs = [batch for epoch in range(2) for batch in Batches(Pairs(LENGTH), order).epoch(epoch)]
    assert all(torch.equal(a.data[0], b[0]) for a, b in zip(ours, theirs, strict=True))


def test_parts_make_a_loader_of_ones_own(reference: list[Batch]) -> None:
    sampler = CountedSampler(ORDER, accumulate=ACCUMULATE)
    loader = DataLoader(
        ScheduledDataset(Numbers(LENGTH), RESOLVED, stamped, seed=3),
        batch_sampler=sampler,
        collate_fn=Collate(transform=rolled, seed=3),
        num_workers=2,
    )
    assert len(loader) == 7
    assert _equal([batch for _ in range(3) for batch in loader], reference)


def test_another_class_of_loader_is_duck_typed(reference: list[Batch]) -> None:
    class Plain:
        """A loader with torch's keywords that is none of torch's."""

        def __init__(self, dataset: Any, batch_sampler: Any, collate_fn: Any, generator: Any) -> None:
            self.parts = dataset, batch_sampler, collate_fn

        def __iter__(self) -> Iterator[Any]:
            dataset, sampler, collate = self.parts
            yield from (collate(dataset.__getitems__(indices)) for indices in sampler)

    class Reversed(Plain):
        def __iter__(self) -> Iterator[Any]:
            yield from reversed(list(super().__iter__()))

    assert _equal(_run(_loader(loader=Plain)), reference)
    with pytest.raises(DataError, match=r"got the batch of update 3 \(epoch 0, batch 6\), expected update 0 \(epoch 0"):
        _run(_loader(loader=Reversed))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="pinning needs an accelerator")
def test_pinned_batches_are_the_same(reference: list[Batch]) -> None:
    pinned = _run(_loader(num_workers=2, pin_memory=True))
    assert all(batch.data.is_pinned() for batch in pinned)
    assert _equal(pinned, reference)


def test_a_slow_worker_runs_into_the_timeout() -> None:
    loader = _loader(base=_Slow(LENGTH), num_workers=1, timeout=0.2)
    with pytest.raises(
        DataError, match=r"^update 0 \(epoch 0, batch 0\): DataLoader timed out after 0.2 seconds; no batch"
    ):
        list(loader)


class _Slow(Numbers):
    def __getitem__(self, index: int) -> Tensor:
        time.sleep(1)
        return super().__getitem__(index)


# -- resuming ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_resume_at_every_batch(reference: list[Batch], workers: int) -> None:
    whole = _loader(num_workers=workers, persistent_workers=workers > 0)
    resumed = _loader(num_workers=workers, persistent_workers=workers > 0)
    states = [whole.state_dict()]
    for _ in range(3):
        states += [whole.state_dict() for _ in whole]
    for position in range(0, len(reference), 1 if workers == 0 else 4):
        resumed.load_state_dict(states[position])
        last = reference[position - 1] if position else None
        half = (
            last is not None and last.count == reference[position].count
        )  # in the middle of an update: it is begun again
        rest = [batch for _ in range(3) for batch in resumed][: len(reference) - position + half]
        assert _equal(rest, reference[position - half :])


def test_resume_at_every_update_by_its_count(reference: list[Batch]) -> None:
    for count in range(12):
        rest = [batch for batch in reference if batch.count >= count]
        assert _equal(_run(_loader(start=count), 3)[: len(rest)], rest)


@pytest.mark.parametrize("persistent", [False, True])
def test_a_loop_left_early_is_gone_on_with(reference: list[Batch], persistent: bool) -> None:
    loader = _loader(num_workers=2, prefetch_factor=4, persistent_workers=persistent)
    seen = []
    for left in (
        1,
        3,
        2,
        99,
        4,
        99,
        7,
        99,
    ):  # 7 ends with the epoch's last batch handed out, so the next loop is over at once
        for place, batch in enumerate(loader, 1):
            seen.append(batch)
            if place == left:
                break
    assert _equal(seen[: len(reference)], reference)


def test_a_state_of_other_data_is_refused() -> None:
    state = _loader().state_dict()
    assert state == {"version": 1, "epoch": 0, "batch": 0, "count": 0, "batches": 7, "accumulate": 2, "seed": 3}
    with pytest.raises(StateError, match="state: accumulate was 2, is 1; make the loader as it was made then"):
        _loader(accumulate=1).load_state_dict(state)
    with pytest.raises(StateError, match="state: 'count' is -1"):
        _loader().load_state_dict({**state, "count": -1})
    with pytest.raises(StateError, match="state: 'version' is None"):
        _loader().load_state_dict({})
    with pytest.raises(StateError, match="version was 2, is 1"):
        _loader().load_state_dict({**state, "version": 2})
    with pytest.raises(DataError, match="batch: got 7 of an epoch of 7 batches"):
        _loader().load_state_dict({**state, "batch": 7})


@pytest.mark.parametrize(
    "make",
    [
        lambda: BatchSampler(RandomSampler(range(LENGTH)), SIZE, drop_last=False),
        lambda: BatchSampler(WeightedRandomSampler([1.0] * LENGTH, LENGTH), SIZE, drop_last=False),
        lambda: BatchSampler(DistributedSampler(Numbers(LENGTH), 2, 1), SIZE, drop_last=False),
    ],
)
def test_a_samplers_order_follows_from_seed_and_epoch(make: Callable[[], Any]) -> None:
    whole = _run(_loader(batches=make()))
    torch.manual_seed(123)
    middle = whole[len(whole) // 2].count
    assert _equal(
        _run(_loader(batches=make(), start=middle, num_workers=2))[:4], [b for b in whole if b.count >= middle][:4]
    )
    assert [b.data[:, 0].tolist() for b in whole if b.epoch == 0] != [
        b.data[:, 0].tolist() for b in whole if b.epoch == 1
    ]


# -- ranks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_each_batch(world: int) -> None:
    order = EpochOrder(30, 6, seed=1)
    whole = _run(_loader(base=Numbers(30), batches=order, batch_transform=None))
    parts = [
        _run(
            _loader(
                base=Numbers(30), batches=order, batch_transform=None, rank=rank, world_size=world, num_workers=rank
            )
        )
        for rank in range(world)
    ]
    for batch, *shares in zip(whole, *parts, strict=True):
        assert {share.place for share in shares} == {batch.place}
        assert torch.equal(torch.cat([share.data for share in shares]), batch.data)


def test_ranks_of_a_distributed_sampler_draw_differently() -> None:
    def first(rank: int) -> Tensor:
        sampler = BatchSampler(DistributedSampler(Numbers(8), 2, rank, shuffle=False), 2, drop_last=False)
        data: Tensor = next(iter(_loader(base=Numbers(8), batches=sampler, batch_transform=None))).data
        return data

    whole = next(iter(_loader(base=Numbers(8), batches=EpochOrder(8, 4, 0, shuffle=False), batch_transform=None))).data
    assert torch.equal(torch.stack([first(0), first(1)], 1).reshape(4, -1), whole)


# -- counts --------------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(length=st.integers(1, 40), size=st.integers(1, 9), accumulate=st.integers(1, 5), start=st.integers(0, 60))
def test_counts_rise_by_one_and_each_update_is_whole(length: int, size: int, accumulate: int, start: int) -> None:
    def run(start: int, epochs: int) -> list[tuple[Place, list[int]]]:
        batches = BatchSampler(SequentialSampler(range(length)), size, drop_last=False)
        sampler = CountedSampler(batches, accumulate=accumulate, start=start)
        return [(indices.place, list(indices)) for _ in range(epochs) for indices in sampler]

    batches = -(-length // size)
    updates = -(-batches // accumulate)
    whole = run(0, 60 // updates + 2)
    counts = [place.count for place, _ in whole]
    assert counts == [place.epoch * updates + place.batch // accumulate for place, _ in whole]
    rest = [entry for entry in whole if entry[0].count >= start]
    assert run(start, 1) == rest[: len(run(start, 1))]
    assert all(counts.count(count) <= accumulate for count in set(counts))


def test_the_scheduler_checks_each_batch() -> None:
    def scheduler(plan: ost.Plan = PLAN) -> ost.Scheduler:
        with pytest.warns(ost.errors.TruncatedCycleWarning):
            return plan.bind(augment=SimpleNamespace(noise=0.0, bump=0.0))

    bound = scheduler()
    loader = _loader(bound)
    for batch in loader:
        batch.check(bound)
        if batch.index % 2 or batch.index == 6:
            bound.step()
    assert bound.count == 4 == loader.place.count
    bound.step()
    late = next(iter(loader))
    with pytest.raises(
        DataError,
        match=r"the batch is for update 4 \(epoch 1, batch 0\), the scheduler is at update 5; .* loader.seek\(5\)",
    ):
        late.check(bound)
    loader.seek(bound.count)
    next(iter(loader)).check(bound)
    assert next(iter(_loader(bound))).count == 5
    other = scheduler(PLAN.replace({"augment.noise/high": 0.8}))
    with pytest.raises(DataError, match="values of another plan"):
        next(iter(_loader())).check(other)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_skipped_update_keeps_its_count(workers: int) -> None:
    loader = _loader(accumulate=1, num_workers=workers, prefetch_factor=4 if workers else None)
    table, seen = RESOLVED.table(), []
    for batch in (batch for _ in range(2) for batch in loader):
        seen.append((batch.epoch, batch.index, batch.count))
        assert batch.values["augment.noise"] == table["augment.noise"][min(batch.count, 11)]
        if (batch.epoch, batch.index) in ((0, 2), (0, 3), (0, 6)):
            loader.skipped()
    assert [count for *_, count in seen] == [0, 1, 2, 2, 2, 3, 4, 4, 5, 6, 7, 8, 9, 10]
    assert [place[:2] for place in seen] == [(epoch, index) for epoch in range(2) for index in range(7)]


def test_skipping_needs_a_complete_update() -> None:
    loader = _loader()
    with pytest.raises(DataError, match="skipped: no update has been completed"):
        loader.skipped()
    for batch in loader:
        if batch.index == 0:
            with pytest.raises(DataError, match="no update has been completed; the next batch is for update 0"):
                loader.skipped()


def test_counted_tags_what_something_else_made() -> None:
    plain = DataLoader(Numbers(5), batch_size=1, num_workers=1)
    batches = list(
        counted(plain, RESOLVED, start=3, accumulate=2, transform=lambda data, values: values["augment.noise"])
    )
    assert [batch.count for batch in batches] == [3, 3, 4, 4, 5]
    assert [batch.data for batch in batches] == [RESOLVED.table()["augment.noise"][batch.count] for batch in batches]


# -- iterable data sets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_iterable_is_exact_and_resumes(workers: int) -> None:
    base = Part(26, SIZE)  # in turns of one batch, so that any number of workers gives the same batches
    table = RESOLVED.table()

    def make(**options: Any) -> ScheduledLoader:
        return _loader(base=base, batches=SIZE, batch_transform=None, num_workers=workers, **options)

    whole = _run(make(), 2)
    assert [batch.count for batch in whole] == [count // 2 for count in range(13)] + [
        7 + count // 2 for count in range(13)
    ]
    for batch in whole:
        first = 1000.0 * batch.epoch + SIZE * batch.index
        assert batch.data[:, 0].tolist() == [first, first + 1]
        assert set(batch.data[:, 2].tolist()) == {float(table["augment.noise"][min(batch.count, 11)])}
    for count in range(6):
        assert _equal(list(make(start=count)), [b for b in whole if b.count >= count and b.epoch == 0])
    loader = make()
    for batch in loader:
        if batch.index == 4:
            break
    state = loader.state_dict()
    assert (state["batch"], state["count"]) == (4, 2)
    assert _equal(list(loader), whole[5:13])
    loader.load_state_dict(state)
    assert _equal(_run(loader, 2), whole[4:])


def test_uneven_parts_of_an_iterable_are_an_error() -> None:
    class Uneven(Part):
        def __iter__(self) -> Iterator[Tensor]:
            worker = torch.utils.data.get_worker_info()
            assert worker is not None
            return iter(torch.zeros(2 if worker.id == 0 else 10, 1))

    with pytest.raises(DataError, match="parts end more than a turn apart: make them equal or take num_workers=1"):
        list(_loader(base=Uneven(0, 1), batches=SIZE, transform=None, batch_transform=None, num_workers=2))


def test_a_short_last_batch_of_an_iterable() -> None:
    kept = list(_loader(base=Part(5, SIZE), batches=SIZE, transform=None, batch_transform=None))
    assert [len(batch.data) for batch in kept] == [2, 2, 1]
    full = _loader(base=Part(5, SIZE), batches=SIZE, transform=None, batch_transform=None, drop_last=True)
    assert [len(batch.data) for batch in full] == [2, 2]
    assert full.place == Place(1, 0, 1)


# -- failures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("persistent", [False, True])
def test_a_killed_worker_loses_nothing(tmp_path: Path, persistent: bool) -> None:
    trigger = tmp_path / "kill"
    victim = int(ORDER.batch(1, 3)[0])
    base = Deadly(LENGTH, victim, trigger)
    whole = _run(_loader(base=base))
    loader = _loader(base=base, num_workers=2, persistent_workers=persistent, prefetch_factor=1)
    seen = list(loader)
    trigger.touch()
    message = r"^update \d+ \(epoch 1, batch \d\): DataLoader worker \(pid.*no batch is lost.*$"
    with pytest.raises(DataError, match=message) as caught:
        seen.extend(loader)  # what came before the error is kept
    assert "\n" not in str(caught.value)
    assert str(loader.place) in str(caught.value)
    assert loader.place == whole[len(seen)].place
    trigger.unlink()
    assert _equal(seen + _run(loader, 2), whole)


@pytest.mark.parametrize("reaped", [False, True])
def test_a_worker_killed_while_the_loop_trains_is_no_error_inside_the_loop(reaped: bool) -> None:
    loader = _loader(num_workers=2, prefetch_factor=2, multiprocessing_context="fork")
    whole, seen, passed = _run(_loader(), 1), [], False

    def train() -> None:
        nonlocal passed
        others = set(multiprocessing.active_children())
        for batch in loader:
            seen.append(batch)
            if batch.index == 1:
                worker = next(child for child in multiprocessing.active_children() if child not in others)
                assert worker.pid is not None
                os.kill(worker.pid, signal.SIGKILL)
                if reaped:
                    worker.join()
                else:
                    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
                passed = sum(range(100_000)) > 0  # time for the signal's handler, were it to raise here

    with pytest.raises(DataError, match=r"update 1 \(epoch 0, batch 2\): DataLoader worker"):
        train()
    assert passed
    assert _equal(seen + list(loader), whole)


@pytest.mark.parametrize("workers", [0, 1])
def test_what_cannot_be_made_is_said_in_one_line(workers: int) -> None:
    place = r"update 3 \(epoch 0, batch 6\)"
    missing = int(ORDER.batch(0, 6)[0])
    loader = _loader(base=_Holes(missing), num_workers=workers)
    with pytest.raises(DataError, match=rf"^{place}: example {missing} cannot be made: KeyError: 'hole'$"):
        list(loader)
    assert loader.place == Place(0, 6, 3)
    ragged = _loader(base=_Ragged(LENGTH), transform=None, num_workers=workers)
    with pytest.raises(
        DataError, match=r"^update 0 \(epoch 0, batch 0\): the samples do not make one batch: Runtime.*$"
    ):
        list(ragged)
    with pytest.raises(DataError, match=r"example \d+ cannot be made: StopIteration: no message$"):
        list(_loader(transform=_stops, num_workers=workers))


class _Holes(Numbers):
    def __init__(self, hole: int) -> None:
        super().__init__(LENGTH)
        self.hole = hole

    def __getitem__(self, index: int) -> Tensor:
        if index == self.hole:
            raise KeyError("hole")
        return super().__getitem__(index)


class _Ragged(Numbers):
    def __getitem__(self, index: int) -> Tensor:
        return torch.zeros(index + 1)


def _stops(sample: Any, values: Any) -> Any:
    raise StopIteration


def test_two_loops_over_one_loader() -> None:
    loader = _loader()
    with pytest.raises(DataError, match="looped over elsewhere; make one loader for each loop"):
        list(zip(loader, loader, strict=True))


def test_wrong_arguments() -> None:
    for options, message in (
        ({"plan": PLAN.replace({"total": "3ep"})}, "needs steps_per_epoch"),
        ({"plan": {"augment.noise": 1.0}}, "plan: got a dict, expected a scheduler or plan.resolve"),
        ({"batches": 4}, "batches: got a int, expected an order or a batch sampler with a length"),
        (
            {"batches": BatchSampler(RandomSampler(range(4), generator=torch.Generator()), 2, False)},
            "generator of its own",
        ),
        ({"accumulate": 0}, "accumulate: got 0, expected a whole number >= 1"),
        ({"start": -1}, "start: got -1"),
        ({"seed": 1.5}, "seed: got 1.5"),
        ({"rank": 2, "world_size": 2}, "rank: got 2 of 2"),
        ({"shuffle": True}, "shuffle: the loader sets it itself"),
        ({"drop_last": True}, "drop_last: the batch sampler decides"),
        (
            {"base": Part(4, 2), "batches": 2, "persistent_workers": True, "num_workers": 1},
            "persistent_workers: an iter",
        ),
        ({"base": Part(4, 2)}, "batches: got EpochOrder"),
        (
            {"batches": BatchSampler(DistributedSampler(Numbers(8), 2, 0), 2, False), "world_size": 2},
            "the DistributedSampler divides the batches already",
        ),
    ):
        with pytest.raises((ConfigError, PlanError), match=message):
            _loader(**options)
    with pytest.raises(DataError, match="1 examples for 2 processes"):
        _run(_loader(world_size=2))
    with pytest.raises(DataError, match="the indices carry no count"):
        next(iter(DataLoader(ScheduledDataset(Numbers(4), RESOLVED), batch_size=2)))
    with pytest.raises(DataError, match="the samples carry no count"):
        Collate()([1, 2])
    with pytest.raises(DataError, match="gave a Tensor where it was to give a Batch"):
        list(_loader(loader=lambda *_, **__: [torch.zeros(1)]))
    with pytest.raises(DataError, match=r"ended before the batch of update 0"):
        list(_loader(loader=lambda *_, **__: []))


def test_indices_survive_pickling() -> None:
    indices = pickle.loads(pickle.dumps(Indices([3, 1], Place(1, 2, 3), 4, 5)))  # noqa: S301 - its own bytes
    assert (list(indices), indices.place, indices.first, indices.stride) == ([3, 1], Place(1, 2, 3), 4, 5)


# -- SharedValue ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_a_shared_value(method: str) -> None:
    shared = ost.SharedValue(0.25)
    loader = DataLoader(
        Shared(shared), batch_size=None, num_workers=1, persistent_workers=True, multiprocessing_context=method
    )
    assert list(loader) == [0.25] * 4
    shared.value = 0.1  # between two epochs no batch is under way, so that this is not racy
    assert list(loader) == [0.1] * 4


def test_a_shared_value_is_written_in_another_process() -> None:
    shared = ost.SharedValue(0.0)
    process = multiprocessing.get_context("fork").Process(target=shared.set, args=(1 / 3,))
    process.start()
    process.join()
    assert shared.get() == shared.value == 1 / 3


def test_a_shared_value_is_neither_copied_nor_saved() -> None:
    shared = ost.SharedValue(1.0)
    for copied in (copy.copy, copy.deepcopy, lambda value: copy.deepcopy({"noise": value})):
        with pytest.raises(StateError, match="a SharedValue cannot be copied"):
            copied(shared)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(StateError, match=r"pickled only to start a process: .* save shared.value"):
            pickle.dumps(shared, protocol)
    assert shared.value == 1.0


@pytest.mark.parametrize("value", ["0.1", None, True, [1.0], 10**400])
def test_a_shared_value_takes_numbers(value: Any) -> None:
    with pytest.raises(StateError, match="SharedValue: got"):
        ost.SharedValue(value)
    shared = ost.SharedValue(torch.tensor(0.5))
    with pytest.raises(StateError, match="SharedValue: got"):
        shared.value = value
    assert repr(shared) == "SharedValue(0.5)"
    with pytest.raises(AttributeError):
        shared.vlaue = 1.0


def test_a_plan_drives_a_shared_value() -> None:
    shared = ost.SharedValue(7.0)
    plan = ost.Plan(total=4, cycle=ost.Cycle("sawtooth", count=1), bindings={"noise.value": ost.wave(0.0, 0.3)})
    scheduler = plan.bind(noise=shared)
    seen = [(shared.value, scheduler.step())[0] for _ in range(4)]
    assert seen == plan.table()["noise.value"].tolist()
    scheduler.restore()
    assert shared.value == 7.0


def test_shared_value_loads_no_torch_and_data_is_lazy() -> None:
    code = (
        "import sys, ostinato as ost; ost.SharedValue(1.0)\n"
        "sys.exit('torch' in sys.modules or 'ostinato.data' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert ost.data is sys.modules["ostinato.data"]
