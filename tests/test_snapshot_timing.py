"""A snapshot has the weights of its cycle's last update: checked on many plans against boundaries computed here by brute force."""

from __future__ import annotations

import math
import random
import warnings
from fractions import Fraction
from typing import NamedTuple

import pytest
import torch
from torch import nn

import ostinato as ost
from ostinato.errors import TruncatedCycleWarning

PLANS = 1000


class Case(NamedTuple):
    total: int
    warmup: int
    period: Fraction | None
    count: int | None
    mult: Fraction

    def ends(self) -> list[int] | None:
        """The step after each cycle, the last at or past the total; None where a cycle would be empty."""
        span = self.total - self.warmup
        whole = sum(self.mult**i for i in range(self.count or 1))
        first = Fraction(span) / whole if self.period is None else self.period
        if first < 1:
            return None
        ends: list[int] = []
        length, reached = first, Fraction(0)
        while not ends or ends[-1] < span:
            reached += length
            length *= self.mult
            end = math.floor(reached + Fraction(1, 2))
            if end <= (ends[-1] if ends else 0):
                return None
            ends.append(end)
        return [self.warmup + end for end in ends]

    def plan(self) -> ost.Plan:
        length = {"count": self.count} if self.period is None else {"period": str(self.period)}
        cycle = ost.Cycle("sawtooth", mult=str(self.mult), **length)
        return ost.Plan(
            total=self.total, warmup=self.warmup, cycle=cycle, bindings={"optimizer.lr": ost.wave(0.25, 1.25)}
        )

    def rate(self, step: int, ends: list[int]) -> float:
        """The learning rate of an update, by the definition."""
        if step < self.warmup:
            return 1.25 * (step + 1) / (self.warmup + 1)
        index = next(k for k, end in enumerate(ends) if step < end)
        start = ends[index - 1] if index else self.warmup
        return 0.25 + (1.0 - (step - start) / (ends[index] - start))


def cases(seed: int) -> list[tuple[Case, list[int]]]:
    source, found = random.Random(seed), []
    while len(found) < PLANS // 10:
        total = source.randint(1, 60)
        warmup = source.choice([0, 0, source.randint(0, total - 1)])
        mult = source.choice([Fraction(1), Fraction(1), Fraction(2), Fraction(3, 2), Fraction(9, 10), Fraction(11, 10)])
        by_count = source.random() < 0.4
        period = None if by_count else Fraction(source.randint(4, 80), source.choice([1, 1, 2, 3, 4]))
        case = Case(total, warmup, period, source.randint(1, 7) if by_count else None, mult)
        ends = case.ends()
        if ends is not None:
            found.append((case, ends))
    return found


@pytest.mark.parametrize("seed", range(10))
def test_a_capture_at_the_end_of_a_cycle_has_the_weights_of_its_last_update(seed: int) -> None:
    torch.set_num_threads(1)
    truncated = unequal = 0
    for case, ends in cases(seed):
        plan = case.plan()
        weight = nn.Parameter(torch.zeros((), dtype=torch.float64))
        optimizer = torch.optim.SGD([weight], lr=9.0, foreach=False)
        with warnings.catch_warnings():
            warnings.simplefilter("error" if ends[-1] == case.total else "ignore", TruncatedCycleWarning)
            scheduler = plan.bind(optimizer=optimizer)
        weight.grad = torch.tensor(-1.0, dtype=torch.float64)
        used: list[float] = []
        captured: dict[int, tuple[int, float]] = {}
        for step in range(case.total):
            used.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            tick = scheduler.step()
            if tick.cycle_end:
                captured[tick.step] = (len(used), weight.item())
                assert tick.crossed == (step,)
            else:
                assert tick.crossed == ()
        complete = [end for end in ends if end <= case.total]
        assert sorted(captured) == [end - 1 for end in complete] == scheduler.resolved.snapshots, case
        assert used == pytest.approx([case.rate(step, ends) for step in range(case.total)], rel=1e-12)
        for end in complete:
            updates, seen = captured[end - 1]
            assert updates == end
            assert seen == math.fsum(used[:end]) or seen == pytest.approx(math.fsum(used[:end]), rel=1e-13)
            if end < case.total:
                assert used[end] == 1.25  # the restart is the update after the capture
        truncated += ends[-1] != case.total
        unequal += case.mult != 1
    assert truncated > 20
    assert unequal > 20
