"""Each control against what it claims: what stays to the last bit, what is matched, and what is gone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import ostinato as ost
from ostinato import controls
from ostinato.core.reordering import Reordered
from strategies import RATES, cycles, decimals, plans, shifts, totals, warmups

Floats = NDArray[np.float64]
ALL: dict[str, Callable[..., ost.Plan]] = {
    name: getattr(controls, name) if name != "tuned_constant" else controls.constant for name in controls.NAMES
}
KEEPING = ("sorted", "shuffled", "in_phase", "phase_shuffled")
MATCHING = ("constant", "cosine", "linear")


@st.composite
def coupled(draw: st.DrawFn, *, low: float = 0.0) -> ost.Plan:
    """A rate above 0 beside a weight decay, absolute or effective, and a mirror; in at least two cycles of any kind."""
    floor, top = sorted((draw(decimals(max(low, 0.001), 0.5)), draw(decimals(0.5, 1.0))))
    make = st.sampled_from([ost.wave, ost.mirror])
    decay = draw(make)(0.01, draw(decimals(0.02, 0.5)), shift=draw(shifts), effective=draw(st.booleans()))
    bindings = {
        "optimizer.lr": draw(make)(
            floor, top, shift=draw(shifts), scale=draw(st.sampled_from(["linear", "geometric"]))
        ),
        "optimizer.weight_decay": decay,
        "model:Dropout.p": draw(make)(
            0.0, 0.5, shift=draw(shifts), cycle=draw(st.none() | cycles(ratios=True)), warmup=draw(st.booleans())
        ),
    }
    cycle = draw(cycles().filter(lambda cycle: cycle.count != 1))
    return ost.Plan(total=draw(totals), warmup=draw(warmups), cycle=cycle, bindings=bindings)


def columns(plan: ost.Plan, **rates: Any) -> tuple[Floats, Floats]:
    """The values of the warm-up and those after it, each (steps, bindings)."""
    resolved = plan.resolve(**(rates or RATES))
    table = resolved.table()
    values = np.stack([table[target] for target in plan.bound], axis=1)
    return values[: resolved.warmup], values[resolved.warmup :]


def multiset(rows: Floats) -> list[bytes]:
    return sorted(row.tobytes() for row in rows)


def same_bits(one: Floats, other: Floats) -> bool:
    return one.shape == other.shape and one.tobytes() == other.tobytes()


# -- the rows of the plan ----------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.one_of(plans(), coupled()), st.integers(0, 2**31))
def test_sorted_and_shuffled_have_the_rows_of_the_plan_bit_for_bit(plan: ost.Plan, seed: int) -> None:
    before, rows = columns(plan)
    rate = list(plan.bound).index("optimizer.lr")
    for control in (controls.sorted(plan), controls.shuffled(plan, seed=seed)):
        warmup, found = columns(control)
        assert same_bits(warmup, before)
        assert multiset(found) == multiset(rows)
    falling = columns(controls.sorted(plan))[1]
    assert (np.diff(falling[:, rate]) <= 0).all()
    assert same_bits(falling, rows[np.argsort(-rows[:, rate], kind="stable")])


@settings(max_examples=40, deadline=None)
@given(coupled(), st.integers(0, 2**31))
def test_in_phase_and_phase_shuffled_keep_the_rate_and_each_cycles_values(plan: ost.Plan, seed: int) -> None:
    resolved = plan.resolve(**RATES)
    assume(len(resolved.cycles) > 1)
    courses = {target: ost.Binding(b.schedule, warmup=b.warmup) for target, b in plan.bound.items()}
    plain = plan.replace(courses)  # of an effective decay the scheduled lr·weight_decay is what is kept
    for control in (controls.in_phase(plain), controls.phase_shuffled(plain, seed=seed)):
        assert same_bits(columns(control)[0], columns(plain)[0])
        table, own = control.table(**RATES), plain.table(**RATES)
        assert same_bits(table["optimizer.lr"], own["optimizer.lr"])
        for target in ("optimizer.weight_decay", "model:Dropout.p"):
            for span in resolved.cycles:
                assert sorted(table[target][span.start : span.end]) == sorted(own[target][span.start : span.end])


@settings(max_examples=40, deadline=None)
@given(coupled())
def test_in_phase_is_comonotone_with_the_rate_in_each_cycle(plan: ost.Plan) -> None:
    control = controls.in_phase(plan.replace({"optimizer.weight_decay/effective": False}))
    table = control.table(**RATES)
    for span in control.resolve(**RATES).cycles:
        here = table[span.start : span.end]
        by_rate = here[np.lexsort((here["optimizer.weight_decay"], here["optimizer.lr"]))]
        assert (np.diff(by_rate["optimizer.weight_decay"]) >= 0).all()


def test_a_plan_in_step_already_is_left_as_it_is() -> None:
    for waveform in ("cosine", "sine", "triangular", "square", "exponential", "constant"):
        bindings = {"optimizer.lr": ost.wave(0.0, 0.1), "loss.x": ost.wave(2.0, 5.0), "loss.y": ost.wave(-1.0, 0.0)}
        plan = ost.Plan(total=95, warmup=5, cycle=ost.Cycle(waveform, period=20), bindings=bindings)
        values, found = plan.table(), controls.in_phase(plan).table()
        for target in bindings:
            assert found[target] == pytest.approx(values[target], abs=1e-15)


def test_a_mirror_in_phase_is_the_wave() -> None:
    bindings = {"optimizer.lr": ost.wave(0.0, 1.0), "loss.x": ost.mirror(0.0, 1.0)}
    plan = ost.Plan(total=60, cycle=ost.Cycle("triangular", count=3), bindings=bindings)
    table = controls.in_phase(plan).table()
    assert table["loss.x"] == pytest.approx(table["optimizer.lr"], abs=1e-15)


def test_sorted_leaves_a_plan_that_falls_as_it_is() -> None:
    bindings = {"optimizer.lr": ost.wave(0.0, 0.1), "loss.x": ost.mirror(0.0, 1.0)}
    plan = ost.Plan(total=60, warmup=10, cycle=ost.Cycle(count=1), bindings=bindings)
    assert np.array_equal(controls.sorted(plan).table(), plan.table())


def test_the_rows_follow_the_plan_and_need_no_rates() -> None:
    plan = ost.Plan(total="4ep", cycle=ost.Cycle(period="1ep"), bindings={"optimizer.lr": ost.wave(0.0, 0.1)})
    control = controls.sorted(plan)
    for steps_per_epoch in (7, 50):
        rates = {"steps_per_epoch": steps_per_epoch}
        assert sorted(control.table(**rates)["optimizer.lr"]) == sorted(plan.table(**rates)["optimizer.lr"])
    higher = control.replace({"optimizer.lr/schedule.of.0.high": 0.2, "cycle.period": "2ep"})
    assert higher == controls.sorted(plan.replace({"optimizer.lr/high": 0.2, "cycle.period": "2ep"}))
    assert controls.sorted(plan.replace({"total": None})).replace({"total": "4ep"}) == control


@settings(max_examples=30, deadline=None)
@given(coupled(), shifts)
def test_the_control_of_a_shifted_plan_is_the_shifted_control(plan: ost.Plan, by: float) -> None:
    for name in KEEPING:
        assert ALL[name](plan.shifted(by)) == ALL[name](plan).shifted(by)


def test_shuffled_has_blocks_of_a_tenth_of_the_cycle() -> None:
    bindings = {"optimizer.lr": ost.wave(0.0, 1.0), "loss.count": ost.schedules.linear(0.0, 1.0)}
    plan = ost.Plan(total=500, cycle=ost.Cycle("sine", count=5), bindings=bindings)
    control = controls.shuffled(plan, seed=1)
    breaks = np.flatnonzero(np.abs(np.diff(control.table()["loss.count"]) - 1 / 500) > 1e-9) + 1
    assert len(breaks) > 40
    assert (breaks % 10 == 0).all()
    without = controls.shuffled(plan.replace({"cycle": None, "optimizer.lr": ost.Binding(0.1)}))
    assert without.bound["loss.count"].schedule == Reordered([bindings["loss.count"]], "shuffled", block="0.02dur")
    assert controls.shuffled(plan, seed=1) == control != controls.shuffled(plan, seed=2)
    assert controls.shuffled(plan, blocks="0.5cycle").bound["optimizer.lr"].schedule.block == "0.5cycle"


def spectrum_at_cycles(values: Floats, cycles: int) -> float:
    """The share of the variance at the cycle's frequency and its multiples."""
    power = np.abs(np.fft.rfft(values - values.mean())) ** 2
    return float(power[cycles::cycles].sum() / power.sum())


