from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.evaluation import (
    Decision,
    Interval,
    chance_of_verdict,
    conclude,
    decide,
    decide_unpaired,
    judge,
    n_to_decide,
    paired_t,
    studentised_bootstrap,
    studentised_bootstrap_unpaired,
    welch_t,
)

HELPS = [0.31, 0.42, 0.25, 0.38, 0.29, 0.44, 0.35, 0.27, 0.33, 0.40, 0.36, 0.30]
NOTHING = [0.02, -0.05, 0.03, 0.01, -0.04, 0.05, 0.00, -0.02, 0.03, -0.01, 0.02, -0.03]
UNCLEAR = [0.5, -0.4, 0.6, 0.1, -0.3, 0.7, 0.2, -0.1, 0.4, 0.0, -0.2, 0.5]
HARMS = [-value for value in HELPS]


def made(verdict: Any, n_needed: int | None = None) -> Decision:
    return Decision(verdict, 0.1, Interval(0.0, 0.2), 0.2, 12, n_needed, 0.5)


@given(*(st.integers(-30, 30).map(lambda n: n / 10) for _ in range(3)), st.integers(0, 20).map(lambda n: n / 10))
@settings(max_examples=300, deadline=None)
def test_the_rule_as_it_is_written(one: float, two: float, three: float, margin: float) -> None:
    low, effect, high = sorted((one, two, three))
    expected = "inconclusive"
    if low > 0 and effect >= margin:
        expected = "supported"
    elif high < margin:
        expected = "not supported"
    assert judge(effect, Interval(low, high), margin) == expected


def test_the_edges_of_the_rule() -> None:
    assert judge(0.2, Interval(0.1, 0.3), 0.2) == "supported"  # d >= m
    assert judge(0.2, Interval(0.0, 0.3), 0.2) == "inconclusive"  # L > 0
    assert judge(0.1, Interval(0.05, 0.2), 0.2) == "inconclusive"  # U < m
    assert judge(0.1, Interval(0.05, 0.19), 0.2) == "not supported"


def test_decisions_from_differences() -> None:
    answers = [decide(values, 0.2).verdict for values in (HELPS, NOTHING, UNCLEAR, HARMS)]
    assert answers == ["supported", "not supported", "inconclusive", "not supported"]
    decision = decide(UNCLEAR, 0.2, resamples=999, seed=3, level=0.9)
    assert decision.interval == studentised_bootstrap(UNCLEAR, resamples=999, seed=3, level=0.9)
    assert decision.p == paired_t(UNCLEAR).p
    assert decision.effect == pytest.approx(np.mean(UNCLEAR))
    assert decision.n == 12


def test_the_n_of_an_inconclusive_decision_would_decide_it() -> None:
    decision = decide(UNCLEAR, 0.35)
    assert decision.verdict == "inconclusive"
    needed = decision.n_needed
    assert needed is not None
    assert needed > 12
    spread = float(np.std(UNCLEAR, ddof=1))
    assert sum(chance_of_verdict(needed, spread, 0.35, effect=decision.effect)) >= 0.8
    assert decide(HELPS, 0.2).n_needed is None
    at_the_margin = decide(UNCLEAR, float(np.mean(UNCLEAR)))
    assert (at_the_margin.verdict, at_the_margin.n_needed) == ("inconclusive", None)
    assert "no number of pairs" in at_the_margin.sentence


def test_without_pairs() -> None:
    first, second = np.array(HELPS) + 1.0, np.array(NOTHING)[:9] * 3
    decision = decide_unpaired(first, second, 0.5)
    assert decision.interval == studentised_bootstrap_unpaired(first, second)
    assert (decision.verdict, decision.n, decision.p) == ("supported", 9, welch_t(first, second).p)
    assert decision.effect == pytest.approx(first.mean() - second.mean())
    assert decide_unpaired(second, first, 0.5).verdict == "not supported"
    open_one = decide_unpaired([0.0, 1.0, 2.0], [0.0, 0.5, 3.0], 0.5)
    assert open_one.verdict == "inconclusive"
    assert open_one.n_needed is not None
    assert open_one.n_needed > 12


