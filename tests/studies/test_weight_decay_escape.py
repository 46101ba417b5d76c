"""Study ``weight-decay-escape``: decays that are what they are called, wells that are placed as said, and escapes that are planted and found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ostinato.applications.landscapes import DoubleWells
from ostinato.errors import ConfigError
from ostinato.studies import find
from ostinato.studies.frame.cells import Cell, Request
from ostinato.studies.frame.judging import judge
from ostinato.studies.frame.study import perform
from ostinato.studies.frame.tuning import settings_of
from ostinato.studies.weight_decay_escape import measuring
from ostinato.studies.weight_decay_escape.measuring import make_wells
from ostinato.studies.weight_decay_escape.plans import highest, plan_of
from ostinato.studies.weight_decay_escape.remarks import across, remarks

STUDY = find("weight-decay-escape")
SPEC = STUDY.spec
HEADLINE = SPEC.regimes[0]
CHOSEN = {"cyclic": {"high": 4.0}, "constant": {"decay": 2.0}}


def values(arm: str, seed: int = 0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    high = highest(arm, settings_of(SPEC, arm, CHOSEN), 1.0)
    table = plan_of(arm, high, 0.01, 200, 5, seed=seed).table()
    return table["optimizer.lr"], table["optimizer.weight_decay"]


def test_the_arms_are_what_they_are_called() -> None:
    decays = {arm: values(arm)[1] for arm in SPEC.arms}
    assert decays["cyclic"].max() == pytest.approx(4.0)
    assert decays["cyclic"].mean() == pytest.approx(2.0)
    assert (np.sort(decays["cyclic"])[::-1] == decays["sorted"]).all()
    assert np.array_equal(np.sort(decays["shuffled"]), np.sort(decays["cyclic"]))
    assert not np.array_equal(values("shuffled", 1)[1], values("shuffled", 2)[1])
    constants = {"constant": 2.0, "max": 4.0, "mean": 2.0, "none": 0.0, "noise": 2.0, "rate-kick": 2.0, "weak-max": 1.0, "weak-mean": 0.5}  # fmt: skip
    for arm, value in constants.items():
        assert set(decays[arm]) == {value}
    assert (decays["from-peak"][0], decays["to-peak"][0]) == pytest.approx((4.0, 4.0))
    assert decays["to-peak"][-1] > 3.9
    assert decays["weak-cyclic"].max() == pytest.approx(1.0)
    for arm in SPEC.arms:
        rate = values(arm)[0]
        assert rate.mean() == pytest.approx(0.01)
        assert (np.ptp(rate) > 0.019) == (arm == "rate-kick")


def test_the_wells_are_placed_as_the_regimes_say() -> None:
    wells = {regime.name: make_wells(regime.parameters, 3) for regime in SPEC.regimes}
    zero = torch.zeros(100, 1)
    sides = {name: float(found.in_deep(zero).double().mean()) for name, found in wells.items()}
    assert 0.3 < sides["symmetric"] < 0.7
    assert (sides["inner"], sides["mirrored"]) == (1.0, 0.0)
    assert (wells["shifted"].barrier == 0.0).all()
    assert torch.equal(wells["shifted"].depths, wells["inner"].depths)
    assert torch.equal(wells["mirrored"].depths, wells["inner"].depths.flip(-1))
    assert wells["noisy"].noise > wells["symmetric"].noise == 0.0
    for name in ("mirrored", "shifted"):
        before = make_wells(SPEC.regime(name).parameters, 3, "tuning")
        assert torch.equal(before.barrier, wells["inner"].barrier)
        assert torch.equal(before.depths, wells["inner"].depths)
    with pytest.raises(ConfigError, match="placed: got 'anywhere'"):
        make_wells({**HEADLINE.parameters, "placed": "anywhere"}, 0)


def request(*cells: Cell, regime: str = "symmetric") -> Request:
    return Request(SPEC.name, regime, SPEC.parameters(SPEC.regime(regime), "smoke"), "confirming", cells)


def cells_of(arms: tuple[str, ...], seed: int = 9000) -> list[Cell]:
    return [Cell(arm, seed, settings_of(SPEC, arm, CHOSEN)) for arm in arms]


def test_decay_pulls_to_zero_and_to_nothing_else() -> None:
    arms = ("cyclic", "sorted", "max", "none")
    zero = {"inner": "deep_side", "mirrored": "shallow_side", "shifted": "barrier"}
    for regime, trapped in (("inner", 0.0), ("mirrored", 1.0), ("shifted", 1.0)):
        found = {one.cell.arm: one.metrics for one in perform(request(*cells_of(arms), regime=regime))}
        assert [found[arm]["trapped"] for arm in arms] == [trapped, trapped, trapped, 1.0]
        assert {name for name in found["none"] if "zero" in name} == {f"trapped_zero_on_{zero[regime]}"}
    symmetric = {one.cell.arm: one.metrics for one in perform(request(*cells_of(arms)))}
    assert symmetric["cyclic"]["trapped_zero_on_deep_side"] < 0.2
    assert symmetric["cyclic"]["trapped_zero_on_shallow_side"] == 1.0
    assert symmetric["none"]["pulled"] == 0.0
    assert symmetric["max"]["pulled"] > 0.8


def test_where_a_weak_rhythm_is_what_lets_go_of_the_shallow_well_the_study_sees_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Planted: 0 lies in the deeper well, far from the barrier, and a constant mean decay is too weak to cross it, while the cycles' high is not."""

    def planted(parameters: Any, seed: int, stage: str) -> DoubleWells:
        count = parameters["wells"]
        full = torch.ones(count, 2, dtype=torch.float64)
        return DoubleWells(1.2 * full[:, 0], full, full * torch.tensor([1.0, 0.5]))

    monkeypatch.setattr(measuring, "make_wells", planted)
    weak = {"high": 0.8}
    found = {one.cell.arm: one.metrics["trapped"] for one in perform(request(*(Cell(arm, 9000, weak) for arm in ("cyclic", "mean", "max"))))}  # fmt: skip
    assert found == {"cyclic": 0.0, "mean": 1.0, "max": 0.0}