def test_shuffled_has_lost_the_rhythm() -> None:
    plan = ost.Plan(total=1000, cycle=ost.Cycle("sine", count=10), bindings={"optimizer.lr": ost.wave(0.0, 1.0)})
    assert spectrum_at_cycles(plan.table()["optimizer.lr"], 10) > 0.999
    shares = [spectrum_at_cycles(controls.shuffled(plan, seed=seed).table()["optimizer.lr"], 10) for seed in range(20)]
    assert np.mean(shares) < 0.2


# -- phases ------------------------------------------------------------------------------------------------------


def players(waveform: str = "sine") -> ost.Plan:
    return ost.Plan(
        total=800,
        cycle=ost.Cycle(waveform, count=8),
        bindings={
            "optimizer.lr": ost.wave(0.0, 1.0),
            "optimizer.weight_decay": ost.mirror(0.0, 0.3),
            "model:Dropout.p": ost.mirror(0.0, 0.5, shift=0.1),
        },
    )


@pytest.mark.parametrize("waveform", ["sine", "cosine", "triangular"])
def test_phase_shuffled_takes_the_relation_to_the_rate_and_leaves_the_others(waveform: str) -> None:
    plan = players(waveform)
    own = plan.table()
    names = list(plan.bound)
    before = np.corrcoef([own[name] for name in names])
    assert abs(before[0, 1]) > 0.99
    assert abs(before[0, 2]) > 0.4
    for seed in range(10):
        control = controls.phase_shuffled(plan, seed=seed)
        found = np.corrcoef([control.table()[name] for name in names])
        assert abs(found[0, 1]) < 0.03
        assert abs(found[0, 2]) < 0.03
        assert found[1, 2] == pytest.approx(before[1, 2], abs=1e-9)


