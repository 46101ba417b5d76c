"""Merging: one model out of what the clients of a round send back, for unequal progress too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import ConfigError

__all__ = ["Update", "is_statistic", "merge", "shares"]

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Update:
    """What a client sends back.

    Attributes:
        client: Its number.
        arrays: Its weights and buffers after the round.
        weight: How much it counts: its number of examples.
        progress: How far it went: `LocalRound.progress`.
    """

    client: int
    arrays: Arrays
    weight: float
    progress: float = 1.0


def shares(updates: Sequence[Update], *, normalise: bool = False) -> NDArray[np.float64]:
    """Return what every client's way from the common model is multiplied with.

    With p_i = weight_i / sum of the weights these are p_i, federated averaging; or normalised, p_i a / a_i with a_i the client's progress
    and a = sum of p_i a_i, so that a client with a high rate pulls no harder than another and the step is as long as before. A client of no
    progress has sent nothing new; it is left out, and the others' p_i sum to 1.

    Raises:
        ConfigError: There are no updates, a weight or a progress cannot be, or nobody made progress.

    >>> shares([Update(0, {}, 30, 0.2), Update(1, {}, 10, 0.1)], normalise=True).round(6).tolist()
    [0.65625, 0.4375]
    """
    if not updates:
        raise ConfigError("merge: got no updates, expected those of at least one client")
    weights = np.array([update.weight for update in updates], np.float64)
    if not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() == 0:
        raise ConfigError(f"merge: got weights {weights.tolist()}, expected numbers of examples, one of them above 0")
    if not normalise:
        return np.asarray(weights / weights.sum())
    progress = np.array([update.progress for update in updates], np.float64)
    if not np.isfinite(progress).all() or (progress < 0).any() or not (progress * weights).any():
        raise ConfigError(f"merge: got progress {progress.tolist()}, expected sums of rates, one of them above 0")
    moved = progress > 0
    weights = np.where(moved, weights, 0.0) / weights[moved].sum()
    return np.asarray(weights * (weights @ progress) / np.where(moved, progress, 1.0))


def merge(
    before: Arrays, updates: Sequence[Update], *, normalise: bool = False, rate: float = 1.0
) -> dict[str, NDArray[Any]]:
    """Return the common model after a round: w + rate * sum of s_i (w_i - w), s_i the `shares`.

    Sums are taken in float64 and in the order of the clients' numbers, so that the result does not depend on who answered first. What
    was measured and not learned (`is_statistic`) is averaged by weight alone, since a variance that is lengthened can turn negative; whole
    numbers are rounded.

    Args:
        before: The common model that the clients began with, w.
        updates: One for each client that answered.
        normalise: Let every client pull alike however far it went: FedNova (J. Wang et al., Tackling the Objective Inconsistency Problem in
            Heterogeneous Federated Optimization, NeurIPS 2020, arXiv 2007.07481).
        rate: The server's own rate.

    Raises:
        ConfigError: An update lacks an array, has one of another shape, or is given twice for one client.

    >>> before = {"w": np.zeros(2)}
    >>> merge(before, [Update(0, {"w": np.ones(2)}, 1, 0.2), Update(1, {"w": np.full(2, 4.0)}, 1, 0.4)])["w"].tolist()
    [2.5, 2.5]
    """
    numbers = [update.client for update in updates]
    for client in numbers:
        if numbers.count(client) > 1:
            raise ConfigError(f"merge: client {client} has sent {numbers.count(client)} updates; expected one")
    ordered = sorted(updates, key=lambda update: update.client)
    pull, plain = shares(ordered, normalise=normalise), shares(ordered)
    return {
        name: _merged(name, array, ordered, plain if is_statistic(name, array) else rate * pull)
        for name, array in before.items()
    }


def is_statistic(name: str, array: NDArray[Any]) -> bool:
    """Return whether an array of a model is measured and not learned: a batch norm's statistics by their names in torch, and whole numbers.

    >>> is_statistic("1.running_var", np.ones(3)), is_statistic("1.weight", np.ones(3))
    (True, False)
    """
    return name.rpartition(".")[2] in _STATISTICS or not np.issubdtype(array.dtype, np.floating)


def _merged(name: str, before: NDArray[Any], updates: Sequence[Update], factors: NDArray[np.float64]) -> NDArray[Any]:
    start = before.astype(np.float64)
    moved = np.zeros_like(start)
    for update, factor in zip(updates, factors, strict=True):
        if name not in update.arrays or update.arrays[name].shape != before.shape:
            got = f"shape {update.arrays[name].shape}" if name in update.arrays else "nothing"
            raise ConfigError(f"merge: {name} of client {update.client}: got {got}, expected shape {before.shape}")
        moved += factor * (update.arrays[name].astype(np.float64) - start)
    result = start + moved
    return np.asarray((result if np.issubdtype(before.dtype, np.floating) else np.rint(result)).astype(before.dtype))
