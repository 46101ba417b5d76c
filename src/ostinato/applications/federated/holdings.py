"""What the clients of a federation hold: indices of examples, checked and counted."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ostinato.errors import ConfigError

__all__ = ["Description", "Parts", "checked_parts", "column", "describe"]

Parts = tuple[NDArray[np.int64], ...]


@dataclass(frozen=True, eq=False)
class Description:
    """What the clients of a partition hold.

    Attributes:
        classes: The classes, ascending.
        counts: Examples by client and class, int64 (clients, classes).
    """

    classes: tuple[Hashable, ...]
    counts: NDArray[np.int64]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Examples of each client."""
        return np.asarray(self.counts.sum(axis=1))

    @property
    def distances(self) -> NDArray[np.float64]:
        """Total variation sum_c |p_ic - p_c| / 2 of each client's distribution of classes from that of all examples; in [0, 1)."""
        pooled = self.counts.sum(axis=0) / self.counts.sum()
        own = self.counts / self.sizes[:, None]
        return np.asarray(np.abs(own - pooled).sum(axis=1) / 2)

    @property
    def distance(self) -> float:
        """The mean of `distances` over the clients: 0 where all have one mix, near 1 where each has a class that is rare elsewhere."""
        return float(self.distances.mean())

    def __str__(self) -> str:
        """Return a table, a line for each client."""
        head = ["client", "examples", *map(str, self.classes), "distance"]
        rows = [
            [str(place), str(size), *map(str, own), f"{distance:.3f}"]
            for place, (size, own, distance) in enumerate(
                zip(self.sizes.tolist(), self.counts.tolist(), self.distances.tolist(), strict=True)
            )
        ]
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        lines = ["  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in [head, *rows]]
        return "\n".join([*lines, f"mean total variation from all examples: {self.distance:.3f}"])


def describe(parts: Sequence[ArrayLike], labels: ArrayLike) -> Description:
    """Count what every client holds.

    Args:
        parts: Indices of each client.
        labels: The class of every example, (N,).

    Raises:
        ConfigError: A client has no example, or an index is none of an example.

    >>> print(describe(([0, 1], [2, 3]), [0, 0, 0, 1]))
    client  examples  0  1  distance
         0         2  2  0     0.250
         1         2  1  1     0.250
    mean total variation from all examples: 0.250
    """
    found = column(labels, "labels")
    rows = checked_parts(parts, len(found))
    classes, numbers = np.unique(found, return_inverse=True)
    counts = np.stack([np.bincount(numbers[row], minlength=len(classes)) for row in rows])
    return Description(tuple(classes.tolist()), counts.astype(np.int64))


def checked_parts(parts: Sequence[ArrayLike], examples: int) -> Parts:
    """Return parts as arrays of indices.

    Raises:
        ConfigError: There are none, one is empty, or an index is none of an example.
    """
    rows = tuple(np.asarray(part) for part in parts)
    if not rows:
        raise ConfigError("parts: got none, expected indices for at least one client")
    for client, row in enumerate(rows):
        if row.ndim != 1 or not row.size or row.dtype.kind not in "iu" or row.min() < 0 or row.max() >= examples:
            raise ConfigError(
                f"parts: those of client {client} cannot be, expected indices from 0 to {examples - 1}, at least one"
            )
    return tuple(row.astype(np.int64) for row in rows)


def column(values: ArrayLike, name: str) -> NDArray[np.generic]:
    """Return one value for each example.

    Raises:
        ConfigError: They are in another shape.
    """
    found = np.asarray(values)
    if found.ndim != 1 or not found.size:
        raise ConfigError(f"{name}: got shape {found.shape}, expected one value for each example")
    return found
