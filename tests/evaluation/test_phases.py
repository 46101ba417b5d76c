from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ostinato as ost
from ostinato.core.clock import Tick
from ostinato.errors import DataError, PhaseLockWarning, PlanError
from ostinato.evaluation import (
    at_ends,
    at_peaks,
    at_troughs,
    by_phase,
    coprime,
    every,
    examine,
    jittered,
    low_discrepancy,
    phases_seen,
)
from ostinato.population.values import chosen_steps


def resolved(total: int = 200, warmup: int = 0, waveform: str = "cosine", **cycle: Any) -> Any:
    cycle = cycle or {"period": 10}
    return ost.Plan(
        total=total,
        warmup=warmup,
        cycle=ost.Cycle(waveform, **cycle),
        bindings={"optimizer.lr": ost.wave(0.0, 0.1)},
    ).resolve()


PLANS = [
    resolved(),
    resolved(total=203, warmup=7),
    resolved(total=200, period=7.5),
    resolved(total=310, warmup=3, period=10, mult=2),
    resolved(total=75, period=40, mult=0.5),
    resolved(total=177, count=4, waveform="triangular"),
    resolved(total=60, warmup=5, period=200, waveform="sine"),
]
SPREAD = [coprime(10), jittered(20, seed=3), low_discrepancy(20)]


@given(st.integers(1, 200), st.integers(1, 400), st.integers(-50, 50))
@settings(max_examples=100, deadline=None)
def test_phases_are_period_over_gcd_and_those_of_the_steps(period: int, interval: int, offset: int) -> None:
    found = phases_seen(period, interval, offset)
    assert len(found) == period // math.gcd(period, interval)
    assert set(found.tolist()) == {(offset - 1 + j * interval) % period for j in range(period)}


def test_the_arithmetic_of_ten_steps() -> None:
    for interval, distinct, locked in ((10, 1, True), (5, 2, True), (3, 10, False), (20, 1, True), (4, 5, False)):
        assert len(phases_seen(10, interval)) == distinct
        seen = examine(resolved(), interval, warn=False)
        assert (seen.distinct, seen.locked) == (distinct, locked)
        assert seen.gap == pytest.approx(1 / distinct)
    assert examine(resolved(), 10, warn=False).phase == pytest.approx(0.9)
    assert examine(resolved(), 10, offset=4, warn=False).phase == pytest.approx(0.3)


@pytest.mark.parametrize("plan", PLANS)
def test_cycle_and_phase_are_those_of_the_ticks(plan: Any) -> None:
    seen = examine(plan, np.arange(plan.total), warn=False)
    ticks = [Tick(plan.clock, dict, step) for step in range(plan.total)]
    inside = [tick for tick in ticks if tick.cycle >= 0]
    assert seen.steps.tolist() == [tick.step for tick in inside]
    assert seen.cycle.tolist() == [tick.cycle for tick in inside]
    assert seen.phase.tolist() == [tick.phase for tick in inside]
    assert seen.per_cycle.tolist() == [span.end - span.start for span in plan.cycles]
    assert seen.distinct == len({tick.phase for tick in inside})
    assert not seen.locked
    assert seen.phases_of(0).tolist() == [tick.phase for tick in inside if tick.cycle == 0]


def test_every_counts_as_population_train_does() -> None:
    for plan in PLANS:
        for interval in (1, 3, 10, 50):
            expected = sorted(chosen_steps(plan, plan.total, interval) - {plan.total - 1})
            assert [step for step in every(interval)(plan).tolist() if step != plan.total - 1] == expected
    assert every(10, offset=1)(resolved(30)).tolist() == [0, 10, 20]


