from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.evaluation import area_under_error, at_temperature, error, nll, nll_at_temperature, temperature


def drawn(seed: int, n: int = 300, sharp: float = 2.0) -> tuple[Any, Any]:
    """Logits, and labels drawn from their own probabilities."""
    generator = np.random.default_rng(seed)
    logits = sharp * generator.standard_normal((n, 4))
    p = at_temperature(logits, 1.0, logits=True)
    labels = (generator.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1).clip(0, 3)
    return logits, labels


@given(st.integers(0, 500), st.sampled_from([0.3, 1.0, 2.0, 5.0]))
@settings(max_examples=30, deadline=None)
def test_the_fit_is_the_minimum_and_scales_with_the_logits(seed: int, scale: float) -> None:
    logits, labels = drawn(seed)
    best = temperature(logits, labels, logits=True)
    assert temperature(scale * logits, labels, logits=True) == pytest.approx(scale * best, rel=1e-6)
    lowest = nll_at_temperature(logits, labels, best, logits=True)
    for factor in (0.5, 0.97, 1.03, 2.0):
        assert nll_at_temperature(logits, labels, factor * best, logits=True) >= lowest - 1e-12


def test_calibrated_logits_have_a_temperature_near_one() -> None:
    logits, labels = drawn(1, n=20_000)
    assert temperature(logits, labels, logits=True) == pytest.approx(1.0, abs=0.03)


def test_probabilities_and_logits_give_the_same() -> None:
    logits, labels = drawn(2)
    p = at_temperature(logits, 1.0, logits=True)
    assert temperature(p, labels) == pytest.approx(temperature(logits, labels, logits=True), rel=1e-9)
    assert at_temperature(p, 3.0) == pytest.approx(at_temperature(logits, 3.0, logits=True))
    assert at_temperature(p, 1.0) == pytest.approx(p)
    assert nll_at_temperature(p, labels, 1.0) == pytest.approx(nll(p, labels))
    assert error(at_temperature(p, 0.5), labels) == error(p, labels)


def test_scaling_never_makes_validation_worse_and_mends_overconfidence() -> None:
    logits, labels = drawn(3)
    p = at_temperature(4.0 * logits, 1.0, logits=True)
    T = temperature(p, labels)  # noqa: N806 - its name in every formula
    assert T > 2.0
    assert nll_at_temperature(p, labels, T) < nll(p, labels) - 0.1


def test_the_ends_of_the_range() -> None:
    assert temperature([[0.9, 0.1], [0.1, 0.9]], [0, 1]) == 0.01  # all right: the surer the better
    assert temperature([[0.9, 0.1], [0.1, 0.9]], [1, 0]) == 100.0  # all wrong: the less said the better
    assert temperature([[0.5, 0.5], [0.5, 0.5]], [0, 1]) == 1.0  # nothing said
    assert np.isfinite(at_temperature([[1.0, 0.0]], 0.01)).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: temperature([[2.0, -1.0]], [0]), "logits need a softmax"),
        (lambda: temperature([[np.inf, 0.0]], [0], logits=True), "logits: expected finite numbers"),
        (lambda: temperature([1.0, 2.0], [0], logits=True), r"of shape \(N, C\)"),
        (lambda: temperature([[1.0, 2.0]], [2], logits=True), r"labels must lie in \[0, 2\)"),
        (lambda: at_temperature([[0.5, 0.5]], 0.0), "T: got 0.0"),
        (lambda: at_temperature([[0.5, 0.5]], np.nan), "T: got nan"),
        (lambda: area_under_error([0, 1], [1.0]), "shapes"),
        (lambda: area_under_error([0], [1.0]), "at least 2 steps"),
        (lambda: area_under_error([0, 0], [1.0, 1.0]), "steps: expected them to rise, got 0 and then 0"),
        (lambda: area_under_error([0, 1], [1.0, np.nan]), "1 of 2 are not finite"),
    ],
)
def test_wrong_input_is_refused(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(-5, 5), st.integers(-5, 5))
@settings(max_examples=60, deadline=None)
def test_the_area_of_a_line_is_its_middle_however_it_is_sampled(gaps: list[int], a: int, b: int) -> None:
    steps = np.cumsum([0, *gaps])
    assert area_under_error(steps, a + b * steps) == pytest.approx(a + b * steps[-1] / 2, abs=1e-9)


def test_the_area_is_the_trapezoid_rules() -> None:
    generator = np.random.default_rng(0)
    steps, errors = np.sort(generator.choice(100, 20, replace=False)), generator.random(20)
    area = sum((steps[i + 1] - steps[i]) * (errors[i] + errors[i + 1]) / 2 for i in range(19))
    assert area_under_error(steps, errors) == pytest.approx(area / (steps[-1] - steps[0]))
