"""Strengths that give way to the rate: the total stays what was stated, and what cannot be says what can."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import ostinato as ost
from ostinato.balance import balanced, strengths_of, total_of
from ostinato.core.schedules import Schedule, Wave
from ostinato.errors import DomainError, PlanError
from strategies import RATES, cycles, shifts, totals, warmups

P, S, LR = "model:Dropout.p", "loss.label_smoothing", "optimizer.lr"
RATE = ost.wave(0.01, 0.1)


def plan_of(rate: Any = RATE, **more: Any) -> ost.Plan:
    cycle = more.pop("cycle", ost.Cycle("cosine", count=5))
    return ost.Plan(
        total=more.pop("total", 100), warmup=more.pop("warmup", 0), cycle=cycle, bindings={LR: rate, **more}
    )


def sums(plan: ost.Plan, weight: float, peak: float, *parts: str) -> Any:
    """weight·rate/peak + strengths at every step after the warm-up, written out on its own."""
    resolved = plan.resolve(**RATES)
    table = resolved.table()[resolved.warmup :]
    return weight * table[LR] / peak + sum(table[part] for part in parts)


@settings(max_examples=60, deadline=None)
@given(cycles(), totals, warmups, shifts, st.booleans(), st.floats(0.0, 0.9), st.floats(0.05, 0.5), st.floats(0.0, 0.5))
def test_a_mirror_keeps_the_stated_total(
    cycle: ost.Cycle, total: Any, warmup: Any, shift: float, mirrored: bool, floor: float, weight: float, low: float
) -> None:
    rate = (ost.mirror if mirrored else ost.wave)(0.1 * floor, 0.1, shift=shift)
    plan = ost.Plan(total=total, warmup=warmup, cycle=cycle, bindings={LR: rate})
    done = balanced(plan, {P: 0.7, S: 0.3}, total=weight + low, weight=weight)
    schedules = [done.bound[target].schedule for target in (P, S)]
    assert all(isinstance(each, Wave) and each.mirrored is not mirrored for each in schedules)
    values = sums(done, weight, 0.1, P, S)
    assert np.abs(values - (weight + low)).max() <= 1e-12
    found = total_of(done.resolve(**RATES))
    table = done.resolve(**RATES).table()
    if np.ptp(table[LR][done.resolve(**RATES).warmup :]) > 1e-6:
        assert found is not None
        assert found.constant
        assert found.weight == pytest.approx(weight, rel=1e-6)
        assert (found.low, found.high) == pytest.approx((weight + low, weight + low), rel=1e-6)


@pytest.mark.parametrize(
    "rate",
    [
        ost.wave(0.001, 0.1, scale="geometric"),
        ost.wave(0.0, 0.1, cycle=ost.Cycle("sine", period="2cycle")),
        ost.one_cycle(0.1),
        ost.schedules.product(ost.wave(0.01, 0.1), ost.schedules.linear(1.0, 0.1)),
        ost.wave(0.1, 1.0, scale="geometric", relative=True),
    ],
)
@pytest.mark.parametrize("warmup", [0, 7])
def test_any_other_course_is_complemented_step_by_step(rate: Any, warmup: int) -> None:
    plan = plan_of(rate, total=107, warmup=warmup)
    done = balanced(plan, [P, S], total=0.4, weight=0.3)
    table = done.resolve().table()[warmup:]
    peak = max(table[LR]) if not isinstance(plan.bound[LR].schedule, Wave) else plan.bound[LR].schedule.high
    assert np.abs(0.3 * table[LR] / peak + table[P] + table[S] - 0.4).max() <= 1e-12
    found = total_of(done.resolve())
    assert found is not None
    assert (found.constant, found.exact) == (True, True)
    assert found.weight == pytest.approx(0.3)
    assert ost.Plan.from_toml(done.to_toml()) == done


def test_strengths_that_are_there_already_are_counted() -> None:
    smoothed = plan_of().replace({S: ost.mirror(0.0, 0.1), "model:StochasticDepth.p": ost.schedules.hold(0.05)})
    done = balanced(smoothed, P, total=0.5, weight=0.3)
    assert isinstance(done.bound[P].schedule, Wave)
    assert np.ptp(sums(done, 0.3, 0.1, P, S, "model:StochasticDepth.p")) <= 1e-12
    turned = balanced(plan_of().replace({S: ost.mirror(0.0, 0.1, shift=0.25)}), P, total=0.5, weight=0.3)
    assert not isinstance(turned.bound[P].schedule, Wave)
    assert np.ptp(sums(turned, 0.3, 0.1, P, S)) <= 1e-12
    over = balanced(plan_of().replace({S: ost.mirror(0.0, 0.4)}), P, total=0.5, weight=0.1).bound[P].schedule
    assert isinstance(over, Wave)
    assert not over.mirrored  # smoothing rises by more than the rate falls
    assert (over.low, over.high) == pytest.approx((0.09, 0.4))
    again = balanced(done, P, low=0.1, high=0.2)
    assert np.ptp(sums(again, total_of(again.resolve()).weight, 0.1, P, S, "model:StochasticDepth.p")) <= 1e-12


@pytest.mark.parametrize(
    "given", [{"total": 0.3, "weight": 0.25}, {"total": 0.3, "low": 0.05}, {"total": 0.3, "high": 0.275}, {"weight": 0.25, "low": 0.05},
              {"weight": 0.25, "high": 0.275}, {"low": 0.05, "high": 0.275}],
)  # fmt: skip
@pytest.mark.parametrize("scale", ["linear", "geometric"])
def test_any_two_numbers_give_the_other_two(given: dict[str, float], scale: Any) -> None:
    plan = plan_of(ost.wave(0.01, 0.1, scale=scale), cycle=ost.Cycle("triangular", period=20))
    done = balanced(plan, P, **given)
    table = done.resolve().table()
    assert np.abs(0.25 * table[LR] / 0.1 + table[P] - 0.3).max() <= 1e-12
    assert (table[P].min(), table[P].max()) == pytest.approx((0.05, 0.275))


def test_the_shares_and_the_edges_are_exact() -> None:
    done = balanced(plan_of(), {P: 3, S: 1}, total=0.1 + 0.2, weight=0.3)
    schedules = [done.bound[target].schedule for target in (P, S)]
    assert [each.low for each in schedules] == [pytest.approx(0.0, abs=1e-15)] * 2
    assert all(each.low >= 0.0 for each in schedules)
    assert schedules[0].high == pytest.approx(3 * schedules[1].high)


def test_a_domain_of_ones_own_and_other_rates() -> None:
    plan = plan_of().replace({"head.lr": ost.wave(0.1, 0.2), "x.strength": ost.mirror(0.0, 3.0, domain=(0.0, 5.0))})
    done = balanced(plan, "x.strength", total=4.0, weight=2.0, against="head.lr")
    assert done.bound["x.strength"].domain == (0.0, 5.0)
    table = done.resolve().table()
    assert np.abs(2.0 * table["head.lr"] / 0.2 + table["x.strength"] - 4.0).max() <= 1e-12
    with pytest.raises(
        DomainError, match=r"x\.strength: .* expected a number in \[0, 5\]; at this weight totals from 2 to 6 fit"
    ):
        balanced(plan, "x.strength", total=9.0, weight=2.0, against="head.lr")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"total": 0.1, "weight": 0.25}, r"balanced: model:Dropout\.p: total 0\.1 and weight 0\.25 need -0\.15 to 0\.075, expected a probability in \[0, 1\]; at this weight totals from 0\.25 to 1\.025 fit"),
        ({"total": 1.5, "weight": 0.25}, r"need 1\.25 to 1\.475.* totals from 0\.25 to 1\.025 fit"),
        ({"total": 1.5, "weight": 1.5}, r"no total fits at this weight; lower it to 1\.11111 or below"),
        ({"low": -0.1, "high": 0.2}, r"need -0\.1 to 0\.2"),
        ({"low": 0.3, "high": 0.2}, r"weight: low = 0\.3 and high = 0\.2 need a weight of -0\.111111, expected more than 0"),
        ({"total": 0.2, "low": 0.3}, r"weight: total = 0\.2 and low = 0\.3 need a weight of -0\.1,"),
        ({"total": 0.3, "weight": -0.1}, "weight: total = 0.3 and weight = -0.1 need"),
        ({"total": 0.3}, "got total of total, weight, low and high, expected two of them"),
        ({}, "got none of total"),
        ({"total": 0.3, "weight": 0.1, "low": 0.2}, "got total, weight, low of"),
        ({"total": float("nan"), "weight": 0.1}, "total: got nan"),
        ({"total": "x", "weight": 0.1}, "total: got 'x'"),
        ({"total": 0.3, "weight": 0.1, "against": "optimizer.lt"}, "against: no binding drives 'optimizer.lt'; did you mean 'optimizer.lr'"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("scale", ["linear", "geometric"])
def test_what_cannot_be_is_said_in_one_line(given: dict[str, Any], message: str, scale: Any) -> None:
    plan = plan_of(ost.wave(0.01, 0.1, scale=scale), cycle=ost.Cycle("triangular", period=20))
    with pytest.raises(PlanError, match=message) as caught:
        balanced(plan, P, **given)
    assert "\n" not in str(caught.value)


def test_targets_and_rates_that_cannot_be() -> None:
    for targets in ([], {P: 0.0}, {}, {P: -1}):
        with pytest.raises(PlanError, match="balanced: targets: got"):
            balanced(plan_of(), targets, total=0.3, weight=0.1)
    with pytest.raises(PlanError, match=r"targets: 'optimizer\.lr' is the rate"):
        balanced(plan_of(), LR, total=0.3, weight=0.1)
    with pytest.raises(PlanError, match="target: got 'Dropout p'"):
        balanced(plan_of(), "Dropout p", total=0.3, weight=0.1)
    with pytest.raises(PlanError, match="the plan drives no learning rate"):
        balanced(ost.Plan(total=10), P, total=0.3, weight=0.1)
    for still in (0.1, ost.wave(0.1, 0.1), ost.wave(0.1, 0.1, scale="geometric")):
        with pytest.raises(PlanError, match="the rate stands still"):
            balanced(plan_of(still), P, total=0.3, weight=0.1)
    with pytest.raises(PlanError, match="the rate's highest value is 0"):
        balanced(plan_of(ost.wave(0.0, 0.0)), P, total=0.3, weight=0.1)
    with pytest.raises(PlanError, match=r"high: where the rate is 0 it is all of the total, 0\.3"):
        balanced(plan_of(ost.wave(0.0, 0.1)), P, total=0.3, high=0.2)
    with pytest.raises(PlanError, match="steps_per_epoch"):
        balanced(plan_of(ost.one_cycle(0.1), total="3ep"), P, total=0.3, weight=0.1)


def test_strengths_are_told_from_other_numbers() -> None:
    names = {P, S, "model:StochasticDepth.p", "augment.strength", "model:DropPath.drop_prob"}
    others = {
        LR,
        "optimizer.weight_decay",
        "optimizer.momentum",
        "optimizer.dampening",
        "model:BatchNorm.momentum",
        "loss:FocalLoss.gamma",
    }
    plan = ost.Plan(bindings=dict.fromkeys(sorted(names | others), 0.1)).replace(
        {"loss.p": ost.wave(0.5, 1.0, relative=True)}
    )
    assert set(strengths_of(plan)) == names


def test_there_is_no_total_without_an_opposition() -> None:
    bindings: dict[str, Any]
    for bindings in (
        {},
        {P: ost.schedules.hold(0.2)},
        {P: ost.wave(0.0, 0.2)},
        {"optimizer.momentum": ost.mirror(0.8, 0.9)},
    ):
        assert total_of(plan_of().replace(bindings).resolve()) is None
    assert total_of(ost.Plan(total=10, bindings={P: 0.2}).resolve()) is None
    assert total_of(ost.Plan(total=10, bindings={LR: 0.2, P: 0.2}).resolve()) is None
    stated = total_of(plan_of().replace({P: ost.schedules.hold(0.2)}).resolve(), weight=0.5)
    assert stated is not None
    assert (stated.low, stated.high, stated.constant) == (pytest.approx(0.25, abs=0.01), pytest.approx(0.7), False)
    with pytest.raises(PlanError, match="against: no binding drives"):
        total_of(plan_of().replace({P: ost.schedules.hold(0.2)}).resolve(), against="x.lr")


def test_a_total_that_is_not_constant_tells_its_spread() -> None:
    plan = plan_of(cycle=ost.Cycle("sine", count=5)).replace({P: ost.mirror(0.1, 0.3, shift=0.125)})
    found = total_of(plan.resolve())
    assert found is not None
    values = sums(plan, found.weight, 0.1, P)
    assert (found.low, found.high) == (values.min(), values.max())
    assert found.spread > 0.05
    assert str(found).endswith(f"= {found.low:.6g} to {found.high:.6g}")
    assert found.to_document()["constant"] is False


def test_a_very_long_run_is_looked_at_in_places() -> None:
    plan = plan_of(total=10**9, cycle=ost.Cycle(period=1000))
    found = total_of(balanced(plan, P, total=0.3, weight=0.25).resolve())
    assert found is not None
    assert (found.exact, found.constant) == (False, True)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.01, 0.4), st.floats(0.01, 0.4), shifts)
def test_the_controls_of_a_balanced_plan_that_move_rows_are_balanced(weight: float, low: float, by: float) -> None:
    assume(weight > 1e-3)
    plan = balanced(plan_of(), P, weight=weight, low=low).shifted(by)
    for made in (plan, ost.controls.sorted(plan), ost.controls.shuffled(plan, seed=1)):
        found = total_of(made.resolve())
        assert found is not None
        assert found.constant


def test_a_copy_of_the_rate_is_seen_to_have_gone_stale() -> None:
    plan = balanced(plan_of(ost.wave(0.01, 0.1, scale="geometric")), P, total=0.3, weight=0.25)
    assert isinstance(plan.bound[P].schedule, Schedule)
    found = total_of(plan.replace({"optimizer.lr/scale": "linear"}).resolve())
    assert found is not None
    assert not found.constant
