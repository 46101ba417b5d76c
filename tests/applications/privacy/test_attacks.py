"""Attacks against their published formulas, written out in loops; against planted leaks whose power is known; and against none."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, norm

from ostinato.applications.privacy import (
    attack_scores,
    auc,
    confidence,
    halves,
    leak,
    lira,
    log_probability,
    matched,
    over_pairs,
    rmia,
)
from ostinato.errors import ConfigError, DataError
from ostinato.evaluation import studentised_bootstrap


def scores_of(points: int = 40, shadows: int = 10, seed: int = 0) -> tuple[Any, Any, Any]:
    """A target's confidences, its shadows' and who holds what: every point in at least 2 and at most 8 of 10."""
    generator = np.random.default_rng(seed)
    inside = generator.random((shadows, points)) < 0.5
    inside[:2], inside[2:4] = True, False
    values = generator.normal(0.0, 1.5, (shadows, points)) + 1.2 * inside + generator.normal(0.0, 2.0, points)
    return generator.normal(1.0, 2.0, points), values, inside


def naive_lira(target: Any, shadows: Any, inside: Any, online: bool, pooled: bool) -> list[float]:
    """Carlini et al. 2022, algorithm 1, point by point."""
    kept: dict[bool, list[list[float]]] = {True: [], False: []}
    for point in range(len(target)):
        for side in (True, False):
            kept[side].append([shadows[s][point] for s in range(len(shadows)) if bool(inside[s][point]) == side])

    def spread(side: bool, point: int) -> float:
        groups = kept[side] if pooled else [kept[side][point]]
        squares = sum((value - sum(group) / len(group)) ** 2 for group in groups for value in group)
        return math.sqrt(squares / sum(len(group) - 1 for group in groups))

    found = []
    for point, seen in enumerate(target):
        mean = {side: sum(kept[side][point]) / len(kept[side][point]) for side in (True, False)}
        if online:
            logs = {side: norm.logpdf(seen, mean[side], spread(side, point)) for side in (True, False)}
            found.append(logs[True] - logs[False])
        else:
            found.append((seen - mean[False]) / spread(False, point))
    return found


def naive_rmia(
    target: Any, shadows: Any, inside: Any, population: Any, online: bool, gamma: float, a: float
) -> list[float]:
    """Zarifzadeh et al. 2024, algorithm 1, pair by pair."""

    def p(value: float) -> float:
        return 1.0 / (1.0 + math.exp(-value))

    def expected(column: Any, sides: Any) -> float:
        out = [p(value) for value, side in zip(column, sides, strict=True) if not side]
        own = [p(value) for value, side in zip(column, sides, strict=True) if side]
        if online and own:
            return 0.5 * (sum(own) / len(own)) + 0.5 * (sum(out) / len(out))
        return 0.5 * ((1 + a) * sum(out) / len(out) + (1 - a))

    z, others = population
    ratios = [p(z[k]) / expected([row[k] for row in others], [False] * len(others)) for k in range(len(z))]
    found = []
    for point, seen in enumerate(target):
        own = p(seen) / expected([row[point] for row in shadows], [row[point] for row in inside])
        found.append(sum(own / ratio >= gamma for ratio in ratios) / len(ratios))
    return found


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("variance", ["global", "point"])
def test_lira_is_the_published_formula(online: bool, variance: Any) -> None:
    target, shadows, inside = scores_of()
    found = lira(target, shadows, inside, online=online, variance=variance)
    assert found == pytest.approx(naive_lira(target, shadows, inside, online, variance == "global"), abs=1e-9)


def test_the_offline_score_has_the_order_of_the_one_sided_p_value() -> None:
    target, shadows, inside = scores_of()
    without = [values[~among] for values, among in zip(shadows.T, inside.T, strict=True)]
    p_values = [norm.cdf(c, np.mean(v), np.std(v, ddof=1)) for c, v in zip(target, without, strict=True)]
    found = lira(target, shadows, inside, online=False, variance="point")
    assert np.array_equal(np.argsort(found), np.argsort(p_values))


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize(("gamma", "a"), [(1.0, 0.3), (2.0, 1.0), (1.2, 0.0)])
def test_rmia_is_the_published_formula(online: bool, gamma: float, a: float) -> None:
    target, shadows, inside = scores_of()
    z, others = scores_of(points=25, seed=1)[:2]
    found = rmia(target, shadows, inside, (z, others), online=online, gamma=gamma, offline_a=a)
    assert found == pytest.approx(naive_rmia(target, shadows, inside, (z, others), online, gamma, a), abs=1e-9)
    assert 0.0 < found.mean() < 1.0


def test_confidences_are_log_odds_and_stay_exact_where_probabilities_round_to_one() -> None:
    logits = np.random.default_rng(0).normal(0.0, 2.0, (3, 20, 4))
    labels = np.arange(20) % 4
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    chosen = p[:, np.arange(20), labels]
    assert confidence(logits, labels) == pytest.approx(np.log(chosen / (1 - chosen)), abs=1e-9)
    assert log_probability(confidence(logits, labels)) == pytest.approx(np.log(chosen), abs=1e-9)
    assert confidence([[60.0, 0.0, 0.0]], [0])[0] == pytest.approx(60.0 - math.log(2.0))
    assert log_probability(-1000.0) == -1000.0


@given(st.integers(2, 40), st.integers(2, 8), st.integers(0, 2**31))
def test_halves_hold_every_point_in_half_of_the_models(points: int, pairs: int, seed: int) -> None:
    inside = halves(2 * points, 2 * pairs, seed)
    assert (inside.sum(axis=0) == pairs).all()
    assert (inside.sum(axis=1) == points).all()
    assert np.array_equal(inside[::2], ~inside[1::2])
    for k in range(2 * pairs):
        others = inside[np.arange(2 * pairs) // 2 != k // 2]
        assert (others.sum(axis=0) == pairs - 1).all()  # whether the target holds a point or not


def planted(shift: float, models: int, points: int = 2_000, seed: int = 0) -> tuple[Any, Any]:
    """Confidences that are normal round each point's own level, higher by `shift` deviations where a model holds the point."""
    generator = np.random.default_rng(seed)
    inside = halves(points, models, seed)
    levels = generator.normal(0.0, 3.0, points)
    return levels + generator.normal(0.0, 1.0, inside.shape) + shift * inside, inside


