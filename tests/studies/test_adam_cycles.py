"""Study ``adam-cycles``: arms of one mean rate, problems of each seed's own, and effects that are planted and found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ostinato.errors import ConfigError, DataError
from ostinato.studies import find
from ostinato.studies.adam_cycles import measuring
from ostinato.studies.adam_cycles.measuring import Logs, gaps, make_problem
from ostinato.studies.adam_cycles.plans import plan_of
from ostinato.studies.adam_cycles.remarks import across, remarks, table
from ostinato.studies.frame.cells import Cell, Request
from ostinato.studies.frame.judging import judge
from ostinato.studies.frame.study import perform

STUDY = find("adam-cycles")
SPEC = STUDY.spec
ARMS = [arm for arm in SPEC.arms if not arm.startswith("sgd-")]
HEADLINE = SPEC.regimes[0]


def rates_of(arm: str, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float64]]:
    found: np.ndarray[Any, np.dtype[np.float64]] = plan_of(arm, 0.01, 1000, 5, seed).table()["optimizer.lr"]
    return found


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_has_the_mean_rate_exactly(arm: str) -> None:
    assert rates_of(arm).mean() == pytest.approx(0.01, rel=1e-12)


def test_the_arms_are_what_they_are_called() -> None:
    peak = rates_of("restarts").max()
    assert (np.sort(rates_of("restarts"))[::-1] == rates_of("sorted")).all()
    assert np.array_equal(np.sort(rates_of("shuffled")), np.sort(rates_of("restarts")))
    assert not np.array_equal(rates_of("shuffled", 1), rates_of("shuffled", 2))
    ends = {arm: (rates_of(arm)[0] / peak, rates_of(arm)[-1] / peak) for arm in ARMS}
    assert ends["restarts"] == pytest.approx((1.0, 0.0), abs=0.02)
    assert ends["trough-to-trough"] == pytest.approx((0.0, 0.0), abs=0.02)
    assert ends["peak-to-peak"] == pytest.approx((1.0, 1.0), abs=0.03)
    assert ends["trough-to-peak"] == pytest.approx((0.0, 1.0), abs=0.03)
    assert set(rates_of("constant")) == {rates_of("constant")[0]}
    assert (np.diff(rates_of("cosine")) < 0).all()
    with pytest.raises(ConfigError, match="arm: got 'zigzag'"):
        plan_of("zigzag", 0.01, 200, 5, 0)


@pytest.mark.parametrize("regime", SPEC.regimes, ids=lambda regime: regime.name)
def test_every_seed_has_a_problem_of_its_own(regime: Any) -> None:
    first, again, other = (make_problem(regime.parameters, seed) for seed in (1, 1, 2))
    at = first.starts(0, 2)
    assert first.value(at).tolist() == again.value(at).tolist()
    assert not np.allclose(first.value(at), other.value(at))
    assert first.least is not None
    excess = first.value(first.starts(5, 50)) - first.least
    assert (excess > regime.parameters["target"]).all()  # nobody starts where all want to get


def logs(excess: list[float], time: list[float] | None = None) -> Logs:
    found, zeros = np.array(excess), np.zeros(len(excess))
    return Logs(found, found, found, np.array(time or excess), zeros, zeros, ())


def test_a_gap_is_the_median_over_the_rates_of_the_difference() -> None:
    claimed = logs([-1.0, -3.0, -9.0], [2.0, 2.0, 2.0])
    apart = gaps(logs([-0.9, -2.5, -1.0], [2.3, 2.0, 1.0]), claimed, "excess")
    assert apart["gap"] == apart["gap_excess"] == pytest.approx(0.5)
    assert apart["gap_time"] == 0.0
    assert gaps(logs([-0.9, -2.5, -1.0], [2.3, 2.2, 1.0]), claimed, "time")["gap"] == pytest.approx(0.2)
    assert set(gaps(claimed, claimed, "excess").values()) == {0.0}


def records(gap: dict[str, float], noise: float = 0.02) -> list[dict[str, Any]]:
    """Return a headline's records in which every arm is a planted number of decades above its cycles."""
    rng = np.random.default_rng(0)
    found = []
    for seed in SPEC.seeds_of(HEADLINE, "full"):
        for arm in SPEC.arms:
            own = gap.get(arm, 0.0) + noise * rng.standard_normal() * (not arm.endswith("restarts"))
            names = ("gap", "gap_excess", "gap_cycle", "gap_peak", "gap_time", "log_excess", "log_cycle", "log_peak", "log_time")  # fmt: skip
            metrics = {**dict.fromkeys(names, own), "reached": 1.0, "diverged": 0.0}
            curves = {"rate": [0.1, 0.2], "log": [own, own], "log_cycle": [own, own]}
            found.append({
                "arm": arm, "seed": seed, "regime": HEADLINE.name, "spec": SPEC.digest, "status": "done", "metrics": metrics, "curves": curves, "correct": "",
            })  # fmt: skip
    return found


