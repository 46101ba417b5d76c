"""Optuna's samplers by name, and what they draw before the first trial runs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GridSampler, QMCSampler, RandomSampler, TPESampler

from ostinato.errors import ConfigError, suggest
from ostinato.search.domains import Value
from ostinato.search.space import Space

__all__ = ["ADAPTIVE", "SAMPLERS", "Drawn", "check_sampler", "draw", "quiet", "sampler_of"]

SAMPLERS = ("random", "grid", "qmc", "tpe")
ADAPTIVE = ("tpe",)
"""Samplers that look at the scores of earlier trials; what the others draw is a function of the seed."""

Drawn = tuple[dict[str, Value], dict[str, BaseDistribution]]


def check_sampler(name: str) -> str:
    """Return a sampler's name.

    Raises:
        ConfigError: There is none of that name.
    """
    if name not in SAMPLERS:
        raise ConfigError(f"sampler: got {name!r}{suggest(str(name), SAMPLERS)}")
    return name


def sampler_of(name: str, space: Space, seed: int) -> BaseSampler:
    """Return one of Optuna's samplers.

    Raises:
        ConfigError: There is none of that name.

    >>> from ostinato.search import Range
    >>> sampler_of("qmc", Space({"cycle.count": Range(1, 10)}), 0)
    <optuna.samplers._qmc.QMCSampler object at ...>
    """
    check_sampler(name)
    with quiet():
        if name == "grid":
            return GridSampler({key: domain.numbers() for key, domain in space.fields.items()}, seed=seed)
        if name == "qmc":
            return QMCSampler(qmc_type="sobol", scramble=True, seed=seed, warn_independent_sampling=False)
        if name == "tpe":
            return TPESampler(seed=seed, multivariate=True, group=True)
        return RandomSampler(seed=seed)


def draw(name: str, space: Space, trials: int, seed: int) -> list[Drawn]:
    """Return what a sampler that does not look at scores draws for every trial: a function of the seed, whoever trains what when.

    A grid is its fields' combinations, each once, in an order drawn by the seed; where there are fewer than `trials`, there are fewer.

    Raises:
        ConfigError: The sampler looks at scores.
    """
    if name in ADAPTIVE:
        raise ConfigError(f"sampler: {name} draws after it has seen scores")
    with quiet():
        if name == "grid":
            sampler: BaseSampler = optuna.samplers.RandomSampler(seed=seed)
            points = _distinct(space.grid(), seed)[:trials]
        else:
            sampler, points = sampler_of(name, space, seed), [{} for _ in range(trials)]
        study = optuna.create_study(sampler=sampler)
        found = []
        for point in points:
            study.enqueue_trial(point)
            trial = study.ask()
            space.suggest(trial)
            found.append((dict(trial.params), dict(trial.distributions)))
            study.tell(trial, 0.0)
    return found


def _distinct(points: list[dict[str, Value]], seed: int) -> list[dict[str, Value]]:
    import numpy as np

    order = np.random.default_rng(seed).permutation(len(points))
    return [points[place] for place in order]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna's own notes and its warnings of what is experimental to itself."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.filterwarnings("ignore", message="Heartbeat of storage", category=UserWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
