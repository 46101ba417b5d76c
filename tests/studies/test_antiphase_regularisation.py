"""Study ``antiphase-regularisation``: arms that are what they are called, and models that have what their plans drive."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from ostinato.studies import find
from ostinato.studies.antiphase_regularisation.measuring import together
from ostinato.studies.antiphase_regularisation.plans import SETS, arm_of, arms_of, plan_of
from ostinato.studies.antiphase_regularisation.remarks import across, remarks
from ostinato.studies.frame.cells import Cell, Request
from ostinato.studies.frame.study import perform

STUDY = find("antiphase-regularisation")
SPEC = STUDY.spec
STEPS, CYCLES, STRENGTH = 200, 4, 0.5
RATE, HIGHS = (
    "optimizer.lr",
    {"model:RandomShift.strength": 0.125, "loss.label_smoothing": 0.05, "model:Dropout.p": 0.1},
)


def table(name: str, seed: int = 3) -> Any:
    return plan_of(name, STRENGTH, peak=0.1, steps=STEPS, cycles=CYCLES, seed=seed).table()


def test_each_set_drives_its_own_values_between_0_and_its_high() -> None:
    assert SPEC.arms.keys() == {f"{chosen}-{arm}" for chosen in SETS for arm in arms_of(chosen)}
    for chosen, parts in SETS.items():
        driven = set(table(f"{chosen}-anti").dtype.names) - {"step", RATE}
        assert len(driven) == len(parts)
        for target in driven:
            values = table(f"{chosen}-anti")[target]
            assert values.min() == 0.0
            assert values.max() == pytest.approx(HIGHS[target], rel=0.01)
            assert np.corrcoef(values, table(f"{chosen}-anti")[RATE])[0, 1] == pytest.approx(-1.0)


@pytest.mark.parametrize("chosen", SETS)
def test_the_controls_keep_what_they_must_and_change_the_phase(chosen: str) -> None:
    anti, length = table(f"{chosen}-anti"), STEPS // CYCLES
    targets = [name for name in anti.dtype.names if name not in ("step", RATE)]
    for arm in arms_of(chosen):
        found = table(f"{chosen}-{arm}")
        if arm != "rising":
            assert np.array_equal(found[RATE], anti[RATE])
        for target in targets:
            if arm in ("shuffled", "in-phase", "constant"):
                assert found[target].mean() == pytest.approx(anti[target].mean(), rel=1e-9)
            if arm in ("shuffled", "in-phase"):
                cycles = [np.sort(values[target].reshape(CYCLES, length), axis=1) for values in (found, anti)]
                assert cycles[0] == pytest.approx(cycles[1], abs=1e-12)
            if arm in ("tuned", "high"):
                assert set(found[target]) == {HIGHS[target]}
    in_phase, shuffled = table(f"{chosen}-in-phase"), table(f"{chosen}-shuffled")
    for target in targets:
        assert np.corrcoef(in_phase[target], anti[RATE])[0, 1] > 0.99
        assert abs(np.corrcoef(shuffled[target], anti[RATE])[0, 1]) < 0.5
    assert not np.array_equal(shuffled[targets[0]], table(f"{chosen}-shuffled", seed=4)[targets[0]])


def test_rising_strength_goes_once_up_under_one_cosine_of_the_rate() -> None:
    found = table("all-rising")
    assert (np.diff(found[RATE]) < 0).all()
    for target, high in HIGHS.items():
        assert (np.diff(found[target]) > 0).all()
        assert found[target][-1] == pytest.approx(high, rel=1e-3)
    assert "dropout-rising" not in SPEC.arms


def test_a_population_holds_one_set() -> None:
    cells = tuple(Cell(arm, seed, {"strength": 1.0}) for seed in range(1000, 1020) for arm in SPEC.arms)
    groups = list(together(SPEC.regimes[0], "confirming", cells))
    assert [{arm_of(cell.arm)[0] for cell in group} for group in groups] == [
        {chosen} for chosen in SETS for _ in range(2)
    ]
    assert sorted((c.arm, c.seed) for group in groups for c in group) == sorted((c.arm, c.seed) for c in cells)
    assert len(list(together(SPEC.regimes[0], "tuning", cells))) == len(SETS)


def record(regime: str, arm: str, seed: int, error: float) -> dict[str, Any]:
    return {
        "regime": regime,
        "arm": arm,
        "seed": seed,
        "status": "done",
        "settings": {"strength": 0.5},
        "metrics": {"error": error},
    }


def test_the_interaction_is_told_across_regimes_and_never_within_one() -> None:
    noise = np.random.default_rng(0).normal(0.0, 1e-4, (2, 8))
    noise -= noise.mean(axis=1, keepdims=True)
    gains = {"overfit": 0.004, "underfit": 0.001}
    records = [
        record(regime, f"dropout-{arm}", seed, 0.2 + (gain + noise[place, seed] if arm == "shuffled" else 0.0))
        for place, (regime, gain) in enumerate(gains.items())
        for arm in ("shuffled", "anti", "tuned")
        for seed in range(8)
    ]
    lines = across(records)
    assert (
        "gain of anti over shuffled under overfit less that under underfit, in points, unpaired: dropout +0.30 (+0.29 to +0.31)"
        in lines[0]
    )
    assert "dropout +0.00" in lines[1]
    assert remarks([one for one in records if one["regime"] == "overfit"]) == [
        "Chosen strengths: dropout 0.5 (anti), 0.5 (constant)."
    ]
    assert across(records[:24]) == []
    assert STUDY.across is across


@pytest.mark.skipif("OSTINATO_DATA" not in os.environ, reason="needs Fashion-MNIST (OSTINATO_DATA)")
def test_the_regularisers_act_and_tuning_sees_no_test_image() -> None:
    regime = SPEC.regimes[0]
    parameters = {**regime.parameters, **regime.smoke}
    found = []
    for chosen in ("all", "smoothing"):
        cells = tuple(Cell(f"{chosen}-tuned", 9500, {"strength": strength}) for strength in (0.0, 2.0))
        done = perform(Request(SPEC.name, regime.name, parameters, "tuning", cells))
        assert all(set(one.metrics) == {"validation_error", "validation_nll"} and one.correct == "" for one in done)
        found.append([one.metrics["validation_nll"] for one in done])
    assert found[0][0] == pytest.approx(found[1][0])  # without strength every set is the same training
    assert len({round(value, 6) for value in (*found[0], found[1][1])}) == 3
