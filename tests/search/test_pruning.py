"""Pruning at matched phase: what pruners are shown, and what they would do at the same raw step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import optuna
import pytest
from optuna.pruners import BasePruner
from optuna.trial import TrialState

import ostinato as ost
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError, StateError
from ostinato.search import MatchedPhasePruner, follow
from ostinato.search.pruning import pruner_of
from ostinato.search.samplers import quiet

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def plan(period: int, total: int = 240) -> ResolvedPlan:
    return ost.Plan(
        total=total, cycle=ost.Cycle("cosine", period=period), bindings={"optimizer.lr": ost.wave(0.0, 0.1)}
    ).resolve()


def breathing(resolved: ResolvedPlan, quality: float) -> np.ndarray:
    """A score that falls with time and breathes with the rate: high at the peak, `quality` better or worse throughout."""
    steps = np.arange(resolved.total)
    rate = resolved.table()["optimizer.lr"] / 0.1
    return quality + 1.0 / (1.0 + steps / 40) + 0.5 * rate


def run(pruner: BasePruner, plans: list[tuple[int, float]], every: int = 1) -> list[int | None]:
    """Run trials that report every so many steps; return where each was pruned."""
    with quiet():
        study = optuna.create_study(pruner=pruner)
    stopped: list[int | None] = []
    for period, quality in plans:
        trial, resolved = study.ask(), plan(period)
        follow(trial, resolved)
        scores, where = breathing(resolved, quality), None
        for step in range(every - 1, resolved.total, every):
            trial.report(float(scores[step]), step)
            if trial.should_prune():
                where = step
                break
        stopped.append(where)
        study.tell(
            trial,
            None if where is not None else float(scores[-1]),
            TrialState.PRUNED if where is not None else TrialState.COMPLETE,
        )
    return stopped


SHORT_THEN_LONG = [(20, 0.0)] * 6 + [(60, -0.2)]


def test_at_the_same_step_a_better_plan_is_pruned_for_its_phase_and_at_matched_phase_it_is_not() -> None:
    median = optuna.pruners.MedianPruner(n_startup_trials=3)
    assert run(median, SHORT_THEN_LONG, every=20)[-1] == 19  # the long cycle is at 3/4 of its peak there
    assert run(MatchedPhasePruner(median), SHORT_THEN_LONG, every=20)[-1] is None


@pytest.mark.parametrize("by", ["budget", "cycle"])
def test_a_plan_that_is_worse_at_every_phase_is_pruned_at_the_end_of_a_cycle(by: str) -> None:
    plans = [(20, 0.0)] * 6 + [(60, 2.0)]
    stopped = run(MatchedPhasePruner(optuna.pruners.MedianPruner(n_startup_trials=3), by), plans)[-1]
    assert stopped in plan(60).snapshots


def test_nothing_is_pruned_inside_a_cycle() -> None:
    every_step = MatchedPhasePruner(optuna.pruners.ThresholdPruner(upper=-1.0))  # prunes whatever it is shown
    assert run(every_step, [(60, 0.0)]) == [59]


MAKERS: dict[str, Callable[[], BasePruner]] = {
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=2),
    "percentile": lambda: optuna.pruners.PercentilePruner(25.0, n_startup_trials=2),
    "halving": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
    "hyperband": lambda: optuna.pruners.HyperbandPruner(min_resource=1, max_resource=8, reduction_factor=2),
    "patient": lambda: optuna.pruners.PatientPruner(optuna.pruners.MedianPruner(n_startup_trials=2), patience=1),
    "threshold": lambda: optuna.pruners.ThresholdPruner(upper=2.5),
    "wilcoxon": optuna.pruners.WilcoxonPruner,
    "nop": optuna.pruners.NopPruner,
}


@pytest.mark.parametrize("name", list(MAKERS))
def test_any_pruner_of_optunas_works_and_prunes_at_ends_only(name: str) -> None:
    plans = [(period, quality) for quality in (0.0, 0.1, 3.0) for period in (20, 30, 60)]
    stopped = run(MatchedPhasePruner(MAKERS[name]()), plans, every=10)
    for (period, quality), where in zip(plans, stopped, strict=True):
        assert where is None or where in plan(period).snapshots
        assert where is None or quality > 0 or name in ("halving", "hyperband")
    if name in ("median", "percentile", "threshold"):
        assert all(where is not None for (_, quality), where in zip(plans, stopped, strict=True) if quality == 3.0)
    if name == "nop":
        assert set(stopped) == {None}


def test_halving_keeps_what_it_notes_of_its_rungs() -> None:
    study = optuna.create_study(pruner=MatchedPhasePruner(MAKERS["halving"]()))
    trial, resolved = study.ask(), plan(30)
    follow(trial, resolved)
    for step in resolved.snapshots:
        trial.report(1.0, step)
        trial.should_prune()
    assert [key for key in study.trials[0].system_attrs if key.startswith("completed_rung")]


def test_trials_are_numbered_by_cycle_or_by_eighths_of_their_budget() -> None:
    study = optuna.create_study()
    trial = study.ask()
    follow(trial, plan(60))
    for step in range(9, 240, 10):
        trial.report(float(step), step)
    frozen = study.trials[0]
    assert MatchedPhasePruner(MAKERS["nop"](), "cycle").matched(frozen) == {0: 59.0, 1: 119.0, 2: 179.0, 3: 239.0}
    assert MatchedPhasePruner(MAKERS["nop"](), "budget").matched(frozen) == {2: 59.0, 4: 119.0, 6: 179.0, 8: 239.0}


def test_what_cannot_be() -> None:
    with pytest.raises(ConfigError, match=r"^pruner: got a str, expected one of optuna\.pruners$"):
        MatchedPhasePruner("median")
    with pytest.raises(ConfigError, match=r"^by: got 'step'; known: budget, cycle$"):
        MatchedPhasePruner(MAKERS["nop"](), "step")
    with pytest.raises(ConfigError, match=r"^pruner: got 'medium'; did you mean 'median'\?$"):
        pruner_of("medium")
    with pytest.raises(ConfigError, match=r"^pruner: median does not take"):
        pruner_of("median", {"patience": 3})
    study = optuna.create_study(pruner=MatchedPhasePruner(MAKERS["nop"]()))
    trial = study.ask()
    trial.report(1.0, 3)
    with pytest.raises(
        StateError,
        match=r"^trial 0: reported, but nobody said which plan it follows; call ost\.search\.follow\(trial, plan\.resolve\(\.\.\.\)\) before$",
    ):
        trial.should_prune()