def test_phase_shuffled_is_as_smooth_as_the_plan_but_for_one_place_a_cycle() -> None:
    plan = players()
    largest = np.abs(np.diff(plan.table()["optimizer.weight_decay"])).max()
    jumps = np.abs(np.diff(controls.phase_shuffled(plan, seed=3).table()["optimizer.weight_decay"])) > 1.001 * largest
    assert (np.flatnonzero(jumps) % 100 == 99).all()  # between cycles only: a sine has no edge inside one
    assert jumps.sum() <= 7


def test_what_leads_and_what_moves() -> None:
    rates = {"generator.lr": ost.wave(0.1, 1.0), "discriminator.lr": ost.wave(0.1, 1.0, shift=0.5)}
    game = ost.Plan(total=400, cycle=ost.Cycle("sine", count=4), bindings=rates)
    moved = controls.phase_shuffled(game, by="discriminator.lr", seed=1)
    assert moved.bound["discriminator.lr"] == game.bound["discriminator.lr"]
    assert moved.bound["generator.lr"] != game.bound["generator.lr"]
    together = controls.in_phase(game).table()
    assert together["discriminator.lr"] == pytest.approx(together["generator.lr"], abs=1e-12)
    assert (np.diff(controls.sorted(game, by="discriminator.lr").table()["discriminator.lr"]) <= 0).all()
    groups = {
        "optimizer[0].lr": ost.wave(0.1, 1.0),
        "optimizer[1].lr": ost.wave(0.01, 0.1),
        "loss.x": ost.mirror(0.0, 1.0),
    }
    plan = ost.Plan(total=400, cycle=ost.Cycle("sine", count=4), bindings=groups)
    stay = controls.phase_shuffled(plan, seed=1)
    assert [name for name in groups if stay.bound[name] == plan.bound[name]] == ["optimizer[0].lr", "optimizer[1].lr"]


