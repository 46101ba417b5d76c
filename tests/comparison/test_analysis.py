"""The verdict as a pure function of records: made-up ones, so that what is true is known."""

from __future__ import annotations

import io
import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.comparison import summarise
from ostinato.comparison.picture import draw
from ostinato.errors import ConfigError, StateError

Scores = dict[str, list[float]]


def record(arm: str, seed: int, metrics: dict[str, float] | None, told: dict[str, Any], planned: int) -> dict[str, Any]:
    curve = {"steps": [5, 11], "error": [0.4, 0.3], "nll": [1.5, 1.2]}
    return {"arm": arm, "seed": seed, "metrics": metrics, "curve": curve, "comparison": told, "planned": planned}


def records_of(scores: Scores, endpoint: str = "error", margin: float = 0.002, **more: Scores) -> list[dict[str, Any]]:
    """Return records with one score an arm and seed; `more` has further metrics."""
    told = {
        "endpoint": endpoint,
        "margin": margin,
        "controls": [name for name in scores if name != "plan"],
        "cycles": 2,
        "data": {"name": "made", "test": 10_000},
    }
    metrics = {endpoint: scores, **more}
    return [
        record(arm, seed, {name: found[arm][seed] for name, found in metrics.items()}, told, len(scores["plan"]))
        for seed in range(len(scores["plan"]))
        for arm in scores
    ]


def arms(gains: dict[str, float], n: int = 12, spread: float = 0.001) -> Scores:
    """Return scores whose controls are worse than the plan by so much, give or take."""
    generator = np.random.default_rng(0)
    plan = 0.05 + 0.01 * generator.random(n)
    return {"plan": plan.tolist()} | {
        name: (plan + gain + spread * generator.standard_normal(n)).tolist() for name, gain in gains.items()
    }


def test_a_gain_over_both_controls_is_found_and_told() -> None:
    summary = summarise(records_of(arms({"sorted": 0.006, "cosine": 0.010, "constant": 0.03})))
    assert summary.verdict == "supported"
    assert summary.sentence.startswith("Cycling helped: the plan's test error is 0.")
    assert "lower than that of its sorted twin" in summary.sentence
    assert "it also beats one cosine decay" in summary.sentence
    assert summary.literal.startswith("Literal comparison (supported)")
    document = json.loads(json.dumps(summary.to_document(), allow_nan=False))
    assert list(document["arms"]) == ["plan", "sorted", "cosine", "constant"]
    for score in document["arms"].values():
        low, high = score["interval"]
        assert low < score["mean"] < high
        assert score["n"] == 12
    assert document["effects"][0]["effect"] == pytest.approx(0.006, abs=0.001)


def test_one_required_control_that_is_not_beaten_decides() -> None:
    summary = summarise(records_of(arms({"sorted": 0.010, "cosine": 0.0, "constant": 0.05})))
    assert summary.verdict == "not supported"
    assert summary.sentence.startswith("Cycling did not help: ")
    assert "one cosine decay" in summary.sentence
    assert "rules out a gain of 0.20 percentage points" in summary.sentence
    assert [effect.decision.verdict for effect in summary.effects] == ["supported", "not supported", "supported"]


def test_a_constant_rate_never_decides_beside_a_control() -> None:
    summary = summarise(records_of(arms({"constant": -0.05, "sorted": 0.01, "cosine": 0.01})))
    assert summary.verdict == "supported"
    assert "not supported" in summary.literal


def test_harm_is_called_harm() -> None:
    summary = summarise(records_of(arms({"sorted": -0.01})))
    assert summary.verdict == "not supported"
    assert summary.sentence.startswith("Cycling did harm: the plan's test error is 1.0")
    assert "percentage points higher than that of its sorted twin" in summary.sentence


def test_what_is_not_decided_says_how_many_seeds_would_do() -> None:
    gains = (0.006, -0.004, 0.004, -0.003, 0.005)
    scores = {"plan": [0.05] * 5, "sorted": [0.05 + gain for gain in gains], "cosine": [0.06] * 5}
    summary = summarise(records_of(scores))
    assert summary.verdict == "inconclusive"
    needed = summary.to_document()["n_needed"]
    assert needed > 5
    assert f"about {needed:,} seeds would decide it" in summary.sentence


def test_a_plan_without_cycles_is_spoken_of_as_the_plan() -> None:
    records = records_of(arms({"sorted": 0.01}))
    for one in records:
        one["comparison"]["cycles"] = 0
    assert summarise(records).sentence.startswith("The plan helped")


def test_a_constant_as_the_only_control_is_the_comparator_and_is_called_unfair() -> None:
    summary = summarise(records_of(arms({"constant": 0.01})))
    assert summary.verdict == "supported"
    assert summary.literal == ""
    assert any("no fair comparator" in note for note in summary.notes)


def test_secondary_controls_are_adjusted_and_decide_nothing() -> None:
    summary = summarise(records_of(arms({"sorted": 0.01, "linear": -0.02, "shuffled": 0.0004, "in_phase": 0.0005})))
    assert summary.verdict == "supported"
    secondary = [effect for effect in summary.effects if effect.role == "secondary"]
    assert len(secondary) == 3
    for effect in secondary:
        assert effect.p_holm is not None
        assert effect.p_holm >= effect.decision.p
    assert max(effect.p_holm / effect.decision.p for effect in secondary if effect.p_holm) == pytest.approx(3)
    assert summary.effects[0].p_holm is None


