"""Study ``gan-phase``: arms of one mean rate, games that do not depend on their neighbours, and effects that are planted and found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ostinato.applications.adversarial import Games, mixture
from ostinato.core.clock import Span
from ostinato.errors import ConfigError
from ostinato.studies import find
from ostinato.studies.frame.cells import Cell, Request
from ostinato.studies.frame.judging import judge
from ostinato.studies.frame.study import perform
from ostinato.studies.gan_phase import measuring
from ostinato.studies.gan_phase.measuring import metrics_of, together
from ostinato.studies.gan_phase.plans import plan_of
from ostinato.studies.gan_phase.remarks import across, remarks, table

STUDY = find("gan-phase")
SPEC = STUDY.spec
GRID, RING = SPEC.regimes
SETTINGS = {"rate": 1e-3, "ratio": 4.0}
ROUNDS, CYCLES = 400, 10


def rates_of(arm: str, **settings: float) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    found = plan_of(arm, {**SETTINGS, **settings}, ROUNDS, CYCLES).table()
    return {player: found[f"{player}.lr"] for player in ("generator", "discriminator")}


@pytest.mark.parametrize("arm", SPEC.arms)
def test_every_arm_has_the_mean_rate_exactly(arm: str) -> None:
    found = rates_of(arm)
    means = [found[player].mean() for player in found]
    assert np.mean(means) == pytest.approx(1e-3, rel=1e-9)
    if arm not in ("two-time-scale", "tuned-constant"):
        assert means == pytest.approx([1e-3, 1e-3], rel=1e-9)


def test_the_arms_are_what_they_are_called() -> None:
    length = ROUNDS // CYCLES
    generator = rates_of("anti")["generator"]
    late = {"anti": 0.5, "in-phase": 0.0, "lag": 0.25, "lead": -0.25}
    for arm, shift in late.items():
        found = rates_of(arm)
        assert found["generator"] == pytest.approx(generator)
        assert found["discriminator"] == pytest.approx(np.roll(generator, round(shift * length)))
    anti = rates_of("anti")
    assert anti["generator"] + anti["discriminator"] == pytest.approx(2e-3)
    own = rates_of("decorrelated")["discriminator"]
    assert abs(np.corrcoef(own, generator)[0, 1]) < 0.01
    assert (np.diff(rates_of("cosine")["discriminator"]) < 0).all()
    unequal = rates_of("two-time-scale")
    assert unequal["discriminator"] / unequal["generator"] == pytest.approx(np.full(ROUNDS, 4.0))
    assert set(rates_of("tuned-constant", ratio=1.0)["generator"]) == {1e-3}
    with pytest.raises(ConfigError, match="arm: got 'zigzag'"):
        plan_of("zigzag", SETTINGS, ROUNDS, CYCLES)


def games(jsd: dict[str, int]) -> Games:
    """Return games of one seed in which an arm covers so many modes perfectly all the time, read four times in the last of two cycles."""
    grid = mixture("grid")
    counts = np.zeros((8, len(jsd), 1, 26), np.int64)
    for place, modes in enumerate(jsd.values()):
        counts[:, place, 0, :modes] = 100
        counts[:, place, 0, -1] += modes == 0
    zeros = np.zeros((8, len(jsd), 1))
    return Games(
        grid, tuple(jsd), (0,), np.arange(9, 80, 10), counts, np.stack([zeros, zeros]), zeros,
        np.full((len(jsd), 1), -1), np.zeros((1, len(jsd), 1, 1, 2), np.float32), (Span(index=1, start=40, end=80, complete=True, peak=60, trough=79),) * len(jsd), ("",) * len(jsd),
    )  # fmt: skip


def test_what_is_measured_of_planted_games() -> None:
    found = metrics_of(games({"all": 25, "two missing": 23, "one": 1, "none": 0}))
    jsd = found["jsd"][:, 0]
    assert jsd[0] < 0.005
    assert jsd[1] == pytest.approx(SPEC.primary.margin, abs=0.006)
    assert 0.5 < jsd[2] < jsd[3] < np.log(2)
    assert found["missed"][:, 0].tolist() == [0.0, 2.0, 24.0, 25.0]
    assert found["junk"][:, 0].tolist() == [0.0, 0.0, 0.0, 1.0]
    assert found["reverse_kl"][2:, 0] == pytest.approx([np.log(25)] * 2)


def test_the_last_cycle_counts_and_never_its_best() -> None:
    planted = games({"swinging": 25})
    counts = planted.counts.copy()
    counts[4:7, 0, 0, 1:25] = 0  # all of the last cycle but its end
    found = metrics_of(replace(planted, counts=counts))
    final, mean, worst = (found[name][0, 0] for name in ("jsd_final", "jsd", "jsd_worst"))
    assert final < 0.005
    assert mean == pytest.approx((3 * worst + final) / 4)
    assert found["missed"][0, 0] == 18.0


def records(jsd: dict[str, float], regime: Any = GRID, noise: float = 0.01, **more: float) -> list[dict[str, Any]]:
    """Return a regime's records in which every arm has a planted divergence."""
    rng = np.random.default_rng(0)
    names = ("jsd", "jsd_final", "jsd_worst", "missed", "junk", "reverse_kl", "runaway", "loss_discriminator", *(f"jsd_phase_{k}" for k in range(8)))  # fmt: skip
    found = []
    for seed in SPEC.seeds_of(regime, "full"):
        for arm in SPEC.arms_of(regime):
            own = jsd.get(arm, 0.3) + noise * rng.standard_normal()
            metrics = {**dict.fromkeys(names, own), **(more if arm == "anti" else {})}
            found.append({
                "arm": arm, "seed": seed, "regime": regime.name, "spec": SPEC.digest, "status": "done", "metrics": metrics, "correct": "",
            })  # fmt: skip
    return found


