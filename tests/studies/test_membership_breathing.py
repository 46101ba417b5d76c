"""Study ``membership-breathing``: what is planted in the leak is found, and what accuracy explains is none."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from ostinato.studies import find
from ostinato.studies.frame.cells import Cell, Request
from ostinato.studies.frame.images import load_images
from ostinato.studies.frame.study import perform
from ostinato.studies.membership_breathing.measuring import (
    Block,
    Course,
    measure,
    plan_name,
    plan_of,
    readings,
    together,
)
from ostinato.studies.membership_breathing.remarks import harmonic, remarks

SPEC = find("membership-breathing").spec
fashion = pytest.mark.skipif("OSTINATO_DATA" not in os.environ, reason="needs Fashion-MNIST (OSTINATO_DATA)")
CYCLE, PHASE = np.repeat(np.arange(4), 8), np.tile(np.arange(1, 9) / 8, 4)


def course(accuracy: Any, below: float = 0.0) -> Course:
    """A leak that is a function of the accuracy alone, but for what is taken off in the first quarters."""
    right = np.asarray(accuracy, dtype=np.float64)
    area = 0.5 + 0.4 * (right - 0.7) - below * (PHASE <= 0.3)
    leaks = {"auc": area, "tpr": area / 10, "loss_auc": area, "rmia_auc": area}
    return Course(CYCLE, PHASE, right, leaks, area + 0.1)


def planted(below: float) -> dict[str, float]:
    """The effects of the specification's contrasts on planted courses."""
    falling = 0.70 + 0.15 * (1 - 0.5 * (PHASE <= 0.3)) + 0.002 * CYCLE
    rising = np.linspace(0.70, 0.86, 32)
    courses = {"cycles": course(falling, below), **{name: course(rising) for name in ("sorted", "constant", "cosine")}}
    metrics = {arm: readings(arm, courses) for arm in SPEC.arms}
    return {
        contrast.name: sum(weight * metrics[arm][contrast.metric] for arm, weight in contrast.weights.items())
        for contrast in SPEC.contrasts
    }


def test_what_accuracy_explains_is_none_and_what_is_planted_beyond_it_is_found() -> None:
    none, found = planted(0.0), planted(0.02)
    for name in ("sorted - quarter", "constant - quarter", "cosine - quarter", "sorted-canaries - quarter-canaries"):
        assert none[name] == pytest.approx(0.0, abs=1e-12)
        assert found[name] == pytest.approx(0.02)
    assert none["trough - quarter"] == pytest.approx(0.4 * 0.075)  # the swing that accuracy makes
    assert found["trough - quarter"] == pytest.approx(0.4 * 0.075 + 0.02)
    assert found["trough - quarter, tpr"] == pytest.approx((0.4 * 0.075 + 0.02) / 10)
    assert none["sorted-late - quarter"] > 0.002  # after as many updates the twin is more accurate


def test_every_arm_reads_the_plan_that_it_is_called_after() -> None:
    names = {plan_name(arm) for arm in SPEC.arms}
    assert names == {"cycles", "sorted", "constant", "cosine"}
    rates = {name: plan_of(name, 0.1, 800).table()["optimizer.lr"] for name in names}
    assert np.array_equal(np.sort(rates["sorted"]), np.sort(rates["cycles"]))
    assert (np.diff(rates["sorted"]) <= 0).all()
    assert all(rate.mean() == pytest.approx(rates["cycles"].mean(), rel=1e-9) for rate in rates.values())
    cells = tuple(Cell(arm, seed) for seed in (9001, 9000) for arm in ("quarter", "sorted"))
    assert [[cell.seed for cell in group] for group in together(SPEC.regimes[0], "confirming", cells)] == [
        [9000, 9000],
        [9001, 9001],
    ]


def test_the_harmonic_is_what_is_planted_and_no_trend() -> None:
    turn = 2 * np.pi * PHASE
    assert harmonic(0.5 + 0.01 * np.arange(32)) == (pytest.approx(0.0), pytest.approx(0.0), 0.0)
    c, s, share = harmonic(0.5 + 0.01 * np.arange(32) + 0.03 * np.cos(turn) - 0.01 * np.sin(turn))
    assert (c, s, share) == pytest.approx((0.03, -0.01, 1.0))


def test_the_remarks_tell_the_leak_over_the_cycle_and_what_to_release() -> None:
    def record(arm: str, seed: int) -> dict[str, Any]:
        own = course(0.80 + 0.01 * PHASE + 0.001 * seed)
        curves = {"auc": own.leaks["auc"].tolist(), "accuracy": own.accuracy.tolist()}
        return {"arm": arm, "status": "done", "metrics": {"accuracy": 0.8, "reached": 1.0}, "curves": curves}

    lines = remarks([record(arm, seed) for arm in ("quarter", "sorted") for seed in range(3)])
    assert len(lines) == 4
    assert "at each eighth of cycles 2 to 4" in lines[0]
    assert "accuracy 80.2, 80.3, 80.5," in lines[0]
    assert "the area swings by" in lines[1]
    assert "The sorted arm was read at an accuracy of 80.00 %" in lines[2]
    assert "protects nobody" in lines[3]
    assert "The sorted twin ends with 0.544 at 81.1 %." in lines[3]
    assert remarks([]) == []


@fashion
def test_canaries_are_wrong_labels_and_nothing_else_is() -> None:
    regime = SPEC.regime("canaries")
    images = load_images(regime.data, regime.sha256, 2, 400)
    plain, marked = (Block.drawn(images, 1_000, 6, share, 9500) for share in (0.0, 0.1))
    assert marked.canary.sum() == 100
    assert not plain.canary.any()
    assert np.array_equal((plain.labels != marked.labels).numpy(), marked.canary)
    assert np.array_equal(plain.inside, marked.inside)
    assert int(marked.labels.max()) == 9


@fashion
def test_a_block_is_trained_once_and_a_stage_sees_its_own_images() -> None:
    regime = SPEC.regime("canaries")
    parameters = {**regime.parameters, **regime.smoke, "epochs": 8}
    cells = tuple(Cell(arm, 9500) for arm in ("trough", "quarter-canaries"))
    tuning, confirming = (
        perform(Request(SPEC.name, regime.name, parameters, stage, cells)) for stage in ("tuning", "confirming")
    )
    assert tuning[0].chunks == (6,)
    assert tuning[0].metrics["auc"] == confirming[0].metrics["auc"]  # the attack is on the pool
    assert tuning[0].metrics["accuracy"] != confirming[0].metrics["accuracy"]
    assert tuning[0].plans == tuning[1].plans
    assert set(tuning[1].metrics) == {"auc", "accuracy"}
    alone = list(measure(Request(SPEC.name, regime.name, parameters, "tuning", (Cell("sorted", 9500),))))
    assert set(alone[0].metrics) == {"auc", "tpr", "loss_auc", "rmia_auc", "accuracy", "reached"}
    assert alone[0].plans != tuning[0].plans
