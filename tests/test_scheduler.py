from __future__ import annotations

import copy
import json
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ostinato as ost
from ostinato.errors import (
    ForeignWriteWarning,
    PastTotalWarning,
    StateError,
    TargetError,
    TruncatedCycleWarning,
)


def sgd(lr: float | torch.Tensor = 0.7, **more: Any) -> torch.optim.SGD:
    return torch.optim.SGD([nn.Parameter(torch.zeros(2))], lr=lr, **more)


def plan(total: int = 8, *, count: int = 2, **bindings: Any) -> ost.Plan:
    bound = {key.replace("__", "."): value for key, value in bindings.items()} or {"optimizer.lr": ost.wave(0.0, 0.1)}
    return ost.Plan(total=total, cycle=ost.Cycle("sawtooth", count=count), bindings=bound)


def lr(optimizer: torch.optim.Optimizer) -> Any:
    return optimizer.param_groups[0]["lr"]


# -- step --------------------------------------------------------------------------------------------------------


def test_the_values_of_update_t_are_in_force_for_update_t() -> None:
    optimizer = sgd(momentum=0.9)
    model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(2))
    loss = nn.CrossEntropyLoss()
    wanted = ost.Plan(
        total=3000,
        warmup=100,
        cycle=ost.Cycle("cosine", period=290, mult=1.5, amplitude_decay=0.9),
        bindings={
            "optimizer.lr": ost.wave(1e-4, 0.1, scale="geometric"),
            "optimizer.momentum": ost.mirror(0.85, 0.95),
            "model:Dropout.p": ost.mirror(0.05, 0.3),
            "model:BatchNorm.momentum": ost.mirror(0.01, 0.3, shift=0.25),
            "loss.label_smoothing": 0.1,
        },
    )
    with pytest.warns(TruncatedCycleWarning):
        scheduler = wanted.bind(optimizer=optimizer, model=model, loss=loss)
    used, ticks = [], []
    for step in range(3000):
        group = optimizer.param_groups[0]
        used.append((step, group["lr"], group["momentum"], model[0].p, model[1].momentum, loss.label_smoothing))
        ticks.append(scheduler.step())
    assert used == scheduler.history.tolist() == wanted.table().tolist()
    assert [tick.step for tick in ticks] == list(range(3000))
    for tick in ticks[::97]:
        assert tuple(tick.values.values()) == used[tick.step][1:]


def test_history_covers_what_is_done() -> None:
    scheduler = plan().bind(optimizer=sgd())
    assert len(scheduler.history) == 0
    scheduler.step(by=3)
    assert scheduler.history["step"].tolist() == [0, 1, 2]


def test_a_step_takes_keywords_only() -> None:
    with pytest.raises(TypeError):
        plan().bind(optimizer=sgd()).step(3)


@pytest.mark.parametrize("by", [0, -1, 1.5, True, "2", None])
def test_a_jump_is_a_whole_number(by: Any) -> None:
    scheduler = plan().bind(optimizer=sgd())
    with pytest.raises(StateError, match="expected a whole number >= 1"):
        scheduler.step(by=by)
    assert scheduler.count == 0


def test_a_jump_lands_where_single_steps_do_and_lists_what_it_crossed() -> None:
    one, many = sgd(), sgd()
    single, jumping = plan(20, count=5).bind(optimizer=one), plan(20, count=5).bind(optimizer=many)
    assert [single.step().cycle_end for _ in range(13)].count(True) == 3
    tick = jumping.step(by=13)
    assert (tick.step, tick.crossed, tick.cycle_end, tick.cycle) == (12, (3, 7, 11), False, 3)
    assert jumping.count == 13
    assert lr(one) == lr(many)
    assert jumping.step(by=3).cycle_end
    assert jumping.step(by=4).crossed == (19,)


def test_a_skipped_update_is_no_step() -> None:
    optimizer = sgd()
    scheduler = plan().bind(optimizer=optimizer)
    scheduler.step(by=3)
    before = lr(optimizer)
    tick = scheduler.step(stepped=False)
    assert (tick.step, tick.advanced, tick.crossed) == (3, False, ())
    assert not any((tick.cycle_start, tick.cycle_end, tick.peak, tick.trough))
    assert (scheduler.count, lr(optimizer)) == (3, before)
    assert scheduler.step().cycle_end