def test_a_planted_gain_is_supported_and_none_is_not() -> None:
    verdict = judge(SPEC, GRID, records({"anti": 0.2})).verdict
    assert verdict is not None
    assert verdict.verdict == "supported"
    for planted in ({}, {"anti": 0.2, "two-time-scale": 0.2}, {"anti": 0.2, "in-phase": 0.19}, {"anti": 0.4}):
        verdict = judge(SPEC, GRID, records(planted)).verdict
        assert verdict is not None
        assert verdict.verdict == "not supported"  # nothing, no better than tuned constants or than in phase, or harm


def test_the_remarks_tell_where_training_stops_and_where_on_the_circle_it_is_best() -> None:
    lines = remarks(records({"in-phase": 0.5, "anti": 0.3, "lead": 0.4, "lag": 0.4}, noise=0.0))
    assert any("0.50 of a cycle late" in line and "swings by 0.100 nat" in line for line in lines)
    assert not any("only because" in line for line in lines)
    late = remarks(records({"in-phase": 0.4, "anti": 0.4, "lag": 0.3, "lead": 0.5}, noise=0.0, jsd_final=0.1))
    assert any("0.25 of a cycle late" in line for line in late)
    assert any("better only because training stops" in line for line in late)
    planted = records({"in-phase": 0.5, "anti": 0.3, "tuned-constant": 0.45, "two-time-scale": 0.4}, noise=0.0)
    assert "grid: +0.200 nat for the phase (in-phase - anti), +0.050 for the ratio" in across(planted)[0]
    assert len(table(planted)) == 3 + len(SPEC.arms) + 1
    few = records({}, RING)
    assert remarks(few)
    assert not any("four shifts" in line for line in remarks(few))
    assert remarks(few[:1]) == table(few[:1]) == across(few[:1]) == []


def request(*cells: Cell, regime: Any = GRID) -> Request:
    return Request(SPEC.name, regime.name, SPEC.parameters(regime, "smoke"), "confirming", cells)


def test_cells_do_not_depend_on_what_is_measured_with_them() -> None:
    cells = [Cell(arm, seed, SETTINGS) for seed in (9000, 9001) for arm in ("anti", "in-phase")]
    several = {(one.cell.arm, one.cell.seed): one for one in perform(request(*cells))}
    alone = perform(request(cells[3]))[0]
    assert several["in-phase", 9001].metrics == pytest.approx(alone.metrics)
    assert several["anti", 9001].curves["jsd"] != several["anti", 9000].curves["jsd"]


def test_equal_plans_and_unequal_sets_of_arms_are_measured_each() -> None:
    cells = [Cell("tuned-constant", 9000, {"rate": 1e-3}), Cell("two-time-scale", 9000, {"rate": 1e-3, "ratio": 1.0}), Cell("anti", 9001, {"rate": 2e-3})]  # fmt: skip
    done = perform(request(*cells))
    assert [one.cell for one in done] == cells
    assert done[0].metrics == done[1].metrics


def test_a_game_that_diverges_is_recorded_as_such() -> None:
    done = perform(request(Cell("anti", 9000, {"rate": 1e30})))[0]
    assert (done.status, done.metrics) == ("diverged", {})


def test_processes_get_whole_seeds() -> None:
    cells = tuple(Cell(arm, seed) for seed in range(5) for arm in ("anti", "in-phase"))
    blocks = list(together(GRID, "confirming", cells))
    assert [sorted({cell.seed for cell in block}) for block in blocks] == [[0], [1], [2], [3], [4]]
    assert sum(map(len, blocks)) == len(cells)


@pytest.mark.parametrize("regime", SPEC.regimes, ids=lambda regime: regime.name)
def test_every_phase_of_the_table_is_read(regime: Any) -> None:
    sizes = regime.parameters
    length = sizes["rounds"] // sizes["cycles"]
    assert sizes["rounds"] % sizes["cycles"] == 0
    assert all((phase * length) % sizes["every"] == 0 for phase in measuring.PHASES)
