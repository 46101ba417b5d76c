"""Study ``weight-decay-phase``: doses that match, phases that are what they are called."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import pytest

from ostinato.studies import find
from ostinato.studies.frame.cells import Cell, Request
from ostinato.studies.frame.study import perform
from ostinato.studies.weight_decay_phase.measuring import arm_plan
from ostinato.studies.weight_decay_phase.remarks import remarks
from ostinato.studies.weight_decay_phase.spec import SHIFTS

SPEC = find("weight-decay-phase").spec
SETTINGS = {"decay": 0.2, "shift": 0.375}
STEPS, CYCLES, PEAK = 200, 5, 0.01


def table(arm: str) -> tuple[np.ndarray, np.ndarray]:
    found = arm_plan(arm, SETTINGS, PEAK, STEPS, CYCLES).table()
    return found["optimizer.lr"], found["optimizer[decay].weight_decay"]


def test_every_arm_has_the_dose_that_it_is_named_after() -> None:
    for arm in SPEC.arms:
        rate, decay = table(arm)
        assert np.array_equal(rate, table("constant")[0])
        if "mean" in arm:
            assert decay.mean() == pytest.approx(0.2, rel=1e-9)
        else:
            assert (rate * decay).mean() == pytest.approx(0.2 * rate.mean(), rel=1e-9)
    assert set(table("constant")[1]) == {0.2}


@pytest.mark.parametrize("kind", ["shift", "mean"])
def test_the_decay_is_late_by_the_shift(kind: str) -> None:
    rate = table("constant")[0]
    length = STEPS // CYCLES
    for k, shift in enumerate(SHIFTS):
        decay = table(f"{kind}-{k}")[1]
        late = np.roll(rate.reshape(CYCLES, length), round(shift * length), axis=1).ravel()
        assert decay / decay.max() == pytest.approx(late / late.max(), abs=1e-9)
    assert np.corrcoef(rate, table(f"{kind}-0")[1])[0, 1] == pytest.approx(1.0)
    assert np.corrcoef(rate, table(f"{kind}-4")[1])[0, 1] == pytest.approx(-1.0)
    assert np.array_equal(table(f"best-{kind}")[1], table(f"{kind}-3")[1])


def test_the_harmonics_see_a_wave_and_nothing_else() -> None:
    for contrast in SPEC.contrasts:
        if "harmonic" not in contrast.name:
            continue
        kind, turn = (
            ("shift" if "shifts" in contrast.name else "mean"),
            (math.cos if "cosine" in contrast.name else math.sin),
        )
        error = {f"{kind}-{k}": 0.15 + 0.01 * turn(2 * math.pi * shift) for k, shift in enumerate(SHIFTS)}
        other = {f"{kind}-{k}": 0.15 + 0.01 * turn(4 * math.pi * shift) for k, shift in enumerate(SHIFTS)}
        assert sum(weight * error[arm] for arm, weight in contrast.weights.items()) == pytest.approx(0.01)
        assert sum(weight * other[arm] for arm, weight in contrast.weights.items()) == pytest.approx(0.0, abs=1e-12)


def test_the_remarks_tell_the_chosen_shift_and_the_errors_over_all_of_them() -> None:
    def record(arm: str) -> dict[str, Any]:
        place = int(arm[-1]) if arm[-1].isdigit() else 0
        return {
            "arm": arm,
            "status": "done",
            "settings": SETTINGS,
            "metrics": {"error": 0.15 + place / 1000, "weight_norm": 9.0},
        }

    lines = remarks([record(arm) for arm in SPEC.arms])
    assert lines[0] == "Chosen: constant decay 0.2, shift 0.375 (rate * decay matched), 0.375 (mean decay matched)."
    assert "error 15.00, 15.10, 15.20, 15.30, 15.40, 15.50, 15.60, 15.70 points (range 0.70)" in lines[1]
    assert len(lines) == 4


@pytest.mark.skipif("OSTINATO_DATA" not in os.environ, reason="needs Fashion-MNIST (OSTINATO_DATA)")
def test_tuning_sees_no_test_image_and_equal_plans_are_trained_once() -> None:
    regime = SPEC.regimes[0]
    cells = tuple(
        Cell(arm, 9500, {"decay": 0.2, "shift": 0.25}) for arm in ("constant", "best-shift", "shift-2", "shift-6")
    )
    done = perform(Request(SPEC.name, regime.name, {**regime.parameters, **regime.smoke}, "tuning", cells))
    assert all(set(one.metrics) == {"validation_error", "validation_nll"} and one.correct == "" for one in done)
    assert done[0].chunks == (3,)
    assert done[1].metrics == done[2].metrics
    assert done[1].plans == done[2].plans != done[3].plans
