"""Running the arms of study ``rl-curriculum``: PPO on CartPole under a plan, read over the last cycle on a fixed grid of difficulties."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ostinato.core.plan import Plan
from ostinato.studies.frame.cells import Cell, Measurement, Request, Stage
from ostinato.studies.frame.spec import Regime
from ostinato.studies.frame.threads import one_thread
from ostinato.studies.rl_curriculum import quadratics
from ostinato.studies.rl_curriculum.plans import plan_of

if TYPE_CHECKING:
    from ostinato.studies.rl_curriculum.watching import Watch

__all__ = ["CARTPOLE", "HIGHEST", "Readings", "environment_of", "measure", "metrics_of", "readings_at", "together"]

Floats = NDArray[np.float64]
CARTPOLE = "CartPole-v1"
HIGHEST = {CARTPOLE: 500.0, "Acrobot-v1": 0.0}
"""Returns that none exceeds: CartPole's longest episode; Acrobot loses 1 a step, so that its shortfall is the length of an episode, at most 500."""

_PHASES = 8
_NEVER = 1_000_000
"""Rollouts between two logs: none is written, and what was read stays in the logger."""


def together(regime: Regime, stage: Stage, cells: tuple[Cell, ...]) -> Iterable[tuple[Cell, ...]]:
    """Every cell is a run of its own."""
    return ((cell,) for cell in cells)


def measure(request: Request) -> Iterator[Measurement]:
    """Run the cells of a request, one after another."""
    with one_thread():
        for cell in request.cells:
            begun = time.monotonic()
            plan = plan_of(cell.arm, cell.settings["peak"], request.parameters)
            watch = _trained(plan, cell.seed, request.parameters)
            if watch is None:
                yield Measurement(
                    cell, {}, (plan.resolve().digest,), status="diverged", wall_s=time.monotonic() - begun
                )
                continue
            metrics = metrics_of(_readings(watch, request.parameters), HIGHEST[environment_of(request.parameters)])
            if (
                "quadratic_steps" in request.parameters
                and cell.arm in quadratics.ARMS
                and request.stage == "confirming"
            ):
                for name, noise in (("quadratic", 0.0), ("quadratic_noisy", request.parameters["quadratic_noise"])):
                    metrics[name] = quadratics.excess_of(cell.arm, cell.seed, request.parameters, noise=noise)
            wall = time.monotonic() - begun
            yield Measurement(cell, metrics, (plan.resolve().digest,), _curves(watch, request.parameters), wall_s=wall)


def environment_of(parameters: Mapping[str, Any]) -> str:
    """Return the environment of a regime; that of the study itself is CartPole."""
    return str(parameters.get("environment", CARTPOLE))


