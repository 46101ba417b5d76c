"""Scores: the interquartile mean against scipy's, the bootstrap's strata, and evaluation that touches nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import trim_mean
from stable_baselines3 import PPO

from ostinato.applications.reinforcement import Grid, environments, interquartile_mean, stratified_bootstrap
from ostinato.errors import ConfigError, DataError


@pytest.mark.parametrize("count", [1, 4, 7, 30])
def test_the_interquartile_mean_is_rliables(count: int) -> None:
    scores = np.random.default_rng(count).exponential(size=(count, 3))
    assert interquartile_mean(scores) == pytest.approx(trim_mean(scores, 0.25, axis=None))


def test_runs_are_resampled_within_tasks() -> None:
    rng = np.random.default_rng(0)
    between = np.array([0.0, 10.0, 20.0, 30.0]) + 0.1 * rng.standard_normal((20, 4))
    interval = stratified_bootstrap(between)
    assert interval.low < interquartile_mean(between) < interval.high
    assert interval.high - interval.low < 0.5  # tasks keep their share: their differences are no uncertainty
    pooled = stratified_bootstrap(rng.permutation(between.ravel()).reshape(20, 4))
    assert pooled.high - pooled.low > 2.0


def test_bad_scores_are_refused() -> None:
    with pytest.raises(DataError, match="expected at least one and all finite"):
        interquartile_mean([])
    with pytest.raises(DataError, match=r"expected \(runs, tasks\) with at least 2 runs"):
        stratified_bootstrap([[1.0, 2.0]])


def test_evaluation_is_on_the_grid_alone_and_disturbs_nothing() -> None:
    envs = environments("CartPole-v1", 2, difficulty=1.0)
    model = PPO("MlpPolicy", envs, n_steps=16, batch_size=32, seed=0, device="cpu")
    grid = Grid("CartPole-v1", (0.0, 1.0), episodes=4)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002 - the global one is meant
    first = grid.returns(model, seed=1)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002 - the global one is meant
    envs.env_method("set_difficulty", 0.0)
    again, other = grid.returns(model.policy, seed=1), grid.returns(model, seed=2)
    assert np.array_equal(first.values, again.values)
    assert not np.array_equal(first.values, other.values)
    assert first.by_difficulty.shape == (2,)
    assert first.mean == first.values.mean()
    with pytest.raises(ConfigError, match="expected at least one of each"):
        Grid("CartPole-v1", ())
