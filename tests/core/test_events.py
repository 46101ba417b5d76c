"""The clock's closed form against looking at every step."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ostinato as ost
from ostinato.core.clock import Clock, Tick
from ostinato.core.cycles import Cycle
from ostinato.core.resolved import ResolvedPlan
from ostinato.core.waveforms import waveform
from strategies import RATES, WAVEFORM_NAMES, cycles, decimals, plans


def tick(resolved: ResolvedPlan, step: int, **options: Any) -> Tick:
    return Tick(resolved.clock, resolved.values, step, **options)


def level(name: str, phase: Fraction, parameters: dict[str, Fraction]) -> Fraction | float:
    """An order-preserving exact stand-in for each waveform, so that ties are ties."""
    if name in ("cosine", "sawtooth", "exponential"):
        return 1 - phase
    if name == "sine":
        return -abs(phase - Fraction(1, 2))
    if name == "square":
        return Fraction(int(phase < parameters["duty"]))
    up = parameters["up"]
    return phase / up if phase < up else (1 - phase) / (1 - up)


shaped: st.SearchStrategy[tuple[str, dict[str, float]]] = st.one_of(
    st.tuples(st.sampled_from(["cosine", "sawtooth", "sine", "exponential"]), st.just({})),
    st.tuples(st.just("square"), st.fixed_dictionaries({"duty": decimals(0, 1, 2)})),
    st.tuples(
        st.just("triangular"), st.fixed_dictionaries({"up": st.one_of(decimals(0, 1, 2), st.sampled_from([0.0, 1.0]))})
    ),
)


@settings(max_examples=600)
@given(shaped, st.integers(1, 130))
def test_extremes_are_the_first_maximum_and_the_last_minimum(shape: tuple[str, dict[str, float]], length: int) -> None:
    name, parameters = shape
    exactly = {key: Fraction(str(value)) for key, value in parameters.items()}
    levels = [level(name, Fraction(offset, length), exactly) for offset in range(length)]
    peak = levels.index(max(levels))
    trough = length - 1 - levels[::-1].index(min(levels))
    complete = waveform(name).complete(parameters)
    assert waveform(name).extremes(length, **complete) == (peak, trough)


@given(shaped, st.integers(1, 130))
def test_the_values_at_the_extremes_are_extreme(shape: tuple[str, dict[str, float]], length: int) -> None:
    wave, parameters = waveform(shape[0]), waveform(shape[0]).complete(shape[1])
    levels = wave(np.arange(length) / length, **parameters)
    peak, trough = wave.extremes(length, **parameters)
    assert levels[peak] == pytest.approx(levels.max(), abs=1e-15)
    assert levels[trough] == pytest.approx(levels.min(), abs=1e-15)


def test_a_constant_has_neither_peak_nor_trough() -> None:
    resolved = ost.Plan(total=20, cycle=Cycle("constant", period=10)).resolve()
    assert [(span.peak, span.trough) for span in resolved.cycles] == [(None, None)] * 2
    assert not any(tick(resolved, step).peak or tick(resolved, step).trough for step in range(20))
    assert [step for step in range(20) if tick(resolved, step).cycle_end] == [9, 19]


@settings(max_examples=150, deadline=None)
@given(cycles(), st.integers(60, 400), st.integers(0, 30))
def test_events_equal_those_found_by_looking_at_every_step(cycle: Cycle, total: int, warmup: int) -> None:
    resolved = ost.Plan(total=total, warmup=warmup, cycle=cycle, bindings={"loss.x": ost.wave(0.0, 1.0)}).resolve(
        **RATES
    )
    rhythm = resolved.clock.rhythm
    assert rhythm is not None
    first_of, k = {}, 0
    while warmup + (rhythm.end(k - 1) if k else 0) < total:
        first_of[k] = warmup + (rhythm.end(k - 1) if k else 0)
        k += 1
    assert len(resolved.cycles) == len(first_of)
    ends = []
    for step in range(total + 3):
        found = tick(resolved, step)
        inside = [k for k, first in first_of.items() if first <= step < total]
        expected = inside[-1] if inside else -1
        assert found.cycle == expected
        after = warmup + rhythm.end(expected) if expected >= 0 else -1
        assert found.cycle_start == (expected >= 0 and step == first_of[expected])
        assert found.cycle_end == (expected >= 0 and step == after - 1)
        if expected >= 0:
            length = after - first_of[expected]
            assert found.phase == (step - first_of[expected]) / length
            offsets = waveform(cycle.waveform).extremes(length, **cycle.parameters)
            assert (found.peak, found.trough) == (
                (False, False) if offsets is None else tuple(step - first_of[expected] == offset for offset in offsets)
            )
        else:
            assert (found.phase, found.peak, found.trough, found.span) == (0.0, False, False, None)
        ends += [step] if found.cycle_end else []
    assert resolved.snapshots == ends
    assert resolved.truncated == (warmup + rhythm.end(len(first_of) - 1) != total)


@settings(max_examples=100, deadline=None)
@given(cycles(), st.integers(60, 300), st.integers(0, 30), st.integers(-5, 350), st.integers(-5, 350))
def test_the_ends_in_an_interval_are_those_ticks_that_end_a_cycle(
    cycle: Cycle, total: int, warmup: int, start: int, stop: int
) -> None:
    resolved = ost.Plan(total=total, warmup=warmup, cycle=cycle).resolve(**RATES)
    expected = [step for step in range(max(start, 0), max(stop, 0)) if tick(resolved, step).cycle_end]
    assert resolved.clock.ends(start, stop) == expected
    if stop > start >= 0:
        assert tick(resolved, stop - 1, first=start).crossed == tuple(expected)


def test_a_jump_lists_every_end_that_it_crossed() -> None:
    resolved = ost.Plan(total=50, cycle=Cycle(period=10)).resolve()
    assert tick(resolved, 34, first=5).crossed == (9, 19, 29)
    assert tick(resolved, 9).crossed == (9,)
    assert tick(resolved, 10).crossed == ()
    assert tick(resolved, 60, first=30).crossed == (39, 49)


def test_a_skipped_update_has_no_events_and_keeps_its_place() -> None:
    resolved = ost.Plan(
        total=20, cycle=Cycle("triangular", period=10), bindings={"loss.x": ost.wave(0.0, 1.0)}
    ).resolve()
    for step in (0, 5, 9, 10):
        skipped = tick(resolved, step, advanced=False)
        assert not any((skipped.cycle_start, skipped.cycle_end, skipped.peak, skipped.trough, skipped.advanced))
        assert skipped.crossed == ()
        assert (skipped.cycle, skipped.phase) == (step // 10, step % 10 / 10)
        assert skipped.values == resolved.values(step)
    assert repr(tick(resolved, 5, advanced=False)) == "<Tick step=5 cycle=0 phase=0.500 skipped>"
    assert repr(tick(resolved, 5)) == "<Tick step=5 cycle=0 phase=0.500 peak>"


def test_the_phase_of_the_last_incomplete_cycle_is_that_of_the_whole_one() -> None:
    resolved = ost.Plan(total=14, cycle=Cycle(period=10)).resolve()
    last = tick(resolved, 13)
    assert (last.cycle, last.phase, last.cycle_end) == (1, 0.3, False)
    assert resolved.cycles[1].complete is False
    assert resolved.cycles[1].end == 14
    assert resolved.snapshots == [9]


def test_without_a_cycle_there_are_no_events() -> None:
    resolved = ost.Plan(total=14, bindings={"loss.x": 0.5}).resolve()
    assert (len(resolved.cycles), resolved.snapshots, resolved.truncated) == (0, [], False)
    assert (tick(resolved, 3).cycle, tick(resolved, 3).phase, tick(resolved, 3).crossed) == (-1, 0.0, ())
    assert resolved.totals_that_fit == (14,)
    with pytest.raises(IndexError, match="without a cycle"):
        resolved.clock.span(0)


@settings(max_examples=100, deadline=None)
@given(cycles(counted=False), st.integers(5, 300), st.integers(0, 4))
def test_the_totals_that_fit_are_the_nearest_ones_that_do(cycle: Cycle, total: int, warmup: int) -> None:
    if "dur" in str(cycle.period):
        return
    plan = ost.Plan(warmup=warmup, cycle=cycle)
    resolved = plan.replace({"total": total}).resolve(**RATES)
    fitting = (
        [n for n in range(warmup + 1, 4 * total + 70) if not plan.replace({"total": n}).resolve(**RATES).truncated]
        if total < 25
        else None
    )
    for found in resolved.totals_that_fit:
        assert not plan.replace({"total": found}).resolve(**RATES).truncated
    if resolved.truncated:
        assert resolved.totals_that_fit[0] < total < resolved.totals_that_fit[-1] or total < resolved.totals_that_fit[0]
    else:
        assert resolved.totals_that_fit == (total,)
    if fitting is not None and resolved.truncated:
        below, above = [n for n in fitting if n < total], [n for n in fitting if n > total]
        assert resolved.totals_that_fit == (*below[-1:], above[0])


@pytest.mark.parametrize("name", WAVEFORM_NAMES)
def test_events_follow_the_shared_cycle_and_not_a_bindings_shift(name: str) -> None:
    plan = ost.Plan(total=40, cycle=Cycle(name, period=10), bindings={"loss.x": ost.wave(0.0, 1.0)})
    assert list(plan.resolve().cycles) == list(plan.shifted(0.3).resolve().cycles)


@settings(max_examples=60, deadline=None)
@given(plans())
def test_every_complete_cycle_yields_exactly_one_snapshot(plan: ost.Plan) -> None:
    resolved = plan.resolve(**RATES)
    assert resolved.snapshots == [span.end - 1 for span in resolved.cycles if span.complete]
    assert all(span.complete for span in resolved.cycles[:-1])


def test_a_clock_finds_its_place_among_a_billion_cycles() -> None:
    resolved = ost.Plan(total=10**12, warmup=5, cycle=Cycle("triangular", period=100)).resolve()
    place = 5 + 100 * 10**9
    assert tick(resolved, place).cycle == 10**9
    assert tick(resolved, place).cycle_start
    assert tick(resolved, place + 50).peak
    assert tick(resolved, place - 1).cycle_end
    assert resolved.clock.ends(place - 1, place + 100) == [place - 1, place + 99]


def test_a_clock_can_be_made_by_hand() -> None:
    clock = Clock(total=3, warmup=0, cycle=None, rhythm=None)
    assert (clock.ends(0, 3), clock.span_at(1), len(clock.cycles)) == ([], None, 0)
