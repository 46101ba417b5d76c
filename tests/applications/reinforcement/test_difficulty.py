"""Difficulty: parameters and what follows from them, at resets only; states that come back to the bit."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from ostinato.applications.reinforcement import PARAMETERS, Difficulty, environments
from ostinato.errors import ConfigError, TargetError
from ostinato.storage import pack, unpack


def test_at_difficulty_0_cartpole_and_acrobot_are_gymnasiums_own() -> None:
    for name in ("CartPole-v1", "Acrobot-v1"):
        plain, ours = gym.make(name), Difficulty(gym.make(name))
        assert np.array_equal(plain.reset(seed=3)[0], ours.reset(seed=3)[0])
        for action in (0, 1, 1, 0, 1):
            assert np.array_equal(plain.step(action)[0], ours.step(action)[0])


def test_what_follows_from_the_parameters_is_computed_anew() -> None:
    env = Difficulty(gym.make("CartPole-v1"), 0.5)
    env.reset(seed=0)
    bare = env.unwrapped
    assert (bare.length, bare.masspole, bare.force_mag) == pytest.approx((0.3, 0.15, 12.5))
    assert bare.total_mass == bare.masspole + bare.masscart
    assert bare.polemass_length == bare.masspole * bare.length

    links = Difficulty(gym.make("Acrobot-v1"), 1.0)
    links.reset(seed=0)
    assert links.unwrapped.LINK_COM_POS_2 == links.unwrapped.LINK_LENGTH_2 / 2 == pytest.approx(0.7)


def test_the_physics_follow_the_difficulty() -> None:
    """A harder pole falls sooner when it is left to the left."""
    lengths = []
    for difficulty in (0.0, 1.0):
        env = Difficulty(gym.make("CartPole-v1"), difficulty)
        env.reset(seed=0)
        lengths.append(next(step for step in range(500) if env.step(0)[2]))
    assert lengths[1] < lengths[0]


def test_a_new_difficulty_waits_for_the_reset() -> None:
    env = Difficulty(gym.make("CartPole-v1"), 0.0)
    env.reset(seed=0)
    env.set_difficulty(1.0)
    env.step(0)
    assert (env.unwrapped.length, env.in_force) == (0.5, 0.0)
    env.reset()
    assert (env.unwrapped.length, env.in_force) == (0.1, 1.0)


@pytest.mark.filterwarnings("ignore:.*SwigPy.*:DeprecationWarning", "ignore:.*swigvarlink.*:DeprecationWarning")
@pytest.mark.parametrize("name", ["CartPole-v1", "Acrobot-v1", "LunarLander-v3"])
def test_a_state_comes_back_to_the_bit_in_another_environment(name: str) -> None:
    first = Difficulty(gym.make(name), 0.6)
    first.reset(seed=5)
    for _ in range(2):  # the second episode begins with what the first one left of the generator
        first.reset()
        for action in (0, 1, 1, 0, 1, 1):
            first.step(action)
    first.set_difficulty(0.2)
    second = Difficulty(gym.make(name), 0.9)
    document, tensors = pack(first.state())
    second.restore(unpack(document, tensors))
    assert (second.difficulty, second.in_force) == (0.2, 0.6)
    for action in (1, 0, 1):
        assert all(np.array_equal(a, b) for a, b in zip(first.step(action)[:2], second.step(action)[:2], strict=True))
    assert np.array_equal(first.reset()[0], second.reset()[0])
    assert first.step(1)[0].tolist() == second.step(1)[0].tolist()


@pytest.mark.filterwarnings("ignore:.*SwigPy.*:DeprecationWarning", "ignore:.*swigvarlink.*:DeprecationWarning")
def test_the_lander_gets_its_wind() -> None:
    env = Difficulty(gym.make("LunarLander-v3"), 1.0)
    env.reset(seed=0)
    bare = env.unwrapped
    assert (bare.gravity, bare.wind_power, bare.enable_wind, bare.world.gravity[1]) == (-11.5, 15.0, True, -11.5)
    assert set(PARAMETERS["LunarLander"]) <= set(vars(bare))


def test_bad_input_is_one_clear_line() -> None:
    with pytest.raises(ConfigError, match=r"PendulumEnv has no known difficulty \(there are CartPoleEnv, AcrobotEnv"):
        Difficulty(gym.make("Pendulum-v1"))
    with pytest.raises(TargetError, match="PendulumEnv has no parameter 'mass'"):
        Difficulty(gym.make("Pendulum-v1"), parameters={"mass": (1.0, 2.0)})
    with pytest.raises(ConfigError, match=r"difficulty: got 1.5, expected a number in \[0, 1\]"):
        Difficulty(gym.make("CartPole-v1"), 1.5)
    with pytest.raises(ConfigError, match="count: got 0"):
        environments("CartPole-v1", 0)
    own = Difficulty(gym.make("Pendulum-v1"), 0.5, {"g": (10.0, 20.0)})
    own.reset(seed=0)
    assert own.unwrapped.g == 15.0
