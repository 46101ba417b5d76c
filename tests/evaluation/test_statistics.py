from __future__ import annotations

import json
import math
import subprocess
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ostinato.evaluation import (
    Interval,
    holm,
    paired_t,
    studentised_bootstrap,
    studentised_bootstrap_unpaired,
    two_way_bootstrap,
    welch_t,
)

VALUES = np.array([0.31, 0.12, 0.44, 0.25, 0.58, 0.09, 0.33, 0.21, 0.40, 0.15])
OTHER = np.array([0.05, 0.2, -0.1, 0.12, 0.07, 0.3, 0.01])

samples = st.lists(st.integers(-50, 50).map(lambda n: n / 10), min_size=3, max_size=25)


def bootstrap_t_by_hand(values: Any, counts: int, seed: int) -> tuple[float, float]:
    """Efron & Tibshirani, section 12.5, as written there, on the same draws."""
    generator, n = np.random.default_rng(seed), len(values)
    chosen = generator.integers(0, n, (counts, n))
    mean, error = values.mean(), values.std(ddof=1) / math.sqrt(n)
    pivots = sorted((values[row].mean() - mean) / (values[row].std(ddof=1) / math.sqrt(n)) for row in chosen)
    place = round((counts + 1) * 0.025)
    return mean - pivots[-place] * error, mean - pivots[place - 1] * error


def test_the_plain_bootstrap_t_is_the_books() -> None:
    found = studentised_bootstrap(VALUES, resamples=399, seed=3, guard=0.0)
    assert (found.low, found.high) == pytest.approx(bootstrap_t_by_hand(VALUES, 399, 3), rel=1e-9)


@given(samples, st.integers(-20, 20), st.sampled_from([1e-6, 0.5, 4.0, 1e6]))
@settings(max_examples=60, deadline=None)
def test_an_interval_moves_and_scales_with_its_values(values: list[float], shift: int, scale: float) -> None:
    x = np.array(values)
    first = studentised_bootstrap(x, resamples=199)
    second = studentised_bootstrap(scale * (x + shift), resamples=199)
    tolerance = 1e-7 * scale * (1 + abs(shift) + float(np.abs(x).max()))
    assert second.low == pytest.approx(scale * (first.low + shift), rel=1e-6, abs=tolerance)
    assert second.high == pytest.approx(scale * (first.high + shift), rel=1e-6, abs=tolerance)


@given(samples)
@settings(max_examples=60, deadline=None)
def test_the_guard_only_widens_and_the_envelope_holds_students_interval(values: list[float]) -> None:
    plain, half, envelope = (studentised_bootstrap(values, resamples=199, guard=guard) for guard in (0.0, 0.5, 1.0))
    student = paired_t(values).interval
    slack = 1e-9
    assert envelope.low - slack <= half.low <= plain.low + slack
    assert plain.high - slack <= half.high <= envelope.high + slack
    assert envelope.low <= student.low + slack
    assert envelope.high >= student.high - slack
    assert np.mean(values) in Interval(plain.low - slack, plain.high + slack)


@given(samples)
@settings(max_examples=40, deadline=None)
def test_ends_are_finite_however_many_values_are_tied(values: list[float]) -> None:
    interval = studentised_bootstrap(values, resamples=99)
    assert math.isfinite(interval.low)
    assert math.isfinite(interval.high)


def test_ties_and_no_variance_at_all() -> None:
    assert studentised_bootstrap([0.3] * 8) == Interval(0.3, 0.3)
    mostly = studentised_bootstrap([0.0] * 7 + [0.28])
    assert mostly.low < 0.0
    assert mostly.high > 0.28  # a third of the resamples draw only zeros: nothing is known above
    assert studentised_bootstrap([1.0, 2.0]).low < 0.0


def test_the_seed_is_all_that_is_random() -> None:
    first = studentised_bootstrap(VALUES, seed=7)
    assert first == studentised_bootstrap(VALUES, seed=7)
    assert first == studentised_bootstrap(VALUES, seed=np.random.default_rng(7))
    assert first != studentised_bootstrap(VALUES, seed=8)
    one, two = (studentised_bootstrap_unpaired(VALUES, OTHER, seed=seed) for seed in (1, np.random.default_rng(1)))
    assert one == two
    assert len({studentised_bootstrap(VALUES, seed=seed) for seed in range(5)}) == 5


def test_a_wider_level_is_wider() -> None:
    widths = [studentised_bootstrap(VALUES, level=level) for level in (0.5, 0.8, 0.95, 0.99)]
    assert all(a.low > b.low and a.high < b.high for a, b in pairwise(widths))


def test_t_tests_agree_with_scipy() -> None:
    expected = stats.ttest_1samp(VALUES, 0.0)
    found = paired_t(VALUES, level=0.9)
    assert (found.statistic, found.p, found.df) == pytest.approx((expected.statistic, expected.pvalue, expected.df))
    known = expected.confidence_interval(0.9)
    assert (found.interval.low, found.interval.high) == pytest.approx((known.low, known.high))
    expected = stats.ttest_ind(VALUES, OTHER, equal_var=False)
    found = welch_t(VALUES, OTHER)
    assert (found.statistic, found.p, found.df) == pytest.approx((expected.statistic, expected.pvalue, expected.df))
    known = expected.confidence_interval(0.95)
    assert (found.interval.low, found.interval.high) == pytest.approx((known.low, known.high))