def test_past_the_total_the_last_value_holds_with_one_warning() -> None:
    optimizer = sgd()
    scheduler = plan(4).bind(optimizer=optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.step(by=4)
    assert lr(optimizer) == 0.05
    with pytest.warns(PastTotalWarning, match="step 5 of a plan of 4 steps") as caught:
        ticks = [scheduler.step() for _ in range(3)]
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert lr(optimizer) == 0.05
    for tick in ticks:
        assert (tick.cycle, tick.phase, tick.crossed, tick.advanced) == (-1, 0.0, (), True)
        assert not any((tick.cycle_start, tick.cycle_end, tick.peak, tick.trough))
    assert scheduler.count == 7
    assert scheduler.history["optimizer.lr"].tolist() == [0.1, 0.05, 0.1, 0.05, 0.05, 0.05, 0.05]


def test_a_jump_past_the_total_crosses_only_what_is_there() -> None:
    scheduler = plan(8).bind(optimizer=sgd())
    with pytest.warns(PastTotalWarning) as caught:
        assert scheduler.step(by=100).crossed == (3, 7)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(("total", "fits"), [(25, "20 or 30"), (7, "10")])
def test_a_truncated_run_is_warned_about_with_totals_that_fit(total: int, fits: str) -> None:
    wanted = ost.Plan(total=total, cycle=ost.Cycle(period=10), bindings={"optimizer.lr": ost.wave(0.0, 0.1)})
    with pytest.warns(TruncatedCycleWarning, match=f"a total of {fits} steps fits") as caught:
        scheduler = wanted.bind(optimizer=sgd())
    assert caught[0].filename == __file__
    ends = [step for step in range(total) if scheduler.step().cycle_end]
    assert ends == [step for step in (9, 19) if step < total - 1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for fitting in fits.split(" or "):
            wanted.replace({"total": int(fitting)}).bind(optimizer=sgd())


def test_the_tick_is_small_and_lazy() -> None:
    tick = plan().bind(optimizer=sgd()).step()
    assert not hasattr(tick, "__dict__")
    with pytest.raises(AttributeError):
        tick.note = 1
    assert repr(tick) == "<Tick step=0 cycle=0 phase=0.000 cycle_start peak>"
    assert tick.values == {"optimizer.lr": 0.1}
    assert "skipped" in repr(plan().bind(optimizer=sgd()).step(stepped=False))


def test_a_tick_keeps_its_values_when_the_scheduler_goes_on_or_elsewhere() -> None:
    scheduler = plan().bind(optimizer=sgd())
    tick = scheduler.step()
    other = plan(optimizer__lr=ost.wave(0.0, 9.0)).bind(optimizer=sgd()).state_dict()
    scheduler.load_state_dict(other, on_mismatch="saved")
    assert tick.values == {"optimizer.lr": 0.1}


def test_a_plan_without_a_cycle_drives_too() -> None:
    optimizer = sgd()
    scheduler = ost.Plan(total=10, bindings={"optimizer.lr": ost.one_cycle(1.0)}).bind(optimizer=optimizer)
    for step in range(10):
        assert lr(optimizer) == scheduler.resolved.values(step)["optimizer.lr"]
        tick = scheduler.step()
        assert (tick.cycle, tick.cycle_end, tick.crossed) == (-1, False, ())


def test_rounds_are_stepped_as_rounds() -> None:
    wanted = ost.Plan(
        total=4, unit="round", cycle=ost.Cycle("sawtooth", count=2), bindings={"noise.s": ost.wave(0.0, 0.5)}
    )
    noise = {"s": 1.0}
    scheduler = wanted.bind(noise=noise)
    assert [(noise["s"], scheduler.step().cycle_end) for _ in range(4)] == [(0.5, False), (0.25, True)] * 2


def test_accumulation_steps_once_an_update() -> None:
    optimizer = sgd(0.5)
    weight = optimizer.param_groups[0]["params"][0]
    batches, accumulation = 7, 3
    updates = -(-batches // accumulation)
    wanted = ost.Plan(
        total="2ep", cycle=ost.Cycle("sawtooth", period="1ep"), bindings={"optimizer.lr": ost.wave(0.0, 0.3)}
    )
    scheduler = wanted.bind(optimizer=optimizer, steps_per_epoch=updates)
    ends = []
    for _ in range(2):
        for batch in range(batches):
            (weight.sum() / accumulation).backward()
            if (batch + 1) % accumulation == 0 or batch + 1 == batches:
                optimizer.step()
                optimizer.zero_grad()
                ends.append(scheduler.step().cycle_end)
    assert ends == [False, False, True] * 2
    assert scheduler.count == scheduler.resolved.total == 6


# -- foreign writers ---------------------------------------------------------------------------------------------


def test_a_foreign_float_is_reported_once_with_both_values() -> None:
    optimizer = sgd()
    scheduler = plan().bind(optimizer=optimizer)
    scheduler.step()
    optimizer.param_groups[0]["lr"] = 0.5
    with pytest.warns(ForeignWriteWarning) as caught:
        scheduler.step()
    text = str(caught[0].message)
    assert "optimizer[0].lr" in text
    assert "wrote 0.075" in text
    assert "step 1" in text
    assert "0.5 was found" in text
    assert "scheduler.paused()" in text
    assert caught[0].filename == __file__
    assert lr(optimizer) == scheduler.values["optimizer.lr"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.param_groups[0]["lr"] = 0.5
        scheduler.step()
    assert lr(optimizer) == scheduler.values["optimizer.lr"]


@pytest.mark.parametrize("by", [2, 3, 4])  # within a cycle, and over its end
@pytest.mark.parametrize("groups", [1, 5])  # a lone value, and a run of equal ones
def test_a_foreign_write_before_a_jump_is_dated_by_the_step_it_was_written_for(by: int, groups: int) -> None:
    optimizer = torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))]} for _ in range(groups)], lr=0.7)
    scheduler = plan().bind(optimizer=optimizer)
    scheduler.step()
    optimizer.param_groups[-1]["lr"] = 0.5
    with pytest.warns(ForeignWriteWarning, match=rf"optimizer\[{groups - 1}\]\.lr.*for step 1, ") as caught:
        scheduler.step(by=by)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert {group["lr"] for group in optimizer.param_groups} == {scheduler.values["optimizer.lr"]}


