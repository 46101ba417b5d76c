"""What a plan costs an agent: a rollout's steps under the callback, against the same steps under a callback that does nothing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from ostinato.applications.reinforcement import PlanCallback, environments
from ostinato.bench.harness import Row, interleaved
from ostinato.core.bindings import mirror, wave
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan

__all__ = ["measure"]

_ENVIRONMENTS, _STEPS, _CALLS = 8, 32, 500
_REACH, _AIM = 0.01, 0.005


class _Nothing(BaseCallback):
    """The least that Stable-Baselines3 can be given."""

    def _on_step(self) -> bool:
        return True


def plan_of(steps: int) -> Plan:
    """Return a plan of four targets, the difficulty among them."""
    return Plan(
        total=steps,
        cycle=Cycle("sine", count=4),
        bindings={
            "optimizer.lr": mirror(1e-4, 1e-3),
            "ppo.clip_range": wave(0.1, 0.2),
            "ppo.ent_coef": wave(0.0, 0.01),
            "environment.difficulty": wave(0.0, 1.0),
        },
    )


def rollouts_of(callback: BaseCallback) -> Callable[[], None]:
    """Return what a rollout asks of a callback: its start, a step for all environments at a time, its end."""
    model = PPO("MlpPolicy", environments("CartPole-v1", _ENVIRONMENTS), n_steps=_STEPS, batch_size=256, seed=0, device="cpu")  # fmt: skip
    callback.init_callback(model)
    callback.on_training_start({}, {})

    def rollout() -> None:
        callback.on_rollout_start()
        for _ in range(_STEPS):
            model.num_timesteps += _ENVIRONMENTS
            callback.on_step()
        callback.on_rollout_end()

    return rollout


def _whole_rollouts() -> Callable[[], None]:
    """Return a rollout of PPO with its update, ten epochs, under the least callback."""
    model = PPO("MlpPolicy", environments("CartPole-v1", _ENVIRONMENTS), n_steps=_STEPS, batch_size=256, seed=0, device="cpu")  # fmt: skip
    nothing = _Nothing()
    size = _ENVIRONMENTS * _STEPS

    def rollout() -> None:
        model.learn(size, callback=nothing, reset_num_timesteps=False)

    return rollout


def measure(*, calls: int = _CALLS, rounds: int = 11) -> Row:
    """Measure what the callback with four targets, the difficulty of eight environments among them, takes of a rollout of PPO (8 x 32 steps).

    The callback's own seconds a rollout, timed on what a rollout asks of it, over the seconds of a rollout with its update. Timing two whole
    rollouts against each other would drown one percent in noise. The detail has the callback that does nothing beside it.

    Args:
        calls: Rollouts that the callback is asked for, a round.
        rounds: How often.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        steps = _ENVIRONMENTS * _STEPS * calls * (rounds + 2)
        ours = rollouts_of(PlanCallback(plan_of(steps)))
        timing = interleaved(ours, _whole_rollouts(), calls=calls, peer_calls=max(1, calls // 100), rounds=rounds)
        nothing = interleaved(ours, rollouts_of(_Nothing()), calls=1, rounds=rounds)
    finally:
        torch.set_num_threads(threads)
    detail = {
        "peer": "a rollout of PPO on CartPole, 8 environments x 32 steps, and its update of 10 epochs",
        "callback_ms": timing.ours * 1e3,
        "nothing_ms": nothing.peer * 1e3,
        "rollout_ms": timing.peer * 1e3,
        "threads": 1,
    }
    return Row("reinforcement", timing.ratio, timing.spread, _REACH, _AIM, detail=detail)
