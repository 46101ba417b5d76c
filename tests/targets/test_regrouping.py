"""What happens to originals and values when an optimizer's groups change while a plan drives them."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import nn

import ostinato as ost
from ostinato.errors import DomainError, TargetError


def group(rate: float, decay: float = 0.01, **more: Any) -> dict[str, Any]:
    return {"params": [nn.Parameter(torch.zeros(2))], "lr": rate, "weight_decay": decay, **more}


def relative(optimizer: torch.optim.Optimizer, **more: Any) -> ost.Scheduler:
    bindings = {"optimizer.lr": ost.wave(0.5, 2.0, relative=True), **more}
    return ost.Plan(total=8, cycle=ost.Cycle("sawtooth", count=2), bindings=bindings).bind(optimizer=optimizer)


def rates(optimizer: torch.optim.Optimizer) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


def demand(optimizer: torch.optim.Optimizer, scheduler: ost.Scheduler, *originals: float) -> None:
    assert rates(optimizer) == [original * scheduler.values["optimizer.lr"] for original in originals]


@pytest.fixture(autouse=True)
def _strict() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no group that comes or goes may be taken for a foreign write
        yield


@pytest.mark.parametrize("steps", [1, 3, 4])  # 3 and 4: the step that ends a cycle, and the one after it
def test_a_group_that_is_added_later_is_driven_from_its_own_original(steps: int) -> None:
    optimizer = torch.optim.SGD([group(0.1)], lr=1.0)
    scheduler = relative(optimizer)
    scheduler.step(by=steps)
    optimizer.add_param_group(group(0.01))
    assert rates(optimizer)[1] == 0.01
    scheduler.step()
    demand(optimizer, scheduler, 0.1, 0.01)
    for _ in range(2):
        scheduler.step()
        demand(optimizer, scheduler, 0.1, 0.01)
    scheduler.restore()
    assert rates(optimizer) == [0.1, 0.01]


def test_a_group_that_is_added_is_in_the_state_at_once() -> None:
    optimizer = torch.optim.SGD([group(0.1)], lr=1.0)
    scheduler = relative(optimizer)
    optimizer.add_param_group(group(0.01))
    assert scheduler.state_dict()["originals"] == {"optimizer[0].lr": 0.1, "optimizer[1].lr": 0.01}
    demand(optimizer, scheduler, 0.1, 0.01)


@pytest.mark.parametrize("gone", [0, 1, 2])
@pytest.mark.parametrize("before_step", [True, False])
def test_the_others_keep_their_originals_when_a_group_goes(gone: int, before_step: bool) -> None:
    optimizer = torch.optim.SGD([group(0.1), group(0.2), group(0.3)], lr=1.0)
    scheduler = relative(optimizer)
    scheduler.step()
    del optimizer.param_groups[gone]
    left = [rate for place, rate in enumerate([0.1, 0.2, 0.3]) if place != gone]
    if before_step:
        scheduler.step()
        demand(optimizer, scheduler, *left)
    scheduler.restore()
    assert rates(optimizer) == left


def test_originals_follow_groups_that_change_places_or_are_copied() -> None:
    optimizer = torch.optim.SGD([group(0.1), group(0.2)], lr=1.0)
    scheduler = relative(optimizer)
    optimizer.param_groups.reverse()
    scheduler.step()
    demand(optimizer, scheduler, 0.2, 0.1)
    optimizer.param_groups[0] = dict(optimizer.param_groups[0])
    scheduler.step()
    demand(optimizer, scheduler, 0.2, 0.1)
    optimizer.param_groups.reverse()
    assert scheduler.state_dict()["originals"] == {"optimizer[0].lr": 0.1, "optimizer[1].lr": 0.2}


def test_groups_keep_their_places_when_all_parameters_are_exchanged() -> None:
    optimizer = torch.optim.SGD([group(0.1), group(0.2)], lr=1.0)
    scheduler = relative(optimizer)
    optimizer.param_groups = [{**entry, "params": [nn.Parameter(torch.ones(1))]} for entry in optimizer.param_groups]
    scheduler.step()
    demand(optimizer, scheduler, 0.1, 0.2)


def test_a_loaded_optimizer_is_rewritten_at_once() -> None:
    optimizer = torch.optim.SGD([group(0.1), group(0.2)], lr=1.0)
    scheduler = relative(optimizer)
    scheduler.step()
    optimizer.load_state_dict(torch.optim.SGD([group(7.0), group(8.0)], lr=1.0).state_dict())
    demand(optimizer, scheduler, 0.1, 0.2)
    scheduler.step()
    demand(optimizer, scheduler, 0.1, 0.2)


def test_a_loaded_optimizer_is_left_alone_after_restore_and_while_paused() -> None:
    optimizer = torch.optim.SGD([group(0.1)], lr=1.0)
    scheduler = relative(optimizer)
    state = torch.optim.SGD([group(7.0)], lr=1.0).state_dict()
    with scheduler.paused():
        optimizer.load_state_dict(state)
        assert rates(optimizer) == [7.0]
    demand(optimizer, scheduler, 0.1)
    scheduler.restore()
    optimizer.load_state_dict(state)
    scheduler.step()
    assert rates(optimizer) == [7.0]


def trained(optimizer: torch.optim.Optimizer) -> None:
    for entry in optimizer.param_groups:
        for parameter in entry["params"]:
            parameter.grad = torch.ones_like(parameter)
    optimizer.step()


BINDINGS = {
    "optimizer[lr>0.05].lr": ost.wave(0.001, 0.5, relative=True),
    "optimizer.weight_decay": ost.wave(0.0, 0.1),
    "optimizer.betas.0": ost.wave(0.5, 1.1, relative=True),
}
PLAN = ost.Plan(total=9, cycle=ost.Cycle("sawtooth", count=3), bindings=BINDINGS).replace(
    {"optimizer.weight_decay/shift": 1 / 3}
)


def build() -> torch.optim.AdamW:
    return torch.optim.AdamW([group(0.1), group(0.01, 0.0)], betas=(0.8, 0.99))


def picture(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    return [{key: entry[key] for key in ("lr", "weight_decay", "betas")} for entry in optimizer.param_groups]


@pytest.mark.parametrize("stop", range(10))
@pytest.mark.parametrize("order", ["optimizer, bind, state", "bind, optimizer, state", "bind, state, optimizer"])
def test_every_order_of_resuming_gives_the_same_values_and_originals(stop: int, order: str) -> None:
    optimizer = build()
    scheduler = PLAN.bind(optimizer=optimizer)
    for _ in range(stop):
        trained(optimizer)
        scheduler.step()
    saved = copy.deepcopy(optimizer.state_dict()), scheduler.state_dict()
    fresh = build()
    if order == "optimizer, bind, state":
        fresh.load_state_dict(saved[0])
    resumed = PLAN.bind(optimizer=fresh)
    if order == "bind, optimizer, state":
        fresh.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    if order == "bind, state, optimizer":
        fresh.load_state_dict(saved[0])
    for _ in range(stop, 9):
        assert picture(fresh) == picture(optimizer)
        assert resumed.slots == scheduler.slots
        scheduler.step()
        resumed.step()
    assert resumed.state_dict() == scheduler.state_dict()
    resumed.restore()
    assert picture(fresh) == picture(build())


def test_some_moments_of_resuming_show_no_decay_at_all() -> None:
    """The test above covers them; here is why it must."""
    optimizer = build()
    scheduler = PLAN.bind(optimizer=optimizer)
    seen = []
    for _ in range(9):
        seen.append([entry["weight_decay"] for entry in optimizer.param_groups])
        scheduler.step()
    assert PLAN.replace({"optimizer.weight_decay/high": 0.0}).resolve().values(0)["optimizer.weight_decay"] == 0.0
    assert any(max(decays) < 0.04 for decays in seen)


@pytest.mark.parametrize(
    ("target", "course", "error"),
    [
        ("optimizer.weight_decay", ost.wave(0.1, 0.2), TargetError),
        ("optimizer[lr>0.05].lr", ost.wave(0.1, 0.2), TargetError),
        ("optimizer.momentum", ost.wave(0.5, 1.2, relative=True), DomainError),
    ],
)
def test_what_only_a_state_could_put_right_is_an_error_at_the_first_step(target: str, course: Any, error: Any) -> None:
    optimizer = torch.optim.AdamW([group(0.001, 0.0)])
    trained(optimizer)
    scheduler = ost.Plan(total=8, cycle=ost.Cycle(count=2), bindings={target: course}).bind(optimizer=optimizer)
    with pytest.raises(error, match=r"optimizer"):
        scheduler.step()
    with pytest.raises(error):
        scheduler.step()


@pytest.mark.parametrize("target", ["optimizer.lrr", "optimizer[7].lr", "optimizer[head].lr"])
def test_what_no_state_could_put_right_is_an_error_at_bind(target: str) -> None:
    optimizer = torch.optim.AdamW([group(0.001, 0.0)])
    trained(optimizer)
    with pytest.raises(TargetError):
        ost.Plan(total=8, cycle=ost.Cycle(count=2), bindings={target: ost.wave(0.1, 0.2)}).bind(optimizer=optimizer)
