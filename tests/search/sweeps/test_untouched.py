"""No trace: SHA-256 of everything before and after, however the mock run ends."""

from __future__ import annotations

import copy
import hashlib
import random
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import ostinato as ost
from ostinato.errors import ConfigError, StateError
from ostinato.search import range_test, untouched

torch.set_num_threads(1)


class Net(nn.Module):
    """Batch norm, dropout, a buffer that is not saved, a plain tensor, a frozen parameter, a counter."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))
        self.register_buffer("seen", torch.zeros(()), persistent=False)
        self.register_buffer("shared", torch.ones(1).expand(4))
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
        self.plain = torch.zeros(3)
        self.calls = 0
        self.log: list[float] = []

    def forward(self, inputs: Tensor) -> Tensor:
        self.seen += 1
        self.plain = self.plain + 1
        self.calls += 1
        self.log.append(float(inputs.detach().sum()))
        result: Tensor = self.body(inputs) * self.frozen[0]
        return result


class Noisy(Dataset[tuple[Tensor, int]]):
    """Examples with noise from every generator, one of its own as well."""

    def __init__(self) -> None:
        self.own = np.random.default_rng(3)
        self.fetched = 0

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        self.fetched += 1
        noise = torch.rand(6) + float(np.random.rand()) + random.random() + float(self.own.random())  # noqa: NPY002 - the global one is meant
        return noise * (1 + index % 3), index % 3


@dataclass
class Life:
    """A training in the middle of an epoch."""

    kind: str = "sgd"
    own_generator: bool = True
    scaled: bool = False
    calls: int = 0
    act: Callable[[int], None] = lambda call: None
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002 - the global one is meant
        random.seed(1)
        self.data = Noisy()
        generator = torch.Generator().manual_seed(5) if self.own_generator else None
        self.loader = DataLoader(self.data, batch_size=8, shuffle=True, generator=generator)
        self.model = Net()
        groups = [{"params": self.model.body[0].parameters(), "lr": 0.01}, {"params": self.model.body[1:].parameters()}]
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.SGD(groups, lr=0.05, momentum=0.9)
            if self.kind == "sgd"
            else torch.optim.AdamW(groups, lr=torch.tensor(0.01), weight_decay=0.1, amsgrad=True)
        )
        self.scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=3) if self.scaled else None
        plan = ost.Plan(
            total=40,
            cycle=ost.Cycle(count=4),
            bindings={"optimizer[1].lr": ost.wave(0.001, 0.05), "model:Dropout.p": ost.mirror(0.1, 0.4)},
        )
        self.scheduler = plan.bind(optimizer=self.optimizer, model=self.model)
        self.iterator = iter(self.loader)

    def criterion(self, outputs: Tensor, targets: Tensor) -> Tensor:
        self.calls += 1
        self.act(self.calls)
        return nn.functional.cross_entropy(outputs, targets)

    def train(self, updates: int) -> None:
        for _ in range(updates):
            try:
                inputs, targets = next(self.iterator)
            except StopIteration:
                self.iterator = iter(self.loader)
                inputs, targets = next(self.iterator)
            self.optimizer.zero_grad()
            loss = self.criterion(self.model(inputs), targets)
            if self.scaler is None:
                loss.backward()
                self.optimizer.step()
            else:
                self.scaler.scale(loss).backward()
                self.scaler.step(self.optimizer)
                self.scaler.update()
            self.scheduler.step()
            self.losses.append(float(loss.detach()))

    def test(self, **options: Any) -> Any:
        return range_test(
            self.loader,
            model=self.model,
            optimizer=self.optimizer,
            loss=self.criterion,
            scaler=self.scaler,
            keep=[self.scheduler],
            **{"steps": 12, "low": 1e-4, "high": 1.0, "stop_factor": float("inf"), **options},
        )

    def everything(self) -> dict[str, str]:
        """Return the SHA-256 of every part."""
        model, optimizer = self.model, self.optimizer
        parts: dict[str, Any] = {
            "parameters": [(n, p, p.requires_grad, p.grad) for n, p in model.named_parameters()],
            "buffers": list(model.named_buffers()),
            "modes": [
                (module.training, vars(module).get("p"), vars(module).get("momentum")) for module in model.modules()
            ],
            "attributes": (model.plain, model.calls, model.log, sorted(vars(model))),
            "identities": [id(t) for t in (*model.parameters(), *model.buffers())]
            + [id(p.grad) for p in model.parameters()],
            "state": [optimizer.state.get(p) for g in optimizer.param_groups for p in g["params"]],
            "states": len(optimizer.state),
            "groups": [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups],
            "members": [[id(p) for p in g["params"]] for g in optimizer.param_groups],
            "hooks": len(optimizer._optimizer_load_state_dict_post_hooks),
            "scheduler": (self.scheduler.state_dict(), self.scheduler.values, self.scheduler.count),
            "scaler": None if self.scaler is None else (self.scaler.state_dict(), self.scaler._scale is None),
            "torch": torch.get_rng_state(),
            "numpy": np.random.get_state()[1:],  # noqa: NPY002 - the global one is meant
            "python": random.getstate(),
            "loader": None if self.loader.generator is None else self.loader.generator.get_state(),
            "data": (self.data.fetched, self.data.own.bit_generator.state),
        }
        return {name: hashlib.sha256(repr(_plain(part)).encode()).hexdigest() for name, part in parts.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return (str(value.dtype), tuple(value.shape), value.detach().contiguous().numpy().tobytes())
    if isinstance(value, np.ndarray):
        return (str(value.dtype), value.tobytes())
    if isinstance(value, dict):
        return [(str(key), _plain(part)) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value


class MishapError(Exception):
    """Raised by a loss."""


def _raising(at: int) -> Callable[[int], None]:
    def act(call: int) -> None:
        if call == at:
            raise MishapError

    return act


def _interrupting(at: int) -> Callable[[int], None]:
    def act(call: int) -> None:
        if call == at:
            signal.raise_signal(signal.SIGINT)

    return act


ENDINGS: dict[str, tuple[Callable[[int], Callable[[int], None]], type[BaseException] | None]] = {
    "done": (lambda at: lambda call: None, None),
    "exception": (_raising, MishapError),
    "ctrl-c": (_interrupting, KeyboardInterrupt),
}
KINDS = [("sgd", True, False), ("sgd", False, True), ("adamw", True, True), ("adamw", False, False)]


@pytest.mark.parametrize("restart", [0, 3])
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(("kind", "own_generator", "scaled"), KINDS)
def test_no_trace_and_the_same_next_steps(
    kind: str, own_generator: bool, scaled: bool, ending: str, restart: int
) -> None:
    without = Life(kind, own_generator, scaled)
    without.train(7)
    without.train(10)
    life = Life(kind, own_generator, scaled)
    life.train(7)
    before = life.everything()
    make, error = ENDINGS[ending]
    life.act = make(life.calls + 7)
    if error is None:
        assert len(life.test(restart=restart).values) == 12
    else:
        with pytest.raises(error):
            life.test(restart=restart)
    life.act = lambda call: None
    assert life.everything() == before
    life.train(10)  # a foreign write would be a warning, and so an error
    assert life.losses == without.losses
    same = {"identities", "members"}  # ids differ between two lives
    after, other = life.everything(), without.everything()
    assert {k: v for k, v in after.items() if k not in same} == {k: v for k, v in other.items() if k not in same}


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_no_trace_when_the_loss_is_nan(kind: str) -> None:
    life = Life(kind)
    life.train(3)
    before, real = life.everything(), life.criterion
    count = iter(range(100))
    life.criterion = lambda outputs, targets: real(outputs, targets) * (float("nan") if next(count) == 5 else 1.0)
    found = life.test()
    assert life.everything() == before
    assert found.stopped.startswith("the loss is nan at 0.00")
    assert len(found.values) == len(found.losses) == 4
    assert np.isfinite(found.losses).all()


def test_no_trace_before_the_first_update_of_all() -> None:
    life = Life("adamw", scaled=True)
    before = life.everything()
    life.test(target="model:Dropout.p", low=0.0, high=0.5, restart=2, judge="train", steps=4)
    assert life.everything() == before
    assert not life.optimizer.state
    assert all(parameter.grad is None for parameter in life.model.parameters())


def test_the_check_can_fail() -> None:
    life = Life()
    life.train(2)
    seen = life.everything()
    for name, change in {
        "torch": lambda: torch.rand(1),
        "python": random.random,
        "numpy": np.random.rand,
        "loader": lambda: torch.rand(1, generator=life.loader.generator),
        "buffers": lambda: life.model.seen.add_(1),
        "groups": lambda: life.optimizer.param_groups[0].update(lr=0.02),
        "data": life.data.own.random,
    }.items():
        with untouched(life.model, life.optimizer, life.loader):
            change()
            assert life.everything()[name] != seen[name], name
        assert life.everything() == seen, name


def test_tensors_that_were_exchanged_come_back() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    weight, mean, pointer = model[0].weight, model[1].running_mean, model[0].weight.data_ptr()
    values = weight.detach().clone()
    with untouched(model):
        model[0].weight.data = torch.zeros(3, 3, dtype=torch.float64)
        model[1].running_mean = torch.ones(2)
        model[0].bias = None
        model.add_module("more", nn.ReLU())
        model[1].requires_grad_(False)
        model.eval()
    assert model[0].weight is weight
    assert weight.data_ptr() == pointer
    assert torch.equal(weight, values)
    assert model[1].running_mean is mean
    assert model[0].bias is not None
    assert len(model) == 2
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_groups_and_states_that_were_exchanged_come_back() -> None:
    layer = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1, betas=(0.8, 0.9))
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    group, state = optimizer.param_groups[0], optimizer.state[layer.weight]["exp_avg"]
    saved = copy.deepcopy(optimizer.state_dict())
    with untouched(optimizer):
        other = torch.optim.Adam(layer.parameters(), lr=0.5)
        optimizer.load_state_dict(other.state_dict())
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
        optimizer.step()
    assert optimizer.param_groups == [group]
    assert optimizer.param_groups[0] is group
    assert optimizer.state[layer.weight]["exp_avg"] is state
    assert repr(optimizer.state_dict()) == repr(saved)


def test_torchs_schedulers_and_averages_are_put_back() -> None:
    layer = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    average = torch.optim.swa_utils.AveragedModel(layer)
    optimizer.step()
    scheduler.step()
    before = (repr(scheduler.state_dict()), repr(average.state_dict()), optimizer.param_groups[0]["lr"])
    with untouched(scheduler, average):
        optimizer.step()
        scheduler.step()
        nn.init.ones_(layer.weight)
        average.update_parameters(layer)
    assert (repr(scheduler.state_dict()), repr(average.state_dict()), optimizer.param_groups[0]["lr"]) == before


def test_a_scheduler_that_was_stepped_or_loaded_goes_on_as_if_it_had_not_been() -> None:
    life = Life()
    life.train(3)
    state = life.scheduler.state_dict()
    life.train(2)
    before = life.everything()
    with untouched(life.scheduler, life.optimizer, life.model):
        life.scheduler.step(by=9)
        life.scheduler.load_state_dict(state)
        life.scheduler.restore()
    assert life.everything() == before
    life.train(3)
    assert life.scheduler.count == 8
    life.optimizer.load_state_dict(life.optimizer.state_dict())
    assert life.optimizer.param_groups[1]["lr"] == life.scheduler.values["optimizer[1].lr"]


class Slow:
    """An object with a state; loading it is interrupted."""

    def __init__(self) -> None:
        self.value, self.loaded = 1, 0

    def state_dict(self) -> dict[str, int]:
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, int]) -> None:
        signal.raise_signal(signal.SIGINT)
        self.value = state["value"]


def test_ctrl_c_during_the_restoration_waits_until_it_is_done() -> None:
    slow, layer = Slow(), nn.Linear(2, 2)
    weight = layer.weight.detach().clone()
    with pytest.raises(KeyboardInterrupt), untouched(slow, layer):  # noqa: PT012 - the block's end raises
        slow.value = 2
        nn.init.zeros_(layer.weight)
    assert slow.value == 1
    assert torch.equal(layer.weight, weight)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_cannot_be_put_back_does_not_keep_the_rest() -> None:
    class Broken:
        def state_dict(self) -> dict[str, int]:
            return {}

        def load_state_dict(self, state: dict[str, int]) -> None:
            raise RuntimeError("no")

    layer = nn.Linear(2, 2)
    weight = layer.weight.detach().clone()
    with pytest.raises(ExceptionGroup, match="not everything"), untouched(Broken(), layer):
        nn.init.zeros_(layer.weight)
    assert torch.equal(layer.weight, weight)


def test_pairs_and_plain_objects() -> None:
    class Holder:
        def __init__(self) -> None:
            self.noise, self.history = 0.5, [1.0]

    held, cell = Holder(), [3.0]
    with untouched(held, (lambda: cell[0], lambda value: cell.__setitem__(0, value)), None, len):
        held.noise, cell[0] = 0.1, 9.0
        held.history.append(2.0)
        held.more = 1
    assert vars(held) == {"noise": 0.5, "history": [1.0]}
    assert cell == [3.0]


def test_a_running_iterator_of_persistent_workers_goes_on() -> None:
    data = TensorDataset(torch.arange(12.0))
    loader = DataLoader(data, batch_size=2, num_workers=1, persistent_workers=True, multiprocessing_context="fork")
    running = iter(loader)
    first = next(running)[0].tolist()
    with untouched(loader):
        assert next(iter(loader))[0].tolist() == first
    assert loader._iterator is running
    assert [batch[0].tolist() for batch in running] == [[2.0, 3.0], [4.0, 5.0], [6.0, 7.0], [8.0, 9.0], [10.0, 11.0]]


def batches() -> Iterator[Any]:
    yield torch.zeros(1), torch.zeros(1)


def test_what_cannot_be_wound_back_is_refused() -> None:
    layer = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    with pytest.raises(
        ConfigError, match=r"a generator cannot be wound back; pass the loader that it comes from, or a list of batches"
    ):
        range_test(batches(), model=layer, optimizer=optimizer, loss=nn.functional.mse_loss)
    with pytest.raises(StateError, match="a parameter has no shape yet; run one batch"), untouched(nn.LazyLinear(2)):
        pass
