"""The callback: the bits of plain Stable-Baselines3, one rate a train() call, restarts of the count, groups, and kill -9."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

import ostinato as ost
from forked import forked
from ostinato.applications.reinforcement import PlanCallback, environments
from ostinato.errors import ConfigError, DomainError, PastTotalWarning, StateError, TargetError

torch.set_num_threads(1)

STEPS, ENVS = 16, 2
ROLLOUT = STEPS * ENVS


def model_on(envs: Any, **options: Any) -> PPO:
    given = {"n_steps": STEPS, "batch_size": ROLLOUT, "n_epochs": 2, "seed": 7, "device": "cpu", **options}
    return PPO("MlpPolicy", envs, **given)


def plan_of(total: int, cycles: int = 2, **bindings: Any) -> ost.Plan:
    named = {name.replace("__", "."): binding for name, binding in bindings.items()}
    return ost.Plan(total=total, cycle=ost.Cycle("sine", count=cycles), bindings=named)


CYCLED = {
    "optimizer__lr": ost.mirror(1e-4, 1e-2),
    "ppo__clip_range": ost.wave(0.1, 0.3),
    "ppo__ent_coef": ost.wave(0.0, 0.01),
    "environment__difficulty": ost.wave(0.0, 1.0),
}


def weights(model: PPO) -> list[bytes]:
    return [tensor.detach().numpy().tobytes() for tensor in model.policy.state_dict().values()]


class Trains(BaseCallback):
    """What each train() used; after it, before the plan's clock goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[float, ...]] = []
        self.counts: list[int] = []

    def _on_step(self) -> bool:
        return True

    def _note(self) -> None:
        model: Any = self.model
        if model.num_timesteps and "train/learning_rate" in model.logger.name_to_value:
            logged = model.logger.name_to_value
            groups = [group["lr"] for group in model.policy.optimizer.param_groups]
            self.seen.append((logged["train/learning_rate"], *groups, logged["train/clip_range"], model.ent_coef))
            self.counts.append(model.num_timesteps)

    def _on_rollout_start(self) -> None:
        self._note()

    def _on_training_end(self) -> None:
        self._note()


def test_a_constant_plan_gives_the_bits_of_plain_stable_baselines() -> None:
    plain = model_on(make_vec_env("CartPole-v1", ENVS), learning_rate=3e-3, clip_range=0.15, ent_coef=0.01)
    plain.learn(6 * ROLLOUT, log_interval=None)
    plan = plan_of(
        6 * ROLLOUT, optimizer__lr=ost.wave(3e-3, 3e-3), ppo__clip_range=ost.wave(0.15, 0.15), ppo__ent_coef=ost.wave(0.01, 0.01),
        environment__difficulty=ost.wave(0.0, 0.0),
    )  # fmt: skip
    ours = model_on(environments("CartPole-v1", ENVS))
    ours.learn(6 * ROLLOUT, callback=PlanCallback(plan), log_interval=None)
    assert weights(ours) == weights(plain)
    other = model_on(environments("CartPole-v1", ENVS))
    other.learn(6 * ROLLOUT, callback=PlanCallback(plan_of(6 * ROLLOUT, **CYCLED)), log_interval=None)
    assert weights(other) != weights(plain)


def test_every_train_uses_the_values_of_its_rollouts_last_step() -> None:
    plan, notes = plan_of(8 * ROLLOUT, **CYCLED), Trains()
    model_on(environments("CartPole-v1", ENVS)).learn(
        8 * ROLLOUT, callback=[notes, PlanCallback(plan)], log_interval=None
    )
    table = plan.resolve().table()
    last = [
        k * ROLLOUT - ENVS for k in range(1, 9)
    ]  # the count at which the rollout's last step of all environments begins
    rates = table["optimizer.lr"][last]
    expected = np.stack([rates, rates, table["ppo.clip_range"][last], table["ppo.ent_coef"][last]], axis=1)
    assert np.array(notes.seen) == pytest.approx(expected, rel=1e-12)
    assert len(set(notes.seen)) == 4


