"""Stochastic logistic regression: a convex problem with real data, minibatch noise, and a minimum known to rounding."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import root
from scipy.special import expit
from torch import Tensor
from torch.nn.functional import softplus

from ostinato.applications.landscapes.problem import BLOCK, Count, Problem, counted, log_uniform, making
from ostinato.errors import ConfigError, DataError, suggest

__all__ = ["DATA", "Logistic", "digest_of"]

Floats = NDArray[np.float64]
DATA = ("breast-cancer", "digits")
"""Data sets that scikit-learn bundles: 569 examples of 30 features; 1,797 of 64 pixels, even digits against odd ones."""

_STATIONARY = 1e-10
"""What the gradient's norm at the optimum must stay below; it is of the order of 1e-14."""


_LINEAR = 40.0
"""From here on log(1 + e^x) is x in float64; torch's own 20 leaves an error of 2e-9."""


@dataclass(frozen=True, eq=False)
class Logistic(Problem):
    """F(w) = mean_i log(1 + exp(-z_i·w)) + ridge/2 |w|², z_i = y_i x_i, y_i = ±1. Strictly convex.

    The optimizer sees the gradient over `batch` examples, drawn with replacement at each step, the same for all arms and starts; over all of
    them with a batch of 0. Values are those over all examples. One instance for all starts.

    Attributes:
        rows: z, (n, D).
        ridge: > 0.
        batch: Examples of a step; 0 for all.

    >>> problem = Logistic.of("breast-cancer", seed=0, examples=100, features=5)
    >>> problem.dimension, bool(problem.gradient(problem.optimum).norm() < 1e-12)
    (6, True)
    """

    rows: Tensor
    ridge: float
    batch: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.ridge > 0.0 or self.batch < 0:
            raise ConfigError(
                f"logistic: got ridge={self.ridge}, batch={self.batch}, expected ridge > 0 and batch >= 0"
            )

    @classmethod
    def of(
        cls,
        data: Literal["breast-cancer", "digits"],
        *,
        seed: int = 0,
        examples: int | None = None,
        features: int | None = None,
        scales: tuple[float, float] = (1.0, 1.0),
        ridge: float = 1e-3,
        batch: int = 32,
    ) -> Self:
        """Return the regression on bundled data, or on a part of it drawn with a seed.

        Features are standardised over the chosen examples, then multiplied by numbers that are log-uniform between `scales`, which is how
        a problem gets a conditioning of its own; a constant feature of 1 comes last. Features that do not vary are left out.

        Args:
            data: One of `DATA`.
            seed: Of examples, features and scales.
            examples: How many, drawn without replacement; by default all.
            features: How many, as well.
            scales: Range of the scales.
            ridge: > 0.
            batch: Examples of a step.

        Raises:
            ConfigError: There is no such data set, or it is smaller than what is asked for; `ridge` or `batch` cannot be.
        """
        if data not in DATA:
            raise ConfigError(f"data: got {data!r}{suggest(str(data), DATA)}")
        x, y = _loaded(data)
        rng = making(seed)
        for name, asked, most in (("examples", examples, x.shape[0]), ("features", features, x.shape[1])):
            if asked is not None and not 1 <= asked <= most:
                raise ConfigError(f"{name}: got {asked}, expected 1 to {most}, which is what {data} has")
        chosen = rng.permutation(len(y))[:examples]
        varying = np.flatnonzero(np.ptp(x[chosen], axis=0) > 0.0)
        x = x[chosen][:, rng.permutation(varying)[:features]]
        x = (x - x.mean(0)) / x.std(0) * log_uniform(rng, scales, x.shape[1])
        x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
        return cls(torch.from_numpy(y[chosen][:, None] * x), ridge, batch)

    @property
    def dimension(self) -> int:
        """Number of weights."""
        return self.rows.shape[1]

    def value(self, x: Tensor, step: Count = 0) -> Tensor:
        return softplus(-(x @ self.rows.T), threshold=_LINEAR).mean(dim=-1) + self.ridge / 2 * (x * x).sum(dim=-1)

    def gradient(self, x: Tensor, step: Count = 0) -> Tensor:
        return self._over(x, self.rows)

    def _over(self, x: Tensor, rows: Tensor) -> Tensor:
        return torch.sigmoid(-(x @ rows.T)) @ rows / -len(rows) + self.ridge * x

    def draws(self, seed: int, block: int, starts: int) -> Tensor | None:
        """Return the examples of each step of a block, (BLOCK, batch)."""
        if self.batch == 0:
            return None
        return torch.from_numpy(counted(seed, block).integers(len(self.rows), size=(BLOCK, self.batch)))

    def seen(self, x: Tensor, step: Count, draw: Tensor | None) -> Tensor:
        return self._over(x, self.rows if draw is None else self.rows[draw])

    @cached_property
    def optimum(self) -> Tensor:
        """The only stationary point, (D,): Newton's method with safeguards (MINPACK).

        Raises:
            DataError: The gradient there is not 0 to rounding: the problem is too ill-conditioned for float64.
        """
        rows = self.rows.numpy()

        def gradient(w: Floats) -> Floats:
            found: Floats = self.ridge * w - rows.T @ expit(-rows @ w) / len(rows)
            return found

        def hessian(w: Floats) -> Floats:
            p = expit(rows @ w)
            found: Floats = (rows.T * (p * (1 - p))) @ rows / len(rows) + self.ridge * np.eye(len(w))
            return found

        found = root(gradient, np.zeros(rows.shape[1]), jac=hessian, tol=1e-14)
        norm = float(np.linalg.norm(gradient(found.x)))
        if not norm < _STATIONARY:
            raise DataError(f"logistic: the gradient at the optimum is {norm:.1e}; raise ridge, or narrow the scales")
        return torch.from_numpy(found.x)

    @cached_property
    def least(self) -> Tensor:
        """F at the optimum, (1,)."""
        return self.value(self.optimum)[None]


def digest_of(data: str) -> str:
    """Return the SHA-256 over features and labels of a bundled data set, as float64."""
    return hashlib.sha256(b"".join(part.astype("<f8").tobytes() for part in _loaded(data))).hexdigest()


@cache
def _loaded(data: str) -> tuple[Floats, Floats]:
    """Return features, and labels as -1 or 1."""
    from sklearn import datasets

    if data == "digits":
        x, y = datasets.load_digits(return_X_y=True)
        return x.astype(np.float64), np.where(y % 2 == 0, 1.0, -1.0)
    x, y = datasets.load_breast_cancer(return_X_y=True)
    return x.astype(np.float64), np.where(y == 1, 1.0, -1.0)
