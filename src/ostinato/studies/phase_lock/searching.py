"""Simulated searches: what a sampler tries, what an evaluator makes of it, and what the search then chooses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc, rankdata

from ostinato import evaluation
from ostinato.studies.phase_lock.bank import Bank, Floats, Truth
from ostinato.studies.phase_lock.layout import Layout, Stretch

__all__ = ["EVALUATORS", "SAMPLERS", "TRIALS", "Outcome", "score_table", "search", "trials_of"]

SAMPLERS = ("grid", "random", "qmc", "random-multiples")
EVALUATORS = ("fixed", "jittered", "cycle-mean", "trough")
_SIDE = 4
TRIALS = _SIDE * _SIDE
"""Configurations that one search tries, whatever its sampler."""

Ints = NDArray[np.int64]


# -- samplers --------------------------------------------------------------------------------------------------


def trials_of(sampler: str, layout: Layout, draws: int, seed: int) -> Ints:
    """Return what simulated searches try: places of peaks, and periods in steps, (draws, TRIALS, 2).

    ``grid``: every fourth peak by every other multiple of the interval, four by four, begun at random. ``random``: peak and whole
    period log-uniform over the whole range. ``qmc``: the same by a scrambled Sobol sequence. ``random-multiples``: random peaks and random
    multiples of the interval.

    Args:
        sampler: One of `SAMPLERS`.
        layout: The configurations.
        draws: Number of searches.
        seed: Of the draws.
    """
    rng = np.random.default_rng([seed, SAMPLERS.index(sampler)])
    multiples = np.array(layout.periods)[layout.multiples]
    if sampler == "grid":
        steps = len(layout.highs) // _SIDE, len(multiples) // _SIDE
        starts = [rng.integers(step, size=(draws, 1)) for step in steps]
        highs, periods = (start + step * np.arange(_SIDE) for start, step in zip(starts, steps, strict=True))
        pairs = np.broadcast_arrays(highs[:, :, None], multiples[periods][:, None, :])
        return np.stack(pairs, axis=-1).reshape(draws, TRIALS, 2)
    if sampler == "random-multiples":
        highs = rng.integers(len(layout.highs), size=(draws, TRIALS))
        return np.stack([highs, rng.choice(multiples, size=(draws, TRIALS))], axis=-1)
    points = rng.random((draws, TRIALS, 2)) if sampler == "random" else _sobol(draws, rng)
    return np.stack([_peaks(layout, points[..., 0]), _periods(layout, points[..., 1])], axis=-1)


def _sobol(draws: int, rng: np.random.Generator) -> Floats:
    return np.stack([qmc.Sobol(2, seed=rng).random(TRIALS) for _ in range(draws)])


def _peaks(layout: Layout, uniform: Floats) -> Ints:
    return np.minimum((uniform * len(layout.highs)).astype(np.int64), len(layout.highs) - 1)


def _periods(layout: Layout, uniform: Floats) -> Ints:
    """Return whole periods, log-uniform over the bank's range."""
    low, high = layout.periods[0], layout.periods[-1]
    span = math.log((high + 0.5) / (low - 0.5))
    return np.clip(np.rint((low - 0.5) * np.exp(uniform * span)), low, high).astype(np.int64)


# -- evaluators ------------------------------------------------------------------------------------------------


def score_table(bank: Bank, seed: int, evaluator: str, draws: int) -> Floats:
    """Return what each search would read of every peak and whole period under a seed, (draws, A, periods); infinite where the run diverged.

    ``fixed``: every interval, with an offset that each search draws anew. ``jittered``: as many readings, at random places. ``cycle-mean``:
    every step. ``trough``: the ends of the cycles.

    Args:
        bank: The scores.
        seed: Of the runs, and of offsets and jitter.
        evaluator: One of `EVALUATORS`.
        draws: Number of searches.
    """
    layout, place = bank.layout, bank.seeds.index(seed)
    rng = np.random.default_rng([seed, len(SAMPLERS)])  # the same offsets whatever the sampler
    readings = [part[place] for part in bank.readings]
    if evaluator == "fixed":
        offsets = rng.integers(layout.interval, size=draws)
        table = np.stack([_at_interval(layout, readings, offset) for offset in range(layout.interval)])[offsets]
    else:
        known = [
            np.stack(
                [
                    values[:, timing(stretch.cycles)].mean(axis=-1)
                    for timing in _timings(evaluator, stretch, layout, draws, rng)
                ]
            )
            for values, stretch in zip(readings, layout.stretches, strict=True)
        ]
        table = np.stack(known, axis=-1)[:, :, layout.stand_ins]
    return np.broadcast_to(np.where(np.isnan(table), np.inf, table), (draws, *table.shape[1:]))


def _at_interval(layout: Layout, readings: Sequence[Floats], offset: int) -> Floats:
    """Return the mean of what validation at the interval reads of every whole period, (A, periods)."""
    columns = [readings[place][:, steps].mean(axis=-1) for place, steps in layout.met(offset)]
    return np.stack(columns, axis=-1)


def _timings(
    evaluator: str, stretch: Stretch, layout: Layout, draws: int, rng: np.random.Generator
) -> list[evaluation.timings.Timing]:
    """Return when searches read a stretch: one timing for all of them, or one for each."""
    if evaluator == "cycle-mean":
        return [evaluation.every(1)]
    if evaluator == "trough":
        return [evaluation.at_troughs]
    count = stretch.length // layout.interval
    return [evaluation.jittered(count, seed) for seed in rng.integers(2**31, size=draws).tolist()]


# -- a search --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What searches of one kind came to under one seed, averaged over the draws.

    Attributes:
        regret: True mean over the cycles of what was chosen, less the best of the whole bank.
        trough_regret: The same of the true score at the last trough.
        rank_correlation: Spearman's, between what was read and the true mean, over what was tried.
        chosen: Share of the searches that chose each period, (P,).
    """

    regret: float
    trough_regret: float
    rank_correlation: float
    chosen: Floats


def search(layout: Layout, trials: Ints, table: Floats, truth: Truth) -> Outcome:
    """Return what comes of choosing the best reading.

    Args:
        layout: The configurations.
        trials: What is tried, (draws, TRIALS, 2).
        table: What is read, (draws, A, whole periods).
        truth: What it is worth.
    """
    highs, periods = trials[..., 0], trials[..., 1] - layout.periods[0]
    read = table[np.arange(len(trials))[:, None], highs, periods]
    places = layout.stand_ins[periods]
    best = np.argmin(read, axis=1)[:, None]
    high, place = (np.take_along_axis(part, best, axis=1)[:, 0] for part in (highs, places))
    return Outcome(
        float(truth.mean[high, place].mean() - truth.mean.min()),
        float(truth.trough[high, place].mean() - truth.trough.min()),
        float(_spearman(read, truth.mean[highs, places]).mean()),
        np.bincount(place, minlength=len(layout.periods)) / len(trials),
    )


def _spearman(first: Floats, second: Floats) -> Floats:
    """Return the rank correlation of each row."""
    ranks = [rankdata(part, axis=1) for part in (first, second)]
    centred = [part - part.mean(axis=1, keepdims=True) for part in ranks]
    norms = np.prod([np.linalg.norm(part, axis=1) for part in centred], axis=0)
    rows: Floats = np.divide((centred[0] * centred[1]).sum(axis=1), norms, out=np.zeros(len(first)), where=norms > 0)
    return rows
