from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.evaluation import (
    average_precision,
    balanced_error,
    brier,
    calibration_curve,
    disagreement,
    ece,
    error,
    nll,
    summarise,
)

P = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.05, 0.05, 0.9]])
Y = np.array([0, 1, 0, 2])


def draw(seed: int, n: int = 200, classes: int = 4) -> tuple[Any, Any]:
    generator = np.random.default_rng(seed)
    return generator.dirichlet(np.ones(classes), n), generator.integers(0, classes, n)


def ece_by_hand(p: Any, y: Any, bins: int) -> float:
    """Guo et al. 2017, equation 3, as written there."""
    total = 0.0
    for b in range(bins):
        inside = [i for i in range(len(y)) if b / bins < p[i].max() <= (b + 1) / bins or (b == 0 and p[i].max() == 0)]
        if inside:
            accuracy = sum(p[i].argmax() == y[i] for i in inside) / len(inside)
            confidence = sum(p[i].max() for i in inside) / len(inside)
            total += len(inside) / len(y) * abs(accuracy - confidence)
    return total


def test_values_by_hand() -> None:
    assert error(P, Y) == 0.25
    assert nll(P, Y) == pytest.approx(-(math.log(0.7) + math.log(0.8) + math.log(0.3) + math.log(0.9)) / 4, abs=1e-14)
    assert brier(P, Y) == pytest.approx((0.14 + 0.06 + 0.74 + 0.015) / 4, abs=1e-14)
    # bins of 0.1: 0.4 (wrong), 0.7, 0.8, 0.9 (right), each alone in its bin
    assert ece(P, Y, bins=10) == pytest.approx((0.4 + 0.3 + 0.2 + 0.1) / 4, abs=1e-14)