def test_the_end_of_a_cycle_has_the_weights_of_its_last_update() -> None:
    """A sawtooth's restart must not reach the update before it."""
    plan = ost.Plan(
        total=8 * ROLLOUT, cycle=ost.Cycle("sawtooth", count=2), bindings={"optimizer.lr": ost.wave(1e-4, 1e-2)}
    )
    notes, ends = Trains(), []
    model = model_on(environments("CartPole-v1", ENVS))

    def ended(tick: ost.Scheduler, model: Any) -> None:
        ends.append((model.num_timesteps, model._n_updates))

    model.learn(8 * ROLLOUT, callback=[notes, PlanCallback(plan, on_cycle_end=ended)], log_interval=None)
    assert ends == [(4 * ROLLOUT, 4 * 2), (8 * ROLLOUT, 8 * 2)]
    rates = [seen[0] for seen in notes.seen]
    assert rates[3] == min(rates[:4]) < rates[4] == max(rates)


def test_a_count_that_is_reset_restarts_the_plan_and_one_that_is_not_goes_on() -> None:
    plan, notes = plan_of(4 * ROLLOUT, **CYCLED), Trains()
    callback = PlanCallback(plan)
    model = model_on(environments("CartPole-v1", ENVS))
    model.learn(2 * ROLLOUT, callback=[notes, callback], log_interval=None)
    assert callback.count == 2 * ROLLOUT
    model.learn(2 * ROLLOUT, callback=[notes, callback], reset_num_timesteps=False, log_interval=None)
    once = list(notes.seen)[:2] + list(notes.seen)[-2:]
    model.learn(4 * ROLLOUT, callback=[notes, callback], log_interval=None)
    assert notes.seen[-4:] == once
    assert notes.counts[-4:] == [ROLLOUT, 2 * ROLLOUT, 3 * ROLLOUT, 4 * ROLLOUT]


def test_a_rollout_may_run_past_the_total_but_no_more_than_that() -> None:
    """Stable-Baselines3 finishes its rollout, and then its progress is below 0."""
    plan, notes = plan_of(2 * ROLLOUT - 20, **CYCLED), Trains()
    callback = PlanCallback(plan)
    model = model_on(environments("CartPole-v1", ENVS))
    model.learn(2 * ROLLOUT - 20, callback=[notes, callback], log_interval=None)
    assert model._current_progress_remaining < 0.0
    assert notes.seen[-1][0] == plan.resolve().values(2 * ROLLOUT - 21)["optimizer.lr"]
    with pytest.warns(PastTotalWarning, match="the last values hold"):
        model.learn(2 * ROLLOUT, callback=callback, reset_num_timesteps=False, log_interval=None)


def test_every_group_keeps_the_rate_of_its_own() -> None:
    plan = plan_of(4 * ROLLOUT, **{"optimizer[0].lr": ost.wave(1e-3, 1e-3), "optimizer[1].lr": ost.wave(0.0, 0.0)})
    model = model_on(environments("CartPole-v1", ENVS))
    parts = [model.policy.action_net, model.policy.value_net]
    model.policy.optimizer = torch.optim.Adam([{"params": part.parameters()} for part in parts], lr=1e-3)
    before = [part.weight.detach().clone() for part in parts]
    model.learn(2 * ROLLOUT, callback=PlanCallback(plan), log_interval=None)
    assert [group["lr"] for group in model.policy.optimizer.param_groups] == [1e-3, 0.0]
    assert not torch.equal(parts[0].weight, before[0])
    assert torch.equal(parts[1].weight, before[1])


def test_episodes_get_the_difficulty_of_the_count_at_their_reset() -> None:
    plan = plan_of(20 * ROLLOUT, environment__difficulty=ost.wave(0.0, 1.0))
    values = plan.resolve().table()["environment.difficulty"]
    envs = environments("CartPole-v1", ENVS)
    seen: list[tuple[int, float]] = []

    class Episodes(BaseCallback):
        def _on_step(self) -> bool:
            for done, env in zip(self.locals["dones"], envs.envs, strict=True):
                if done:
                    seen.append((self.num_timesteps - ENVS, env.in_force))
            return True

    model_on(envs).learn(20 * ROLLOUT, callback=[Episodes(), PlanCallback(plan)], log_interval=None)
    assert len(seen) > 10
    assert [difficulty for _, difficulty in seen] == [values[count] for count, _ in seen]


