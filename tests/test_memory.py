"""Stepping is flat in memory: what a scheduler holds does not grow with the steps that it has made."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import ostinato as ost
from ostinato.core.clock import Tick
from ostinato.scheduler import Scheduler

PERIOD = 10_000
TABLE = 1024  # steps whose values are computed at once
NOISE = 2000  # blocks that come and go with the interpreter's free lists: about 900 after 4000 cycles, and no more then
TARGETS: dict[str, Any] = {
    "optimizer.lr": ost.wave(1e-4, 0.1),
    "optimizer.weight_decay": ost.wave(1e-5, 5e-4, shift=0.25, effective=True),
    "optimizer.betas.0": ost.mirror(0.85, 0.95),
    "optimizer.eps": ost.wave(1e-8, 1e-6, scale="geometric"),
    "model:Dropout.p": ost.mirror(0.05, 0.3, cycle=ost.Cycle("sine", period="0.5cycle")),
    "model:BatchNorm.momentum": ost.mirror(0.01, 0.3),
    "loss.label_smoothing": ost.mirror(0.0, 0.1, shift=0.5),
    "scale": ost.wave(0.5, 1.5, cycle=ost.Cycle("triangular", period=777)),
}


def scheduler_of(cycles: int = 100_000, period: int = PERIOD, *, tensors: bool = False) -> Scheduler:
    """Eight bindings of every kind of place: groups, tuples, attributes, a pair of functions; with `tensors` a rate filled in place."""
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=torch.tensor(0.1) if tensors else 0.1, weight_decay=0.1)
    held = {"scale": 1.0}
    total = 100 + cycles * period
    plan = ost.Plan(total=total, warmup=100, cycle=ost.Cycle("cosine", period=period), bindings=TARGETS)
    return plan.bind(
        optimizer=optimizer,
        model=model,
        loss=nn.CrossEntropyLoss(),
        scale=(lambda: held["scale"], lambda value: held.update(scale=value)),
    )


def drive(scheduler: Scheduler, steps: int, look: Callable[[Tick], object] = lambda tick: tick.cycle_end) -> int:
    """Step as a training loop does and return how many cycles ended."""
    return sum(bool(look(scheduler.step())) for _ in range(steps))


def held() -> int:
    """Return how many blocks of memory the interpreter's objects occupy."""
    gc.collect()
    return sys.getallocatedblocks()


def growth(scheduler: Scheduler, warm: int, steps: int, look: Callable[[Tick], object]) -> int:
    """Return by how many blocks `steps` more than the first `warm` have grown what is held; both are whole tables of values."""
    drive(scheduler, warm * TABLE, look)
    before = held()
    drive(scheduler, steps * TABLE, look)
    return held() - before


LOOKS: dict[str, Callable[[Tick], object]] = {
    "cycle ends": lambda tick: tick.cycle_end,
    "events": lambda tick: (tick.cycle, tick.phase, tick.peak, tick.trough, tick.crossed)[-1],
}


@pytest.mark.parametrize("tensors", [False, True])
@pytest.mark.parametrize("look", LOOKS)
def test_thousands_of_steps_and_cycle_ends_hold_no_more_than_the_first_ones(look: str, tensors: bool) -> None:
    scheduler = scheduler_of(period=100, tensors=tensors)
    assert growth(scheduler, 3, 12, LOOKS[look]) < NOISE  # 12,288 steps, 122 ends of cycles


def test_ticks_read_out_hold_nothing() -> None:
    scheduler = scheduler_of(period=100)
    assert growth(scheduler, 1, 2, lambda tick: sum(tick.values.values())) < NOISE


def test_the_check_can_fail() -> None:
    kept: list[Tick] = []
    assert growth(scheduler_of(), 1, 4, kept.append) > 2 * NOISE


def test_300_000_steps_hold_no_more_than_the_first_30_000() -> None:
    scheduler = scheduler_of()
    assert drive(scheduler, 30 * TABLE) == 3
    before = held()
    assert drive(scheduler, 270 * TABLE) == 27
    assert held() - before < NOISE
    assert scheduler.count == 300 * TABLE


def test_steps_past_the_total_hold_nothing_either() -> None:
    scheduler = scheduler_of(cycles=1, period=1000)
    with pytest.warns(ost.errors.PastTotalWarning):
        assert growth(scheduler, 3, 6, LOOKS["events"]) < NOISE


def resident() -> int:
    """Bytes of this process that are in memory (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_ten_million_steps_are_flat_in_memory() -> None:
    scheduler = scheduler_of()
    drive(scheduler, 200 * TABLE)
    before, begun, marks = held(), resident(), []
    for _ in range(96):
        assert drive(scheduler, 100 * TABLE) in (10, 11)
        marks.append(resident() - begun)
    print(f"\nresident memory grew by {marks[-1] / 1024:.0f} KiB, at most {max(marks) / 1024:.0f} KiB")
    assert scheduler.count == 9800 * TABLE > 10_000_000
    assert held() - before < NOISE
    assert max(marks) < 4 << 20