def test_sentences_are_plain_and_name_what_counts() -> None:
    assert decide(HELPS, 0.2).sentence == (
        "Supported: effect 0.342 (95 % interval 0.304 to 0.383, n = 12) reaches the margin of 0.2, and its interval lies above 0."
    )
    assert decide(NOTHING, 0.2).sentence.endswith("stays below the margin of 0.2.")
    assert decide(HARMS, 0.2).sentence.endswith("It is harm: the interval lies below 0.")
    needed = decide(UNCLEAR, 0.2).n_needed
    assert decide(UNCLEAR, 0.2).sentence.endswith(f"nor rules it out; about {needed} pairs would decide it.")
    for values in (HELPS, NOTHING, UNCLEAR):
        document = decide(values, 0.2).to_document()
        assert json.loads(json.dumps(document, allow_nan=False)) == document
        assert "\n" not in document["sentence"]


@given(st.lists(st.sampled_from(["supported", "not supported", "inconclusive"]), min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_the_conclusion_is_intersection_union(answers: list[str]) -> None:
    first, *others = (made(answer, 30 if answer == "inconclusive" else None) for answer in answers)
    verdict = conclude(first, {f"control {k}": other for k, other in enumerate(others)})
    if "not supported" in answers:
        expected = "not supported"
    else:
        expected = "supported" if set(answers) == {"supported"} else "inconclusive"
    assert verdict.verdict == expected
    assert verdict.n_needed == (30 if expected == "inconclusive" else None)


def test_the_conclusion_names_who_stands_against_it() -> None:
    helps, unclear = decide(HELPS, 0.2), decide(UNCLEAR, 0.2)
    verdict = conclude(helps, {"sorted": decide(NOTHING, 0.2), "cosine": unclear})
    assert verdict.sentence == (
        "Not supported: effect 0.342 (95 % interval 0.304 to 0.383, n = 12); an effect of the margin is ruled out against sorted."
    )
    assert conclude(helps).sentence.endswith("at least the margin against the primary comparator.")
    open_one = conclude(helps, {"cosine": unclear, "sorted": helps})
    assert open_one.sentence.endswith(f"undecided against cosine; about {unclear.n_needed} pairs would decide it.")
    assert conclude(helps, {"a": made("inconclusive", 40), "b": made("inconclusive", 90)}).n_needed == 90
    assert conclude(helps, {"a": made("inconclusive", 40), "b": made("inconclusive")}).n_needed is None
    document = verdict.to_document()
    assert json.loads(json.dumps(document)) == document
    assert document["required"]["cosine"]["verdict"] == "inconclusive"


@pytest.mark.parametrize("ratio", [1.3, 2.0, 4.0, 10.0])
def test_n_is_eight_squared_ratios(ratio: float) -> None:
    n = n_to_decide(ratio, 1.0)
    assert n is not None
    assert abs(n - 8 * ratio**2) <= 3 + 0.03 * n
    assert sum(chance_of_verdict(n, ratio, 1.0)) >= 0.8 > sum(chance_of_verdict(n - 1, ratio, 1.0))


def test_the_rule_of_thumb_lets_a_true_null_be_not_supported_in_about_four_of_five_studies() -> None:
    generator, n = np.random.default_rng(0), 32  # 8 (2 / 1)²
    differences = generator.normal(0.0, 2.0, (20_000, n))
    half = 2.0395 * differences.std(axis=1, ddof=1) / math.sqrt(n)
    seen = float((differences.mean(axis=1) + half < 1.0).mean())
    assert seen == pytest.approx(0.78, abs=0.02)
    assert chance_of_verdict(n, 2.0, 1.0)[1] == pytest.approx(seen, abs=0.01)


@pytest.mark.parametrize("effect", [0.0, 0.7, 1.4])
def test_the_chances_of_a_verdict_are_those_of_simulated_studies(effect: float) -> None:
    generator, n = np.random.default_rng(1), 14
    differences = generator.normal(effect, 1.2, (40_000, n))
    mean = differences.mean(axis=1)
    half = 2.1604 * differences.std(axis=1, ddof=1) / math.sqrt(n)
    seen = float(((mean >= 1.0) & (mean > half)).mean()), float((mean + half < 1.0).mean())
    assert chance_of_verdict(n, 1.2, 1.0, effect=effect) == pytest.approx(seen, abs=0.01)


def test_n_has_a_floor_and_an_end() -> None:
    assert n_to_decide(0.1, 1.0) == 12
    assert n_to_decide(0.1, 1.0, floor=2) in (2, 3)
    assert n_to_decide(1.0, 0.1, effect=0.1) is None
    assert n_to_decide(1.0, 0.001) is None
    assert (n_to_decide(1.0, 0.2, power=0.95) or 0) > (n_to_decide(1.0, 0.2) or 0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: decide([0.1], 0.2), "differences: got 1, expected at least 2"),
        (lambda: decide([0.1, math.nan], 0.2), "not finite"),
        (lambda: decide(HELPS, -0.1), "margin: got -0.1"),
        (lambda: decide(HELPS, math.nan), "margin: got nan"),
        (lambda: decide_unpaired([0.1], HELPS, 0.2), "first: got 1"),
        (lambda: judge(math.nan, Interval(0.0, 1.0), 0.1), "effect: got nan"),
        (lambda: n_to_decide(0.0, 0.2), "sd: got 0.0, expected a finite number above 0"),
        (lambda: n_to_decide(1.0, -0.2), "margin: got -0.2"),
        (lambda: n_to_decide(1.0, 0.2, effect=math.inf), "effect: got inf"),
        (lambda: n_to_decide(1.0, 0.2, power=1.0), "power: got 1.0"),
    ],
)
def test_wrong_input_is_refused_in_one_line(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_no_worse_asks_only_that_nothing_is_lost() -> None:
    assert judge(0.0, Interval(-0.19, 0.19), 0.2, no_worse=True) == "supported"
    assert judge(0.0, Interval(-0.2, 0.2), 0.2, no_worse=True) == "inconclusive"  # L > -m
    assert judge(-0.4, Interval(-0.6, -0.2), 0.2, no_worse=True) == "inconclusive"  # U < -m
    assert judge(-0.4, Interval(-0.6, -0.21), 0.2, no_worse=True) == "not supported"
    answers = [decide(values, 0.2, no_worse=True).verdict for values in (HELPS, NOTHING, UNCLEAR, HARMS)]
    assert answers == ["supported", "supported", "supported", "not supported"]
    unclear = [value - 0.35 for value in UNCLEAR]
    decision = decide(unclear, 0.2, no_worse=True)
    assert decision.verdict == "inconclusive"
    shifted = decide([value + 0.2 for value in unclear], 0.0)
    assert decision.n_needed == shifted.n_needed
    assert "may be worse than -0.2; about" in decision.sentence
    assert "is no worse than -0.2." in decide(NOTHING, 0.2, no_worse=True).sentence
    assert "is worse than -0.2." in decide_unpaired(HARMS, HELPS, 0.2, no_worse=True).sentence
    assert decision.to_document()["no_worse"] is True
    assert "no_worse" not in decide(NOTHING, 0.2).to_document()


def test_a_planted_loss_is_found_and_a_planted_null_is_no_loss() -> None:
    draws = np.random.default_rng(0)
    for mean, expected in ((0.0, "supported"), (-0.4, "not supported"), (0.4, "supported")):
        found = [
            decide(mean + 0.2 * draws.normal(size=20), 0.2, no_worse=True, resamples=499).verdict for _ in range(40)
        ]
        assert found.count(expected) >= 36