@given(st.integers(0, 10_000), st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_ece_is_the_formula(seed: int, bins: int) -> None:
    p, y = draw(seed, n=60)
    assert ece(p, y, bins) == pytest.approx(ece_by_hand(p / p.sum(1, keepdims=True), y, bins), abs=1e-12)


def test_brier_agrees_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    p, y = draw(1)
    expected = metrics.brier_score_loss(y, p, labels=range(4), scale_by_half=False)
    assert brier(p, y) == pytest.approx(expected, abs=1e-14)


def test_balanced_error_is_the_mean_of_the_classes_errors() -> None:
    p, y = draw(4)
    each = [error(p[y == k], y[y == k]) for k in range(4)]
    assert balanced_error(p, y) == pytest.approx(np.mean(each))
    kept = y != 2  # a class that no label has does not count, although it is predicted
    assert balanced_error(p[kept], y[kept]) == pytest.approx(np.mean([each[k] for k in (0, 1, 3)]))
    rare = np.array([0] * 99 + [1])
    assert balanced_error(np.tile([0.9, 0.1], (100, 1)), rare) == 0.5


def average_precision_by_hand(scores: Any, positive: Any) -> float:
    """sum_n (R_n - R_(n-1)) P_n for scores without ties."""
    hits = positive[np.argsort(-scores)]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float((precision * hits).sum() / hits.sum())


def test_average_precision_by_hand() -> None:
    p, y = draw(5)
    each = [average_precision_by_hand(p[:, k], y == k) for k in range(4)]
    assert average_precision(p, y) == pytest.approx(np.mean(each))
    assert average_precision(p, y, positive=2) == pytest.approx(each[2])
    two = p[:, :2] / p[:, :2].sum(axis=1, keepdims=True)
    assert average_precision(two, y % 2) == pytest.approx(average_precision_by_hand(two[:, 1], y % 2 == 1))
    assert average_precision(two, y % 2, positive=0) == pytest.approx(average_precision_by_hand(two[:, 0], y % 2 == 0))


def test_average_precision_of_a_class_that_no_label_has_is_refused() -> None:
    with pytest.raises(ValueError, match=r"positive: no label is 1; the labels have \[0\]"):
        average_precision([[0.5, 0.5]], [0])
    with pytest.raises(ValueError, match="positive: no label is 7"):
        average_precision(P, Y, positive=7)


def test_nll_is_the_mean_over_examples_when_classes_are_missing() -> None:
    p, _ = draw(2)
    y = np.zeros(200, dtype=int)
    assert nll(p, y) == pytest.approx(-np.log(p[:, 0]).mean(), rel=1e-12)


def test_a_certain_mistake_costs_a_finite_stated_amount() -> None:
    assert nll([[1.0, 0.0]], [1]) == pytest.approx(-math.log(np.finfo(float).eps), rel=1e-9)
    assert nll([[1.0, 0.0]], [0]) < 1e-15


def test_perfect_and_uniform_predictions() -> None:
    exact = np.eye(4)
    assert (error(exact, range(4)), brier(exact, range(4)), ece(exact, range(4))) == (0.0, 0.0, 0.0)
    uniform = np.full((4, 4), 0.25)
    assert nll(uniform, range(4)) == pytest.approx(math.log(4))
    assert error(uniform, range(4)) == 0.75  # the first class of equals is predicted
    assert ece(uniform, range(4)) == pytest.approx(0.0)


def test_float32_rounding_does_not_warn_or_change_the_metrics() -> None:
    p, y = draw(3, n=5000, classes=100)
    single = summarise(p.astype(np.float32), y)
    for name, value in summarise(p, y).items():
        assert single[name] == pytest.approx(value, abs=1e-6)


def test_calibration_curve_counts_and_edges() -> None:
    p = np.array([[0.5, 0.5], [0.75, 0.25], [0.75, 0.25], [1.0, 0.0]])
    curve = calibration_curve(p, [0, 0, 1, 1], bins=4)
    assert curve.count.tolist() == [0, 1, 2, 1]  # (0.25, 0.5], (0.5, 0.75], (0.75, 1]
    assert curve.accuracy.tolist()[1:] == [1.0, 0.5, 0.0]
    assert curve.confidence.tolist()[1:] == [0.5, 0.75, 1.0]
    assert math.isnan(curve.accuracy[0])
    document = json.loads(json.dumps(curve.to_document(), allow_nan=False))
    assert document["accuracy"] == [None, 1.0, 0.5, 0.0]
    assert curve.ece == ece(p, [0, 0, 1, 1], bins=4)


def test_disagreement_is_symmetric_with_a_zero_diagonal() -> None:
    members = np.stack([draw(seed)[0] for seed in range(3)])
    matrix = disagreement(members)
    classes = members.argmax(-1)
    assert matrix.shape == (3, 3)
    assert np.array_equal(matrix, matrix.T)
    assert np.diag(matrix).tolist() == [0.0, 0.0, 0.0]
    assert matrix[0, 2] == np.mean(classes[0] != classes[2])


def test_summarise_has_the_three_numbers() -> None:
    assert summarise(P, Y) == {"error": error(P, Y), "nll": nll(P, Y), "ece": ece(P, Y)}


@pytest.mark.parametrize(
    "metric", [error, nll, brier, ece, summarise, calibration_curve, balanced_error, average_precision]
)
@pytest.mark.parametrize(
    ("p", "y", "words"),
    [
        ([0.5, 0.5], [0], r"shape \(N, C\)"),
        (np.zeros((0, 2)), [], "not be empty"),
        ([[1.0]], [0], "one column"),
        ([[2.0, -1.0]], [0], "softmax first"),
        ([[0.5, 0.4]], [0], "sums to 0.9"),
        ([[math.nan, 1.0]], [0], "finite"),
        ([["a", "b"]], [0], "real numbers"),
        ([[0.5, 0.5]], [2], r"\[0, 2\), got 2 to 2"),
        ([[0.5, 0.5]], [-1], r"\[0, 2\), got -1"),
        ([[0.5, 0.5]], [0, 1], r"shape \(1,\)"),
        ([[0.5, 0.5]], [[0]], r"shape \(1,\)"),
        ([[0.5, 0.5]], [0.0], "labels must be integers"),
    ],
)
def test_wrong_input_is_refused(metric: Any, p: Any, y: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        metric(p, y)


@pytest.mark.parametrize("bins", [0, -1, 1.5, True])
def test_wrong_bins_are_refused(bins: Any) -> None:
    with pytest.raises(ValueError, match=r"^bins: got .*, expected a whole number >= 1$"):
        ece(P, Y, bins)


def test_disagreement_refuses_a_single_member_without_its_axis() -> None:
    with pytest.raises(ValueError, match=r"shape \(M, N, C\)"):
        disagreement(P)
