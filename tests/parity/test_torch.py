"""Values against torch's own schedulers, driven for real: conventions 7 and 8 of the design."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

import ostinato as ost
from ostinato import schedules

TOLERANCE = 1e-12


def group(lr: float) -> Any:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)


def at(scheduler: Any, step: int) -> float:
    """The rate of `step` by torch's own formula, without walking there."""
    scheduler.last_epoch = step
    with lr_scheduler._enable_get_lr_call(scheduler):
        return float(scheduler.get_lr()[0])


def walked(make: Callable[[Any], Any], steps: int, lr: float) -> list[float]:
    """The rates of `steps` updates, walking with `step()` as a training loop does."""
    optimizer = group(lr)
    scheduler = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def compare(ours: np.ndarray[Any, Any], theirs: Iterable[float], scale: float) -> int:
    expected = np.array(list(theirs))
    worst = float(np.max(np.abs(ours - expected))) / scale
    assert worst <= TOLERANCE, f"off by {worst:.3g} of the scale"
    return len(expected)


def values(total: int, cycle: ost.Cycle, low: float, high: float) -> np.ndarray[Any, Any]:
    plan = ost.Plan(total=total, cycle=cycle, bindings={"optimizer.lr": ost.wave(low, high)})
    return plan.resolve().table()["optimizer.lr"]


def amplitude(draw: random.Random) -> tuple[float, float]:
    high = 10 ** draw.uniform(-5, 1)
    return draw.choice([0.0, high * 1e-4, high * draw.random()]), high


def cosine_pairs(draw: random.Random) -> int:
    """Steps on torch's integer path, walking; `step(t)` takes a logarithm and is wrong at boundaries."""
    low, high = amplitude(draw)
    period, mult, steps = draw.randint(1, 40), draw.randint(1, 4), draw.randint(20, 90)
    theirs = walked(lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, period, mult, low), steps, high)
    return compare(values(steps, ost.Cycle("cosine", period=period, mult=mult), low, high), theirs, high)


def cosine_far_pairs(draw: random.Random) -> int:
    """Any step of a run of equal cycles, where `step(t)` is exact."""
    low, high = amplitude(draw)
    period = draw.randint(1, 5000)
    optimizer = group(high)
    scheduler = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, period, 1, low)
    steps = [draw.randrange(10**6) for _ in range(40)]
    theirs = []
    for step in steps:
        scheduler.step(step)
        theirs.append(optimizer.param_groups[0]["lr"])
    plan = ost.Plan(total=10**6, cycle=ost.Cycle(period=period), bindings={"optimizer.lr": ost.wave(low, high)})
    return compare(plan.resolve().curves["optimizer.lr"](np.array(steps)), theirs, high)


def triangular_pairs(draw: random.Random) -> int:
    low, high = amplitude(draw)
    up, down = draw.randint(1, 300), draw.choice([None, draw.randint(1, 300)])
    mode: Literal["triangular", "triangular2"] = draw.choice(["triangular", "triangular2"])
    scheduler = lr_scheduler.CyclicLR(group(low), low, high, up, down, mode=mode, cycle_momentum=False)
    period = up + (down or up)
    steps = [draw.randrange(9 * period) for _ in range(40)]
    cycle = ost.Cycle("triangular", period=period, up=up / period, amplitude_decay=1.0 if mode == "triangular" else 0.5)
    ours = ost.wave(low, high, cycle=cycle).schedule(np.array(steps))
    return compare(ours, [at(scheduler, step) for step in steps], high)


def one_cycle_pairs(draw: random.Random) -> int:
    high = 10 ** draw.uniform(-4, 1)
    three = draw.random() < 0.5
    given: dict[str, Any] = {
        "pct_start": draw.uniform(0.05, 0.45 if three else 0.95),
        "anneal_strategy": draw.choice(["cos", "linear"]),
        "three_phase": three,
        "div_factor": draw.uniform(1.0, 50.0),
        "final_div_factor": 10 ** draw.uniform(0, 5),
    }
    total = draw.randint(30, 3000)
    scheduler = lr_scheduler.OneCycleLR(group(0.1), high, total_steps=total, cycle_momentum=False, **given)
    steps = [0, total - 1, *(draw.randrange(total) for _ in range(38))]
    ours = ost.one_cycle(high, over=total, **given)(np.array(steps))
    return compare(ours, [at(scheduler, step) for step in steps], high)


def linear_pairs(draw: random.Random) -> int:
    """`LinearLR` multiplies what is there, so it is walked; its rounding errors stay below the tolerance over 60 steps."""
    lr, start, end = 10 ** draw.uniform(-4, 1), draw.uniform(0.05, 1.0), draw.uniform(0.0, 1.0)
    over, steps = draw.randint(1, 50), 60
    theirs = walked(lambda o: lr_scheduler.LinearLR(o, start, end, over), steps, lr)
    ours = schedules.linear(lr * start, lr * end, over=over)(np.arange(steps))
    return compare(ours, theirs, lr)


def test_values_equal_torchs_at_a_hundred_thousand_random_configurations_and_steps() -> None:
    draw = random.Random(20240607)
    budget = [
        (cosine_pairs, 450),
        (cosine_far_pairs, 500),
        (triangular_pairs, 900),
        (one_cycle_pairs, 700),
        (linear_pairs, 150),
    ]
    counted = {make.__name__: sum(make(draw) for _ in range(rounds)) for make, rounds in budget}
    assert min(counted.values()) >= 9_000, counted
    assert sum(counted.values()) >= 100_000, counted