def readings_at(parameters: Mapping[str, Any]) -> tuple[int, ...]:
    """Return after which updates the policy is scored: at eight phases of the last cycle, the end last."""
    length = parameters["rollouts"] // parameters["cycles"]
    first = parameters["rollouts"] - length
    return tuple(first + length * (place + 1) // _PHASES for place in range(_PHASES))


def _trained(plan: Plan, seed: int, parameters: Mapping[str, Any]) -> Watch | None:
    """Return what was read of one run; None where its weights are no longer finite."""
    import torch
    from stable_baselines3 import PPO

    from ostinato.applications.reinforcement import Grid, PlanCallback, environments
    from ostinato.studies.rl_curriculum.watching import Watch

    own = int(np.random.SeedSequence([seed, 20_281]).generate_state(1)[0]) >> 2
    name = environment_of(parameters)
    grid = Grid(name, parameters["difficulties"], episodes=parameters["episodes"])
    model = PPO(
        "MlpPolicy", environments(name, parameters["environments"]), n_steps=parameters["steps"],
        batch_size=parameters["batch"], n_epochs=parameters["epochs"], gae_lambda=parameters["gae_lambda"], gamma=parameters["gamma"],
        clip_range=parameters["clip_range"], ent_coef=0.0, seed=own, device="cpu",
    )  # fmt: skip
    watch = Watch(
        lambda update: grid.returns(model, seed=own + update), frozenset(readings_at(parameters)), parameters["curvature_every"]
    )  # fmt: skip
    try:
        model.learn(plan.resolve().total, callback=[watch, PlanCallback(plan)], log_interval=_NEVER)
    except (
        ValueError,
        RuntimeError,
    ):  # torch's distributions refuse logits that are not finite, when they are made or when they are drawn from
        if all(torch.isfinite(weights.square().sum()) for weights in model.policy.parameters()):
            raise
        return None
    return watch


@dataclass(frozen=True, eq=False)
class Readings:
    """What metrics are made of.

    Attributes:
        returns: Mean return at eight phases of the last cycle and each difficulty of the grid, (8, L).
        difficulty: In force, mean over the environments, after the first cycle, (U,).
        rate: Of those updates, (U,).
        curvature: At every k-th of them, (U/k,).
        kl: How far each update went, (U,).
    """

    returns: Floats
    difficulty: Floats
    rate: Floats
    curvature: Floats
    kl: Floats


def _readings(watch: Watch, parameters: Mapping[str, Any]) -> Readings:
    first, every = parameters["rollouts"] // parameters["cycles"], parameters["curvature_every"]
    late = {name: np.array(values[first:]) for name, values in watch.read.items() if name != "curvature"}
    return Readings(
        returns=np.stack([watch.returns[update].by_difficulty for update in readings_at(parameters)]),
        difficulty=late["difficulty"],
        rate=late["rate"],
        curvature=np.array(watch.read["curvature"][first // every :]),
        kl=late["kl"],
    )


def metrics_of(readings: Readings, highest: float = HIGHEST[CARTPOLE]) -> dict[str, float]:
    """Return the numbers of a run.

    ``shortfall`` is the highest return less the return, mean over the grid and the eight phases: small is good. ``shortfall_mid`` and ``shortfall_end`` are its values
    at the hardest and the easiest phase of the cycle, ``shortfall_easiest`` and ``shortfall_hardest`` at the ends of the grid. ``coupling`` is the
    correlation of rate and difficulty in force; ``sharp_when_hard`` and ``far_when_hard`` are those of difficulty with the logarithms of
    curvature and of the KL divergence of an update, less their straight trends.
    """
    short = highest - readings.returns
    every = len(readings.difficulty) // len(readings.curvature)
    return {
        "shortfall": float(short.mean()),
        "shortfall_mid": float(short[_PHASES // 2 - 1].mean()),
        "shortfall_end": float(short[-1].mean()),
        "shortfall_easiest": float(short[:, 0].mean()),
        "shortfall_hardest": float(short[:, -1].mean()),
        "coupling": _correlation(readings.rate, readings.difficulty),
        "sharp_when_hard": _correlation(_trendless(readings.curvature), readings.difficulty[every - 1 :: every]),
        "far_when_hard": _correlation(_trendless(readings.kl), readings.difficulty),
    }


def _trendless(values: Floats) -> Floats:
    """Return logarithms less their straight trend: both grow as training goes on."""
    logs, places = np.log(np.maximum(values, 1e-12)), np.arange(len(values))
    found: Floats = logs - np.polyval(np.polyfit(places, logs, 1), places) if len(values) > 2 else logs
    return found


def _correlation(one: Floats, other: Floats) -> float:
    """Return the correlation; 0 where one of the two never changes."""
    if len(one) < 2 or np.ptp(one) == 0.0 or np.ptp(other) == 0.0:
        return 0.0
    found = float(np.corrcoef(one, other)[0, 1])
    return 0.0 if math.isnan(found) else found


def _curves(watch: Watch, parameters: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return what was read, in blocks of updates, and the scores by phase and by difficulty."""
    every = parameters["curvature_every"]
    found = {
        name: [float(f"{value:.4g}") for value in (values if name == "curvature" else _blocks(values, every))]
        for name, values in watch.read.items()
    }
    returns = np.stack([watch.returns[update].by_difficulty for update in readings_at(parameters)])
    return {**found, "by_phase": returns.mean(axis=1).tolist(), "by_difficulty": returns.mean(axis=0).tolist()}


def _blocks(values: list[float], size: int) -> list[float]:
    means: list[float] = np.array(values[: len(values) // size * size]).reshape(-1, size).mean(axis=1).tolist()
    return means
