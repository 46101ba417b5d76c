"""Members one by one in processes: those that die, those that raise, and what comes through the pipe."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ostinato as ost
from ostinato.errors import OstinatoError, PopulationFallbackWarning, StateError
from ostinato.population import PopulationResult, single, train

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="members of local classes need processes that are forked"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of forking
]

STEPS = 6


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def examples(count: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 4, generator=generator)
    return x, (x[:, 0] > 0).long()


DATA = examples(32, 0), examples(20, 1)


class Fated(nn.Module):
    """Branches on a value, so that it cannot be mapped; does what its fate says in training."""

    def __init__(self, once: Path | None = None) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.fate = 0.0
        self.once = once

    def forward(self, x: Tensor) -> Tensor:
        if self.fate > 0.5 and self.training and (self.once is None or not self.once.exists()):
            if self.once is not None:
                self.once.touch()
            self.suffer()
        return self.layer(x) * (2.0 if float(x.detach().mean()) > 10 else 1.0)

    def suffer(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Leaving(Fated):
    def suffer(self) -> None:
        os._exit(3)


class PeculiarError(Exception):
    """Cannot be made again from its message alone."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


class Raising(Fated):
    def suffer(self) -> None:
        raise ArithmeticError("nothing adds up")


class RaisingPeculiarly(Fated):
    def suffer(self) -> None:
        raise PeculiarError(1, 2)


def plan(fate: float) -> ost.Plan:
    return ost.Plan(
        total=STEPS, cycle=ost.Cycle(count=2), bindings={"optimizer.lr": ost.wave(1e-3, 0.05), "model.fate": fate}
    )


def trained(make: Any, fates: list[float], **options: Any) -> tuple[PopulationResult, list[str]]:
    with pytest.warns(PopulationFallbackWarning) as told:
        result = train(make, [plan(fate) for fate in fates], DATA, batch_size=16, **options)
    return result, [str(warning.message) for warning in told]


@pytest.mark.parametrize(
    ("make", "how"),
    [(Fated, "ended by SIGKILL, as the system does when memory runs out"), (Leaving, "with exit status 3")],
)
def test_a_member_whose_process_dies_is_named_and_the_others_are_complete(make: Any, how: str) -> None:
    seen: list[tuple[int, int]] = []
    result, told = trained(
        make, [0, 0, 1, 0, 0], snapshots=True, progress=lambda done, total: seen.append((done, total))
    )
    assert told[1:] == [
        f"member 2 failed: its process ended twice without a result, {how}; the other 4 members are complete"
    ]
    assert "\n" not in told[1]
    assert result.status == ("done", "done", "failed", "done", "done")
    assert result.diverged.tolist() == [-1] * 5
    for k in (0, 1, 3, 4):
        alone = single(make, plan(0), DATA, seed=k, batch_size=16, snapshots=True)
        assert all(torch.equal(result.member(k)[name], value) for name, value in alone.member(0).items())
        assert list(result.snapshots(k)) == list(alone.snapshots(0)) == [2, 5]
        assert result.curve(k, "nll")[1].tolist() == alone.curve(0, "nll")[1].tolist()
    assert np.isnan(result.last("error")).tolist() == [False, False, True, False, False]
    assert all(bool(tensor[2].isnan().all()) for tensor in result.weights.values())
    for ask in (result.member, result.model, result.snapshots):
        with pytest.raises(StateError, match=r"^member: there is nothing of member 2: its process ended twice without"):
            ask(2)
    assert seen[-1] == (5 * STEPS, 5 * STEPS)
    assert seen == sorted(seen)


def test_a_member_whose_process_dies_once_is_trained_again(tmp_path: Path) -> None:
    result, told = trained(lambda: Fated(tmp_path / "died"), [0, 1, 0])
    assert (tmp_path / "died").exists()
    assert len(told) == 1
    assert result.status == ("done",) * 3
    assert result.failures == {}
    alone = single(Fated, plan(0), DATA, seed=1, batch_size=16).member(0)
    assert all(torch.equal(result.member(1)[name], value) for name, value in alone.items())


def test_where_all_die_one_line_says_so() -> None:
    with (
        pytest.warns(PopulationFallbackWarning),
        pytest.raises(OstinatoError, match=r"^no member could be trained; member 0: its process ended twice") as caught,
    ):
        train(Leaving, [plan(1), plan(1)], DATA, batch_size=16)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (Raising, ArithmeticError, "^nothing adds up"),
        (RaisingPeculiarly, OstinatoError, "^member 1: PeculiarError: 1 and 2"),
    ],
)
def test_what_a_member_raises_is_raised_with_a_note_that_names_it(
    make: Any, kind: type[Exception], message: str
) -> None:
    with pytest.warns(PopulationFallbackWarning), pytest.raises(kind, match=message) as caught:
        train(make, [plan(0), plan(1), plan(0)], DATA, batch_size=16)
    (note,) = caught.value.__notes__
    assert note.startswith("member 1 of the population, in a process of its own:\nTraceback")
    assert "in suffer" in note


def test_no_process_is_left_behind() -> None:
    import multiprocessing

    trained(Fated, [0, 1])
    with pytest.warns(PopulationFallbackWarning), pytest.raises(ArithmeticError):
        train(Raising, [plan(1)] * 3, DATA, batch_size=16)
    assert [child.name for child in multiprocessing.active_children()] == []


class Odd(Fated):
    """Holds tensors that numpy does not know, and some without content or axes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("small", torch.arange(3, dtype=torch.bfloat16))
        self.register_buffer("empty", torch.zeros(0, 4))
        self.register_buffer("one", torch.tensor(7))
        self.register_buffer("flag", torch.tensor([True, False]))
        self.register_buffer("wave", torch.tensor([1 + 2j]))
        self.register_buffer("turned", torch.arange(6.0).reshape(2, 3).T)
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))


def test_every_kind_of_tensor_comes_through() -> None:
    result, _ = trained(Odd, [0])
    expected = Odd().state_dict()
    found = result.member(0)
    for name in ("small", "empty", "one", "flag", "wave", "turned", "mask"):
        assert found[name].dtype == expected[name].dtype
        assert torch.equal(found[name], expected[name])
    assert result.status == ("done",)