def test_a_walked_run_of_the_scheduler_equals_cyclic_lr_and_one_cycle_lr() -> None:
    cyclic = walked(lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, 7, 13, cycle_momentum=False), 200, 0.01)
    compare(values(200, ost.Cycle("triangular", period=20, up=0.35), 0.01, 0.1), cyclic, 0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch steps once past its end here
        one = walked(lambda o: lr_scheduler.OneCycleLR(o, 0.5, total_steps=91, cycle_momentum=False), 90, 0.5)
    compare(ost.one_cycle(0.5, over=91)(np.arange(90)), one, 0.5)


def test_torch_misses_the_restart_at_1210_for_period_10_mult_3_and_ours_does_not() -> None:
    boundary = 10 * (3**5 - 1) // 2
    assert boundary == 1210
    optimizer = group(1.0)
    scheduler = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 10, 3)
    scheduler.step(boundary)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(
        0.0, abs=1e-5
    )  # the end of the old cycle: int(log(...)) is one too low
    ours = values(2000, ost.Cycle("cosine", period=10, mult=3), 0.0, 1.0)
    assert ours[boundary] == 1.0
    assert ours[boundary - 1] < 1e-5
    walk = walked(lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 10, 3), 1300, 1.0)
    compare(ours[:1300], walk, 1.0)  # torch agrees with us when it counts instead


def test_products_of_torchs_schedulers_compound_and_ours_are_products_of_values() -> None:
    def chained(optimizer: Any) -> Any:
        parts = [lr_scheduler.LinearLR(optimizer, 0.1, 1.0, 5), lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 10)]
        return lr_scheduler.ChainedScheduler(parts, optimizer)

    theirs = np.array(walked(chained, 20, 1.0))
    ours = (schedules.linear(0.1, 1.0, over=5) * ost.wave(0.0, 1.0, cycle=ost.Cycle(period=10)))(np.arange(20))
    expected = [(0.1 + 0.9 * min(t / 5, 1)) * (1 + math.cos(math.pi * (t % 10) / 10)) / 2 for t in range(20)]
    assert np.allclose(ours, expected, rtol=0, atol=TOLERANCE)
    assert np.max(np.abs(theirs - ours)) > 0.1  # the last of the chain overwrites the others


def test_a_cycle_ends_one_step_above_its_minimum_as_torchs_does() -> None:
    """pytorch#47560: the phase of the last step is (P - 1)/P, so that `low` itself is first met where the next cycle would begin."""
    theirs = walked(lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 10, eta_min=0.01), 30, 0.1)
    ours = values(30, ost.Cycle("cosine", period=10), 0.01, 0.1)
    last = 0.01 + 0.09 * (1 + math.cos(math.pi * 0.9)) / 2
    assert ours[9] == pytest.approx(last, abs=1e-15)
    assert ours[10] == 0.1
    assert min(theirs) > 0.01
    assert ours.min() > 0.01


def test_torchs_recursion_drifts_from_its_closed_form_and_ours_has_only_the_closed_form() -> None:
    steps, period = 20_000, 200
    drifted = np.array(walked(lambda o: lr_scheduler.CosineAnnealingLR(o, period, eta_min=0.0), steps, 0.1))
    exact = np.array([0.1 * (1 + math.cos(math.pi * t / period)) / 2 for t in range(steps)])
    there_and_back = ost.wave(0.0, 0.1, shift=0.5, cycle=ost.Cycle("sine", period=2 * period)).schedule
    ours = there_and_back(np.arange(steps))
    assert np.max(np.abs(ours - exact)) <= TOLERANCE * 0.1 * 10  # cos of a large argument is itself rounded
    assert np.max(np.abs(drifted - exact)) > 10 * np.max(np.abs(ours - exact))


def test_a_value_does_not_depend_on_the_way_there() -> None:
    """torch's `LinearLR` multiplies the rate that it finds; ours is absolute, so that resuming anywhere gives the same bits."""
    line = schedules.linear(0.3, 0.001, over=977)
    assert [line(t) for t in range(0, 1200, 7)] == line(np.arange(0, 1200, 7)).tolist()


def test_one_cycle_climbs_at_once_where_torch_divides_by_zero() -> None:
    with pytest.raises(ZeroDivisionError):
        lr_scheduler.OneCycleLR(group(0.1), 1.0, total_steps=10, pct_start=0.1, cycle_momentum=False)
    assert ost.one_cycle(1.0, over=10, pct_start=0.1)(0) == 1.0


def test_one_cycle_holds_its_last_value_where_torch_raises() -> None:
    scheduler = lr_scheduler.OneCycleLR(group(0.1), 1.0, total_steps=10, cycle_momentum=False)
    with pytest.raises(ValueError, match="Tried to step"):
        at(scheduler, 11)
    curve = ost.one_cycle(1.0, over=10)
    assert curve(9) == curve(10) == curve(10**6) == pytest.approx(1 / 25 / 1e4)


def test_a_warm_up_has_no_step_at_zero_and_none_lost_to_rounding() -> None:
    """Update t < w uses (t + 1)/(w + 1) of the first value: no update at rate 0, and the first cycle begins at its own first value."""
    plan = ost.Plan(total=15, warmup=5, cycle=ost.Cycle(period=10), bindings={"optimizer.lr": ost.wave(0.0, 0.6)})
    found = plan.resolve().table()["optimizer.lr"]
    assert np.allclose(found[:6], np.arange(1, 7) * 0.1, rtol=0, atol=1e-15)
    lambda_lr = walked(lambda o: lr_scheduler.LambdaLR(o, lambda t: min(1.0, (t + 1) / 6)), 5, 0.6)
    compare(found[:5], lambda_lr, 0.6)
