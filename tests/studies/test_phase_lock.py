"""Study ``phase-lock``: what its searches must do on banks whose truth is planted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ostinato import evaluation
from ostinato.errors import ConfigError, DataError
from ostinato.studies import find
from ostinato.studies.frame.cells import Cell, Request
from ostinato.studies.frame.study import perform
from ostinato.studies.phase_lock import digits, logistic
from ostinato.studies.phase_lock.bank import Bank
from ostinato.studies.phase_lock.layout import Layout
from ostinato.studies.phase_lock.measuring import bank_of
from ostinato.studies.phase_lock.searching import (
    EVALUATORS,
    SAMPLERS,
    TRIALS,
    Outcome,
    score_table,
    search,
    trials_of,
)

STUDY = find("phase-lock")
DIGITS, LOGISTIC = STUDY.spec.regimes
LAYOUT = Layout.of({**STUDY.spec.parameters(DIGITS, "full"), "amplitudes": 4})
SEEDS = range(4)
DRAWS = 200

Floats = NDArray[np.float64]


def planted(score: Callable[[int, int, Floats], Floats], noise: float = 0.0) -> Bank:
    """Return a bank whose value is a function of the peak's place, the period and the phase."""
    values = np.zeros((len(SEEDS), *LAYOUT.shape, LAYOUT.steps - LAYOUT.start))
    steps = np.arange(LAYOUT.start, LAYOUT.steps)
    for a in range(len(LAYOUT.highs)):
        for p, period in enumerate(LAYOUT.periods):
            values[:, a, p] = score(a, period, steps % period / period)
    rng = np.random.default_rng(0)
    return Bank.of(LAYOUT, SEEDS, values + noise * rng.standard_normal(values.shape), values)


def outcomes(bank: Bank, seed: int = 0) -> dict[str, Outcome]:
    truth, found = bank.truth_for(seed), {}
    for evaluator in EVALUATORS:
        table = score_table(bank, seed, evaluator, DRAWS)
        for sampler in SAMPLERS:
            found[f"{sampler}-{evaluator}"] = search(
                bank.layout, trials_of(sampler, bank.layout, DRAWS, seed), table, truth
            )
    return found


def interaction(found: dict[str, Outcome]) -> float:
    weights = STUDY.spec.primary.weights
    return sum(weight * found[arm].regret for arm, weight in weights.items())


def breathing(a: int, period: int, phase: Floats) -> Floats:
    """One and three intervals are the worst periods; half of every cycle flatters them by more than that, and the other half does the reverse."""
    return (period in (47, 141)) + 1.3 * np.where(phase < 0.5, 1.0, -1.0)


def test_where_locking_is_planted_the_grid_falls_for_it_and_the_cycle_mean_does_not() -> None:
    found = outcomes(planted(breathing))
    assert max(found[f"{sampler}-cycle-mean"].regret for sampler in SAMPLERS) < 0.01
    assert found["grid-fixed"].regret > 0.15  # half of the grids hold the period, and half of the offsets flatter it
    assert found["grid-fixed"].regret > found["grid-jittered"].regret + 0.1
    assert found["grid-fixed"].regret > found["random-fixed"].regret + 0.05
    assert found["random-multiples-fixed"].regret > found["random-fixed"].regret + 0.05  # randomness is no cure
    assert interaction(found) > 0.05
    assert found["grid-fixed"].chosen[0] == pytest.approx(found["grid-fixed"].regret, abs=0.02)


def test_where_nothing_breathes_there_is_no_interaction() -> None:
    found = outcomes(planted(lambda a, period, phase: 0.1 * a + period / 500 + 0 * phase))
    assert interaction(found) == pytest.approx(0.0, abs=1e-12)
    for sampler in SAMPLERS:
        assert found[f"{sampler}-fixed"].regret == pytest.approx(found[f"{sampler}-cycle-mean"].regret)
        assert found[f"{sampler}-fixed"].rank_correlation == pytest.approx(1.0, abs=0.01)
    assert found["grid-cycle-mean"].regret > 0.0  # it never tries the best of the bank in half of the draws


def test_reading_the_trough_is_right_for_what_is_deployed() -> None:
    def deeper(
        a: int, period: int, phase: Floats
    ) -> Floats:  # the higher the peak, the worse the mean and the better the trough
        return 0.1 * a - 0.5 * a * (phase > 1 - 1.5 / period)

    found = outcomes(planted(deeper))
    assert found["random-multiples-trough"].trough_regret < found["random-multiples-cycle-mean"].trough_regret - 1.0
    assert found["random-multiples-trough"].regret > found["random-multiples-cycle-mean"].regret + 0.2


