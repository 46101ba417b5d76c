"""Periodic averaging without a server: its formula, the same bits on every worker, and going on with as many workers or others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ostinato as ost
from ostinato.applications.federated import PeriodicAveraging, Phases
from ostinato.applications.federated.averaging import mean_state
from ostinato.applications.federated.merging import Update, merge
from ostinato.errors import ConfigError, StateError
from ranks import together

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forking: there are no other threads of ours
PLAN = ost.Plan(total=24, cycle=ost.Cycle("cosine", period=12), bindings={"optimizer.lr": ost.wave(0.01, 0.3)})


def network(seed: int = 0, *, norms: bool = True) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5) if norms else nn.Identity(), nn.ReLU(), nn.Linear(5, 3))


def batch(count: int, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(count)
    inputs = torch.randn(12, 6, generator=generator)
    return inputs[rows], (inputs[rows].sum(1) > 0).long()


class Worker:
    """A worker's loop on its share of each batch."""

    def __init__(
        self, rank: int, world: int, *, every: int, phases: bool = True, normalise: bool = False, norms: bool = True
    ) -> None:
        self.model = network(rank, norms=norms)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9 if norms else 0.0)
        self.rows = slice(12 * rank // world, 12 * (rank + 1) // world)
        chosen = Phases(world) if phases else None
        self.averaging = PeriodicAveraging(
            self.model, every, phases=chosen, normalise=normalise, optimizer=self.optimizer
        )
        self.scheduler = self.averaging.plan_of(PLAN).bind(optimizer=self.optimizer)

    def train(self, updates: int) -> list[bool]:
        done = []
        for _ in range(updates):
            inputs, targets = batch(self.scheduler.count, self.rows)
            self.optimizer.zero_grad()
            nn.functional.cross_entropy(self.model(inputs), targets).backward()
            self.optimizer.step()
            self.scheduler.step()
            done.append(self.averaging.step())
        return done

    def weights(self) -> dict[str, Tensor]:
        return {name: tensor.clone() for name, tensor in self.model.state_dict().items()}

    def state(self) -> dict[str, Any]:
        parts = {"model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler, "own": self.averaging}
        return {name: part.state_dict() for name, part in parts.items()}

    def load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.averaging.load_state_dict(state["own"])


def as_arrays(weights: dict[str, Tensor]) -> dict[str, Any]:
    return {name: tensor.numpy() for name, tensor in weights.items()}


def differ(first: dict[str, Tensor], second: dict[str, Tensor]) -> list[str]:
    return [name for name in first if not torch.equal(first[name], second[name])]


def way_of(rates: Any, momentum: float) -> float:
    """FedNova's norm, written out: every gradient's weights in the way, for a momentum buffer that begins empty."""
    return float(sum(rate * sum(momentum**k for k in range(t + 1)) for t, rate in enumerate(rates)))


@pytest.mark.parametrize("normalise", [False, True])
def test_the_average_is_what_a_server_would_merge(tmp_path: Path, normalise: bool) -> None:
    def work(rank: int) -> Any:
        worker = Worker(rank, 3, every=4, normalise=normalise)
        first = worker.weights()
        done = worker.train(3)
        own = worker.weights()
        with worker.averaging.averaged():
            inside = worker.weights()
        after = worker.weights()
        done += worker.train(1)
        rates = worker.scheduler.history["optimizer.lr"][:3]
        return {"first": first, "own": own, "inside": inside, "after": after, "done": done, "rates": rates, "end": worker.weights()}  # fmt: skip

    told = together(3, work, tmp_path / "group")
    for each in told:
        assert differ(each["first"], told[0]["first"]) == []  # worker 0's, whatever each was made with
        assert differ(each["inside"], told[0]["inside"]) == []
        assert differ(each["end"], told[0]["end"]) == []
        assert differ(each["own"], each["after"]) == []
        assert each["done"] == [False, False, False, True]
    assert len(differ(told[0]["own"], told[1]["own"])) >= 4
    ways = [way_of(each["rates"], 0.9) for each in told]
    assert max(ways) > 1.5 * min(ways)  # each has another phase
    for name, tensor in told[0]["inside"].items():
        buffers = "running" in name
        updates = [Update(rank, {name: each["own"][name].numpy()}, 1.0, ways[rank]) for rank, each in enumerate(told)]
        before = {name: told[0]["first"][name].numpy()}
        expected = merge(before, updates, normalise=normalise and not buffers)[name]
        np.testing.assert_allclose(tensor.numpy(), expected, rtol=1e-6, atol=1e-7)


def test_averaged_at_every_update_plain_sgd_is_synchronous_training(tmp_path: Path) -> None:
    def work(rank: int) -> Any:
        worker = Worker(rank, 2, every=1, phases=False, norms=False)
        worker.train(24)
        return worker.weights()

    first, second = together(2, work, tmp_path / "group")
    assert differ(first, second) == []
    alone = Worker(0, 1, every=1, phases=False, norms=False)
    alone.train(24)
    for name, tensor in alone.weights().items():
        torch.testing.assert_close(first[name], tensor, rtol=1e-5, atol=1e-6)


def test_workers_that_agree_stay_as_they_are(tmp_path: Path) -> None:
    """Averaging equal models changes no bit, so that it does not matter how often one asks for the average."""

    def work(rank: int) -> Any:
        model = network(3)
        averaging = PeriodicAveraging(model, 1)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        averaging.average()
        return differ(before, model.state_dict())

    assert together(3, work, tmp_path / "group") == [[], [], []]


def test_each_worker_has_its_phase_and_the_cycles_of_all(tmp_path: Path) -> None:
    def work(rank: int) -> Any:
        worker = Worker(rank, 4, every=5)
        ends, rates = [], []
        for _ in range(24):
            rates.append(worker.optimizer.param_groups[0]["lr"])
            tick = worker.scheduler.step()
            ends.append(tick.cycle_end)
        return worker.averaging.shift, ends, rates

    told = together(4, work, tmp_path / "group")
    assert [shift for shift, _, _ in told] == [0.0, 0.25, 0.5, 0.75]
    assert [ends for _, ends, _ in told] == [[step in (11, 23) for step in range(24)]] * 4
    for shift, _, rates in told:
        assert rates == PLAN.shifted(shift).resolve().table()["optimizer.lr"].tolist()
    assert told[1][2][3:12] == told[0][2][:9]


def test_scheduled_values_are_not_averaged(tmp_path: Path) -> None:
    """A scheduled dropout rate lies in a buffer; averaging must leave each worker its own, and whole numbers too."""

    def work(rank: int) -> Any:
        model = nn.Sequential(nn.Linear(2, 2), ost.nn.Dropout(0.5))
        model.register_buffer("seen", torch.tensor(rank + 1))
        averaging = PeriodicAveraging(model, 1, phases=Phases(2))
        plan = ost.Plan(total=8, cycle=ost.Cycle("sawtooth", count=1), bindings={"model:Dropout.p": ost.wave(0.0, 0.8)})
        scheduler = averaging.plan_of(plan).bind(model=model)
        scheduler.step()
        assert averaging.step()
        held = [float(buffer) for name, buffer in model.named_buffers() if name != "seen"]
        return held or [float(model[1].p)], int(model.seen), scheduler.values["model:Dropout.p"]

    (first, seen, value), (second, other, late) = together(2, work, tmp_path / "group")
    assert (value, late) == pytest.approx((0.7, 0.3))
    assert (first, second) == (pytest.approx([value]), pytest.approx([late]))
    assert (seen, other) == (1, 2)


def test_complex_weights_and_many_buckets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ostinato.applications.federated.averaging._BUCKET", 7)

    def work(rank: int) -> Any:
        model = network()
        model.extra = nn.Parameter(torch.full((2, 3), complex(rank, 4 * rank)))
        averaging = PeriodicAveraging(model, 1)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(rank + (2j * rank if parameter.is_complex() else 0.0))
        averaging.average()
        return {name: tensor.detach() for name, tensor in model.named_parameters()}

    for weights in together(2, work, tmp_path / "group"):
        assert torch.equal(weights.pop("extra"), torch.full((2, 3), 0.5 + 1j))
        assert all(torch.equal(tensor, torch.full_like(tensor, 0.5)) for tensor in weights.values())


# -- going on ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalise", [False, True])
def test_a_state_goes_on_bit_for_bit_between_two_averagings(tmp_path: Path, normalise: bool) -> None:
    def whole(rank: int) -> Any:
        worker = Worker(rank, 2, every=4, normalise=normalise)
        worker.train(10)
        state = worker.state()
        torch.save(state, tmp_path / f"state-{rank}.pt")
        worker.train(14)
        return worker.weights()

    def resumed(rank: int) -> Any:
        worker = Worker(rank, 2, every=4, normalise=normalise)
        worker.load(torch.load(tmp_path / f"state-{rank}.pt", weights_only=False))
        worker.train(14)
        return worker.weights()

    expected = together(2, whole, tmp_path / "whole")
    found = together(2, resumed, tmp_path / "resumed")
    assert [differ(*pair) for pair in zip(found, expected, strict=True)] == [[], []]
    assert differ(expected[0], expected[1]) == []


def test_another_number_of_workers_is_one_line_or_begins_from_the_mean(tmp_path: Path) -> None:
    def before(rank: int) -> Any:
        worker = Worker(rank, 3, every=4)
        worker.train(6)
        return worker.state()

    states = together(3, before, tmp_path / "three")
    words = r"the checkpoint is of 3 workers, now there are 2; start 3, or load mean_state of all their models and then this with elastic=True"

    def after(rank: int) -> Any:
        worker = Worker(rank, 2, every=4)
        with pytest.raises(StateError, match=words):
            worker.averaging.load_state_dict(states[0]["own"])
        mean = {name: mean_state([state[name] for state in states]) for name in ("model", "optimizer")}
        worker.model.load_state_dict(mean["model"])
        worker.optimizer.load_state_dict(mean["optimizer"])
        worker.scheduler.step(by=6)
        worker.averaging.load_state_dict(states[0]["own"], elastic=True)
        begun = worker.weights()
        done = worker.train(2)
        return begun, done, worker.weights()

    told = together(2, after, tmp_path / "two")
    assert differ(told[0][0], told[1][0]) == []
    assert differ(told[0][2], told[1][2]) == []
    assert [done for _, done, _ in told] == [[False, True]] * 2  # the count went on: 8 is a multiple of 4
    for name, tensor in told[0][0].items():
        exact = np.mean([state["model"][name].double().numpy() for state in states], axis=0)
        np.testing.assert_allclose(tensor.double().numpy(), exact, rtol=1e-7, atol=0)


# -- alone, and what cannot be -------------------------------------------------------------------------------------


def test_one_worker_alone_needs_no_group_and_is_left_as_it_is() -> None:
    worker = Worker(0, 1, every=3)
    plain = network(0)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9)
    scheduler = PLAN.bind(optimizer=optimizer)
    for _ in range(24):
        inputs, targets = batch(scheduler.count)
        optimizer.zero_grad()
        nn.functional.cross_entropy(plain(inputs), targets).backward()
        optimizer.step()
        scheduler.step()
    assert worker.train(24) == [(step + 1) % 3 == 0 for step in range(24)]
    assert differ(worker.weights(), dict(plain.state_dict())) == []


def test_what_cannot_be_is_one_line() -> None:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ConfigError, match=r"every: got 0, expected a whole number >= 1"):
        PeriodicAveraging(model, 0)
    with pytest.raises(ConfigError, match=r"phases: made for 3 workers, but there are 1; pass Phases\(1\)"):
        PeriodicAveraging(model, phases=Phases(3))
    with pytest.raises(ConfigError, match=r"normalise: needs the rates that each worker used; pass optimizer="):
        PeriodicAveraging(model, normalise=True)
    saved = PeriodicAveraging(model, 4).state_dict()
    with pytest.raises(StateError, match=r"every: the checkpoint has 4, now it is 8; make PeriodicAveraging as before"):
        PeriodicAveraging(model, 8).load_state_dict(saved)
    with pytest.raises(StateError, match="normalise: the checkpoint has False, now it is True"):
        PeriodicAveraging(model, 4, normalise=True, optimizer=optimizer).load_state_dict(saved)


def test_states_of_another_form_have_no_mean() -> None:
    with pytest.raises(StateError, match=r"expected tensors of shape \(2,\) from each"):
        mean_state([{"w": torch.zeros(2)}, {"w": torch.zeros(3)}])
    with pytest.raises(StateError, match=r"expected the keys \['w'\] from each"):
        mean_state([{"w": torch.zeros(2)}, {"v": torch.zeros(2)}])
    assert mean_state([{"a": [torch.tensor(1)], "b": (0.5, None)}, {"a": [torch.tensor(3)], "b": (0.7, None)}]) == {
        "a": [torch.tensor(1)],
        "b": (0.5, None),
    }