def test_an_ensemble_must_beat_the_controls_ensemble_and_its_last_model() -> None:
    scores = arms({"sorted": 0.01, "cosine": 0.01})
    weak = {name: [value + 0.01 for value in values] for name, values in scores.items()}
    assert summarise(records_of(scores, "ensemble_error", error=weak)).verdict == "supported"
    strong = {**weak, "cosine": [value - 0.004 for value in scores["plan"]]}
    summary = summarise(records_of(scores, "ensemble_error", error=strong))
    assert summary.verdict == "not supported"
    assert "the last model of one cosine decay" in summary.sentence
    assert [effect.label for effect in summary.effects] == [
        "sorted", "sorted (one model)", "cosine", "cosine (one model)",
    ]  # fmt: skip
    assert [effect.role for effect in summary.effects] == ["primary", "required", "required", "required"]


def test_diverged_runs_count_with_the_worst_score_that_was_seen_and_are_not_dropped() -> None:
    scores = arms({"sorted": 0.0})
    records = records_of(scores)
    for one in records:
        if one["arm"] == "plan" and one["seed"] in (2, 5):
            one["metrics"] = None
    summary = summarise(records)
    assert (summary.arms["plan"].diverged, summary.arms["plan"].n) == (2, 12)
    counted = [0.4 if seed in (2, 5) else score for seed, score in enumerate(scores["plan"])]  # 0.4: along the curves
    assert summary.arms["plan"].mean == pytest.approx(np.mean(counted))
    assert summary.effects[0].decision.effect == pytest.approx(np.mean(scores["sorted"]) - np.mean(counted))
    assert any("2 of plan" in note for note in summary.notes)


def test_where_everything_diverged_there_is_nothing_to_compare() -> None:
    records = records_of(arms({"sorted": 0.0}))
    for one in records:
        one["metrics"] = None
    with pytest.raises(StateError, match="every run of every arm diverged"):
        summarise(records)


def test_no_verdict_while_a_run_is_missing() -> None:
    records = records_of(arms({"sorted": 0.0}))
    with pytest.raises(
        StateError, match="no verdict yet: arm 'sorted' lacks seed 11; go on with: ostinato compare --resume"
    ):
        summarise(records[:-1])
    with pytest.raises(StateError, match="no verdict yet: 11 of 12 seeds are done"):
        summarise(records[:-2])
    with pytest.raises(StateError, match="no records"):
        summarise([])


def test_records_that_do_not_belong_together_are_refused() -> None:
    records = records_of(arms({"sorted": 0.0}))
    with pytest.raises(StateError, match="arm 'plan', seed 0: recorded twice"):
        summarise([*records, records[0]])
    other = records_of(arms({"sorted": 0.0}), margin=0.1)
    with pytest.raises(StateError, match=r"different comparisons \(margin differ\)"):
        summarise([*records[:-1], other[-1]])
    with pytest.raises(StateError, match="arm 'linear', seed 0: not of this comparison"):
        summarise([*records, {**records[0], "arm": "linear"}])


def test_looking_again_with_more_seeds_is_told() -> None:
    records = records_of(arms({"sorted": 0.0}))
    assert not any("Judged before" in note for note in summarise(records).notes)
    for one in records:
        one["planned"] = 8 if one["seed"] < 8 else 12
    assert any("Judged before with 8 seeds" in note for note in summarise(records).notes)


def test_a_coarse_test_set_is_told() -> None:
    records = records_of(arms({"sorted": 0.0}))
    for one in records:
        one["comparison"]["data"]["test"] = 360
    assert any("360 examples, each worth 0.28 points" in note for note in summarise(records).notes)


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from([0.0, 0.003, 0.01, -0.01]))
def test_the_order_of_the_records_does_not_matter(shuffler: random.Random, gain: float) -> None:
    records = records_of(arms({"sorted": gain, "cosine": gain, "linear": 0.0}, n=5))
    mixed = list(records)
    shuffler.shuffle(mixed)
    assert summarise(mixed).to_document() == summarise(records).to_document()


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([0.004, 0.02, -0.02]), st.floats(0.5, 40))
def test_units_do_not_matter_to_the_verdict(gain: float, factor: float) -> None:
    scores = arms({"sorted": gain, "cosine": gain}, n=6)
    scaled = {name: [factor * value for value in values] for name, values in scores.items()}
    one = summarise(records_of(scores, "nll", 0.002))
    other = summarise(records_of(scaled, "nll", 0.002 * factor))
    assert one.verdict == other.verdict


def test_an_unknown_endpoint_in_a_record_is_refused() -> None:
    records = records_of(arms({"sorted": 0.0}))
    for one in records:
        one["comparison"]["endpoint"] = "accuracy"
    with pytest.raises(ConfigError, match="endpoint: got 'accuracy'"):
        summarise(records)


def test_the_picture_is_a_png_that_grows_with_the_controls() -> None:
    import matplotlib.image

    few = summarise(records_of(arms({"sorted": 0.01})))
    many = summarise(records_of(arms({"sorted": 0.01, "cosine": 0.0, "constant": -0.1, "phase_shuffled": 0.2})))
    heights = [matplotlib.image.imread(io.BytesIO(draw(summary)), format="png").shape[0] for summary in (few, many)]
    assert heights[1] > heights[0] + 150
