from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ostinato as ost
from ostinato.evaluation import at_peaks, at_troughs, by_phase, coprime, every, jittered, low_discrepancy

PERIOD, CYCLES = 10, 30


def resolved(waveform: str = "sine", total: int = PERIOD * CYCLES, **cycle: Any) -> Any:
    return ost.Plan(total=total, cycle=ost.Cycle(waveform, **(cycle or {"period": PERIOD}))).resolve()


def breathing(slope: float = 0.0) -> Callable[[Any], Any]:
    """An error that breathes with the cycle about 0.3, trough 0.2 at phase 0, peak 0.4, and falls."""
    return lambda t: 0.3 - 0.1 * np.cos(2 * np.pi * (t % PERIOD) / PERIOD) - slope * np.asarray(t)


def report(steps: Any, curve: Callable[[Any], Any] | None = None, **more: Any) -> Any:
    return by_phase(resolved(), steps, (curve or breathing())(np.asarray(steps)), **more)


EVERY_STEP = np.arange(PERIOD * CYCLES)


def test_dense_values_are_read_off() -> None:
    found = report(EVERY_STEP)
    assert (found.how, found.cycles, found.measured, found.harmonics, found.residual) == ("dense", 30, 300, 0, 0.0)
    assert found.cycle_mean == pytest.approx(0.3, abs=1e-12)
    assert found.trough == pytest.approx(0.2)
    assert found.peak == pytest.approx(0.4)
    assert found.bias == 0.0
    assert "Mean over 30 cycles 0.3 (0.2 at the trough, 0.4 at the peak), measured" in found.sentence


def test_a_naive_interval_is_biased_and_the_offered_timings_are_not() -> None:
    found = report(EVERY_STEP)
    locked = [found.bias_of(10, offset) for offset in range(10)]
    assert locked == pytest.approx([-0.1 * np.cos(2 * np.pi * (offset - 1) / 10) for offset in range(10)])
    assert abs(found.worst_bias(10)) == pytest.approx(0.1)
    assert abs(found.worst_bias(5)) < 1e-12  # two phases half a cycle apart: right for a pure sine, by luck
    assert abs(found.worst_bias(3)) < 1e-12
    for timing in (coprime(10), low_discrepancy(40), jittered(60)):
        assert abs(found.bias_of(timing(resolved()))) < 0.012


def test_two_phases_mislead_where_the_shape_has_a_second_harmonic() -> None:
    found = report(EVERY_STEP, lambda t: np.cos(4 * np.pi * t / PERIOD))
    assert abs(found.worst_bias(5)) > 0.8
    assert abs(found.worst_bias(3)) < 1e-9


@pytest.mark.parametrize("slope", [0.0, 0.0004])
@pytest.mark.parametrize("timing", [every(3), every(4), coprime(10), low_discrepancy(40), jittered(60, seed=1)])
def test_few_values_are_fitted(timing: Any, slope: float) -> None:
    dense, sparse = report(EVERY_STEP, breathing(slope)), report(timing(resolved()), breathing(slope))
    assert sparse.how == "fitted"
    assert 1 <= sparse.harmonics <= 3
    for name in ("cycle_mean", "trough", "peak"):
        assert getattr(sparse, name) == pytest.approx(getattr(dense, name), abs=0.005)
    assert sparse.bias_of(10) == pytest.approx(dense.bias_of(10), abs=0.005)
    assert "estimated from" in sparse.sentence


@given(st.integers(0, 1000), st.sampled_from([0.0, 0.0003]))
@settings(max_examples=25, deadline=None)
def test_a_curve_of_the_fitted_kind_is_recovered_exactly(seed: int, slope: float) -> None:
    generator = np.random.default_rng(seed)
    a, b = generator.normal(0.0, 1.0, (2, 2))

    def curve(t: Any) -> Any:
        angle = 2 * np.pi * np.asarray(t)[:, None] / PERIOD * np.arange(1, 3)
        return 1.0 + slope * np.asarray(t) + np.cos(angle) @ a + np.sin(angle) @ b

    steps = low_discrepancy(45)(resolved(total=100, period=10))
    sparse, dense = (by_phase(resolved(total=100, period=10), s, curve(s)) for s in (steps, np.arange(100)))
    assert sparse.cycle_mean == pytest.approx(dense.cycle_mean, abs=0.02)
    assert sparse.residual <= 0.02
    for level in (0.0, 3.0):
        shifted = by_phase(resolved(total=100, period=10), steps, curve(steps) + level)
        assert shifted.cycle_mean == pytest.approx(sparse.cycle_mean + level, abs=1e-9)
        assert shifted.bias == pytest.approx(sparse.bias, abs=1e-9)


