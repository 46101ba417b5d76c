"""When a run is scored: at one phase on purpose, over the whole cycle, never at an accidental phase."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ostinato as ost
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError, PlanError
from ostinato.evaluation import examine
from ostinato.search import Objective


def plan(period: int, total: int = 240, waveform: str = "cosine") -> ResolvedPlan:
    return ost.Plan(
        total=total, cycle=ost.Cycle(waveform, period=period), bindings={"optimizer.lr": ost.wave(0.0, 0.1)}
    ).resolve()


def phases(resolved: ResolvedPlan, steps: np.ndarray, period: int) -> np.ndarray:
    return (steps % period) / period


def test_the_trough_is_that_of_the_last_complete_cycle() -> None:
    assert Objective().steps(plan(20)).tolist() == [239]
    assert Objective().steps(plan(70)).tolist() == [209]  # the run ends inside the fourth
    assert Objective().steps(plan(20, waveform="sine")).tolist() == [
        220
    ]  # the last minimum of a sine is the cycle's first step


@given(period=st.integers(8, 120), moment=st.sampled_from(["cycle-mean", "jittered"]), seed=st.integers(0, 9))
def test_means_are_taken_over_the_whole_last_complete_cycle(period: int, moment: str, seed: int) -> None:
    resolved = plan(period)
    steps = Objective(moment=moment, evaluations=8, seed=seed).steps(resolved)
    last = 240 // period
    assert len(steps) == 8
    assert ((steps >= (last - 1) * period) & (steps < last * period)).all()
    assert not examine(resolved, steps, warn=False).locked


@given(period=st.integers(5, 60), interval=st.integers(1, 60))
def test_an_interval_is_refused_or_sees_the_cycle(period: int, interval: int) -> None:
    resolved = plan(period)
    try:
        steps = Objective(moment=f"every:{interval}").steps(resolved)
    except PlanError:
        everything = np.arange(interval - 1, 240 // period * period, interval)
        assert len(everything) == 0 or examine(resolved, everything, warn=False).locked
    else:
        assert not examine(resolved, steps, warn=False).locked
        assert ((steps + 1) % interval == 0).all()


def test_a_locked_interval_is_refused_with_the_reason_and_taken_by_force() -> None:
    with pytest.raises(
        PlanError,
        match=r"^every:20: 12 evaluations see 1 phase of the cycle and never 100 % .*; score at the trough, by cycle-mean or jittered, or force it$",
    ):
        Objective(moment="every:20").steps(plan(20))
    assert Objective(moment="every:20", forced=True).steps(plan(20)).tolist() == [239]


def test_the_score_is_the_mean_and_nothing_less() -> None:
    objective, steps = Objective(moment="cycle-mean"), np.array([1, 2])
    assert objective.score(steps, [0.25, 0.75]) == 0.5
    assert np.isnan(objective.score(steps, [0.25]))
    assert np.isnan(objective.score(steps, [0.25, np.inf]))


def test_what_cannot_be() -> None:
    with pytest.raises(ConfigError, match=r"^score: got 'through'; did you mean 'trough'\?; every:N is every N steps$"):
        Objective(moment="through")
    with pytest.raises(ConfigError, match=r"^score: got 'every:0'"):
        Objective(moment="every:0")
    with pytest.raises(ConfigError, match=r"^metric: got 'accuracy'; known: error, nll$"):
        Objective(metric="accuracy")
    with pytest.raises(
        PlanError,
        match=r"^cycle: the first does not end within the total of 240 steps; choose shorter periods, or a longer total$",
    ):
        Objective().steps(plan(300))
    with pytest.raises(PlanError, match="has no trough"):
        Objective().steps(plan(20, waveform="constant"))
    assert len(Objective(moment="cycle-mean").steps(plan(20, waveform="constant"))) == 16
