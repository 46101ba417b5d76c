"""What is drawn in a federation: a client's batches and who takes part, each a pure function of seed, client and round."""

from __future__ import annotations

from functools import partial
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from ostinato.checks import whole

__all__ = ["batches_of", "client_seed", "participants", "updates_of"]

_whole = partial(whole, of=Integral)

_BATCHES, _PARTICIPANTS, _MASKS = 20_320, 20_321, 20_322  # streams of one seed


def updates_of(examples: int, batch_size: int, epochs: int = 1) -> int:
    """Return the updates that a client makes in a round: epochs * ceil(examples / batch_size).

    >>> updates_of(65, 64, 2)
    4
    """
    return _whole("epochs", epochs) * -(-_whole("examples", examples) // _whole("batch_size", batch_size))


def batches_of(
    seed: int, client: int, round: int, examples: int, batch_size: int, *, epochs: int = 1, updates: int | None = None
) -> NDArray[np.int64]:
    """Return which of its own examples a client trains on in a round: one row of places, 0 to examples - 1, for each update.

    The rows cut up one permutation of the examples after another. Every batch is full: where a permutation ends inside a row, the next one goes on
    there. So every update is a mean over `batch_size` examples, and every example is met equally often, up to one. It is a pure function of
    its arguments: a client that is started again draws the same batches.

    Args:
        seed: Of the federation.
        client: Its number.
        round: The round, from 1.
        examples: How many it holds.
        batch_size: Examples of a batch.
        epochs: Local epochs, of ceil(examples / batch_size) updates each.
        updates: Updates of the round, instead of epochs.

    Returns:
        int64 (updates, batch_size).

    Raises:
        ConfigError: A number cannot be.

    >>> batches_of(0, 3, 1, examples=5, batch_size=2).shape
    (3, 2)
    >>> sorted(batches_of(0, 3, 1, examples=4, batch_size=2).ravel().tolist())
    [0, 1, 2, 3]
    """
    rows = updates_of(examples, batch_size, epochs) if updates is None else updates
    for name, value, least in (("seed", seed, 0), ("client", client, 0), ("round", round, 1), ("updates", rows, 1)):
        _whole(name, value, least)
    rng = np.random.default_rng([seed, client, round, _BATCHES])
    passes = -(-rows * batch_size // examples)
    stream = np.concatenate([rng.permutation(examples) for _ in range(passes)])
    return stream[: rows * batch_size].reshape(rows, batch_size)


def participants(seed: int, round: int, clients: int, fraction: float = 1.0) -> NDArray[np.int64]:
    """Return who takes part in a round, ascending: max(1, floor(fraction * clients)) of them, drawn without replacement.

    >>> participants(0, 1, 4).tolist(), len(participants(0, 1, 4, 0.5))
    ([0, 1, 2, 3], 2)
    """
    count = max(1, int(fraction * clients))
    if count == clients:
        return np.arange(clients)
    return np.sort(np.random.default_rng([seed, round, _PARTICIPANTS]).permutation(clients)[:count])


def client_seed(seed: int, client: int) -> int:
    """Return the seed of a client's own randomness, such as its dropout masks.

    >>> client_seed(0, 1) != client_seed(1, 0)
    True
    """
    return int(np.random.SeedSequence((seed, client, _MASKS)).generate_state(1)[0])