def dose(plan: ost.Plan) -> float:
    _, rows = columns(plan)
    names = list(plan.bound)
    return math.fsum(rows[:, names.index("optimizer.lr")] * rows[:, names.index("optimizer.weight_decay")]) / len(rows)


@settings(max_examples=40, deadline=None)
@given(coupled(), st.integers(0, 99))
def test_phases_can_be_changed_at_the_dose_of_the_plan(plan: ost.Plan, seed: int) -> None:
    assume(len(plan.resolve(**RATES).cycles) > 1)
    for control in (
        controls.in_phase(plan, match="product", **RATES),
        controls.phase_shuffled(plan, seed=seed, match="product", **RATES),
    ):
        assert dose(control) == pytest.approx(dose(plan), rel=1e-12)
        assert same_bits(columns(control)[0], columns(plan)[0])
        dropout = "model:Dropout.p"
        assert sorted(control.table(**RATES)[dropout]) == sorted(plan.table(**RATES)[dropout])


def test_of_an_effective_weight_decay_the_product_is_kept() -> None:
    bindings = {"optimizer.lr": ost.wave(0.1, 1.0), "optimizer.weight_decay": ost.mirror(0.01, 0.1, effective=True)}
    plan = ost.Plan(total=400, warmup=7, cycle=ost.Cycle("sine", count=4), bindings=bindings)

    def products(of: ost.Plan) -> Floats:
        table = of.table(7)
        product: Floats = table["optimizer.lr"] * table["optimizer.weight_decay"]
        return product

    for control in (controls.in_phase(plan, match="product"), controls.phase_shuffled(plan, match="product")):
        assert np.sort(products(control)) == pytest.approx(np.sort(products(plan)), rel=1e-12)
        assert all(getattr(b.schedule, "factor", 1.0) == 1.0 for b in control.bound.values())
    assert np.corrcoef(products(controls.in_phase(plan)), plan.table(7)["optimizer.lr"])[0, 1] > 0.99
    held = controls.linear(plan)
    assert not held.bound["optimizer.weight_decay"].effective
    assert products(held).mean() == pytest.approx(products(plan).mean(), rel=1e-12)


def test_values_are_kept_unless_the_product_is_asked_for() -> None:
    plan = players()
    kept, matched = controls.in_phase(plan), controls.in_phase(plan, match="product")
    assert dose(plan) == pytest.approx(0.3 / 8)
    assert dose(kept) == pytest.approx(3 * 0.3 / 8)
    assert matched.bound["optimizer.weight_decay"].schedule.factor == pytest.approx(1 / 3)


# -- means -------------------------------------------------------------------------------------------------------


def after_warmup(plan: ost.Plan, target: str) -> float:
    return math.fsum(columns(plan)[1][:, list(plan.bound).index(target)]) / len(columns(plan)[1])


@settings(max_examples=40, deadline=None)
@given(coupled())
def test_means_and_dose_are_the_plans(plan: ost.Plan) -> None:
    for name in MATCHING:
        control = ALL[name](plan, **RATES)
        for target in ("optimizer.lr", "model:Dropout.p"):
            assert after_warmup(control, target) == pytest.approx(after_warmup(plan, target), rel=1e-12), (name, target)
        assert dose(control) == pytest.approx(dose(plan), rel=1e-12), name
        rows = columns(control)[1]
        assert (rows[:, 1:] == rows[0, 1:]).all()
        if name == "constant":
            assert (rows == rows[0]).all()


@settings(max_examples=40, deadline=None)
@given(plans())
def test_every_plan_has_its_means(plan: ost.Plan) -> None:
    for name in MATCHING:
        control = ALL[name](plan, **RATES)
        for target in plan.bound:
            expected = after_warmup(plan, target)
            assert after_warmup(control, target) == pytest.approx(expected, rel=1e-12, abs=1e-300), (name, target)


