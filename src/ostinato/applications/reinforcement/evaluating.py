"""Returns over a fixed grid of difficulties, never at the one that training happens to be at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from ostinato.applications.reinforcement.difficulty import Difficulty, Parameters
from ostinato.applications.reinforcement.scores import interquartile_mean
from ostinato.errors import ConfigError

__all__ = ["Grid", "Returns"]

Floats = NDArray[np.float64]
_LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class Returns:
    """Undiscounted returns of a policy.

    Attributes:
        difficulties: The grid, (L,).
        values: Return of every episode, (L, E).
    """

    difficulties: tuple[float, ...]
    values: Floats

    @property
    def mean(self) -> float:
        """Mean over the grid and the episodes."""
        return float(self.values.mean())

    @property
    def by_difficulty(self) -> Floats:
        """Mean over the episodes, (L,)."""
        found: Floats = self.values.mean(axis=1)
        return found

    @property
    def iqm(self) -> float:
        """Interquartile mean over all episodes, see `interquartile_mean`."""
        return interquartile_mean(self.values)


class Grid:
    """Environments at fixed difficulties, to evaluate policies on; episodes of all of them run side by side.

    Args:
        name: As Gymnasium registers it.
        difficulties: The grid, each in [0, 1].
        episodes: A difficulty.
        parameters: As `Difficulty` takes them.
        **options: Given to ``gymnasium.make``.

    Raises:
        ConfigError: There is no difficulty or no episode, or see `Difficulty`.

    >>> from stable_baselines3 import PPO
    >>> from ostinato.applications.reinforcement import environments
    >>> model = PPO("MlpPolicy", environments("CartPole-v1", 1), seed=0, device="cpu")
    >>> found = Grid("CartPole-v1", (0.0, 1.0), episodes=3).returns(model, seed=0)
    >>> found.values.shape, bool((found.values >= 1.0).all())
    ((2, 3), True)
    """

    def __init__(
        self,
        name: str,
        difficulties: Sequence[float] = _LEVELS,
        *,
        episodes: int = 5,
        parameters: Parameters | None = None,
        **options: Any,
    ) -> None:
        if not difficulties or episodes < 1:
            raise ConfigError(
                f"Grid: got {len(difficulties)} difficulties and {episodes} episodes, expected at least one of each"
            )
        self.difficulties = tuple(float(one) for one in difficulties)
        self.episodes = episodes
        self._envs = [
            Difficulty(gym.make(name, disable_env_checker=True, **options), one, parameters)
            for one in self.difficulties
            for _ in range(episodes)
        ]

    def returns(self, model: BaseAlgorithm | BasePolicy, *, seed: int = 0) -> Returns:
        """Return one episode's return in every environment, under the policy's most probable actions.

        Nothing that training depends on is touched: the environments are this grid's own, and no random number is drawn from the global generators.

        Args:
            model: An algorithm, or its policy.
            seed: Of the starts: the n-th episode of every difficulty begins alike.
        """
        policy = model if isinstance(model, BasePolicy) else model.policy
        starts = np.random.SeedSequence(seed).generate_state(self.episodes).tolist()
        seen = [env.reset(seed=starts[place % self.episodes])[0] for place, env in enumerate(self._envs)]
        total = np.zeros(len(self._envs))
        running = list(range(len(self._envs)))
        with torch.no_grad():
            while running:
                actions = policy.predict(np.stack([seen[place] for place in running]), deterministic=True)[0]
                left = []
                for place, action in zip(running, actions, strict=True):
                    seen[place], reward, terminated, truncated, _ = self._envs[place].step(action)
                    total[place] += float(reward)
                    if not (terminated or truncated):
                        left.append(place)
                running = left
        return Returns(self.difficulties, total.reshape(len(self.difficulties), self.episodes))