def test_offsets_are_drawn_anew_by_every_search_and_alike_for_every_sampler() -> None:
    bank = planted(lambda a, period, phase: phase)
    table = score_table(bank, 0, "fixed", DRAWS)
    own = table[:, 0, 0]  # the period of one interval: its reading is the offset
    assert len(np.unique(own.round(9))) > 40
    assert own.min() < 0.05
    assert own.max() > 0.95
    assert own.mean() == pytest.approx(0.5, abs=0.1)  # no phase is favoured
    assert (score_table(bank, 0, "fixed", DRAWS) == table).all()
    assert not (score_table(bank, 1, "fixed", DRAWS) == table).all()


def test_a_fixed_interval_shows_a_bank_period_exactly_what_the_library_says() -> None:
    bank = planted(lambda a, period, phase: np.cos(2 * math.pi * phase), noise=1.0)
    place = LAYOUT.multiples[1]
    stretch, first = LAYOUT.stretches[place], LAYOUT.periods[0]
    for offset in (0, 5, 46):
        steps = evaluation.every(LAYOUT.interval, offset)(LAYOUT.plan(1.0, LAYOUT.periods[place]).resolve())
        inside = steps[steps >= stretch.first] - stretch.first
        met = list(LAYOUT.met(offset))[LAYOUT.periods[place] - first]
        assert met[0] == place
        assert met[1].tolist() == inside.tolist()
    table = score_table(bank, 0, "fixed", DRAWS)
    reads = {float(bank.readings[place][0, 3, inside % stretch.length].mean())}
    assert any(np.isclose(table[:, 3, LAYOUT.periods[place] - first], read).any() for read in reads)


def test_periods_near_a_multiple_are_nearly_locked_and_others_are_not() -> None:
    phases = {}
    for period, (place, steps) in enumerate(LAYOUT.met(7), LAYOUT.periods[0]):
        phases[period] = evaluation.phases.largest_gap(np.unique(steps % LAYOUT.periods[place] / LAYOUT.periods[place]))
    assert phases[47] == 1.0
    assert phases[48] > 0.7
    assert phases[94] == pytest.approx(0.5)
    assert phases[188] == pytest.approx(0.25)
    assert all(phases[period] < 0.25 for period in LAYOUT.periods if period % LAYOUT.interval)


def test_samplers_try_what_they_are_called() -> None:
    tried = {sampler: trials_of(sampler, LAYOUT, DRAWS, 3) for sampler in SAMPLERS}
    assert {trials.shape for trials in tried.values()} == {(DRAWS, TRIALS, 2)}
    for trials in tried.values():
        assert trials[..., 0].min() == 0
        assert trials[..., 0].max() == len(LAYOUT.highs) - 1
        assert LAYOUT.periods[0] <= trials[..., 1].min() < trials[..., 1].max() <= LAYOUT.periods[-1]
    for sampler in ("grid", "random-multiples"):
        assert (tried[sampler][..., 1] % LAYOUT.interval == 0).all()
    for sampler in ("random", "qmc"):
        assert (tried[sampler][..., 1] % LAYOUT.interval == 0).mean() < 0.1
    for grid in tried["grid"]:
        assert len({tuple(trial) for trial in grid.tolist()}) == TRIALS
        assert len(np.unique(grid[:, 0])) == len(np.unique(grid[:, 1])) == 4
    quarters = tried["qmc"][..., 0] // (len(LAYOUT.highs) // 4)
    assert all((np.bincount(row, minlength=4) == 4).all() for row in quarters)  # what a Sobol sequence is for


def test_a_search_never_meets_the_seeds_of_its_truth() -> None:
    values = np.zeros((len(SEEDS), *LAYOUT.shape, LAYOUT.steps - LAYOUT.start)) + np.arange(4.0)[:, None, None, None]
    bank = Bank.of(LAYOUT, SEEDS, values, values)
    assert [bank.truth_for(seed).mean[0, 0] for seed in SEEDS] == [2.0, 1.0, 2.0, 1.0]
    assert all((score_table(bank, seed, "cycle-mean", 2) == seed).all() for seed in SEEDS)
    with pytest.raises(DataError, match="a search never meets its truth"):
        replace(bank, seeds=(0, 2, 4, 6)).truth_for(0)