def test_cells_do_not_depend_on_what_is_measured_with_them() -> None:
    cells = cells_of(("cyclic", "noise", "rate-kick")) + cells_of(("cyclic", "shuffled"), seed=9001)
    several = {(one.cell.arm, one.cell.seed): one.metrics for one in perform(request(*cells))}
    for cell in cells:
        assert perform(request(cell))[0].metrics == several[cell.arm, cell.seed]
    assert list(STUDY.together(HEADLINE, "confirming", tuple(cells))) == [tuple(cells)]


def test_a_diverged_run_is_recorded_as_such() -> None:
    done = perform(request(Cell("constant", 9000, {"decay": 1e9}), Cell("none", 9000, {})))
    assert [one.status for one in done] == ["diverged", "done"]
    assert done[0].metrics == {}


def records(trapped: dict[str, float]) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    found = []
    for seed in SPEC.seeds_of(HEADLINE, "full"):
        for arm in SPEC.arms:
            share = trapped.get(arm, 0.5) + 0.01 * rng.standard_normal()
            metrics = {
                "trapped": share, "trapped_zero_on_deep_side": 2 * share - 1, "trapped_zero_on_shallow_side": 1.0, "trapped_zero_on_barrier": 1.0, "pulled": 0.9, "highest_decay": 4.0,
            }  # fmt: skip
            found.append({
                "arm": arm, "seed": seed, "regime": HEADLINE.name, "spec": SPEC.digest, "status": "done", "metrics": metrics, "correct": "",
            })  # fmt: skip
    return found


def test_a_planted_escape_is_supported_and_a_constant_that_does_as_well_is_not() -> None:
    for planted, expected in (
        ({"cyclic": 0.3}, "supported"),
        ({}, "not supported"),
        ({"cyclic": 0.3, "max": 0.3}, "not supported"),
        ({"mean": 0.9}, "not supported"),
    ):
        verdict = judge(SPEC, HEADLINE, records(planted)).verdict
        assert verdict is not None
        assert verdict.verdict == expected
    literal = judge(SPEC, HEADLINE, records({"mean": 0.9})).literal
    assert literal is not None
    assert literal.verdict == "supported"


def test_the_remarks_say_who_escapes_and_whether_it_was_a_search() -> None:
    found = records({})
    assert any("where 0 lies on the shallower well's side: cyclic 0.0%" in line for line in remarks(found))
    assert "only pulls to 0" in across(found)[0]
    for record in found:
        record["metrics"]["trapped_zero_on_shallow_side"] = 0.5
    assert "also crosses away from 0" in across(found)[0]
    assert remarks(found[:2]) == []
    assert across([{**found[0], "arm": "sorted"}]) == []
