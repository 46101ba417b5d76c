from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import Dataset

from ostinato.errors import ConfigError, DataError
from ostinato.training.batches import Batches, EpochOrder, seeded
from ostinato.training.datasets import Split

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")


class Noisy(Dataset[tuple[Tensor, int]]):
    """Each example is its index plus draws from the three global generators."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        drawn = [float(index), torch.rand(()).item(), float(np.random.rand()), random.random()]  # noqa: NPY002 - the global one is meant
        return torch.tensor(drawn, dtype=torch.float64), index % 3


def _states() -> tuple[Tensor, Any, Any]:
    return torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002 - the global one is meant


def _same(left: Iterator[Any] | list[Any], right: Iterator[Any] | list[Any]) -> bool:
    first, second = list(left), list(right)
    return len(first) == len(second) and all(
        torch.equal(a, b) for one, two in zip(first, second, strict=True) for a, b in zip(one, two, strict=True)
    )


@settings(max_examples=60, deadline=None)
@given(length=st.integers(1, 60), size=st.integers(1, 20), seed=st.integers(0, 2**63), drop=st.booleans())
def test_an_epoch_visits_each_example_once(length: int, size: int, seed: int, drop: bool) -> None:
    if drop and length < size:
        return
    order = EpochOrder(length, size, seed, drop_last=drop)
    seen = np.concatenate([order.batch(3, index) for index in range(order.batches)])
    expected = length // size * size if drop else length
    assert len(seen) == expected == len(set(seen.tolist()))
    assert seen.tolist() == order.indices(3)[:expected].tolist()
    assert all(order.size(index) == len(order.batch(3, index)) for index in range(order.batches))
    assert order.batches == (length // size if drop else -(-length // size))


def test_order_depends_on_seed_and_epoch_only() -> None:
    order = EpochOrder(50, 8, seed=1)
    assert order.indices(4).tolist() == EpochOrder(50, 3, seed=1).indices(4).tolist()
    assert order.indices(4).tolist() != order.indices(5).tolist()
    assert order.indices(4).tolist() != EpochOrder(50, 8, seed=2).indices(4).tolist()
    assert EpochOrder(5, 2, seed=1, shuffle=False).indices(9).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="read-only"):
        order.indices(4)[0] = 7


def test_the_last_batch_borrows_so_that_it_is_no_single_example() -> None:
    assert [EpochOrder(9, 4, 0).size(index) for index in range(3)] == [4, 3, 2]
    assert [EpochOrder(10, 4, 0).size(index) for index in range(3)] == [4, 4, 2]
    assert [EpochOrder(3, 2, 0).size(index) for index in range(2)] == [2, 1]  # the one before has none to lend
    assert [EpochOrder(9, 8, 0, smallest=4).size(index) for index in range(2)] == [5, 4]
    assert [EpochOrder(9, 4, 0, drop_last=True).size(index) for index in range(2)] == [4, 4]


def test_steps_round_up() -> None:
    order = EpochOrder(100, 10, seed=0)
    assert [order.steps(accumulate) for accumulate in (1, 3, 4, 10, 11)] == [10, 4, 3, 1, 1]


@pytest.mark.parametrize("workers", [0, 2])
def test_resuming_at_every_batch_gives_the_same_batches(workers: int) -> None:
    dataset, order = Noisy(17), EpochOrder(17, 4, seed=11)
    reference = list(Batches(dataset, order).epoch(2))
    batches = Batches(dataset, order, workers=workers)
    for start in range(order.batches + 1):
        assert _same(batches.epoch(2, start), reference[start:])


def test_workers_do_not_change_random_transforms_and_epochs_differ() -> None:
    dataset, order = Noisy(12), EpochOrder(12, 5, seed=3)
    alone = Batches(dataset, order)
    assert _same(alone.epoch(0), Batches(dataset, order, workers=1).epoch(0))
    assert _same(alone.epoch(0), Batches(dataset, order, workers=2).epoch(0))
    by_example = {}
    for epoch in (0, 1):
        rows = torch.cat([inputs for inputs, _ in alone.epoch(epoch)])
        by_example[epoch] = rows[rows[:, 0].argsort()]
    for column in (1, 2, 3):
        assert not torch.isclose(by_example[0][:, column], by_example[1][:, column]).any()
        assert len(set(by_example[0][:, column].tolist())) == 12  # no example shares its draws with another
    assert not torch.isclose(by_example[0][:, 1], by_example[0][:, 2]).any()  # nor one generator with another


@pytest.mark.parametrize("workers", [0, 2])
def test_the_random_states_of_this_process_stay(workers: int) -> None:
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002 - the global one is meant
    before = _states()
    batches = iter(Batches(Noisy(9), EpochOrder(9, 4, seed=0), workers=workers).epoch(0))
    for _ in range(3):
        next(batches)
        now = _states()
        assert torch.equal(before[0], now[0])
        assert before[1:] == now[1:]


def test_batches_ignore_the_random_states_of_this_process() -> None:
    batches = Batches(Noisy(9), EpochOrder(9, 4, seed=0))
    torch.manual_seed(1)
    first = list(batches.epoch(0))
    torch.manual_seed(2)
    assert _same(first, batches.epoch(0))


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_each_batch_in_contiguous_slices(world_size: int) -> None:
    order = EpochOrder(17, 6, seed=4)
    whole = list(Batches(Noisy(17), order).epoch(1))
    parts = [list(Batches(Noisy(17), order, rank=r, world_size=world_size).epoch(1)) for r in range(world_size)]
    joined = [tuple(torch.cat(side) for side in zip(*pieces, strict=True)) for pieces in zip(*parts, strict=True)]
    assert _same(whole, joined)  # with the same random transforms


def test_a_split_and_a_data_set_of_the_same_examples_give_the_same_batches() -> None:
    class Slow(Dataset[tuple[Tensor, Tensor]]):
        def __len__(self) -> int:
            return 10

        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            return split[index]

    split = Split(torch.randn(10, 2), torch.arange(10) % 2)
    order = EpochOrder(10, 4, seed=8)
    assert _same(Batches(split, order).epoch(0), Batches(Slow(), order).epoch(0))
    assert _same(
        Batches(split, order, rank=1, world_size=2).epoch(0), Batches(Slow(), order, rank=1, world_size=2).epoch(0)
    )


def test_endless_goes_on_from_any_position() -> None:
    batches = Batches(Noisy(6), EpochOrder(6, 4, seed=0))
    stream = batches.endless()
    reference = [next(stream) for _ in range(7)]
    assert [(epoch, index) for epoch, index, _ in reference] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0)]
    for skipped, (epoch, start) in enumerate([(0, 0), (0, 1), (1, 0), (0, 2)]):
        stream = batches.endless(epoch, start)
        expected = reference[min(skipped, 2) :]
        assert _same([next(stream)[2] for _ in expected], [item[2] for item in expected])


def test_spawned_workers_give_the_same_batches(tmp_path: Path) -> None:
    script = tmp_path / "spawned.py"
    script.write_text(
        "import random, numpy as np, torch\n"
        "from ostinato.training.batches import Batches, EpochOrder\n"
        "class Noisy(torch.utils.data.Dataset):\n"
        "    def __len__(self): return 5\n"
        "    def __getitem__(self, i): return torch.tensor([i, torch.rand(()), np.random.rand(), random.random()]), i\n"
        "if __name__ == '__main__':\n"
        "    order = EpochOrder(5, 2, 0)\n"
        "    a = list(Batches(Noisy(), order).epoch(0))\n"
        "    b = list(Batches(Noisy(), order, workers=1, start_method='spawn').epoch(0))\n"
        "    assert len(a) == len(b) == 3\n"
        "    assert all(torch.equal(x, y) for s, t in zip(a, b) for x, y in zip(s, t))\n"
        "    print('same')\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout == "same\n", done.stderr


def test_seeded_puts_the_states_back_after_an_error() -> None:
    before = _states()

    @seeded(1)
    def draw() -> None:
        torch.rand(3)
        random.random()
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        draw()
    now = _states()
    assert torch.equal(before[0], now[0])
    assert before[1:] == now[1:]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0, "batch_size": 4, "seed": 0}, "length: got 0, expected a whole number >= 1"),
        ({"length": 4, "batch_size": 2.0, "seed": 0}, "batch_size: got 2.0"),
        ({"length": 4, "batch_size": 2, "seed": -1}, "seed: got -1"),
        ({"length": 4, "batch_size": 8, "seed": 0, "drop_last": True}, "write batch_size = 4 or less"),
    ],
)
def test_orders_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EpochOrder(**options)


def test_batches_that_cannot_be() -> None:
    order = EpochOrder(9, 4, seed=0)
    with pytest.raises(ConfigError, match="made for 9 examples, the data set has 8"):
        Batches(Noisy(8), order)
    with pytest.raises(ConfigError, match=r"not shared equally by 3 processes \(write batch_size = 3\)"):
        Batches(Noisy(9), order, world_size=3)
    with pytest.raises(ConfigError, match="last batch of an epoch has 2 examples for 4 processes"):
        Batches(Noisy(9), order, world_size=4)
    with pytest.raises(ConfigError, match="rank: got 2 of 2"):
        Batches(Noisy(9), order, rank=2, world_size=2)
    with pytest.raises(ConfigError, match="batch: got 4, expected 0 to 3"):
        Batches(Noisy(9), order).epoch(0, 4)


def test_examples_that_make_no_batch_are_named() -> None:
    class Ragged(Noisy):
        def __getitem__(self, index: int) -> tuple[Tensor, int]:
            return torch.zeros(index + 1), 0

    class Alone(Noisy):
        def __getitem__(self, index: int) -> Any:
            return torch.zeros(2)

    order = EpochOrder(4, 4, seed=0, shuffle=False)
    with pytest.raises(DataError, match="examples 0 to 3 do not make one batch"):
        list(Batches(Ragged(4), order).epoch(0))
    with pytest.raises(DataError, match=r"example 0 is a Tensor, expected \(input, target\)"):
        list(Batches(Alone(4), order).epoch(0))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_example_that_cannot_be_fetched_is_named_in_one_line(workers: int) -> None:
    class Broken(Noisy):
        def __getitem__(self, index: int) -> tuple[Tensor, int]:
            if index == 3:
                raise OSError("no file\nof this example")
            return super().__getitem__(index)

    batches = Batches(Broken(6), EpochOrder(6, 2, seed=0, shuffle=False), workers=workers).epoch(0)
    next(batches)
    with pytest.raises(DataError, match=r"^example 3 cannot be fetched: OSError: no file of this example$"):
        next(batches)
