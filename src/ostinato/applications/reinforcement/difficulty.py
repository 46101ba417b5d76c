"""How hard an environment is, as one number in [0, 1] that changes at resets only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from ostinato.errors import ConfigError, TargetError, suggest

__all__ = ["PARAMETERS", "Difficulty", "Parameters"]

Parameters = Mapping[str, tuple[float, float]]

PARAMETERS: Mapping[str, Parameters] = {
    "CartPoleEnv": {"length": (0.5, 0.1), "masspole": (0.1, 0.2), "force_mag": (10.0, 15.0)},
    "AcrobotEnv": {
        "LINK_LENGTH_1": (1.0, 1.4),
        "LINK_LENGTH_2": (1.0, 1.4),
        "LINK_MASS_1": (1.0, 1.4),
        "LINK_MASS_2": (1.0, 1.4),
    },
    "LunarLander": {"gravity": (-8.0, -11.5), "wind_power": (0.0, 15.0), "turbulence_power": (0.0, 1.5)},
}
"""By class of environment: what changes, as (value at difficulty 0, value at difficulty 1), straight in between."""


class Difficulty(gym.Wrapper[Any, Any, Any, Any]):
    """Gives an environment a difficulty d in [0, 1], and a state that can be saved.

    A parameter with the ends (a, b) becomes a·(1 - d) + b·d. Known are CartPole (pole length 0.5 to 0.1, pole mass 0.1 to 0.2, force 10 to 15; what
    follows from them, ``total_mass`` and ``polemass_length``, is computed anew), Acrobot (lengths and masses of the links 1 to 1.4, centres
    of mass in the middle) and LunarLander (gravity -8 to -11.5, wind 0 to 15, turbulence 0 to 1.5). At difficulty 0 CartPole and
    Acrobot are Gymnasium's own.

    A new difficulty is in force from the next reset on: an episode keeps the one that it began with. The state is the generator before the last reset
    and the actions since; `restore` plays them again, which gives any environment that is a function of its generator and actions back to
    the bit, Box2D's worlds too.

    Args:
        env: A Gymnasium environment.
        difficulty: To begin with.
        parameters: From attribute of the bare environment to its (value at 0, value at 1); by default those of its class in `PARAMETERS`.

    Raises:
        ConfigError: The difficulty is not in [0, 1], or the class is not known and no parameters were given.
        TargetError: The environment lacks a parameter.

    >>> env = Difficulty(gym.make("CartPole-v1"), 1.0)
    >>> _ = env.reset(seed=0)
    >>> bare = env.unwrapped
    >>> bare.length, bare.total_mass, bare.polemass_length == bare.masspole * bare.length
    (0.1, 1.2, True)
    """

    def __init__(self, env: gym.Env[Any, Any], difficulty: float = 0.0, parameters: Parameters | None = None) -> None:
        super().__init__(env)
        self.parameters = _known(env.unwrapped) if parameters is None else dict(parameters)
        for name in self.parameters:
            if not hasattr(env.unwrapped, name):
                there = [key for key, value in vars(env.unwrapped).items() if type(value) in (int, float)]
                raise TargetError(
                    f"Difficulty: {type(env.unwrapped).__name__} has no parameter {name!r}{suggest(name, there)}"
                )
        self.set_difficulty(difficulty)
        self.in_force = self.difficulty
        self._origin: dict[str, Any] | None = None
        self._actions: list[Any] = []

    def get_difficulty(self) -> float:
        """Return the difficulty that the next reset puts in force."""
        return self.difficulty

    def set_difficulty(self, difficulty: float) -> None:
        """Set the difficulty that the next reset puts in force.

        Raises:
            ConfigError: It is not in [0, 1].
        """
        if not 0.0 <= difficulty <= 1.0:
            raise ConfigError(f"difficulty: got {difficulty!r}, expected a number in [0, 1]")
        self.difficulty = float(difficulty)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        random = self.unwrapped.np_random.bit_generator
        self._origin = {"random": dict(random.state), "kind": type(random).__name__, "seed": seed, "options": options}
        self._actions = []
        self.in_force = self.difficulty
        bare = self.unwrapped
        for name, (easy, hard) in self.parameters.items():
            setattr(bare, name, easy * (1.0 - self.in_force) + hard * self.in_force)
        _derive(bare)
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self._actions.append(action.copy() if isinstance(action, np.ndarray) else action)
        return self.env.step(action)

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs, as values that `ostinato.storage.pack` takes."""
        return {
            "difficulty": self.difficulty, "in_force": self.in_force, "origin": self._origin, "actions": list(self._actions),
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put the environment back where `state` was taken: reset as then, and the same actions again."""
        origin = state["origin"]
        if origin is not None:
            generator = getattr(np.random, origin["kind"])()
            generator.state = origin["random"]
            self.unwrapped.np_random = np.random.Generator(generator)
            self.set_difficulty(state["in_force"])
            self.reset(seed=origin["seed"], options=origin["options"])
            for action in state["actions"]:
                self.step(action)
        self.set_difficulty(state["difficulty"])


def _known(bare: gym.Env[Any, Any]) -> dict[str, tuple[float, float]]:
    for kind in type(bare).__mro__:
        if kind.__name__ in PARAMETERS:
            return dict(PARAMETERS[kind.__name__])
    raise ConfigError(
        f"Difficulty: {type(bare).__name__} has no known difficulty (there are {', '.join(PARAMETERS)});"
        ' give parameters={"NAME": (value at 0, value at 1)}'
    )


def _derive(bare: Any) -> None:
    """Compute anew what an environment keeps of its parameters."""
    kinds = {kind.__name__ for kind in type(bare).__mro__}
    if "CartPoleEnv" in kinds:
        bare.total_mass = bare.masspole + bare.masscart
        bare.polemass_length = bare.masspole * bare.length
    elif "AcrobotEnv" in kinds:
        bare.LINK_COM_POS_1, bare.LINK_COM_POS_2 = bare.LINK_LENGTH_1 / 2, bare.LINK_LENGTH_2 / 2
    elif "LunarLander" in kinds:
        bare.enable_wind = bare.wind_power > 0.0
