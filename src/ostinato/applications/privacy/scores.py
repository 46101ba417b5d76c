"""Attacks: from confidences to a score for each point, the higher the likelier a member."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ostinato.errors import ConfigError, DataError

__all__ = ["Bools", "Floats", "Variance", "confidence", "lira", "log_probability", "rmia"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Variance = Literal["global", "point"]
_LEAST_DEVIATION = 1e-6


def confidence(logits: Any, labels: ArrayLike) -> Floats:
    """Return the logit-scaled confidence in each label: log p_y - log(1 - p_y) = z_y - log sum over c != y of exp z_c.

    It is nearly normal over models, unlike p itself, and it is computed from the logits without rounding 1 - p. The loss -log p_y falls
    with it, so that its order is that of the loss attack.

    Args:
        logits: (..., N, C), C >= 2; probabilities are refused, give their logarithms.
        labels: (N,), whole numbers.

    Returns:
        (..., N).

    Raises:
        DataError: The outputs are no finite logits of the labels' classes.

    Source: Carlini et al. 2022, "Membership Inference Attacks From First Principles", arXiv 2112.03570, section IV.

    >>> confidence([[0.0, 1000.0], [2.0, -1.0]], [1, 0]).tolist()
    [1000.0, 3.0]
    """
    z, y = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    if z.ndim < 2 or z.shape[-1] < 2 or y.shape != z.shape[-2:-1]:
        raise DataError(
            f"logits: got shape {z.shape} for {y.shape} labels, expected (..., N, C) with C >= 2 and (N,); an attack needs a probability for each class"
        )
    if y.dtype.kind not in "iu" or (len(y) and not 0 <= y.min() <= y.max() < z.shape[-1]):
        raise DataError(f"labels: expected whole numbers from 0 to {z.shape[-1] - 1}, one for each point")
    if not np.isfinite(z).all():
        raise DataError("logits: some are not finite; a diverged model has no confidences to attack")
    places = np.broadcast_to(y[:, None], (*z.shape[:-1], 1))
    own = np.take_along_axis(z, places, axis=-1)[..., 0]
    others = z - z.max(axis=-1, keepdims=True)
    np.put_along_axis(others, places, -np.inf, axis=-1)
    above = others.max(axis=-1, keepdims=True)
    np.exp(np.subtract(others, above, out=others), out=others)
    found: Floats = own - z.max(axis=-1) - above[..., 0] - np.log(others.sum(axis=-1))
    return found


def log_probability(confidences: ArrayLike) -> Floats:
    """Return log p_y of logit-scaled confidences: -log(1 + exp(-c)), the loss with its sign turned."""
    found: Floats = -np.logaddexp(0.0, -np.asarray(confidences, dtype=np.float64))
    return found


def lira(
    target: ArrayLike, shadows: ArrayLike, inside: ArrayLike, *, online: bool = True, variance: Variance = "global"
) -> Floats:
    """Return the likelihood-ratio attack's score of each point.

    Shadow models that were trained with a point give its confidence a normal distribution (m_in, s_in), those without it (m_out, s_out).
    Online: log N(c; m_in, s_in) - log N(c; m_out, s_out). Offline, from the shadows without the point alone: (c - m_out) / s_out, which has the order of the
    one-sided p value that the source states.

    Args:
        target: Confidences of the model that is attacked, (N,).
        shadows: Confidences of the shadow models, (S, N).
        inside: Whether each shadow was trained with each point, (S, N).
        online: Whether shadows with the point are used.
        variance: ``"point"`` estimates s for each point; ``"global"`` pools the squared deviations from each point's own mean over all points, with the degrees of
            freedom that the means leave: better below some 64 shadows.

    Raises:
        DataError: Shapes do not fit, a value is not finite, or a point has too few shadows.

    Source: Carlini et al. 2022, algorithm 1. Their code's fixed variance is the standard deviation of all confidences, between points too; this is not.

    >>> lira([3.0, 0.0], [[3.0, 0.5], [0.5, 3.0], [2.0, 0.0], [0.0, 2.0]], [[1, 0], [0, 1], [1, 0], [0, 1]]).round(2).tolist()
    [29.31, -6.69]
    """
    if variance not in ("global", "point"):
        raise ConfigError(f"variance: got {variance!r}, expected 'global' or 'point'")
    c, values, among = _checked(target, shadows, inside)
    least = 2 if variance == "point" else 1
    out = _normal(values, ~among, variance, "outside", least)
    if not online:
        return (c - out[0]) / out[1]
    own = _normal(values, among, variance, "inside", least)
    found: Floats = _log_density(c, *own) - _log_density(c, *out)
    return found


def rmia(
    target: ArrayLike,
    shadows: ArrayLike,
    inside: ArrayLike,
    population: tuple[ArrayLike, ArrayLike],
    *,
    online: bool = True,
    gamma: float = 1.0,
    offline_a: float = 0.3,
) -> Floats:
    """Return the relative attack's score of each point: the share of the population z with [p(x) / q(x)] / [p(z) / q(z)] >= gamma.

    p is the target model's probability of the label and q what is expected of models in general. Online, q(x) is half the mean over the shadows with
    the point and half that over those without it; offline it is ((1 + a) * mean without + 1 - a) / 2. No model has seen the population: its q(z) is the offline one, from
    all shadows. For one target the score rises with p(x) / q(x), so that its order, and with it the AUC, depends on the population by ties alone.

    Args:
        target: Confidences of the model that is attacked (logit-scaled, as `confidence` gives them), (N,).
        shadows: Of the shadow models, (S, N).
        inside: Whether each shadow was trained with each point, (S, N).
        population: Confidences of the target (Z,) and of the shadows (S, Z) in points that no model was trained with.
        online: Whether shadows with the point are used.
        gamma: By how much a point must stand out.
        offline_a: How far training lifts a probability: 1 not at all, 0 half of the way to certainty.

    Raises:
        ConfigError: `gamma` or `offline_a` cannot be.
        DataError: As `lira` does.

    Source: Zarifzadeh et al. 2024, "Low-Cost High-Power Membership Inference Attacks", arXiv 2312.03262, algorithm 1.

    >>> shadows, inside = [[2.0, 0.5], [0.0, 2.5], [2.0, 0.5], [0.0, 2.5]], [[1, 0], [0, 1], [1, 0], [0, 1]]
    >>> rmia([3.0, 0.0], shadows, inside, ([0.1, 1.5, -2.0], [[0.0, 1.0, -1.0]] * 4)).round(2).tolist()
    [1.0, 0.33]
    """
    from scipy.special import expit

    if not gamma > 0.0 or not 0.0 <= offline_a <= 1.0:
        raise ConfigError(
            f"gamma, offline_a: got {gamma!r} and {offline_a!r}, expected a number > 0 and one from 0 to 1"
        )
    c, values, among = _checked(target, shadows, inside)
    z, others, nobody = _checked(*population, np.zeros(np.shape(population[1]), np.bool_))
    if len(others) != len(values):
        raise DataError(f"population: got {len(others)} shadows, expected the {len(values)} of the points")
    if not len(z):
        raise DataError("population: got no point; give some that no model was trained with")

    def expected(part: Floats, of: Bools) -> Floats:
        probabilities = expit(part)
        without = _mean(probabilities, ~of, "outside")
        if online and of is among:
            found = 0.5 * (_mean(probabilities, of, "inside") + without)
        else:
            found = 0.5 * ((1.0 + offline_a) * without + 1.0 - offline_a)
        logs: Floats = np.log(np.maximum(found, np.finfo(np.float64).tiny))
        return logs

    own = log_probability(c) - expected(values, among)
    among_population = np.sort(log_probability(z) - expected(others, nobody))
    found: Floats = np.searchsorted(among_population, own - np.log(gamma), side="right") / len(z)
    return found


def _checked(target: ArrayLike, shadows: ArrayLike, inside: ArrayLike) -> tuple[Floats, Floats, Bools]:
    c, values = np.asarray(target, dtype=np.float64), np.asarray(shadows, dtype=np.float64)
    among = np.asarray(inside)
    if c.ndim != 1 or values.ndim != 2 or values.shape[1] != len(c) or among.shape != values.shape:
        raise DataError(
            f"target, shadows, inside: got shapes {c.shape}, {values.shape}, {among.shape}, expected (N,), (S, N), (S, N)"
        )
    if not (np.isfinite(c).all() and np.isfinite(values).all()):
        raise DataError("confidences: some are not finite; leave diverged models out")
    return c, values, among.astype(np.bool_)


def _demand(counts: NDArray[Any], where: str, least: int) -> None:
    if len(counts) and counts.min() < least:
        point = int(counts.argmin())
        raise DataError(
            f"shadows: point {point} has {int(counts[point])} shadow models {where} of its training set, expected at least {least}; train more, or use online=False"
        )


def _normal(values: Floats, of: Bools, variance: Variance, where: str, least: int) -> tuple[Floats, Floats | float]:
    """Return the mean over chosen models for each point, and the standard deviation."""
    counts = of.sum(axis=0)
    _demand(counts, where, least)
    mean = _mean(values, of, where)
    squares = np.where(of, values - mean, 0.0) ** 2
    if variance == "point":
        return mean, np.maximum(np.sqrt(squares.sum(axis=0) / (counts - 1)), _LEAST_DEVIATION)
    freedom = int((counts - 1).sum())
    if not freedom:
        raise DataError(f"shadows: no point has 2 shadow models {where} of its training set; a variance needs them")
    return mean, max(float(np.sqrt(squares.sum() / freedom)), _LEAST_DEVIATION)


def _log_density(c: Floats, mean: Floats, deviation: Floats | float) -> Floats:
    found: Floats = -0.5 * ((c - mean) / deviation) ** 2 - np.log(deviation)
    return found


def _mean(values: Floats, of: Bools, where: str) -> Floats:
    """Return the mean over chosen models."""
    counts = of.sum(axis=0)
    _demand(counts, where, 1)
    found: Floats = np.where(of, values, 0.0).sum(axis=0) / counts
    return found
