from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

import ostinato as ost
from ostinato.errors import TargetError


def bound(**more: Any) -> tuple[torch.optim.SGD, ost.Scheduler]:
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (0.1, 0.2)]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    bindings = {"optimizer.lr": ost.wave(0.5, 1.0, relative=True)}
    plan = ost.Plan(total=8, cycle=ost.Cycle("sawtooth", count=2), bindings=bindings)
    return optimizer, plan.bind(optimizer=optimizer, **more)


def test_construction_touches_nothing() -> None:
    optimizer, scheduler = bound()
    scheduler.step()
    step, groups = optimizer.step, copy.deepcopy([{**group, "params": []} for group in optimizer.param_groups])
    view = scheduler.as_lr_scheduler(optimizer)
    assert isinstance(view, LRScheduler)
    assert optimizer.step == step
    assert [{**group, "params": []} for group in optimizer.param_groups] == groups
    assert not any("initial_lr" in group for group in optimizer.param_groups)
    assert (scheduler.count, view.last_epoch, view._step_count) == (1, 1, 2)


def test_it_is_the_scheduler() -> None:
    optimizer, scheduler = bound()
    view = scheduler.as_lr_scheduler()
    assert view.optimizer is optimizer
    for _ in range(4):
        assert view.get_last_lr() == view._last_lr == view.get_lr() == scheduler.get_last_lr()
        assert view.get_last_lr() == [group["lr"] for group in optimizer.param_groups]
        optimizer.step()
        view.step()
        assert view.tick is not None
        assert view.tick.step == scheduler.count - 1 == view.last_epoch - 1
    assert view.tick.cycle_end
    assert view.base_lrs == [0.1, 0.2]
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "lr": 0.3})
    assert view.base_lrs == [0.1, 0.2, 0.3]


def test_its_state_is_the_schedulers() -> None:
    _, scheduler = bound()
    view = scheduler.as_lr_scheduler()
    view.step()
    state = view.state_dict()
    assert state == scheduler.state_dict()
    other = bound()[1]
    other.as_lr_scheduler().load_state_dict(state)
    assert other.count == 1


def test_what_frameworks_do_to_private_counters_moves_no_clock() -> None:
    _, scheduler = bound()
    view = scheduler.as_lr_scheduler()
    view._step_count += 1  # as Accelerate does while it accumulates gradients
    assert (scheduler.count, view._step_count) == (0, 1)


def test_it_is_copied_with_what_it_drives() -> None:
    optimizer, scheduler = bound()
    view = scheduler.as_lr_scheduler()
    optimizer2, view2 = copy.deepcopy((optimizer, view))
    view2.step()
    assert view2.optimizer is optimizer2
    assert (scheduler.count, view2.last_epoch) == (0, 1)


def test_a_wrapped_optimizer_is_seen_as_the_real_one() -> None:
    optimizer, scheduler = bound()

    class Wrapper:
        param_groups = property(lambda self: optimizer.param_groups)

        def __init__(self) -> None:
            self.optimizer = optimizer

    view = scheduler.as_lr_scheduler(Wrapper())
    assert view.optimizer is optimizer
    assert view.base_lrs == [0.1, 0.2]


def test_a_plan_without_an_optimizer_says_what_to_pass() -> None:
    plan = ost.Plan(total=8, cycle=ost.Cycle(count=2), bindings={"noise.s": ost.wave(0.1, 0.2)})
    scheduler = plan.bind(noise={"s": 1.0})
    with pytest.raises(TargetError, match="pass the one that the framework shall see"):
        scheduler.as_lr_scheduler()
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    view = scheduler.as_lr_scheduler(optimizer)
    assert (view.get_last_lr(), view.base_lrs) == ([0.3], [0.3])