def test_a_diverged_run_is_never_chosen_and_counts_as_the_worst() -> None:
    bank = planted(lambda a, period, phase: np.where(a < 3, 1.0 - 0.01 * a, np.nan) + 0 * phase)
    assert bank.means[:, 3].tolist() == np.full(bank.means[:, 3].shape, 1.0).tolist()
    found = outcomes(bank)
    assert found["random-multiples-cycle-mean"].regret < 0.1
    assert np.isinf(score_table(bank, 0, "jittered", 2)[:, 3]).all()


# -- the runs --------------------------------------------------------------------------------------------------


def test_every_run_ends_with_a_cycle_and_is_judged_over_about_its_second_half() -> None:
    for regime in STUDY.spec.regimes:
        for profile in ("smoke", "full"):
            layout = Layout.of(STUDY.spec.parameters(regime, profile))
            assert len(layout.multiples) == 8 == len(layout.periods) / 2
            for period, stretch in zip(layout.periods, layout.stretches, strict=True):
                resolved = layout.plan(0.1, period).resolve()
                assert not resolved.truncated
                assert resolved.total == stretch.stop > layout.steps - period
                assert stretch.first % period == 0
                assert 0.35 * layout.steps < stretch.length < 0.7 * layout.steps


def request(regime: Any, stage: Any, *cells: Cell, **changes: Any) -> Request:
    return Request("phase-lock", regime.name, {**STUDY.spec.parameters(regime, "smoke"), **changes}, stage, cells)


def test_the_logistic_bank_is_what_a_plain_loop_gives() -> None:
    asked = request(LOGISTIC, "confirming", Cell("grid-fixed", 9001), runs=2, seeds=2, amplitudes=4)
    bank, layout = bank_of(asked), Layout.of(asked.parameters)
    problem = logistic.make_problem(asked.parameters)
    assert bank.seeds == (9000, 9001)  # whatever the cells name
    rates = layout.plan(layout.highs[3], layout.periods[2]).resolve().table()["optimizer.lr"]
    rng = np.random.default_rng([9001, 20_264])
    w = rng.standard_normal((2, 1, 8))[0, 0]
    scores = []
    for rate in rates:
        z = problem.rows.numpy()[rng.integers(len(problem.rows), size=(2, asked.parameters["batch"]))[0]]
        w = w + rate * (z.T @ (1 / (1 + np.exp(z @ w))) / len(z) - problem.ridge * w)
        scores.append(float(problem.value(torch.from_numpy(w)) - problem.least))
    stretch = layout.stretches[2]
    assert bank.readings[2][1, 3] == pytest.approx(np.array(scores[stretch.first : stretch.stop]))


def test_cells_do_not_depend_on_what_is_measured_with_them() -> None:
    cells = [Cell(arm, seed) for seed in (9000, 9001) for arm in ("grid-fixed", "random-jittered")]
    several = perform(request(LOGISTIC, "confirming", *cells, runs=1))
    alone = perform(request(LOGISTIC, "confirming", cells[3], runs=1))[0]
    assert next(one.metrics for one in several if one.cell == cells[3]) == alone.metrics
    with pytest.raises(ConfigError, match=r"got the seeds \[9000, 9004\]"):
        perform(request(LOGISTIC, "confirming", Cell("grid-fixed", 9000), Cell("grid-fixed", 9004)))


def test_no_run_looks_at_test_images_and_every_seed_has_images_of_its_own() -> None:
    images = digits.images_of(DIGITS)
    blind = replace(images, test=(torch.zeros_like(images.test[0]), images.test[1]))
    plan = LAYOUT.plan(0.1, 47).replace({"total": 47})
    seeing, unseeing = (
        digits.train(given, DIGITS.parameters, [plan] * 2, [50, 51], range(40, 47)).metrics["nll"]
        for given in (images, blind)
    )
    assert np.isfinite(seeing).all()
    assert (seeing == unseeing).all()
    assert not np.isclose(seeing[0], seeing[1]).any()


def test_the_table_of_regrets_needs_every_arm() -> None:
    metrics = {"regret": 0.125, "trough_regret": 0.5, "rank_correlation": 0.75, "best": 0.1, "trough_best": 0.05}
    curves = {"period": [47.0, 60.0], "chosen": [0.25, 0.75]}
    records = [
        {"arm": f"{s}-{e}", "seed": 1000, "status": "done", "metrics": metrics, "curves": curves}
        for s in SAMPLERS
        for e in EVALUATORS
    ]
    assert STUDY.table(records)[-2] == "| random-multiples |" + " 12.5 / 50.0 (0.75) |" * 4
    assert STUDY.table(records[1:]) == []
    assert (
        "one interval, 47 steps, of which a fixed interval sees one phase: grid-fixed 25.0%"
        in STUDY.remarks(records)[0]
    )
