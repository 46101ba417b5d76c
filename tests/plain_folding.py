"""The energies of the AB model in plain loops over coordinates, as the papers write them: what the fast ones are checked against."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def plane(angles: Floats) -> Floats:
    """Beads in the plane, from the bends."""
    direction, points = 0.0, [np.zeros(2), np.array([1.0, 0.0])]
    for bend in angles:
        direction += bend
        points.append(points[-1] + [math.cos(direction), math.sin(direction)])
    return np.array(points)


def space(angles: Floats, beads: int) -> Floats:
    """Beads in space, from azimuths and elevations, as in the code of the differential-evolution papers."""
    theta, beta = angles[: beads - 2], angles[beads - 2 :]
    points = [np.zeros(3), np.array([0.0, 1.0, 0.0]), np.array([math.cos(theta[0]), 1 + math.sin(theta[0]), 0.0])]
    for t, b in zip(theta[1:], beta, strict=True):
        points.append(points[-1] + [math.cos(t) * math.cos(b), math.sin(t) * math.cos(b), math.sin(b)])
    return np.array(points)


def energy(sequence: str, model: str, angles: Floats, dim: int) -> float:
    """The energy, term by term."""
    points = plane(angles) if dim == 2 else space(angles, len(sequence))
    bonds = np.diff(points, axis=0)
    total = 0.0
    if model == "II":
        total += sum(bonds[k] @ bonds[k + 1] for k in range(len(bonds) - 1))
        total -= 0.5 * sum(bonds[k] @ bonds[k + 2] for k in range(len(bonds) - 2))
    elif model == "azimuth":
        total += 0.25 * sum(1 - math.cos(theta) for theta in angles[: len(sequence) - 2])
    else:
        total += 0.25 * sum(1 - bonds[k] @ bonds[k + 1] for k in range(len(bonds) - 1))
    for i, j in itertools.combinations(range(len(sequence)), 2):
        if j < i + 2:
            continue
        r = math.dist(points[i], points[j])
        pair = {sequence[i], sequence[j]}
        if model == "II":
            total += 4 * (1.0 if pair == {"A"} else 0.5) * (r**-12 - r**-6)
        else:
            strength = 1.0 if pair == {"A"} else 0.5 if pair == {"B"} else -0.5
            total += 4 * (r**-12 - strength * r**-6)
    return total