@pytest.mark.parametrize("interval", [10, 5])
def test_locked_values_are_said_to_say_nothing(interval: int) -> None:
    found = report(every(interval)(resolved()))
    assert (found.how, found.cycle_mean, found.bias, found.residual) == ("unknown", None, None, None)
    assert found.bias_of(3) is None
    assert found.worst_bias(3) is None
    assert "of the cycle unseen in one piece" in found.reason
    assert found.sentence.startswith("The mean over the cycle is not known")


def test_a_lucky_handful_is_too_few() -> None:
    found = report([1, 5, 8, 12], cycles=[0, 1])
    assert found.how == "unknown"
    assert "too few" in found.reason


def test_what_was_measured_at_an_event_stands_as_it_is() -> None:
    at_trough = report(at_troughs(resolved()))
    assert (at_trough.trough, at_trough.peak, at_trough.cycle_mean) == (pytest.approx(0.2), None, None)
    both = np.union1d(at_troughs(resolved()), at_peaks(resolved()))
    assert (report(both).trough, report(both).peak) == (pytest.approx(0.2), pytest.approx(0.4))
    steps = np.union1d(every(3)(resolved("cosine")), at_troughs(resolved("cosine")))
    steep = by_phase(resolved("cosine"), steps, np.where(steps % PERIOD == 9, 0.1, 0.5))
    assert steep.how == "fitted"
    assert steep.trough == pytest.approx(0.1)


def test_some_cycles_only() -> None:
    falling = breathing(0.0005)
    late = report(EVERY_STEP, falling, cycles=[-2, -1])
    assert (late.cycles, late.measured) == (2, 20)
    assert late.cycle_mean == pytest.approx(falling(np.arange(280, 300)).mean())
    assert report(EVERY_STEP, falling, cycles=range(-2, 0)).cycle_mean == late.cycle_mean
    assert report(EVERY_STEP, falling, cycles=[28, 29, -1]).cycle_mean == late.cycle_mean
    apart = report(EVERY_STEP, falling, cycles=[0, 29])
    assert apart.cycle_mean == pytest.approx((falling(np.arange(10)).mean() + falling(np.arange(290, 300)).mean()) / 2)


def test_warm_up_cut_and_unequal_cycles() -> None:
    plan = ost.Plan(total=90, warmup=5, cycle=ost.Cycle("sine", period=10, mult=2)).resolve()  # 10, 20, 40, cut
    value = np.arange(90.0)
    found = by_phase(plan, np.arange(90), value)
    assert (found.cycles, found.measured, found.how) == (3, 70, "dense")
    assert found.cycle_mean == pytest.approx(value[5:75].mean())
    assert found.trough == pytest.approx(np.mean([5, 15, 35]))
    assert found.peak == pytest.approx(np.mean([10, 25, 55]))
    constant = by_phase(resolved("constant"), EVERY_STEP, np.ones(300))
    assert (constant.trough, constant.peak, constant.cycle_mean) == (None, None, 1.0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: by_phase(resolved(), [1, 2], [1.0]), r"got shapes \(2,\) and \(1,\)"),
        (lambda: by_phase(resolved(), [], []), "expected one for each"),
        (lambda: by_phase(resolved(), [1.5], [1.0]), "whole steps"),
        (lambda: by_phase(resolved(), [2, 1], [1.0, 1.0]), "steps: expected them to rise"),
        (lambda: by_phase(resolved(), [1, 2], [1.0, np.nan]), "values: 1 of 2 are not finite"),
        (lambda: by_phase(resolved(total=5, period=10), [1], [1.0]), "ends inside its first cycle"),
        (lambda: by_phase(resolved(), [1], [1.0], cycles=[30]), r"cycles: got \[30\], expected some of 0 to 29"),
        (lambda: by_phase(resolved(), [1], [1.0], cycles=[]), r"cycles: got \[\]"),
        (lambda: by_phase(resolved(), [1], [1.0], cycles=[5]), "none of 1 lies in the 1 complete cycles"),
        (lambda: report(EVERY_STEP).bias_of([1000]), "none lies in the cycles"),
        (lambda: report(EVERY_STEP).bias_of(0), "interval: got 0"),
    ],
)
def test_wrong_input_is_refused(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
