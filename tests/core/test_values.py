"""What values are: formulas, bounds, symmetries, and that they never depend on how they are asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ostinato as ost
from ostinato import schedules
from ostinato.core.rotation import Rotation
from ostinato.core.schedules import Context, interpolate
from ostinato.core.waveforms import WAVEFORMS, waveform
from strategies import RATES, UNSHAPED, WAVEFORM_NAMES, courses, decimals, plans, shapes, shares, shifts, zigzag

ONCE = ost.Cycle(period=10)


def wave_values(cycle: ost.Cycle, steps: int, **options: Any) -> np.ndarray[Any, Any]:
    return ost.wave(0.0, 1.0, cycle=cycle, **options).schedule(np.arange(steps))


# -- formulas ---------------------------------------------------------------------------------------------------

FORMULAS: dict[str, Callable[[float], float]] = {
    "cosine": lambda x: (1 + math.cos(math.pi * x)) / 2,
    "sine": lambda x: (1 - math.cos(2 * math.pi * x)) / 2,
    "sawtooth": lambda x: 1 - x,
    "constant": lambda x: 1.0,
    "triangular": lambda x: x / 0.3 if x < 0.3 else (1 - x) / 0.7,
    "square": lambda x: 1.0 if x < 0.3 else 0.0,
    "exponential": lambda x: (50.0**-x - 1 / 50) / (1 - 1 / 50),
}
PARAMETERS: dict[str, dict[str, float]] = {
    "triangular": {"up": 0.3},
    "square": {"duty": 0.3},
    "exponential": {"ratio": 50.0},
}


@pytest.mark.parametrize("name", WAVEFORM_NAMES)
def test_each_waveform_is_its_formula(name: str) -> None:
    phases = np.arange(40) / 40
    levels = waveform(name)(phases, **PARAMETERS.get(name, {}))
    assert np.allclose(levels, [FORMULAS[name](x) for x in phases.tolist()], rtol=0, atol=1e-15)
    assert levels.dtype == np.float64


@pytest.mark.parametrize(
    ("name", "key", "value"), [("triangular", "up", 0.5), ("square", "duty", 0.5), ("exponential", "ratio", 100.0)]
)
def test_a_waveforms_parameter_has_its_default(name: str, key: str, value: float) -> None:
    assert ost.Cycle(name, period=3).parameters == {key: value}
    phases = np.arange(11) / 11
    assert np.array_equal(waveform(name)(phases), waveform(name)(phases, **{key: value}))


@given(
    st.sampled_from(WAVEFORM_NAMES).flatmap(lambda name: st.tuples(st.just(name), shapes(name))), st.integers(1, 400)
)
def test_levels_lie_between_0_and_1(shape: tuple[str, dict[str, float]], length: int) -> None:
    levels = waveform(shape[0])(np.arange(length) / length, **waveform(shape[0]).complete(shape[1]))
    assert levels.min() >= 0.0
    assert levels.max() <= 1.0


def test_the_catalogue_of_waveforms_is_the_designs() -> None:
    assert list(WAVEFORMS) == ["cosine", "triangular", "sine", "sawtooth", "square", "exponential", "constant"]


@pytest.mark.parametrize("scale", ["linear", "geometric"])
def test_the_ends_of_a_scale_are_exact_and_its_middle_is_the_mean(scale: Any) -> None:
    draw = np.random.default_rng(5)
    for _ in range(300):
        low, high = np.sort(10 ** draw.uniform(-8, 3, size=2)).tolist()
        first, middle, last = interpolate(np.array([0.0, 0.5, 1.0]), low, high, scale).tolist()
        assert (first, last) == (low, high)
        assert middle == pytest.approx((low + high) / 2 if scale == "linear" else math.sqrt(low * high), rel=1e-13)


def test_amplitude_decay_scales_the_level_of_each_cycle_and_mirror_complements_the_scaled_one() -> None:
    cycle = ost.Cycle("sawtooth", period=4, amplitude_decay=0.5)
    expected = np.array([(1 - p / 4) * 0.5**k for k in range(3) for p in range(4)])
    assert np.array_equal(wave_values(cycle, 12), expected)
    assert np.array_equal(ost.mirror(0.0, 1.0, cycle=cycle).schedule(np.arange(12)), 1.0 - expected)


def test_mult_stretches_the_cycles() -> None:
    plan = ost.Plan(total=14, cycle=ost.Cycle("sawtooth", period=2, mult=2), bindings={"loss.x": ost.wave(0.0, 1.0)})
    found = plan.resolve().table()["loss.x"]
    assert found.tolist() == [1, 1 / 2, 1, 3 / 4, 1 / 2, 1 / 4, *(1 - k / 8 for k in range(8))]


# -- bounds -----------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(plans())
def test_values_never_leave_their_bounds(plan: ost.Plan) -> None:
    resolved = plan.resolve(**RATES)
    for target, curve in resolved.curves.items():
        found = resolved.table()[target]
        assert np.isfinite(found).all()
        assert found.min() >= curve.low, target
        assert found.max() <= curve.high, target


@settings(max_examples=150, deadline=None)
@given(courses)
def test_a_schedule_resolves_to_bounds_that_hold(schedule: ost.Schedule) -> None:
    plan = ost.Plan(
        total=160, cycle=ost.Cycle(period=40), bindings={"loss.x": ost.Binding(schedule, domain=(-99.0, 99.0))}
    )
    curve = plan.resolve(**RATES).curves["loss.x"]
    found = curve(np.arange(400))
    assert found.min() >= curve.low
    assert found.max() <= curve.high


signed = decimals(-2.0, 2.0)
lines = st.builds(schedules.linear, signed, signed, over=st.just(9))


@given(st.lists(lines, min_size=2, max_size=3), st.sampled_from([schedules.product, schedules.sum]))
def test_the_bounds_of_products_and_sums_hold_for_values_of_either_sign(
    parts: list[ost.Schedule], combine: Any
) -> None:
    curve = combine(*parts).resolve(Context())
    found = curve(np.arange(12))
    assert curve.low <= found.min()
    assert found.max() <= curve.high


# -- symmetries -------------------------------------------------------------------------------------------------

cycle_of_period = st.sampled_from(WAVEFORM_NAMES).flatmap(
    lambda name: st.builds(ost.Cycle, st.just(name), period=st.integers(1, 50))
)


@given(cycle_of_period, shifts, st.integers(0, 10**12))
def test_equal_cycles_of_whole_steps_repeat_bit_for_bit(cycle: ost.Cycle, shift: float, after: int) -> None:
    period = int(str(cycle.period))
    curve = ost.wave(0.0, 1.0, shift=shift, cycle=cycle).schedule
    start = after // period * period
    assert np.array_equal(curve(np.arange(period)), curve(np.arange(start, start + period)))


@settings(max_examples=100, deadline=None)
@given(plans(), decimals(-2.0, 2.0))
def test_shifting_by_half_a_cycle_twice_is_the_identity(plan: ost.Plan, by: float) -> None:
    assert plan.shifted(0.5).shifted(0.5) == plan
    assert plan.shifted(by).shifted(-by) == plan
    assert plan.shifted(1) == plan
    assert plan.shifted(0.5).shifted(0.5).digest == plan.digest


@given(cycle_of_period, st.integers(0, 49))
def test_a_shift_by_whole_steps_rolls_the_cycle_also_at_its_jumps(cycle: ost.Cycle, by: int) -> None:
    period = int(str(cycle.period))
    plain = wave_values(cycle, period)
    rolled = wave_values(cycle, period, shift=Fraction(by % period, period))
    assert np.allclose(rolled, np.roll(plain, by % period), rtol=0, atol=1e-15)


def test_a_positive_shift_is_late() -> None:
    found = wave_values(ost.Cycle("sawtooth", period=4), 8, shift=0.25)
    assert found.tolist() == [0.25, 1.0, 0.75, 0.5, 0.25, 1.0, 0.75, 0.5]


@pytest.mark.parametrize("players", [2, 3, 5, 7, 10, 24])
def test_square_waves_that_take_turns_neither_overlap_nor_leave_a_gap(players: int) -> None:
    for length in (players, 2 * players, 30 * players):
        cycle = ost.Cycle("square", period=length, duty=1 / players)
        turns = sum(wave_values(cycle, 3 * length, shift=k / players) for k in range(players))
        assert np.array_equal(turns, np.ones(3 * length)), length


@given(decimals(0.0, 0.999999999, 9), st.integers(1, 2000))
def test_a_rotation_stays_in_the_cycle_whatever_its_shift(shift: float, length: int) -> None:
    done = np.arange(length)
    for exactly in (shift, math.pi / 4 * shift):
        phase = Rotation.by(exactly)(done, np.full(length, length))
        assert phase.min() >= 0.0
        assert phase.max() < 1.0
        turned = (done / length - exactly) - np.floor(done / length - exactly)
        gap = np.abs(phase - turned)
        assert np.minimum(gap, 1.0 - gap).max() < 1e-15


@pytest.mark.parametrize("shift", [1e-17, 5e-324, 0.3 + 1e-16])
def test_a_rotation_by_less_than_float64_can_tell_stays_below_a_whole_turn(shift: float) -> None:
    phase = Rotation.by(shift)(np.array([0, 3]), np.array([10, 10]))
    assert phase.max() < 1.0
    assert phase.min() >= 0.0
    assert ost.wave(0.0, 1.0, shift=1e-17, cycle=ost.Cycle("sawtooth", period=10)).schedule(0) > 0.0


def test_a_rotation_takes_the_same_path_for_an_element_in_every_company() -> None:
    rotation = Rotation.by(0.1)
    whole = np.array([10, 2**52, 30], dtype=np.int64)
    done = np.array([4, 2**51, 7], dtype=np.int64)
    together = rotation(done, whole).tolist()
    assert together == [rotation(done[i : i + 1], whole[i : i + 1])[0] for i in range(3)]
    assert together[0] == 0.3
    assert together[1] == 0.4


@given(cycle_of_period, shifts)
def test_the_mirror_of_the_mirror_is_the_wave(cycle: ost.Cycle, shift: float) -> None:
    plain = wave_values(cycle, 60, shift=shift)
    mirrored = ost.mirror(0.0, 1.0, shift=shift, cycle=cycle).schedule(np.arange(60))
    assert np.allclose(1.0 - mirrored, plain, rtol=0, atol=1e-16 * 2)


def test_mirror_is_no_shift_for_restarts() -> None:
    plan = ost.Plan(
        total=20, cycle=ONCE, bindings={"loss.a": ost.mirror(0.0, 1.0), "loss.b": ost.wave(0.0, 1.0, shift=0.5)}
    )
    table = plan.resolve().table()
    assert not np.allclose(table["loss.a"], table["loss.b"], atol=0.1)


# -- one path for scalars, tables and blocks --------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["linear", "geometric"])
@pytest.mark.parametrize("name", WAVEFORM_NAMES)
def test_values_have_the_same_bits_however_they_are_asked_for(name: str, scale: Any) -> None:
    """Vector units handle the tail of an array apart: every length, offset and stride must give what one number gives."""
    cycle = ost.Cycle(name, period="97/3", amplitude_decay=0.93, **PARAMETERS.get(name, {}))
    bindings = {
        f"loss.{i}x": ost.wave(0.01, 0.7, shift=s, scale=scale) for i, s in enumerate((0.0, 0.25, 0.1 * math.pi))
    }
    resolved = ost.Plan(
        total=700, warmup=13, cycle=cycle, bindings={"optimizer.lr": ost.wave(0.1, 1.0), **bindings}
    ).resolve()
    full = resolved.table()
    single = [resolved.values(step) for step in range(700)]
    for target in resolved.targets:
        assert full[target].tolist() == [row[target] for row in single]
        curve = resolved.curves[target]
        for length in range(1, 35):
            for start in (0, 11, 64):
                counts = np.arange(start, start + length)
                assert np.array_equal(curve(counts), full[target][start : start + length])
        spread = np.arange(1400)[::2]
        assert np.array_equal(curve(spread[:350]), full[target][::2])
        assert np.array_equal(curve(np.arange(700, dtype=np.int32)[::-3]), full[target][::-3])


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.uint16, np.int64])
def test_counts_of_every_integer_type_are_the_same_counts(kind: Any) -> None:
    curve = ost.wave(0.0, 1.0, shift=0.1, cycle=ost.Cycle("sawtooth", period="97/3")).schedule
    counts = np.array([0, 3, np.iinfo(kind).max // 2, np.iinfo(kind).max - 1], dtype=kind)
    if kind is np.int64:
        counts[2:] = [10**15, 10**15 + 7]
    assert curve(counts).tolist() == [curve(count) for count in counts.tolist()]
    assert counts[1] == 3


@settings(max_examples=100, deadline=None)
@given(plans(), st.integers(0, 120), st.integers(0, 150), st.integers(1, 13))
def test_a_table_holds_the_values_bit_for_bit(plan: ost.Plan, start: int, rows: int, stride: int) -> None:
    resolved = plan.resolve(**RATES)
    table = resolved.table(start, start + rows, stride)
    assert table["step"].tolist() == list(range(start, start + rows, stride))
    whole = resolved.table(0, start + rows)
    for target in resolved.targets:
        assert table[target].tobytes() == np.ascontiguousarray(whole[target][start::stride]).tobytes()
        assert table[target].tolist() == [resolved.values(step)[target] for step in table["step"].tolist()]


def test_a_table_has_a_field_for_the_step_and_one_for_each_target() -> None:
    plan = ost.Plan(total=5, bindings={"loss.b": 0.5, "optimizer[0].lr": 0.1})
    table = plan.table()
    assert table.dtype == np.dtype([("step", np.int64), ("loss.b", np.float64), ("optimizer[0].lr", np.float64)])
    assert len(table) == 5
    assert plan.table(3)["step"].tolist() == [3, 4]


def test_past_the_total_the_last_value_holds() -> None:
    resolved = ost.Plan(total=17, cycle=ONCE, bindings={"optimizer.lr": ost.wave(0.0, 1.0)}).resolve()
    last = resolved.values(16)
    assert resolved.values(17) == resolved.values(10**9) == last
    assert resolved.values(15) != last
    assert resolved.table(stop=20)["optimizer.lr"][16:].tolist() == [last["optimizer.lr"]] * 4


def test_a_resolved_plans_mean_is_the_tables() -> None:
    resolved = ost.Plan(
        total=40_000, warmup=100, cycle=ost.Cycle(count=7), bindings={"optimizer.lr": ost.wave(0.01, 1.0)}
    ).resolve()
    assert resolved.mean("optimizer.lr") == pytest.approx(resolved.table()["optimizer.lr"].mean(), rel=1e-12)
    assert resolved.mean("optimizer.lr") == pytest.approx(0.505, abs=0.005)


# -- algebra ----------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.lists(courses, min_size=2, max_size=3), st.sampled_from([schedules.product, schedules.sum]))
def test_products_and_sums_commute_and_associate_bit_for_bit(parts: list[ost.Schedule], combine: Any) -> None:
    written = [combine(*order) for order in permutations(parts)]
    written += [combine(combine(*parts[:-1]), parts[-1]), combine(parts[0], combine(*parts[1:]))]
    tables, digests = set(), set()
    for schedule in written:
        binding = ost.Binding(schedule, domain=(-1e6, 1e6))
        plan = ost.Plan(total=80, cycle=ost.Cycle(period=30), bindings={"loss.x": binding})
        digests.add(plan.digest)
        tables.add(plan.resolve(**RATES).table()["loss.x"].tobytes())
    assert len(digests) == len(tables) == 1
    assert all(schedule == written[0] for schedule in written)


def test_operators_combine_schedules_with_numbers_and_waves() -> None:
    line = schedules.linear(0.0, 1.0, over=4)
    assert (2.0 * line)(np.arange(5)).tolist() == (line * 2)(np.arange(5)).tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert (line + 1)(4) == (1 + line)(4) == 2.0
    assert (line * ost.wave(0.0, 1.0, cycle=ONCE))(2) == 0.5 * ost.wave(0.0, 1.0, cycle=ONCE).schedule(2)


def test_a_part_of_a_join_counts_from_its_own_beginning_and_a_shared_wave_stays_on_the_clock() -> None:
    parts = (
        ost.wave(0.0, 1.0),
        schedules.linear(0.0, 1.0, over=10),
        ost.wave(0.0, 1.0, cycle=ost.Cycle("sawtooth", period=5)),
    )
    shared = ost.wave(0.0, 1.0)
    joined = schedules.join(*parts, shared, at=[3, 7, 12])
    plan = ost.Plan(total=20, cycle=ost.Cycle("sawtooth", period=8), bindings={"loss.x": joined, "loss.y": shared})
    table = plan.resolve().table()
    assert table["loss.x"][:3].tolist() == table["loss.y"][:3].tolist()
    assert np.allclose(table["loss.x"][3:7], [0.0, 0.1, 0.2, 0.3], atol=1e-16)
    assert np.allclose(table["loss.x"][7:12], [1.0, 0.8, 0.6, 0.4, 0.2], atol=1e-15)
    assert table["loss.x"][12:].tolist() == table["loss.y"][12:].tolist()


def test_joins_nest() -> None:
    inner = schedules.join(2.0, schedules.linear(3.0, 4.0, over=2), at=[2])
    assert schedules.join(1.0, inner, at=[2])(np.arange(8)).tolist() == [1, 1, 2, 2, 3, 3.5, 4, 4]


def test_a_schedules_own_warm_up_climbs_to_the_first_value_which_then_begins() -> None:
    curve = schedules.warmup(schedules.linear(0.8, 0.0, over=4), over=3, start=0.2)
    assert np.allclose(curve(np.arange(8)), [0.35, 0.5, 0.65, 0.8, 0.6, 0.4, 0.2, 0.0], atol=1e-15)
    assert schedules.warmup(schedules.linear(0.8, 0.0, over=4), over=0)(0) == 0.8


def test_a_warm_up_longer_than_the_run_still_climbs() -> None:
    late = schedules.warmup(ost.wave(0.0, 1.0), over=20)
    found = ost.Plan(total=10, cycle=ost.Cycle(period=5, mult=2), bindings={"loss.x": late}).resolve().table()["loss.x"]
    assert (np.diff(found) > 0).all()


def test_clip_holds_a_schedule_between_its_ends() -> None:
    assert schedules.clip(schedules.linear(0.0, 1.0, over=4), 0.3, 0.6)(np.arange(5)).tolist() == [
        0.3,
        0.3,
        0.5,
        0.6,
        0.6,
    ]


@given(decimals(0.01, 2.0), shares, st.booleans(), st.integers(2, 300), st.sampled_from(["cos", "linear"]))
def test_one_cycle_begins_and_ends_where_it_says(
    high: float, share: float, three: bool, total: int, anneal: Any
) -> None:
    curve = ost.one_cycle(high, over=total, pct_start=share, three_phase=three, anneal_strategy=anneal)(
        np.arange(total + 5)
    )
    assert curve.max() <= high
    assert curve.min() >= high / 25 / 1e4
    if not three and share < 1.0:
        assert curve[total - 1] == pytest.approx(high / 25 / 1e4, rel=1e-9)
    assert (curve[total - 1 :] == curve[total - 1]).all()
    if not three and share < 1 and share * total > 1:
        assert curve[0] == pytest.approx(high / 25, rel=1e-12)


# -- a binding's own cycle --------------------------------------------------------------------------------------


def test_an_own_cycle_in_steps_runs_on_its_own() -> None:
    bindings = {"loss.a": ost.wave(0.0, 1.0), "loss.b": ost.wave(0.0, 1.0, cycle=ost.Cycle("sawtooth", period=3))}
    table = ost.Plan(total=14, warmup=2, cycle=ONCE, bindings=bindings).resolve().table()
    assert np.allclose(table["loss.b"][2:], [1, 2 / 3, 1 / 3] * 4, atol=1e-15)


@pytest.mark.parametrize("ratio", ["2", "1/2", "3/2", "1/3", "0.25", "7/5"])
@pytest.mark.parametrize("mult", [1, 2, "3/2"])
def test_a_ratio_of_the_shared_cycle_follows_its_phase_exactly(ratio: str, mult: Any) -> None:
    own = ost.Cycle("sawtooth", period=f"{ratio}cycle", amplitude_decay=0.5)
    shared = ost.Cycle("cosine", period="41/4", mult=mult)
    resolved = ost.Plan(total=200, cycle=shared, bindings={"loss.x": ost.wave(0.0, 1.0, cycle=own)}).resolve()
    for span in resolved.cycles:
        for step in range(span.start, min(resolved.clock.warmup + resolved.clock.rhythm.end(span.index), 200)):
            length = resolved.clock.rhythm.end(span.index) - resolved.clock.rhythm.end(span.index - 1)
            place = (span.index + Fraction(step - span.start, length)) / Fraction(ratio)
            expected = (1 - place % 1) * Fraction(1, 2) ** math.floor(place)
            assert resolved.values(step)["loss.x"] == pytest.approx(float(expected), rel=1e-13)


def test_a_ratio_stays_exact_after_a_billion_cycles() -> None:
    bindings = {"loss.x": ost.wave(0.0, 1.0, cycle=ost.Cycle("sawtooth", period="7cycle"))}
    resolved = ost.Plan(total=10**13, cycle=ost.Cycle(period=10), bindings=bindings).resolve()
    step = 70 * 10**9
    assert resolved.values(step)["loss.x"] == 1.0
    assert resolved.values(step - 1)["loss.x"] == pytest.approx(1 / 70, rel=1e-12)


def test_the_shared_clock_counts_cycles_of_an_own_count_over_what_follows_the_warm_up() -> None:
    own = ost.wave(0.0, 1.0, cycle=ost.Cycle("sawtooth", count=4))
    found = ost.Plan(total=25, warmup=5, bindings={"loss.x": own}).resolve().table()["loss.x"][5:]
    assert np.allclose(found, [1.0, 0.8, 0.6, 0.4, 0.2] * 4, atol=1e-15)


def test_an_own_count_inside_a_join_divides_what_is_left_of_the_run() -> None:
    own = ost.wave(0.0, 1.0, cycle=ost.Cycle("sawtooth", count=2))
    found = ost.Plan(total=30, bindings={"loss.x": schedules.join(0.5, own, at=[20])}).resolve().table()["loss.x"]
    assert np.allclose(found[20:], [1.0, 0.8, 0.6, 0.4, 0.2] * 2, atol=1e-15)


def test_a_registered_schedule_counts_from_the_end_of_the_warm_up() -> None:
    found = (
        ost.Plan(total=9, warmup=2, bindings={"loss.x": zigzag(low=0.0, high=1.0, every=3)}).resolve().table()["loss.x"]
    )
    assert found.tolist() == [1, 1, 1, 0, 0, 1, 0, 0, 1]


def test_unshaped_waveforms_take_no_parameter() -> None:
    for name in UNSHAPED:
        assert ost.Cycle(name, period=3).parameters == {}