@pytest.mark.parametrize("found", [None, "warm", True, float("nan"), torch.zeros(3)])
def test_a_foreign_value_of_any_kind_is_replaced(found: Any) -> None:
    optimizer = sgd()
    scheduler = plan().bind(optimizer=optimizer)
    optimizer.param_groups[0]["lr"] = found
    if isinstance(found, torch.Tensor):
        with pytest.warns(ForeignWriteWarning), pytest.raises(TargetError, match="a tensor of shape"):
            scheduler.step()
        return
    with pytest.warns(ForeignWriteWarning):
        scheduler.step()
    assert lr(optimizer) == scheduler.values["optimizer.lr"]


def test_an_equal_number_is_no_foreign_write() -> None:
    optimizer = sgd()
    scheduler = plan(optimizer__lr=ost.wave(0.0, 1.0)).bind(optimizer=optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(8):
            optimizer.param_groups[0]["lr"] = float(repr(lr(optimizer)))
            scheduler.step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_tensors_raise_no_false_alarm_and_are_looked_at_when_a_cycle_ends(dtype: torch.dtype) -> None:
    rate = torch.tensor(0.7, dtype=dtype)
    optimizer = sgd(rate, foreach=False)
    wanted = ost.Plan(total=400, cycle=ost.Cycle("cosine", count=100), bindings={"optimizer.lr": ost.wave(1e-7, 0.1)})
    scheduler = wanted.bind(optimizer=optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(393):
            scheduler.step()
        rate.fill_(0.5)  # in the middle of a cycle it is not seen: that would cost a synchronisation a step
        scheduler.step()
        scheduler.step()
    rate.fill_(0.5)
    with pytest.warns(ForeignWriteWarning, match=r"0\.5 was found there"):
        assert scheduler.step().cycle_end
    assert lr(optimizer) is rate


def test_a_cast_of_a_driven_buffer_is_no_foreign_write() -> None:
    model = nn.Module()
    model.register_buffer("gamma", torch.tensor(1.0), persistent=False)
    wanted = ost.Plan(total=800, cycle=ost.Cycle("sine", count=400), bindings={"model.gamma": ost.wave(0.1, 0.7)})
    scheduler = wanted.bind(model=model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(400):
            model.half()
            scheduler.step()
            model.float()
            scheduler.step()


@pytest.mark.parametrize("jump", [1, 3, 4])
def test_the_watch_for_cycle_ends_is_right_after_jumps_and_loads(jump: int) -> None:
    rate = torch.tensor(0.7)
    scheduler = plan(80, count=20).bind(optimizer=sgd(rate))
    scheduler.step(by=jump)
    scheduler.load_state_dict(scheduler.state_dict())
    for _ in range(4):
        rate.fill_(0.5)
        ends = scheduler.resolved.snapshots
        expected = scheduler.count in ends
        if expected:
            with pytest.warns(ForeignWriteWarning):
                scheduler.step()
            return
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            scheduler.step()
    pytest.fail("no cycle ended")


# -- pause, restore ----------------------------------------------------------------------------------------------


def test_paused_is_left_alone_and_catches_up() -> None:
    optimizer = sgd()
    scheduler = plan().bind(optimizer=optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with scheduler.paused() as same:
            assert same is scheduler
            optimizer.param_groups[0]["lr"] = 0.5
            scheduler.step(by=2)
            with scheduler.paused():
                scheduler.step()
            assert lr(optimizer) == 0.5
        assert (scheduler.count, lr(optimizer)) == (3, scheduler.values["optimizer.lr"])
        scheduler.step()


def test_paused_ends_also_after_an_error() -> None:
    optimizer = sgd()
    scheduler = plan().bind(optimizer=optimizer)
    with pytest.raises(KeyError), scheduler.paused():
        raise KeyError("x")
    scheduler.step()
    assert lr(optimizer) == scheduler.values["optimizer.lr"] == 0.075000000000000011102


def test_a_state_loaded_while_paused_comes_into_force_afterwards() -> None:
    optimizer = sgd()
    scheduler = plan().bind(optimizer=optimizer)
    scheduler.step(by=5)
    state = scheduler.state_dict()
    scheduler.step()
    with scheduler.paused():
        optimizer.param_groups[0]["lr"] = 0.5
        scheduler.load_state_dict(state)
        assert lr(optimizer) == 0.5
    assert scheduler.count == 5
    assert lr(optimizer) == scheduler.resolved.values(5)["optimizer.lr"]
    scheduler.step()
    assert lr(optimizer) == scheduler.resolved.values(6)["optimizer.lr"]


def test_a_pause_inside_a_pause_does_not_end_it() -> None:
    optimizer = sgd()
    scheduler = plan().bind(optimizer=optimizer)
    with scheduler.paused():
        with scheduler.paused():
            pass
        optimizer.param_groups[0]["lr"] = 0.5
        scheduler.load_state_dict(scheduler.state_dict())
        scheduler.step()
        assert lr(optimizer) == 0.5
    assert lr(optimizer) == scheduler.values["optimizer.lr"]


def test_restore_inside_a_pause_ends_driving() -> None:
    optimizer = sgd()
    scheduler = plan().bind(optimizer=optimizer)
    with scheduler.paused():
        scheduler.restore()
    assert lr(optimizer) == 0.7
    scheduler.step()
    assert lr(optimizer) == 0.7


def test_restore_gives_back_the_very_values_and_stops() -> None:
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(2))], lr=1, betas=(0.1 + 0.2, 0.99), weight_decay=1e-2)
    model = nn.Dropout(0)
    scheduler = plan(
        optimizer__lr=ost.wave(0.0, 0.1),
        optimizer__betas__0=ost.wave(0.5, 0.9),
        optimizer__weight_decay=ost.wave(0.0, 0.1),
        model__p=ost.wave(0.1, 0.2),
    ).bind(optimizer=optimizer, model=model)
    scheduler.step(by=3)
    scheduler.restore()
    group = optimizer.param_groups[0]
    assert (group["lr"], group["betas"], group["weight_decay"], model.p) == (1, (0.1 + 0.2, 0.99), 1e-2, 0)
    assert type(group["lr"]) is int
    assert type(model.p) is int
    group["lr"] = 0.3
    scheduler.restore()
    scheduler.step()
    assert group["lr"] == 0.3
    scheduler.load_state_dict(scheduler.state_dict())
    assert group["lr"] == scheduler.values["optimizer.lr"]


def test_a_failed_bind_changes_nothing() -> None:
    optimizer = sgd()
    with pytest.raises(TargetError):
        plan(optimizer__lr=ost.wave(0.0, 0.1), model__p=0.5).bind(optimizer=optimizer)
    assert lr(optimizer) == 0.7
    optimizer.load_state_dict(optimizer.state_dict())
    assert lr(optimizer) == 0.7


# -- copies ------------------------------------------------------------------------------------------------------


def trio() -> tuple[nn.Module, torch.optim.Optimizer, ost.Scheduler]:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    optimizer = torch.optim.SGD(model.parameters(), lr=torch.tensor(0.7), weight_decay=0.1)
    bindings = {
        "optimizer.lr": ost.wave(0.0, 0.1),
        "optimizer.weight_decay": 0.5,
        "model:Dropout.p": ost.wave(0.1, 0.3),
    }
    scheduler = ost.Plan(total=8, cycle=ost.Cycle("sawtooth", count=2), bindings=bindings).bind(
        model=model, optimizer=optimizer
    )
    scheduler.step()
    return model, optimizer, scheduler


def look(model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[float, ...]:
    group = optimizer.param_groups[0]
    return group["lr"].item(), group["weight_decay"], model[1].p


@pytest.mark.parametrize("twice", [copy.deepcopy, lambda trio: pickle.loads(pickle.dumps(trio))])  # noqa: S301 - its own bytes
def test_copies_of_model_optimizer_and_scheduler_are_independent(twice: Any) -> None:
    model, optimizer, scheduler = trio()
    model2, optimizer2, scheduler2 = twice((model, optimizer, scheduler))
    assert look(model, optimizer) == look(model2, optimizer2)
    before = look(model, optimizer)
    for _ in range(2):
        scheduler2.step()
    assert look(model, optimizer) == before != look(model2, optimizer2)
    assert (scheduler.count, scheduler2.count) == (1, 3)
    scheduler.step(by=2)
    assert look(model, optimizer) == look(model2, optimizer2)
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer2.load_state_dict(optimizer2.state_dict())
    scheduler2.restore()
    assert look(model2, optimizer2) == (pytest.approx(0.7, rel=1e-7), 0.1, 0.5)
    assert look(model, optimizer) != look(model2, optimizer2)


@pytest.mark.parametrize("twice", [copy.deepcopy, lambda trio: pickle.loads(pickle.dumps(trio))])  # noqa: S301 - its own bytes
def test_copies_of_a_scheduler_at_rest_stay_at_rest(twice: Any) -> None:
    model, optimizer, scheduler = trio()
    scheduler.restore()
    model[1].p = 0.9
    model2, optimizer2, scheduler2 = twice((model, optimizer, scheduler))
    scheduler2.step()
    assert model2[1].p == model[1].p == 0.9
    assert look(model2, optimizer2) == look(model, optimizer)


def test_a_copy_made_in_a_pause_is_paused_and_not_restored() -> None:
    model, optimizer, scheduler = trio()
    with scheduler.paused():
        model[1].p = 0.9
        model2, _, scheduler2 = copy.deepcopy((model, optimizer, scheduler))
        assert model2[1].p == 0.9
    with scheduler2.paused():
        pass
    assert model2[1].p == 0.9


def test_a_scheduler_copied_alone_is_an_error() -> None:
    model, optimizer, scheduler = trio()
    with pytest.raises(
        StateError, match=r"copied without its '(model|optimizer)'.*copy\.deepcopy\(\(model, optimizer, scheduler\)\)"
    ):
        copy.deepcopy(scheduler)
    with pytest.raises(StateError, match="copied without its 'optimizer'"):
        copy.deepcopy((model, scheduler))
    with pytest.raises(StateError, match="would fight the original"):
        copy.copy(scheduler)
    scheduler.step()
    assert look(model, optimizer)[2] == scheduler.values["model:Dropout.p"]


def test_what_a_plan_does_not_drive_need_not_be_copied() -> None:
    optimizer, loss = sgd(), nn.CrossEntropyLoss()
    scheduler = plan().bind(optimizer=optimizer, loss=loss)
    optimizer2, scheduler2 = copy.deepcopy((optimizer, scheduler))
    scheduler2.step()
    assert (lr(optimizer), lr(optimizer2)) == (0.1, scheduler2.values["optimizer.lr"])


def test_what_a_plan_does_not_drive_is_not_even_copied_on_the_way() -> None:
    class Uncopyable(nn.Module):
        def __deepcopy__(self, memo: dict[int, Any]) -> Any:
            raise TypeError("large, and held elsewhere")

    optimizer, extra = sgd(), nn.Dropout(0.5)
    scheduler = plan().bind(optimizer=optimizer, model=Uncopyable(), extra=extra)
    extra2, _, scheduler2 = copy.deepcopy((extra, optimizer, scheduler))
    assert scheduler2._driver.roots["extra"] is extra2
    assert "model" not in scheduler2._driver.roots


def test_a_trainer_that_holds_them_all_is_copied() -> None:
    class Trainer:
        def __init__(self) -> None:
            self.model, self.optimizer, self.scheduler = trio()

    trainer = Trainer()
    twin = copy.deepcopy(trainer)
    twin.scheduler.step()
    assert look(trainer.model, trainer.optimizer) != look(twin.model, twin.optimizer)


def test_torch_save_holds_the_state_without_pickled_code(tmp_path: Any) -> None:
    scheduler = trio()[2]
    torch.save({"scheduler": scheduler.state_dict()}, tmp_path / "state.pt")
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)["scheduler"]
    assert loaded == scheduler.state_dict() == json.loads(json.dumps(scheduler.state_dict()))


def test_nobody_keeps_a_dropped_scheduler_alive() -> None:
    import gc
    import weakref

    optimizer = sgd()
    scheduler = plan().bind(optimizer=optimizer)
    driver = weakref.ref(scheduler._driver)
    del scheduler
    gc.collect()
    assert driver() is None
    optimizer.load_state_dict(sgd(0.4).state_dict())
    assert lr(optimizer) == 0.4


def test_loading_often_leaves_no_hooks_behind() -> None:
    optimizer = sgd()
    scheduler = plan().bind(optimizer=optimizer)
    for _ in range(5):
        scheduler.load_state_dict(scheduler.state_dict())
    assert len(optimizer._optimizer_load_state_dict_post_hooks) == 1
    scheduler.restore()
    assert len(optimizer._optimizer_load_state_dict_post_hooks) == 0


def test_get_last_lr_is_what_is_in_force() -> None:
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (0.1, 0.2)]
    first, second = (
        torch.optim.SGD(groups, lr=1.0),
        torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=torch.tensor(0.5)),
    )
    bindings = {"first[0].lr": ost.wave(0.0, 0.4), "second.betas.0": 0.5}
    scheduler = ost.Plan(total=8, cycle=ost.Cycle("sawtooth", count=2), bindings=bindings).bind(
        first=first, second=second
    )
    scheduler.step(by=2)
    assert scheduler.get_last_lr() == [0.2, 0.2, 0.5]
    assert all(type(rate) is float for rate in scheduler.get_last_lr())
    assert "step 2 of 8, driving first[0].lr, second.betas.0" in repr(scheduler)


def test_values_are_written_as_plain_floats() -> None:
    optimizer = sgd()
    scheduler = plan().bind(optimizer=optimizer)
    for _ in range(8):
        assert type(lr(optimizer)) is float
        scheduler.step()
    assert not isinstance(lr(optimizer), np.floating)