def test_processes_are_driven_as_this_one_is() -> None:
    plan, models = plan_of(4 * ROLLOUT, **CYCLED), []
    for processes in (False, True):
        envs = environments("CartPole-v1", ENVS, processes=processes)
        models.append(model_on(envs))
        models[-1].learn(4 * ROLLOUT, callback=PlanCallback(plan), log_interval=None)
        envs.close()
    assert weights(models[0]) == weights(models[1])


def test_bad_input_is_one_clear_line(tmp_path: Path) -> None:
    plain = model_on(make_vec_env("CartPole-v1", ENVS))
    for plan, error, message in (
        (plan_of(64, environment__difficulty=ost.wave(0.0, 1.0)), TargetError, "the environment has none; make it by"),
        (plan_of(64, agent__lr=ost.wave(0.0, 1.0)), TargetError, "agent.lr: begins with 'agent'"),
        (plan_of(64, ppo__clip_rnge=ost.wave(0.1, 0.2)), TargetError, "PPO has no 'clip_rnge' to drive.*clip_range"),
    ):
        with pytest.raises(error, match=message):
            plain.learn(64, callback=PlanCallback(plan), log_interval=None)
    with pytest.raises(
        DomainError, match=r"environment.difficulty: 1.19509 at step 9, expected a difficulty in \[0, 1\]"
    ):
        PlanCallback(plan_of(64, environment__difficulty=ost.wave(0.0, 2.0)))
    plan = plan_of(64, optimizer__lr=ost.wave(0.0, 1e-3))
    with pytest.raises(ConfigError, match="got DQN, expected an on-policy algorithm"):
        DQN("MlpPolicy", "CartPole-v1", device="cpu").learn(8, callback=PlanCallback(plan))
    with pytest.raises(ConfigError, match="every: got 0"):
        PlanCallback(plan, every=0)
    with pytest.raises(ConfigError, match="the callback has no checkpoints"):
        PlanCallback(plan).resume(plain)
    with pytest.raises(ConfigError, match="the environments cannot tell their state"):
        plain.learn(2 * ROLLOUT, callback=PlanCallback(plan, checkpoints=tmp_path, every=1), log_interval=None)


TOTAL = 40 * ROLLOUT


def begin_or_resume(folder: Path, envs: int = ENVS, cycles: int = 4) -> list[bytes]:
    model = model_on(environments("CartPole-v1", envs))
    callback = PlanCallback(plan_of(TOTAL, cycles, **CYCLED), checkpoints=folder, every=3)
    done = callback.resume(model)
    model.learn(TOTAL - done, callback=callback, reset_num_timesteps=done == 0, log_interval=None)
    return weights(model)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forking: there are no other threads of ours
def test_killed_and_resumed_a_run_ends_with_the_bits_of_never_having_stopped(tmp_path: Path) -> None:
    whole = begin_or_resume(tmp_path / "whole")
    folder, ended = tmp_path / "run", tmp_path / "ended"

    def run() -> None:
        torch.save(begin_or_resume(folder), ended)

    for wanted in (2, 5):  # twice: what was resumed is killed again
        child = forked(run)
        end = time.monotonic() + 60
        while not any(int(place.name[5:]) >= wanted * 3 * ROLLOUT for place in folder.glob("step-*")):
            assert time.monotonic() < end
            time.sleep(0.002)
        child.kill()
    assert not ended.exists()
    assert begin_or_resume(folder) == whole


def test_a_checkpoint_of_another_plan_or_of_other_environments_is_refused(tmp_path: Path) -> None:
    begin_or_resume(tmp_path)
    with pytest.raises(StateError, match=r"saved under another plan: cycle\.count was 4, is 5"):
        begin_or_resume(tmp_path, cycles=5)
    with pytest.raises(StateError, match="of 2 environments, now there are 4"):
        begin_or_resume(tmp_path, envs=4)