@settings(max_examples=30, deadline=None)
@given(coupled())
def test_a_weight_decay_can_stand_at_its_own_mean(plan: ost.Plan) -> None:
    control = controls.constant(plan, match="values", **RATES)
    target = "optimizer.weight_decay"
    assert after_warmup(control, target) == pytest.approx(after_warmup(plan, target), rel=1e-12)


@pytest.mark.parametrize(("name", "shape"), [("cosine", "cosine"), ("linear", "sawtooth")])
def test_one_decay_is_one_cycle_to_the_low_of_the_plan(name: str, shape: str) -> None:
    once = ost.Plan(total=70, warmup=7, cycle=ost.Cycle(shape, count=1), bindings={"optimizer.lr": ost.wave(0.01, 0.1)})
    assert ALL[name](once).table()["optimizer.lr"] == pytest.approx(once.table()["optimizer.lr"], rel=1e-12)
    plan = ost.Plan(total=70, cycle=ost.Cycle("triangular", count=7), bindings={"optimizer.lr": ost.wave(0.01, 0.1)})
    values = ALL[name](plan).table()["optimizer.lr"]
    count = np.arange(70) / 70
    level = (1 + np.cos(np.pi * count)) / 2 if name == "cosine" else 1 - count
    mean = plan.table()["optimizer.lr"].mean()
    assert values == pytest.approx(0.01 + (mean - 0.01) / level.mean() * level, rel=1e-12)
    assert (np.diff(values) < 0).all()
    to_zero = ALL[name](plan, low=0.0).table()["optimizer.lr"]
    assert to_zero == pytest.approx(mean / level.mean() * level, rel=1e-12)
    line = ost.Plan(total=70, bindings={"optimizer.lr": ost.schedules.join(0.5, 0.1, 0.3, at=[5, 10])})
    assert ALL[name](line).bound["optimizer.lr"].schedule.low == 0.1
    flat = ost.Plan(total=70, bindings={"optimizer.lr": 0.1})
    assert ALL[name](flat).table()["optimizer.lr"] == pytest.approx(0.1, rel=1e-12)


def test_every_rate_decays() -> None:
    rates = {"generator.lr": ost.wave(0.1, 1.0), "discriminator.lr": ost.wave(0.02, 0.2, shift=0.5)}
    plan = ost.Plan(total=400, cycle=ost.Cycle("sine", count=4), bindings=rates)
    table = controls.linear(plan).table()
    for target in rates:
        assert (np.diff(table[target]) < 0).all()
        assert table[target].mean() == pytest.approx(plan.table()[target].mean(), rel=1e-12)


def test_the_rate_beside_a_weight_decay_is_that_of_its_groups() -> None:
    lr, wd = ost.wave(0.0, 1.0), ost.wave(0.0, 0.2)
    cases: list[tuple[dict[str, Any], float]] = [
        ({"optimizer.lr": lr, "optimizer.weight_decay": wd}, 0.15),
        ({"optimizer.lr": lr, "optimizer[0].weight_decay": wd}, 0.15),
        ({"optimizer.lr": lr, "optimizer[*].weight_decay": wd}, 0.15),
        ({"optimizer[*].lr": lr, "optimizer.weight_decay": wd}, 0.15),
        ({"optimizer[0].lr": lr, "optimizer[1].lr": ost.mirror(0.0, 1.0), "optimizer[0].weight_decay": wd}, 0.15),
        ({"optimizer[0].lr": lr, "optimizer[1].lr": ost.mirror(0.0, 1.0), "optimizer[1].weight_decay": wd}, 0.05),
        ({"optimizer[0].lr": lr, "optimizer[1].weight_decay": wd}, 0.1),
        ({"optimizer[head*].lr": lr, "optimizer[head.0].weight_decay": wd}, 0.15),
        ({"other.lr": lr, "optimizer.weight_decay": wd}, 0.1),
        ({"optimizer.lr": ost.Binding(0.0), "optimizer.weight_decay": wd}, 0.1),
        ({"optimizer.lr": lr, "loss.weight_decay_x": wd}, 0.1),
        ({"optimizer.lr": lr, "model:Linear.weight_decay": wd}, 0.1),
    ]
    for bindings, expected in cases:
        plan = ost.Plan(total=100, cycle=ost.Cycle("sine", count=2), bindings=bindings)
        assert controls.constant(plan).resolve().values(0)[list(bindings)[-1]] == pytest.approx(expected), list(
            bindings
        )


