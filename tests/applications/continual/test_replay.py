"""When replay happens: each update with its own probability, and exactly as many under plans of equal mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ostinato as ost
from ostinato.applications.continual import Replay, replay_times
from ostinato.errors import ConfigError, DomainError, PlanError

TOTAL, CYCLES = 120, 6
PROBABILITY = "replay.probability"


def plan(probability: Any, **options: Any) -> ost.ResolvedPlan:
    cycle = ost.Cycle("cosine", count=CYCLES)
    return ost.Plan(total=TOTAL, cycle=cycle, bindings={PROBABILITY: probability}, **options).resolve()


def test_plans_of_equal_mean_replay_equally_often_in_every_cycle() -> None:
    square = ost.Cycle("square", count=CYCLES)
    mean = plan(ost.wave(0.0, 1.0)).mean(PROBABILITY)
    shapes = [ost.wave(0.0, 1.0, cycle=square), ost.mirror(0.0, 1.0, cycle=square), 0.5, ost.wave(0.0, 0.5 / mean)]
    for seed in range(20):
        for spread in ("random", "even"):
            times = [replay_times(plan(shape), seed=seed, spread=spread) for shape in shapes]
            assert {tuple(found.reshape(CYCLES, -1).sum(1)) for found in times} == {(10,) * CYCLES}
            assert not np.array_equal(times[0], times[2])


def test_each_update_is_drawn_with_its_own_probability() -> None:
    resolved = plan(ost.wave(0.1, 0.7))
    share = np.mean([replay_times(resolved, seed=seed) for seed in range(2000)], axis=0)
    p = resolved.table()[PROBABILITY]
    assert np.abs(share - p).max() < 5 * np.sqrt(0.25 / 2000)
    counts = {int(replay_times(resolved, seed=seed).sum()) for seed in range(50)}
    assert counts <= {int(np.floor(p.sum())), int(np.ceil(p.sum()))}


def test_the_random_spread_is_random_and_the_even_one_even() -> None:
    assert set(np.diff(np.flatnonzero(replay_times(plan(0.25), spread="even")))) == {4}
    first, again, other = (replay_times(plan(0.25), seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(set(np.diff(np.flatnonzero(first)))) > 3


def test_certain_and_impossible_replay_and_no_cycle_at_all() -> None:
    assert replay_times(plan(1.0)).all()
    assert not replay_times(plan(0.0)).any()
    assert replay_times(ost.Plan(total=10).resolve(), default=0.3, seed=5).sum() == 3


def test_bad_input_is_said_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"^probability: got 1.5, expected a number in \[0, 1\]$"):
        Replay(1.5)
    with pytest.raises(ConfigError, match="count: got -1"):
        Replay(count=-1)
    with pytest.raises(DomainError, match=r"^replay.probability: 1.2 at step 0, expected a probability in \[0, 1\]; "):
        plan(ost.wave(0.0, 1.2))
    with pytest.raises(ConfigError, match=r"spread: got 'evenly'.*even"):
        replay_times(plan(0.5), spread="evenly")
    rounds = ost.Plan(total=4, unit="round").resolve()
    with pytest.raises(PlanError, match="unit: replay is drawn for updates"):
        replay_times(rounds)
