"""Study ``folding``: arms that are what they are called, scores of planted ends, verdicts on planted effects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ostinato.applications import folding
from ostinato.evaluation import Verdict
from ostinato.studies import find
from ostinato.studies.folding.measuring import plan_of, scores
from ostinato.studies.folding.remarks import remarks
from ostinato.studies.frame.cells import Cell, Measurement, Request
from ostinato.studies.frame.judging import judge
from ostinato.studies.frame.study import perform

SPEC = find("folding").spec
REGIME = SPEC.regimes[0]
SMALL = {**REGIME.parameters, "starts": 6, "evaluations": 400}
BEST = REGIME.parameters["best"]


def measured(*cells: Cell, **changes: Any) -> list[Measurement]:
    return perform(Request("folding", REGIME.name, {**SMALL, **changes}, "confirming", cells))


def test_the_plans_are_what_they_are_called() -> None:
    arms = ("restarts", "sorted", "constant", "cosine", "noise")
    tables = {arm: plan_of(arm, 0.1, {**REGIME.parameters}).table() for arm in arms}
    rates = {arm: table["optimizer.lr"] for arm, table in tables.items()}
    assert {len(rate) for rate in rates.values()} == {9000}
    assert (np.sort(rates["restarts"])[::-1] == rates["sorted"]).all()
    assert rates["constant"] == pytest.approx(rates["restarts"].mean())
    assert (np.diff(rates["cosine"]) < 0).all()
    assert (rates["noise"] == rates["cosine"]).all()
    assert tables["noise"]["noise.scale"] == pytest.approx(30 * rates["noise"])
    assert (np.flatnonzero(np.diff(rates["restarts"]) > 0) == np.arange(899, 8999, 900)).all()


def test_the_best_energies_are_the_published_ones() -> None:
    for regime in SPEC.regimes:
        known = folding.reference(*(regime.parameters[name] for name in ("sequence", "model", "dim")))
        assert (
            known is None if regime.name == "1l2y" else known is not None and known.energy == regime.parameters["best"]
        )
    protein = SPEC.regime("1l2y").parameters["sequence"]
    assert protein == folding.of_residues("NLYIQWLKDGGPSSGRPPPS")


def test_without_a_rate_every_arm_under_a_plan_ends_below_its_start() -> None:
    """A null by construction: all arms have the same starts, and a rate of nothing moves none of them."""
    arms = [Cell(arm, 9000, {"peak": 1e-15}) for arm in ("restarts", "sorted", "constant", "cosine")]
    done = measured(*arms)
    for one in done:
        assert one.metrics["energy_gap"] == pytest.approx(done[0].metrics["energy_gap"], rel=1e-6)
    energy = folding.Energy(SMALL["sequence"], SMALL["model"])
    starts = folding.random_angles(energy, 6, torch.Generator().manual_seed(9000))
    ends = folding.polish(energy, starts, 40)[0]
    assert done[0].curves["ends"] == pytest.approx(ends.tolist(), rel=1e-6)
    moved = measured(Cell("restarts", 9000, {"peak": 0.1}))[0]
    assert moved.metrics["energy_gap"] < done[0].metrics["energy_gap"] - 0.05


def test_the_lowest_points_are_those_of_the_same_run() -> None:
    last, lowest = measured(*(Cell(arm, 9003, {"peak": 0.3}) for arm in ("restarts", "restarts-lowest")))
    assert last.plans == lowest.plans
    assert last.curves["energy_gap"] == lowest.curves["energy_gap"]
    assert last.curves["ends"] != lowest.curves["ends"]


def test_no_start_uses_more_than_its_evaluations_and_searches_use_them() -> None:
    cells = [Cell(arm, 9001, {"peak": 0.1, "size": 1.2}) for arm in SPEC.arms]
    used = {one.cell.arm: one.metrics["evaluations"] for one in measured(*cells)}
    assert max(used.values()) <= 400
    assert min(used.values()) >= 360


def test_a_batch_is_measured_alike_whatever_is_measured_with_it() -> None:
    cells = [Cell(arm, 9002, {"peak": 0.1, "size": 1.2}) for arm in ("noise", "basin-hopping", "restarts")]
    together = {one.cell.arm: one for one in measured(*cells)}
    for cell in cells:
        alone = measured(cell)[0]
        assert alone.metrics == together[cell.arm].metrics
        assert alone.curves == together[cell.arm].curves
        assert alone.plans == together[cell.arm].plans


def planted(ends: list[float], plan: str = "", trace: float = BEST) -> folding.Folding:
    nothing = np.zeros(1)
    mean = np.full(100, trace)
    return folding.Folding(
        "A", "azimuth", 3, "plan", np.array(ends), nothing, nothing, 40, mean, mean, np.array([3, 0]), BEST, None, plan
    )


def test_scores_are_shares_of_the_best_energy_and_knots_count_as_no_fold() -> None:
    metrics, curves = scores(planted([BEST, 0.5 * BEST, 0.0, 4000.0], "x", 0.75 * BEST), SMALL)
    assert metrics["energy_gap"] == pytest.approx((0 + 0.5 + 1 + 1) / 4)
    assert metrics["best_energy_gap"] == 0.0
    assert metrics["far"] == metrics["miss"] == 0.75
    assert (
        metrics["trough_energy_gap"] == metrics["peak_energy_gap"] == metrics["cycle_energy_gap"] == pytest.approx(0.25)
    )
    assert curves["ends"][3] == 4000.0
    assert scores(planted([BEST + 0.0009, 0.89 * BEST]), SMALL)[0]["miss"] == 0.5
    assert scores(planted([0.91 * BEST, 0.89 * BEST]), SMALL)[0]["far"] == 0.5


def records(levels: dict[str, float]) -> list[dict[str, Any]]:
    """Records of every arm and seed whose starts end, on average, at a share of the best energy."""
    found = []
    for arm in SPEC.arms:
        for seed in SPEC.seeds_of(REGIME, "full"):
            rng = np.random.default_rng([seed, len(arm)])
            ends = BEST * (levels.get(arm, levels["*"]) + 0.1 * rng.standard_normal(50))
            metrics, curves = scores(
                planted(ends.tolist(), "" if arm in ("multistart", "basin-hopping") else "x"), SMALL
            )
            done = Measurement(Cell(arm, seed, {"peak": 0.1}), metrics, curves=curves)
            found.append({**done.to_document(), "regime": REGIME.name, "spec": SPEC.digest})
    return found


def verdict(levels: dict[str, float]) -> Verdict:
    found = judge(SPEC, REGIME, records(levels)).verdict
    assert found is not None
    return found


def test_a_planted_effect_is_found_and_a_null_is_none() -> None:
    assert verdict({"restarts": 0.65, "*": 0.6}).verdict == "supported"
    assert verdict({"*": 0.6}).verdict == "not supported"
    assert verdict({"restarts": 0.55, "*": 0.6}).verdict == "not supported"


def test_annealing_by_noise_must_be_beaten_too() -> None:
    found = verdict({"restarts": 0.65, "noise": 0.7, "*": 0.6})
    assert found.verdict == "not supported"
    assert found.primary.verdict == "supported"


def test_the_remarks_tell_who_found_the_lowest_energy_and_what_the_trough_is_worth() -> None:
    lines = remarks(records({"*": 0.6}))
    assert "E* is -16.5544" in lines[0]
    assert "1 of 1000" in lines[0]
    assert "restarts 50.0% (fewer than half)" in lines[1] or "restarts 50.0% (half of them by" in lines[1]
    assert "restarts 0.0%, 0.0%, 0.0%, polished 39." in lines[2]
    assert "Evaluations of a start: restarts 1," in lines[3]
    assert remarks([]) == []
