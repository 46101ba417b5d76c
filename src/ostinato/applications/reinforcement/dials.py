"""What a plan turns: the parts of an algorithm and of its environments that have no number of their own to write."""

from __future__ import annotations

from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from ostinato.applications.reinforcement.environments import wrappers_of
from ostinato.errors import TargetError, suggest

__all__ = ["KEYS", "AlgorithmDials", "EnvironmentDials", "Held"]

KEYS = ("clip_range", "clip_range_vf", "ent_coef", "vf_coef", "max_grad_norm")
"""What of an algorithm can be driven as ``ppo.KEY``: what `train` reads anew each time."""

_SCHEDULED = ("clip_range", "clip_range_vf")


class Held:
    """A schedule as Stable-Baselines3 calls them, which gives the value that was put there, whatever the progress.

    >>> Held(0.1)(0.5)
    0.1
    """

    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self, progress_remaining: float) -> float:
        """Return the value."""
        return self.value


class AlgorithmDials:
    """The numbers of an algorithm by key; a schedule among them is exchanged for a `Held` when it is first set."""

    def __init__(self, model: OnPolicyAlgorithm) -> None:
        object.__setattr__(self, "_model", model)

    def __getattr__(self, key: str) -> float:
        model = self.__dict__["_model"]
        if key not in KEYS or getattr(model, key, None) is None:
            raise AttributeError(key)
        value = getattr(model, key)
        if key in _SCHEDULED:
            return float(value(model._current_progress_remaining))
        return float(value)

    def __setattr__(self, key: str, value: float) -> None:
        model = self.__dict__["_model"]
        if key not in _SCHEDULED:
            setattr(model, key, value)
        elif isinstance(held := getattr(model, key), Held):
            held.value = value
        else:
            setattr(model, key, Held(value))

    def demand(self, target: str, key: str) -> None:
        """Check that the algorithm has a key.

        Raises:
            TargetError: It has not.
        """
        model = self.__dict__["_model"]
        there = [name for name in KEYS if getattr(model, name, None) is not None]
        if key not in there:
            raise TargetError(f"{target}: {type(model).__name__} has no {key!r} to drive{suggest(key, there)}")


class EnvironmentDials:
    """The difficulty of vectorised environments, one for all of them."""

    def __init__(self, vectorised: VecEnv) -> None:
        self._vectorised = vectorised
        self._wrappers = wrappers_of(vectorised)
        try:
            self._difficulty = float(vectorised.env_method("get_difficulty", indices=0)[0])
        except AttributeError:
            raise TargetError(
                "environment.difficulty: the environment has none; make it by ostinato.applications.reinforcement.environments(NAME), or wrap each in Difficulty"
            ) from None

    @property
    def difficulty(self) -> float:
        """What the next resets put in force."""
        return self._difficulty

    @difficulty.setter
    def difficulty(self, value: float) -> None:
        if self._wrappers is not None:
            for wrapper in self._wrappers:
                wrapper.set_difficulty(value)
        elif value != self._difficulty:
            self._vectorised.env_method("set_difficulty", value)
        self._difficulty = value
