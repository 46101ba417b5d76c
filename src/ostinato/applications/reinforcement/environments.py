"""Environments with a difficulty, many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from numbers import Integral
from typing import Any

import gymnasium as gym
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

from ostinato.applications.reinforcement.difficulty import Difficulty, Parameters
from ostinato.checks import whole

__all__ = ["environments", "wrappers_of"]


def environments(
    name: str,
    count: int = 8,
    *,
    seed: int | None = None,
    difficulty: float = 0.0,
    parameters: Parameters | None = None,
    processes: bool = False,
    **options: Any,
) -> VecEnv:
    """Return vectorised environments, each monitored and with a `Difficulty`.

    Args:
        name: As Gymnasium registers it, such as ``"CartPole-v1"``.
        count: How many.
        seed: Of the first; the others follow. Stable-Baselines3 seeds them anew where its algorithm is given a seed.
        difficulty: To begin with.
        parameters: As `Difficulty` takes them.
        processes: One process each. Worth it where a step takes milliseconds; a difficulty that changes costs a message a step and process.
        **options: Given to ``gymnasium.make``.

    Raises:
        ConfigError: `count` is below 1, or see `Difficulty`.

    >>> vectorised = environments("CartPole-v1", 2, difficulty=0.5)
    >>> vectorised.num_envs, vectorised.env_method("get_difficulty")
    (2, [0.5, 0.5])
    """
    whole("count", count, of=Integral)

    def make() -> gym.Env[Any, Any]:
        return Difficulty(Monitor(gym.make(name, **options)), difficulty, parameters)

    makers: list[Callable[[], gym.Env[Any, Any]]] = [make] * count
    made: VecEnv = SubprocVecEnv(makers) if processes else DummyVecEnv(makers)
    if seed is not None:
        made.seed(seed)
    return made


def wrappers_of(vectorised: VecEnv) -> list[Difficulty] | None:
    """Return the environments' `Difficulty` wrappers where they live in this process; None where they do not, or one has none."""
    inner = vectorised.unwrapped
    if not isinstance(inner, DummyVecEnv):
        return None
    found = [next(_below(env), None) for env in inner.envs]
    return [wrapper for wrapper in found if wrapper is not None] if all(found) else None


def _below(env: Any) -> Iterator[Difficulty]:
    while isinstance(env, gym.Wrapper):
        if isinstance(env, Difficulty):
            yield env
        env = env.env