# -- the grid ----------------------------------------------------------------------------------------------------


def test_the_grid_is_geometric_round_the_mean() -> None:
    bindings = {
        "head.lr": ost.wave(0.0, 0.4),
        "body.lr": ost.wave(0.0, 0.04),
        "body.weight_decay": ost.mirror(0.0, 0.2),
    }
    plan = ost.Plan(total=100, cycle=ost.Cycle("sine", count=2), bindings=bindings)
    grid = controls.tuned_constant(plan)
    assert list(grid) == pytest.approx([0.2 * 2.0**i for i in range(-3, 4)])
    for rate, arm in grid.items():
        values = arm.resolve().values(0)
        assert values["head.lr"] == rate
        assert values["body.lr"] == pytest.approx(rate / 10)
        assert values["body.weight_decay"] == pytest.approx(0.05)
    assert list(controls.tuned_constant(plan, 2, ratio=4.0)) == pytest.approx([0.1, 0.4])
    assert list(controls.tuned_constant(plan, [0.3, 0.1], by="body.lr")) == [0.3, 0.1]
    chosen = controls.tuned_constant(plan, (0.3,), by="body.lr")[0.3]
    assert chosen == controls.constant(plan, value=0.3, by="body.lr")
    assert chosen.resolve().values(0)["head.lr"] == pytest.approx(3.0)
    decays = controls.tuned_constant(plan, 3, by="body.weight_decay")
    assert list(decays) == pytest.approx([0.05, 0.1, 0.2])
    for decay, arm in decays.items():
        held = arm.resolve().values(0)
        assert (held["body.weight_decay"], held["head.lr"]) == (decay, pytest.approx(0.2))
    still = plan.replace({"head.lr": ost.Binding(0.0)})
    assert controls.constant(still.replace({"body.lr": None}), value=0.7).resolve().values(0)["head.lr"] == 0.7


# -- every control is a plan -------------------------------------------------------------------------------------

OPTIONS: dict[str, dict[str, Any]] = {"tuned_constant": {"value": 0.05}}


@pytest.mark.parametrize("name", controls.NAMES)
def test_a_control_is_a_plan_on_the_same_clock(name: str) -> None:
    plan = ost.Plan(
        total="5ep",
        warmup="0.5ep",
        cycle=ost.Cycle("cosine", period="1ep", mult=1.5),
        bindings={
            "optimizer.lr": ost.wave(1e-3, 0.1),
            "optimizer.weight_decay": ost.mirror(1e-4, 1e-2, effective=True),
            "model:Dropout.p": ost.mirror(0.0, 0.3, cycle=ost.Cycle("sine", period="0.5cycle")),
            "loss.gamma": ost.Binding(ost.one_cycle(2.0), domain=(0.0, 5.0), warmup=True),
        },
    )
    made = controls.make(name, plan, seed=4, **OPTIONS.get(name, {}), steps_per_epoch=40)
    control, rates = made.plan, {"steps_per_epoch": 40}
    before, after = plan.resolve(**rates), control.resolve(**rates)
    assert (after.total, after.warmup, after.clock.cycle) == (before.total, before.warmup, before.clock.cycle)
    assert list(after.cycles) == list(before.cycles)
    assert after.snapshots == before.snapshots
    assert after.targets == before.targets
    for other in (ost.Plan.from_toml(control.to_toml()), ost.Plan.from_json(control.to_json())):
        assert (other, other.digest) == (control, control.digest)
        assert np.array_equal(other.table(**rates), control.table(**rates))
    assert control.digest != plan.digest
    assert control.replace({"total": "6ep"}).resolve(**rates).total == 240
    assert control.bound["loss.gamma"].domain == (0.0, 5.0)
