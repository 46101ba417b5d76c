"""The whole state of an on-policy algorithm between two rollouts, its environments included."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from ostinato.errors import ConfigError, StateError
from ostinato.training.randomness import random_states, restore_random_states

__all__ = ["restore_state", "state_of"]

_PLAIN = ("num_timesteps", "_n_updates", "_episode_num", "_current_progress_remaining")
_BUFFERS = ("ep_info_buffer", "ep_success_buffer")


def state_of(model: OnPolicyAlgorithm) -> dict[str, Any]:
    """Return everything that the next rollout depends on, as values that `ostinato.storage.pack` takes.

    Raises:
        ConfigError: The environments cannot tell their state: one has no `Difficulty`, or they are normalised.
    """
    return {
        "policy": dict(model.policy.state_dict()),
        "optimizer": model.policy.optimizer.state_dict(),
        "plain": {name: getattr(model, name) for name in _PLAIN},
        "buffers": {name: [_plain(entry) for entry in getattr(model, name) or ()] for name in _BUFFERS},
        "observations": model._last_obs,
        "starts": model._last_episode_starts,
        "environments": _stateful(model).env_method("state"),
        "random": random_states(),
    }


def restore_state(model: OnPolicyAlgorithm, state: Mapping[str, Any]) -> None:
    """Put back what `state_of` returned.

    Raises:
        ConfigError: As there.
        StateError: The number of environments is another.
    """
    vectorised, saved = _stateful(model), state["environments"]
    if len(saved) != vectorised.num_envs:
        raise StateError(
            f"the checkpoint is of {len(saved)} environments, now there are {vectorised.num_envs}; make as many as then"
        )
    model.policy.load_state_dict(state["policy"])
    model.policy.optimizer.load_state_dict(state["optimizer"])
    for name, value in state["plain"].items():
        setattr(model, name, value)
    for name, entries in state["buffers"].items():
        setattr(model, name, deque(entries, maxlen=model._stats_window_size))
    for place, own in enumerate(saved):
        vectorised.env_method("restore", own, indices=place)
    model._last_obs, model._last_episode_starts = state["observations"], state["starts"]
    restore_random_states(state["random"])


def _plain(entry: Any) -> Any:
    return dict(entry) if isinstance(entry, dict) else entry


def _stateful(model: OnPolicyAlgorithm) -> VecEnv:
    vectorised = model.get_env()
    if vectorised is None or isinstance(vectorised, VecNormalize):
        raise ConfigError(
            "checkpoints: the environments are missing, or wrapped in VecNormalize, whose statistics are not saved; leave it out"
        )
    try:
        vectorised.env_method("get_difficulty", indices=0)
    except AttributeError:
        raise ConfigError(
            "checkpoints: the environments cannot tell their state; make them by ostinato.applications.reinforcement.environments(NAME)"
        ) from None
    return vectorised