def test_a_locked_interval_warns_with_what_to_do_instead() -> None:
    with pytest.warns(
        PhaseLockWarning, match="20 evaluations see 1 phase of the cycle and never 100 %.*low_discrepancy"
    ):
        examine(resolved(), 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "the largest part without one is 10 %" in examine(resolved(), 3).sentence


def test_a_creeping_interval_is_locked_although_its_phases_differ() -> None:
    seen = examine(resolved(total=5000, period=1000), 999, warn=False)
    assert (seen.distinct, seen.locked) == (5, True)
    assert seen.gap > 0.99
    steps = coprime(999)(resolved(total=5000, period=1000))
    assert math.gcd(int(np.diff(steps)[0]), 1000) == 1
    assert not examine(resolved(total=5000, period=1000), steps).locked


def test_short_cycles_are_not_locked_where_every_step_is_seen() -> None:
    assert not examine(resolved(total=20, period=2), 1).locked
    assert examine(resolved(total=20, period=2), 2, warn=False).locked
    assert not examine(resolved(total=60, period=200), 1).locked
    assert examine(resolved(total=60, period=200), [59], warn=False).locked
    assert examine(resolved(), [], warn=False).locked


def test_cycles_of_growing_length_break_an_interval_of_the_first_period() -> None:
    """An interval equal to the first period sees 1, 2, 4, 8 phases: the ends of all cycles are among them."""
    seen = examine(resolved(total=150, period=10, mult=2), 10)
    assert seen.per_cycle.tolist() == [1, 2, 4, 8]
    assert [round(float(seen.phases_of(k)[-1]), 4) for k in range(4)] == [0.9, 0.95, 0.975, 0.9875]
    assert seen.distinct == 15


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("timing", SPREAD)
def test_spreading_timings_are_rising_steps_inside_the_run(plan: Any, timing: Any) -> None:
    steps = timing(plan)
    assert steps.dtype == np.int64
    assert (np.diff(steps) > 0).all()
    assert steps[0] >= 0
    assert steps[-1] < plan.total
    assert np.array_equal(steps, timing(plan))
    if plan.total > 100:
        assert not examine(plan, steps).locked


@given(st.integers(1, 60), st.integers(2, 40), st.integers(1, 12), st.sampled_from([1, 2, 1.5]))
@settings(max_examples=80, deadline=None)
def test_counted_timings_give_n_steps_of_complete_cycles(n: int, period: int, cycles: int, mult: float) -> None:
    plan = resolved(total=period * cycles + 3, warmup=2, period=period, mult=mult)
    spans = [span for span in plan.cycles if span.complete] or list(plan.cycles)
    room = spans[-1].end - spans[0].start
    for timing in (low_discrepancy(n), jittered(n, seed=n)):
        if n > room:
            with pytest.raises(ValueError, match=f"n: got {n} evaluations for cycles of {room} steps"):
                timing(plan)
            continue
        steps = timing(plan)
        assert len(np.unique(steps)) == n
        assert spans[0].start <= steps[0]
        assert steps[-1] < spans[-1].end


def test_low_discrepancy_serves_the_cycles_alike_and_spreads_their_phases() -> None:
    seen = examine(resolved(total=1000, period=100), low_discrepancy(30)(resolved(total=1000, period=100)))
    assert seen.per_cycle.tolist() == [3] * 10
    assert seen.gap < 3 / 30
    few = examine(resolved(total=1000, period=10), low_discrepancy(8)(resolved(total=1000, period=10)))
    assert few.per_cycle.sum() == 8
    assert few.gap <= 0.2 + 1e-9
    assert low_discrepancy(30)(resolved(total=30, period=10)).tolist() == list(range(30))
    assert low_discrepancy(4)(resolved(total=10**9, period=10**6)).shape == (4,)


def test_jitter_is_unbiased_and_one_in_each_part() -> None:
    plan = resolved(total=100, period=10)
    draws = np.stack([jittered(10, seed=seed)(plan) for seed in range(2000)])
    assert (draws // 10 == np.arange(10)).all()
    counts = np.bincount((draws % 10).ravel(), minlength=10) / draws.size
    assert counts == pytest.approx(0.1, abs=0.01)


@given(st.integers(2, 60), st.integers(1, 80))
@settings(max_examples=80, deadline=None)
def test_coprime_is_the_nearest_that_sees_the_cycle(period: int, interval: int) -> None:
    plan = resolved(total=period * 8, period=period)
    steps = coprime(interval)(plan)
    chosen = int(steps[0]) + 1

    def fine(candidate: int) -> bool:
        return math.gcd(candidate, period) == 1 and not examine(plan, candidate, warn=False).locked

    assert fine(chosen)
    nearer = range(max(1, interval - abs(chosen - interval) + 1), interval + abs(chosen - interval))
    assert not any(fine(candidate) for candidate in nearer if candidate != chosen)


def test_coprime_of_a_broken_period_avoids_what_repeats_after_several_cycles() -> None:
    plan = resolved(total=300, period=7.5)  # 8 and 7 steps in turn: the pattern repeats after 15
    assert int(coprime(15)(plan)[0]) + 1 == 14
    assert int(coprime(5)(plan)[0]) + 1 == 4


@pytest.mark.parametrize("plan", PLANS)
def test_events_are_those_of_the_spans(plan: Any) -> None:
    spans = list(plan.cycles)
    assert at_troughs(plan).tolist() == [s.trough for s in spans if s.trough < plan.total]
    assert at_peaks(plan).tolist() == [s.peak for s in spans if s.peak < plan.total]
    assert at_ends(plan).tolist() == plan.snapshots
    for timing, name in ((at_troughs, "troughs"), (at_peaks, "peaks"), (at_ends, "ends")):
        assert set(timing(plan).tolist()) | {plan.total - 1} == chosen_steps(plan, plan.total, name)


BARE = ost.Plan(total=10, bindings={"optimizer.lr": 0.1}).resolve()


@pytest.mark.parametrize(
    "call",
    [
        lambda: examine(BARE, 3),
        lambda: at_ends(BARE),
        lambda: at_troughs(BARE),
        lambda: coprime(3)(BARE),
        lambda: jittered(3)(BARE),
        lambda: low_discrepancy(3)(BARE),
        lambda: by_phase(BARE, [1], [1.0]),
    ],
)
def test_a_plan_without_a_cycle_has_no_phases(call: Any) -> None:
    with pytest.raises(PlanError, match="cycle: the plan has none"):
        call()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: phases_seen(0, 3), "period: got 0, expected a whole number >= 1"),
        (lambda: phases_seen(10, 2.5), "interval: got 2.5"),
        (lambda: phases_seen(10, True), "interval: got True"),
        (lambda: phases_seen(10, 3, 0.5), "offset: got 0.5, expected a whole number"),
        (lambda: examine(resolved(), 0), "interval: got 0"),
        (lambda: examine(resolved(), [0.5]), "steps: expected whole numbers"),
        (lambda: every(0), "interval: got 0"),
        (lambda: coprime(0), "interval: got 0"),
        (lambda: jittered(0), "n: got 0"),
        (lambda: jittered(3, seed=-1), "seed: got -1"),
        (lambda: low_discrepancy(1.5), "n: got 1.5"),
        (lambda: examine(resolved(), 3).phases_of(20), "cycle: got 20, expected 0 to 19"),
        (lambda: at_troughs(resolved(waveform="constant", period=10)), "'constant' has no trough"),
    ],
)
def test_wrong_input_is_refused(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


@given(st.integers(1, 12), st.integers(1, 40), st.integers(1, 5), st.integers(0, 6))
def test_phases_are_even_and_end_with_each_complete_cycle(n: int, period: int, count: int, rest: int) -> None:
    resolved = ost.Plan(
        total=3 + count * period + min(rest, period - 1), warmup=3, cycle=ost.Cycle(period=period)
    ).resolve()
    steps = ost.evaluation.at_phases(n)(resolved)
    for k in range(count):
        start, end = 3 + k * period, 3 + (k + 1) * period
        own = steps[(steps >= start) & (steps < end)]
        assert own.tolist() == sorted({start + math.ceil(period * place / n) - 1 for place in range(1, n + 1)})
        assert own[-1] == end - 1
    assert steps[-1] == 2 + count * period


def test_phases_that_cannot_be() -> None:
    with pytest.raises(DataError, match="n: got 0"):
        ost.evaluation.at_phases(0)
    with pytest.raises(PlanError, match="cycle"):
        ost.evaluation.at_phases(3)(ost.Plan(total=5).resolve())
