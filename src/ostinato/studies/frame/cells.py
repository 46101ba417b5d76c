"""Cells: the smallest things that a study runs, and what is measured of them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cell", "Measurement", "Request", "Stage", "pack_bits", "unpack_bits"]

Stage = Literal["tuning", "confirming"]


@dataclass(frozen=True)
class Cell:
    """One arm under one seed, with the settings that were chosen for it or are on trial."""

    arm: str
    seed: int
    settings: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """Cells that one process measures together, everything that they depend on included.

    Attributes:
        study: Name of the study.
        regime: Name of the regime.
        parameters: Sizes.
        stage: ``tuning`` sees training and validation data alone; ``confirming`` sees the test data too.
        cells: What to measure.
    """

    study: str
    regime: str
    parameters: Mapping[str, Any]
    stage: Stage
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Measurement:
    """What came out of a cell.

    Attributes:
        cell: The cell.
        metrics: Numbers by name; finite unless `status` is ``"diverged"``, when they are left out.
        plans: Digests of the resolved plans that were followed.
        curves: Sequences of numbers by name, such as the error at the evaluation steps.
        correct: Whether each test example was right, bit by bit (`pack_bits`).
        status: ``"done"`` or ``"diverged"``.
        chunks: How many members the population engine trained at once; empty for runs of their own.
        wall_s: Seconds, shared equally by what ran at once.
    """

    cell: Cell
    metrics: Mapping[str, float]
    plans: tuple[str, ...] = ()
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    correct: str = ""
    status: Literal["done", "diverged"] = "done"
    chunks: tuple[int, ...] = ()
    wall_s: float = 0.0

    def to_document(self) -> dict[str, Any]:
        """Return a JSON document: the cell's fields beside the others."""
        document = asdict(self)
        cell = document.pop("cell")
        document["plans"], document["chunks"] = list(self.plans), list(self.chunks)
        document["curves"] = {name: [float(value) for value in values] for name, values in self.curves.items()}
        document["metrics"] = {name: float(value) for name, value in self.metrics.items()}
        return {**cell, **document}


def pack_bits(correct: NDArray[np.bool_]) -> str:
    """Return booleans as text: their number, a colon, and eight to a byte in base 64.

    >>> pack_bits(np.array([True, False, True]))
    '3:oA=='
    """
    return f"{len(correct)}:{base64.b64encode(np.packbits(correct).tobytes()).decode('ascii')}"


def unpack_bits(text: str) -> NDArray[np.bool_]:
    """Return the booleans that `pack_bits` wrote.

    >>> unpack_bits("3:oA==")
    array([ True, False,  True])
    """
    length, _, packed = text.partition(":")
    bits = np.unpackbits(np.frombuffer(base64.b64decode(packed), np.uint8), count=int(length))
    return bits.astype(np.bool_)
