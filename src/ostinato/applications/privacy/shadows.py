"""Shadow models: each point in half of them, attacked at their own phase."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ostinato.applications.privacy.leaks import auc, leak
from ostinato.applications.privacy.scores import Bools, Floats, Variance, lira, rmia
from ostinato.errors import ConfigError, DataError
from ostinato.evaluation import Interval, studentised_bootstrap

__all__ = ["Attack", "Shadows", "attack_scores", "halves", "over_pairs"]

Attack = Literal["lira", "lira-offline", "rmia", "rmia-offline", "loss"]
ATTACKS: tuple[Attack, ...] = ("lira", "lira-offline", "rmia", "rmia-offline", "loss")


def halves(points: int, models: int, seed: int = 0) -> Bools:
    """Return which points each model is trained with: models 2j and 2j + 1 share all of them, each half, at random.

    Every point is in exactly half of the models, and a model has one half of the points or, of an odd number, all but one of its pair's other
    half. Attacked with the shadows of the *other* pairs, a target says nothing by the number of shadows that hold a point: of each kind there
    are as many, whether the target holds it or not, so that the area of an attack on models that do not leak is 0.5 exactly, in the mean.

    Args:
        points: N, even, so that all models have as many.
        models: K, even, at least 4: two pairs.
        seed: Of the halves.

    Returns:
        (K, N), rows 2j and 2j + 1 complements.

    Raises:
        DataError: `points` or `models` cannot be halved.

    >>> inside = halves(6, 4)
    >>> inside.sum(axis=0).tolist(), inside.sum(axis=1).tolist()
    ([2, 2, 2, 2, 2, 2], [3, 3, 3, 3])
    """
    if models < 4 or models % 2:
        raise DataError(
            f"shadows: got {models} models, expected an even number >= 4: pairs that share the points, attacked with the other pairs"
        )
    if points < 4 or points % 2:
        raise DataError(f"points: got {points}, expected an even number >= 4, so that every model has half of them")
    generator = np.random.default_rng([seed, 11_203])
    inside = np.zeros((models, points), np.bool_)
    for pair in range(0, models, 2):
        inside[pair, generator.permutation(points)[: points // 2]] = True
        inside[pair + 1] = ~inside[pair]
    return inside


def attack_scores(
    attack: Attack,
    confidences: ArrayLike,
    inside: ArrayLike,
    population: ArrayLike | None = None,
    *,
    variance: Variance = "global",
    **options: Any,
) -> Floats:
    """Attack every model of `halves` with the models of the other pairs as shadows.

    Args:
        attack: ``"lira"``, ``"lira-offline"``, ``"rmia"``, ``"rmia-offline"``, or ``"loss"``, which needs no shadows.
        confidences: Of all models in all points, (K, N).
        inside: From `halves`, (K, N).
        population: Confidences in points that no model was trained with, (K, Z); needed by ``"rmia"``.
        variance: Of LiRA.
        **options: ``gamma`` and ``offline_a`` of RMIA.

    Returns:
        Scores (K, N).

    Raises:
        ConfigError: There is no such attack, or RMIA has no population.
        DataError: Rows 2j and 2j + 1 of `inside` are no complements.
    """
    if attack not in ATTACKS:
        raise ConfigError(f"attack: got {attack!r}, expected one of {', '.join(ATTACKS)}")
    values, among = np.asarray(confidences, dtype=np.float64), np.asarray(inside, dtype=np.bool_)
    if among.shape != values.shape or len(among) < 4 or not np.array_equal(among[::2], ~among[1::2]):
        raise DataError(
            "inside: expected the pairs of halves(points, models), models 2j and 2j + 1 complements; members and non-members overlap otherwise"
        )
    if attack == "loss":
        return values
    online = not attack.endswith("-offline")
    if attack.startswith("rmia") and population is None:
        raise ConfigError("population: rmia needs points that no model was trained with")
    scores = np.empty_like(values)
    for k in range(len(values)):
        others = np.arange(len(values)) // 2 != k // 2
        if attack.startswith("lira"):
            scores[k] = lira(values[k], values[others], among[others], online=online, variance=variance)
        else:
            z = np.asarray(population, dtype=np.float64)
            scores[k] = rmia(values[k], values[others], among[others], (z[k], z[others]), online=online, **options)
    return scores


def over_pairs(values: ArrayLike, *, level: float = 0.95, seed: int = 0) -> Interval:
    """Return the interval of a mean over models: studentised bootstrap over the pairs of `halves`, whose two models share their points.

    Args:
        values: One a model, in the order of `halves`, (K,).
        level: Coverage aimed at.
        seed: Of the resamples.

    >>> interval = over_pairs([0.6, 0.62, 0.58, 0.6, 0.61, 0.59, 0.6, 0.64])
    >>> 0.58 < interval.low < 0.605 < interval.high < 0.65
    True
    """
    found = np.asarray(values, dtype=np.float64)
    return studentised_bootstrap(found.reshape(-1, 2).mean(axis=1), level=level, seed=seed)


@dataclass(frozen=True, eq=False)
class Shadows:
    """Models trained under one plan, and how sure each is of every point at each evaluation.

    Attributes:
        steps: Updates after which they were evaluated, less one, (E,).
        cycle: The cycle that each lies in, -1 outside, (E,).
        phase: Its phase: the share of its cycle that is through, in (0, 1], (E,); 1 is the cycle's end.
        rate: The learning rate of that update; NaN where the plan drives none, (E,).
        confidences: Logit-scaled, (E, K, N), float32.
        accuracy: Share of the fresh points that each model has right; of the pool's points outside its half where there are none, (E, K).
        inside: Which points each model was trained with, (K, N).
        fresh: Confidences in points that no model was trained with, (E, K, Z), float32; Z may be 0.
        weights: Each evaluation's stacked weights, where they were to be kept.
    """

    steps: NDArray[np.int64]
    cycle: NDArray[np.int64]
    phase: Floats
    rate: Floats
    confidences: NDArray[np.float32]
    accuracy: Floats
    inside: Bools
    fresh: NDArray[np.float32]
    weights: tuple[Mapping[str, Tensor], ...] = ()

    def only(self, e: int) -> Shadows:
        """Return what the models say at one evaluation."""
        one = slice(e, e + 1)
        return Shadows(
            self.steps[one], self.cycle[one], self.phase[one], self.rate[one], self.confidences[one], self.accuracy[one],
            self.inside, self.fresh[one], self.weights[one],
        )  # fmt: skip

    def auc(self, attack: Attack = "lira", *, points: ArrayLike | None = None, **options: Any) -> Floats:
        """Return the area of an attack at each evaluation on each model, (E, K).

        Args:
            attack: See `attack_scores`.
            points: Only among these points: a mask (N,) or places; by default all.
            **options: Of the attack.
        """
        chosen = slice(None) if points is None else np.asarray(points)
        among = self.inside[:, chosen]
        found = [auc(scores[:, chosen], among) for scores in self.scores(attack, **options)]
        return np.stack(found)

    def tpr(self, rate: float, attack: Attack = "lira", *, points: ArrayLike | None = None, **options: Any) -> Floats:
        """Return the share of members named at a false-positive rate, (E, K); NaN where the points are too few to tell."""
        chosen = np.arange(self.inside.shape[1])[slice(None) if points is None else np.asarray(points)]
        found = np.full(self.accuracy.shape, np.nan)
        for e, scores in enumerate(self.scores(attack, **options)):
            for k, among in enumerate(self.inside[:, chosen]):
                value = leak(scores[k, chosen], among, rates=(rate,)).tpr[rate]
                found[e, k] = np.nan if value is None else value
        return found

    def scores(self, attack: Attack = "lira", **options: Any) -> Iterable[Floats]:
        """Yield the scores of each evaluation, (K, N), all models attacked at that phase with shadows at that phase."""
        for values, fresh in zip(self.confidences, self.fresh, strict=True):
            yield attack_scores(attack, values, self.inside, fresh if fresh.shape[-1] else None, **options)
