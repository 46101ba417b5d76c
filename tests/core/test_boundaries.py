"""Where cycles begin and end: exact rationals, whatever the period and however long the run."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ostinato as ost
from ostinato.core.cycles import Cycle, Harmonic, Rhythm
from ostinato.errors import PlanError

BILLION = 10**9


def end(period: Fraction, mult: Fraction, k: int) -> int:
    """The definition: floor(P · Σ_{i<=k} mult^i + 1/2)."""
    return math.floor(period * sum((mult**i for i in range(k + 1)), Fraction(0)) + Fraction(1, 2))


def rhythm(period: str, mult: str = "1", span: int = BILLION) -> Rhythm:
    return Rhythm.of(Cycle(period=period, mult=mult), Fraction(period), span)


EQUAL = [
    "1",
    "7",
    "10",
    "7.5",
    "2.5",
    "1.5",
    "10/3",
    "1000/7",
    "3.1",
    "1.0001",
    "12345.6789",
    "390625/1024",
    "1e8",
    "0.1e2",
]


@pytest.mark.parametrize("period", EQUAL)
def test_equal_cycles_end_where_the_definition_says_up_to_a_billion_steps(period: str) -> None:
    beat, length = rhythm(period), Fraction(period)
    draw = random.Random(period)
    last = math.ceil(BILLION / length)
    for k in [0, 1, 2, 3, last - 1, last, *(draw.randrange(last) for _ in range(200))]:
        expected = math.floor(length * (k + 1) + Fraction(1, 2))
        assert beat.end(k) == expected
        assert beat.index(expected) == k + 1
        assert beat.index(expected - 1) == k


@pytest.mark.parametrize("period", EQUAL)
def test_positions_of_equal_cycles_are_exact_up_to_a_billion_steps(period: str) -> None:
    beat = rhythm(period)
    draw = np.random.default_rng(len(period))
    counts = np.unique(np.concatenate([np.arange(200), draw.integers(0, BILLION, 300), [BILLION - 1]]))
    index, done, whole = beat.position(counts)
    for count, k, offset, length in zip(counts.tolist(), index.tolist(), done.tolist(), whole.tolist(), strict=True):
        start = beat.end(k - 1)
        assert start <= count < beat.end(k)
        assert (offset, length) == (count - start, beat.end(k) - start)


UNEQUAL = [
    ("10", "1.5"),
    ("10", "3"),
    ("7.5", "2"),
    ("1", "2"),
    ("3", "1.1"),
    ("1000000", "9/8"),
    ("2.5", "5/4"),
    ("1e6", "1.0001"),
]


@pytest.mark.parametrize(("period", "mult"), UNEQUAL)
def test_growing_cycles_end_where_the_definition_says(period: str, mult: str) -> None:
    span = BILLION if Fraction(mult) > Fraction("1.05") else 10**8
    beat = rhythm(period, mult, span)
    ends = [end(Fraction(period), Fraction(mult), k) for k in range(len(beat))]
    assert [beat.end(k) for k in range(len(beat))] == ends
    assert ends[-1] >= span > (ends[-2] if len(ends) > 1 else 0)
    assert [beat.index(last) for last in ends[:-1]] == list(range(1, len(ends)))
    assert [beat.index(last - 1) for last in ends] == list(range(len(ends)))


@pytest.mark.parametrize(
    ("period", "mult", "span"), [("900", "2/3", 2600), ("100", "0.9", 990), ("1e8", "0.5", 199_999_990)]
)
def test_shrinking_cycles_end_where_the_definition_says(period: str, mult: str, span: int) -> None:
    beat = rhythm(period, mult, span)
    assert [beat.end(k) for k in range(len(beat))] == [
        end(Fraction(period), Fraction(mult), k) for k in range(len(beat))
    ]
    assert beat.shortest >= 1


def test_shrinking_below_one_step_is_refused_with_a_total_that_fits() -> None:
    with pytest.raises(
        PlanError, match=r"mult: 0\.5 shrinks cycle 4 below one step, 81 steps before the end.* a total of 19 steps"
    ):
        rhythm("10", "0.5", 100)
    assert [rhythm("10", "0.5", 19).end(k) for k in range(4)] == [10, 15, 18, 19]


@given(st.integers(1, 5000), st.data())
def test_a_count_splits_the_span_into_whole_cycles_that_differ_by_at_most_a_step(
    span: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, min(span, 60)))
    beat = Rhythm.of(Cycle(count=count), None, span)
    ends = [beat.end(k) for k in range(count)]
    lengths = np.diff([0, *ends])
    assert len(beat) == count
    assert ends[-1] == span
    assert lengths.min() >= 1
    assert lengths.max() - lengths.min() <= 1


@given(st.integers(1, 8), st.sampled_from(["2", "3/2", "3", "2/3", "0.9"]), st.integers(1, 4000))
def test_a_count_with_mult_ends_with_the_span_or_is_refused(count: int, mult: str, span: int) -> None:
    try:
        beat = Rhythm.of(Cycle(count=count, mult=mult), None, span)
    except PlanError as error:
        ratio = Fraction(mult)
        first = span / sum((ratio**i for i in range(count)), Fraction(0))
        shortest = min(first, first * ratio ** (count - 1))
        if shortest >= 1:
            raise AssertionError("refused although every cycle has a step") from error
        return
    ends = [beat.end(k) for k in range(len(beat))]
    assert len(ends) == count
    assert ends[-1] == span
    assert min(np.diff([0, *ends])) >= 1


@settings(max_examples=60)
@given(st.fractions(1, 50, max_denominator=40), st.integers(1, 3000))
def test_cycles_tile_the_span_without_gap_or_overlap(period: Fraction, span: int) -> None:
    beat = Rhythm(period, Fraction(1), span)
    index, done, whole = beat.position(np.arange(span))
    assert index[-1] == len(beat) - 1
    assert index[0] == done[0] == 0
    same = np.diff(index) == 0
    assert (np.diff(done)[same] == 1).all()
    assert (done[1:][~same] == 0).all()
    assert (done[:-1][~same] == whole[:-1][~same] - 1).all()
    assert (np.diff(index) <= 1).all()


def test_no_drift_in_the_phase_after_a_billion_steps() -> None:
    plan = ost.Plan(
        total=2 * BILLION, cycle=ost.Cycle("sawtooth", period="0.1e2"), bindings={"loss.x": ost.wave(0.0, 1.0)}
    )
    curve = plan.resolve().curves["loss.x"]
    near, far = np.arange(1000), np.arange(BILLION, BILLION + 1000)
    assert np.array_equal(curve(near), curve(far))


def test_a_period_with_many_decimals_takes_whole_numbers_beyond_64_bits() -> None:
    beat = rhythm("3.3333333333333333")
    assert beat.end(299_999_999) == math.floor(Fraction("3.3333333333333333") * 300_000_000 + Fraction(1, 2))
    index, done, whole = beat.position(np.array([999_999_998]))
    assert {column.dtype for column in (index, done, whole)} == {np.dtype(np.int64)}
    assert int(index[0]) == beat.index(999_999_998) == 299_999_999
    assert beat.end(int(index[0]) - 1) + int(done[0]) == 999_999_998
    assert 0 <= int(done[0]) < int(whole[0]) <= 4


def test_a_harmonic_is_exact_beyond_64_bits() -> None:
    beat = Harmonic(Rhythm(Fraction(1000), Fraction(1), 10**15), Fraction("1.000000001"))
    count = 10**15 - 7
    index, done, whole = beat.position(np.array([count]))
    place = (count // 1000 + Fraction(count % 1000, 1000)) / Fraction("1.000000001")
    assert int(index[0]) == math.floor(place)
    assert Fraction(int(done[0]), int(whole[0])) == place % 1


def test_past_the_last_listed_cycle_the_last_position_holds() -> None:
    beat = Rhythm(Fraction(5), Fraction(2), 10)
    assert [column.tolist() for column in beat.position(np.array([14, 15, 10**9]))] == [[1] * 3, [9] * 3, [10] * 3]


def test_a_cycle_shorter_than_a_step_is_refused_wherever_it_comes_from() -> None:
    with pytest.raises(PlanError, match=r"period: 0.5 steps are less than one"):
        rhythm("0.5")
    with pytest.raises(PlanError, match="period: 1/3cycle of a shared cycle of 2 steps is less than one step"):
        Harmonic(rhythm("2"), Fraction(1, 3))
    with pytest.raises(PlanError, match="count: 5 cycles do not fit into 4 steps"):
        Rhythm.of(Cycle(count=5), None, 4)
    with pytest.raises(PlanError, match=r"count: 5 cycles of mult 0.5 in 10 steps end below one step"):
        Rhythm.of(Cycle(count=5, mult=0.5), None, 10)
    with pytest.raises(PlanError, match=r"count: 5 cycles of mult 2 in 10 steps begin below one step"):
        Rhythm.of(Cycle(count=5, mult=2), None, 10)


def test_boundaries_come_from_the_decimal_text_and_not_from_the_binary_fraction() -> None:
    assert Cycle(period=0.1 * 30, mult=1.1).mult == 1.1
    assert Fraction(str(ost.Cycle(period="7.1").period)) == Fraction(71, 10)
    beat = Rhythm.of(Cycle(period=2.5), Cycle(period=2.5).duration.value, BILLION)
    assert [beat.end(k) for k in range(4)] == [3, 5, 8, 10]
    tenth = Rhythm.of(Cycle(period=1.1), Cycle(period=1.1).duration.value, BILLION)
    assert tenth.end(10 * 10**7 - 1) == 11 * 10**7


def test_cycles_are_lazy_and_behave_as_a_sequence() -> None:
    cycles = ost.Plan(total=10**12, cycle=ost.Cycle(period=3)).resolve().cycles
    assert len(cycles) == math.ceil(10**12 / 3)
    assert cycles[-1].index == len(cycles) - 1
    assert not cycles[-1].complete
    assert [span.start for span in cycles[:3]] == [0, 3, 6]
    assert cycles[10**9].start == 3 * 10**9
    with pytest.raises(IndexError, match="cycle 400000000000 of"):
        cycles[4 * 10**11]
    short = ost.Plan(total=9, cycle=ost.Cycle(period=4)).resolve().cycles
    assert [(span.start, span.end, span.complete) for span in short] == [(0, 4, True), (4, 8, True), (8, 9, False)]
    assert repr(short) == "<3 cycles of 9 steps>"