def test_a_planted_gain_of_cycles_is_supported_and_none_is_not() -> None:
    gain = dict.fromkeys(("sorted", "cosine", "constant"), 0.2)
    verdict = judge(SPEC, HEADLINE, records(gain)).verdict
    assert verdict is not None
    assert verdict.verdict == "supported"
    for planted in ({}, {"constant": 0.5}, {**gain, "cosine": 0.0}, {"sorted": -0.3}):
        verdict = judge(SPEC, HEADLINE, records(planted)).verdict
        assert verdict is not None
        assert verdict.verdict == "not supported"  # annealing alone, or harm, is no support


def test_a_synergy_is_what_adam_gains_beyond_sgd() -> None:
    found = {
        one.contrast.name: one for one in judge(SPEC, HEADLINE, records({"sorted": 0.3, "sgd-sorted": 0.3})).findings
    }
    assert found["sorted - restarts, Adam less SGD"].decision.verdict == "not supported"
    found = {one.contrast.name: one for one in judge(SPEC, HEADLINE, records({"sorted": 0.3})).findings}
    assert found["sorted - restarts, Adam less SGD"].decision.verdict == "supported"


def test_the_remarks_say_where_a_gain_comes_from() -> None:
    planted = records({"constant": 0.5, "sorted": 0.1, "peak-to-peak": 0.9}, noise=0.0)
    lines = remarks(planted)
    assert any(
        "holds only because training stops at a trough: ended at a peak they are 0.400" in line for line in lines
    )
    assert any("from peak to peak +0.900" in line for line in lines)
    assert not any("only because" in line for line in remarks(records({"constant": 0.5, "peak-to-peak": 0.1})))
    told = across(planted)
    assert "logistic +0.500 = +0.400 +0.100" in told[0]
    assert len(table(planted)) == 3 + 4 + 1
    assert remarks(planted[:3]) == table(planted[:3]) == across(planted[:3]) == []


def test_a_diverged_run_counts_with_the_worst_that_was_seen() -> None:
    found = measuring._log(np.array([[1e-3, np.inf], [1e2, 0.0]]))
    assert found.tolist() == [[-3.0, 2.0], [2.0, -16.0]]


def request(*cells: Cell, regime: Any = HEADLINE) -> Request:
    return Request(SPEC.name, regime.name, SPEC.parameters(regime, "smoke"), "confirming", cells)


def test_cells_do_not_depend_on_what_is_measured_with_them() -> None:
    cells = [Cell(arm, seed) for seed in (9000, 9001) for arm in ("restarts", "constant", "sgd-sorted")]
    several = perform(request(*cells))
    alone = perform(request(cells[4]))[0]
    assert next(one.metrics for one in several if one.cell == cells[4]) == alone.metrics
    by = {(one.cell.arm, one.cell.seed): one for one in several}
    assert by["restarts", 9000].metrics["gap"] == 0.0
    assert by["constant", 9000].metrics["gap"] != by["constant", 9001].metrics["gap"]
    assert len(by["constant", 9000].plans) == len(HEADLINE.parameters["rates"])


def test_other_data_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "digest_of", lambda data: "0" * 64)
    with pytest.raises(DataError, match=r"has SHA-256 0000.*restore the data"):
        perform(request(Cell("restarts", 9000)))
