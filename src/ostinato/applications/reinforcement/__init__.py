"""Reinforcement learning on Gymnasium and Stable-Baselines3: rate, clip range, entropy and difficulty on one clock of environment steps.

`PlanCallback` drives PPO or A2C by a plan and makes checkpoints that resume to the bit; `environments` and `Difficulty` give CartPole, Acrobot,
LunarLander, or an environment of one's own a difficulty in [0, 1]; `Grid` evaluates a policy at fixed difficulties; `interquartile_mean` and
`stratified_bootstrap` sum the returns up. Needs the extra ``rl``.
"""

from __future__ import annotations

try:
    import gymnasium as _gymnasium  # noqa: F401 - asked for here, so that one line says what is missing
    import stable_baselines3 as _baselines  # noqa: F401 - likewise
except ImportError as error:
    raise ImportError(f"{error.name} is not installed; type: pip install 'ostinato[rl]'", name=error.name) from None

from ostinato.applications.reinforcement.callback import PlanCallback
from ostinato.applications.reinforcement.difficulty import PARAMETERS, Difficulty
from ostinato.applications.reinforcement.environments import environments
from ostinato.applications.reinforcement.evaluating import Grid, Returns
from ostinato.applications.reinforcement.scores import interquartile_mean, stratified_bootstrap

__all__ = [
    "PARAMETERS",
    "Difficulty",
    "Grid",
    "PlanCallback",
    "Returns",
    "environments",
    "interquartile_mean",
    "stratified_bootstrap",
]