def test_the_power_against_a_planted_leak_is_the_closed_form() -> None:
    """With s the shift in deviations: area Phi(s / sqrt 2), true positives at rate f: 1 - Phi(Phi^-1(1 - f) - s)."""
    shift = 1.5
    values, inside = planted(shift, 100)
    areas = {}
    for attack in ("lira", "lira-offline", "loss"):
        scores = attack_scores(attack, values, inside)[:20]
        areas[attack] = auc(scores, inside[:20]).mean()
        if attack == "lira":
            found = [leak(row, among, rates=(0.01, 0.1)) for row, among in zip(scores, inside, strict=False)]
    power = float(norm.cdf(shift / math.sqrt(2.0)))
    assert areas["lira"] == pytest.approx(power, abs=0.006)
    assert areas["lira-offline"] == pytest.approx(power, abs=0.006)
    blurred = float(norm.cdf(shift / math.sqrt(2.0 * (1.0 + 3.0**2))))  # without shadows the points' levels are noise
    assert areas["loss"] == pytest.approx(blurred, abs=0.01)
    for rate in (0.01, 0.1):
        wanted = 1.0 - norm.cdf(norm.ppf(1.0 - rate) - shift)
        assert np.mean([one.tpr[rate] for one in found]) == pytest.approx(wanted, abs=0.012)
    assert max(one.p for one in found) < 1e-20


def test_few_shadows_find_less_of_the_same_leak() -> None:
    few, many = (
        auc(attack_scores("lira", *planted(1.5, models)), planted(1.5, models)[1]).mean() for models in (6, 40)
    )
    assert 0.7 < few < many - 0.02


@pytest.mark.parametrize("attack", ["lira", "lira-offline", "rmia", "loss"])
def test_no_leak_is_none(attack: Any) -> None:
    """Over 40 blocks of six models the area is 0.5 within its interval, and the p values of single models are uniform."""
    areas, p_values = [], []
    for seed in range(40):
        values, inside = planted(0.0, 6, points=300, seed=seed)
        fresh = np.random.default_rng([seed, 1]).normal(0.0, 3.0, (6, 50))
        scores = attack_scores(attack, values, inside, fresh)
        areas.append(float(auc(scores, inside).mean()))
        p_values.append(leak(scores[0], inside[0]).p)
    assert abs(np.mean(areas) - 0.5) < 2.6 * np.std(areas, ddof=1) / math.sqrt(40)
    assert np.std(areas) < 0.03
    assert kstest(p_values, "uniform").pvalue > 0.01