def test_t_tests_without_variance() -> None:
    assert paired_t([0.0, 0.0, 0.0]).p == 1.0
    same = paired_t([0.1] * 3)
    assert (same.p, same.statistic, same.interval) == (0.0, math.inf, Interval(0.1, 0.1))
    assert json.loads(json.dumps(same.to_document(), allow_nan=False))["statistic"] is None
    assert welch_t([1.0, 1.0], [1.0, 1.0]).p == 1.0
    assert studentised_bootstrap_unpaired([2.0, 2.0], [1.0, 1.0]) == Interval(1.0, 1.0)


def test_the_unpaired_interval_is_antisymmetric_in_kind_and_near_welchs() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(1.0, 1.0, 40), generator.normal(0.0, 3.0, 25)
    found, student = studentised_bootstrap_unpaired(a, b), welch_t(a, b).interval
    assert found.low == pytest.approx(student.low, abs=0.25)
    assert found.high == pytest.approx(student.high, abs=0.25)
    turned = studentised_bootstrap_unpaired(b, a)
    assert -turned.high == pytest.approx(found.low, abs=0.1)


@pytest.mark.parametrize("skewed", [False, True])
def test_the_unpaired_interval_covers(skewed: bool) -> None:
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        first = generator.exponential(1.0, 12) - 1 if skewed else generator.normal(0.0, 1.0, 12)
        hits += 0.0 in studentised_bootstrap_unpaired(first, generator.normal(0.0, 2.0, 9), resamples=399)
    assert 0.92 <= hits / 400 <= 0.98


@given(st.lists(st.floats(0.0, 1.0), max_size=10))
@settings(max_examples=60, deadline=None)
def test_holm_is_the_step_down_rule(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for level in (0.01, 0.05, 0.3):
        rejected: set[int] = set()
        for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
            if p_values[place] * (len(p_values) - rank) > level:
                break
            rejected.add(place)
        assert {i for i, p in enumerate(adjusted) if p <= level} == rejected
    assert all(p <= q for p, q in zip(p_values, adjusted, strict=True))


def crossed(seed: int, shape: tuple[int, int], by_seed: float, by_image: float) -> Any:
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal(shape)
    return (
        by_seed * generator.standard_normal((shape[0], 1)) + by_image * generator.standard_normal((1, shape[1])) + noise
    )


def test_seeds_and_images_together_cover_where_seeds_alone_do_not() -> None:
    both = alone = 0
    for seed in range(150):
        matrix = crossed(seed, (10, 60), 0.05, 0.7)
        both += 0.0 in two_way_bootstrap(matrix, resamples=199)
        alone += 0.0 in studentised_bootstrap(matrix.mean(axis=1), resamples=199)
    assert both / 150 >= 0.9
    assert alone / 150 < 0.8


def test_the_two_way_interval_is_the_one_way_interval_where_images_do_not_matter() -> None:
    effects = np.random.default_rng(2).normal(0.2, 0.1, (12, 1))
    matrix = np.repeat(effects, 50, axis=1)
    wide, narrow = two_way_bootstrap(matrix), studentised_bootstrap(effects[:, 0], resamples=1999)
    assert wide.low == pytest.approx(narrow.low, abs=0.02)
    assert wide.high == pytest.approx(narrow.high, abs=0.02)
    assert two_way_bootstrap(np.ones((3, 4))) == Interval(1.0, 1.0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: studentised_bootstrap([1.0]), "differences: got 1, expected at least 2 numbers"),
        (lambda: studentised_bootstrap([]), "got 0"),
        (lambda: studentised_bootstrap([[1.0, 2.0]]), r"got shape \(1, 2\)"),
        (lambda: studentised_bootstrap([0.1, math.nan, math.inf]), "2 of 3 are not finite, the first at place 1"),
        (lambda: studentised_bootstrap(["a", "b"]), "expected a flat list of numbers"),
        (lambda: studentised_bootstrap(VALUES, level=95), "level: got 95"),
        (lambda: studentised_bootstrap(VALUES, resamples=38), "expected at least 39"),
        (lambda: studentised_bootstrap(VALUES, resamples=99.5), "resamples: got 99.5"),
        (lambda: studentised_bootstrap(VALUES, guard=1.5), "guard: got 1.5"),
        (lambda: studentised_bootstrap(VALUES, seed=-1), "seed: got -1"),
        (lambda: studentised_bootstrap_unpaired(VALUES, OTHER, seed="x"), "seed: got 'x'"),
        (lambda: studentised_bootstrap_unpaired(VALUES, [1.0]), "second: got 1"),
        (lambda: welch_t([math.nan, 1.0], OTHER), "first: 1 of 2"),
        (lambda: paired_t(VALUES, level=0), "level: got 0"),
        (lambda: holm([0.1, 1.5]), r"expected numbers in \[0, 1\]"),
        (lambda: holm([math.nan]), r"expected numbers in \[0, 1\]"),
        (lambda: holm([[0.1]]), "expected one row"),
        (lambda: two_way_bootstrap([[1.0, 2.0]]), "at least 2 of each"),
        (lambda: two_way_bootstrap([[1.0, 2.0], [math.nan, 1.0]]), "1 of 4 values"),
    ],
)
def test_wrong_input_is_refused_in_one_line(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_importing_the_package_loads_neither_scipy_nor_scikit_learn() -> None:
    code = "import sys, ostinato.evaluation, ostinato.evaluation.calibration; print([n for n in ('scipy', 'sklearn', 'torch') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