def test_a_true_positive_rate_is_told_where_the_non_members_can_tell_it() -> None:
    members = np.arange(3_000) < 1_000
    scores = np.random.default_rng(0).normal(0.0, 1.0, 3_000) + members
    found = leak(scores, members)
    assert (found.members, found.non_members, found.least_rate) == (1_000, 2_000, 0.005)
    assert found.tpr[0.001] is None
    threshold = np.sort(scores[~members])[::-1][20]
    assert found.tpr[0.01] == (scores[members] > threshold).mean() > 0.03
    assert (scores[~members] > threshold).mean() <= 0.01
    assert found.to_document()["tpr"] == {"0.01": found.tpr[0.01], "0.001": None}
    tied = leak([1.0] * 3_000, members)
    assert (tied.auc, tied.tpr[0.01]) == (0.5, 0.0)


def test_the_area_is_scikit_learns() -> None:
    from sklearn.metrics import roc_auc_score

    generator = np.random.default_rng(2)
    members = generator.random((4, 90)) < 0.4
    scores = generator.integers(0, 12, (4, 90)) + 2.0 * members
    assert auc(scores, members) == pytest.approx([roc_auc_score(m, s) for m, s in zip(members, scores, strict=True)])


def test_an_early_stopped_run_is_read_where_it_first_has_the_accuracy() -> None:
    accuracy, leaks = [0.5, 0.6, 0.8, 0.78, 0.7], [0.50, 0.52, 0.56, 0.65, 0.75]
    values, reached = matched(accuracy, leaks, [0.4, 0.55, 0.7, 0.8, 0.81])
    assert values == pytest.approx([0.50, 0.51, 0.54, 0.56, 0.56])
    assert reached.tolist() == [True, True, True, True, False]
    lucky = [0.5, 0.7, 0.6, 0.66, 0.74, 0.8]  # the second evaluation is noise: pooled with what follows
    assert matched(lucky, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [0.7])[0][0] == pytest.approx(3.0 + 4.0 / 7.0, abs=0.1)


def test_intervals_resample_pairs() -> None:
    values = np.array([0.61, 0.59, 0.66, 0.64, 0.55, 0.57, 0.60, 0.62])
    assert over_pairs(values) == over_pairs(
        values.reshape(-1, 2)[:, ::-1].ravel()
    )  # who of a pair comes first is nothing
    assert over_pairs(values) == studentised_bootstrap([0.60, 0.65, 0.56, 0.61])
    assert over_pairs(np.repeat(values, 2)) == studentised_bootstrap(values)


def test_what_cannot_be_is_refused_in_one_line() -> None:
    target, shadows, inside = scores_of()
    overlapping = halves(40, 10)
    overlapping[1, np.flatnonzero(overlapping[0])[0]] = True
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: attack_scores("lira", shadows, overlapping), DataError, "members and non-members overlap"),
        (lambda: attack_scores("luck", shadows, halves(40, 10)), ConfigError, "expected one of lira, "),
        (lambda: attack_scores("rmia", shadows, halves(40, 10)), ConfigError, "points that no model was trained with"),
        (lambda: halves(40, 2), DataError, "expected an even number >= 4"),
        (lambda: halves(41, 4), DataError, "points: got 41"),
        (lambda: lira(target, shadows, np.zeros_like(inside)), DataError, "point 0 has 0 shadow models inside"),
        (lambda: lira(target, shadows[:2], inside[:2], online=False), DataError, "0 shadow models outside"),
        (
            lambda: lira(target[:1], [[0.0], [1.0], [2.0]], [[1], [0], [0]], variance="point"),
            DataError,
            "expected at least 2",
        ),
        (lambda: lira(target, shadows, inside, variance="own"), ConfigError, "'global' or 'point'"),
        (lambda: rmia(target, shadows, inside, ([], np.zeros((10, 0)))), DataError, "population: got no point"),
        (lambda: rmia(target, shadows, inside, (target, shadows), gamma=0.0), ConfigError, "gamma"),
        (lambda: confidence(np.ones((3, 1)), [0, 0, 0]), DataError, "needs a probability for each class"),
        (lambda: confidence([[np.nan, 0.0]], [0]), DataError, "diverged"),
        (lambda: confidence([[1.0, 0.0]], [2]), DataError, "whole numbers from 0 to 1"),
        (lambda: leak([1.0, 2.0], [True, True]), DataError, "at least one member and one non-member"),
        (lambda: leak([np.nan, 2.0], [True, False]), DataError, "no numbers"),
    ]
    for call, kind, words in cases:
        with pytest.raises(kind) as caught:
            call()
        assert words in str(caught.value), (words, str(caught.value))
        assert "\n" not in str(caught.value)
