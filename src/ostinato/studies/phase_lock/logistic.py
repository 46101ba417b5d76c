"""The bank of regime ``logistic``: stochastic logistic regression, whose loss over all examples, and its minimum, are known exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import root
from torch import Tensor
from torch.nn.functional import softplus

from ostinato.studies.phase_lock.bank import Bank
from ostinato.studies.phase_lock.layout import Layout

__all__ = ["Problem", "make_bank", "make_problem"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Problem:
    """Logistic regression with ridge: F(w) = mean_i log(1 + exp(-z_i·w)) + ridge/2 |w|², z_i = y_i x_i, y_i = ±1. Strictly convex.

    Attributes:
        rows: z, (n, d).
        ridge: > 0.
    """

    rows: Floats
    ridge: float

    def gradient(self, w: Floats) -> Floats:
        """Return ∇F(w), (d,)."""
        found: Floats = self.ridge * w - self.rows.T @ _sigmoid(-self.rows @ w) / len(self.rows)
        return found

    def hessian(self, w: Floats) -> Floats:
        """Return ∇²F(w), (d, d)."""
        p = _sigmoid(self.rows @ w)
        found: Floats = (self.rows.T * (p * (1 - p))) @ self.rows / len(self.rows) + self.ridge * np.eye(len(w))
        return found

    def loss(self, w: Tensor) -> Tensor:
        """Return F of weights (..., d), float64 (...)."""
        z = torch.from_numpy(self.rows)
        return softplus(-(w @ z.T)).mean(dim=-1) + self.ridge / 2 * (w * w).sum(dim=-1)

    @cached_property
    def optimum(self) -> Floats:
        """The only stationary point, (d,): Newton's method with safeguards (MINPACK)."""
        found = root(self.gradient, np.zeros(self.rows.shape[1]), jac=self.hessian, tol=1e-14)
        best: Floats = found.x
        return best

    @cached_property
    def least(self) -> float:
        """F at the optimum."""
        return float(self.loss(torch.from_numpy(self.optimum)))


def _sigmoid(x: Floats) -> Floats:
    found: Floats = 0.5 * (1.0 + np.tanh(0.5 * x))
    return found


def make_problem(parameters: Mapping[str, Any]) -> Problem:
    """Return the problem of the study: normal features of scales 1 to 0.1, labels by a logistic model. Always the same."""
    rng = np.random.default_rng(20_263)
    examples, features = parameters["examples"], parameters["features"]
    scales = np.geomspace(1.0, 0.1, features)
    x = rng.standard_normal((examples, features)) * scales
    teacher = rng.standard_normal(features) / scales
    y = np.where(rng.random(examples) < _sigmoid(x @ teacher), 1.0, -1.0)
    return Problem(y[:, None] * x, parameters["ridge"])


def make_bank(parameters: Mapping[str, Any], layout: Layout, seeds: Sequence[int]) -> Bank:
    """Run SGD for every configuration under every seed, and return the excess loss F(w) - min F after every judged step.

    A seed has several independent runs of every configuration. A search reads the first; the truth is the mean over all.
    """
    problem = make_problem(parameters)
    runs = [_excess(problem, parameters, layout, seed) for seed in seeds]
    return Bank.of(
        layout,
        seeds,
        np.stack([run[0] for run in runs]),
        np.stack([run.mean(axis=0) for run in runs]),
        (len(layout.plans),),
    )


def _excess(problem: Problem, parameters: Mapping[str, Any], layout: Layout, seed: int) -> Floats:
    """Return the excess loss of a seed's runs, (runs, A, P, judged steps); a run that is over keeps its last value.

    Start and minibatches are those of the run, the same for all configurations.
    """
    rng = np.random.default_rng([seed, 20_264])
    count, batch, (examples, features) = parameters["runs"], parameters["batch"], problem.rows.shape
    rates = torch.from_numpy(_rates(layout))
    rows = torch.from_numpy(problem.rows)
    w = torch.from_numpy(rng.standard_normal((count, 1, features))).repeat(1, rates.shape[1], 1)
    found = torch.empty(layout.steps - layout.start, count, rates.shape[1], dtype=torch.float64)
    for step in range(layout.steps):
        z = rows[torch.from_numpy(rng.integers(examples, size=(count, batch)))]
        pull = torch.sigmoid(-(w @ z.transpose(1, 2))) @ z / batch
        w += rates[step][None, :, None] * (pull - problem.ridge * w)
        if step >= layout.start:
            found[step - layout.start] = problem.loss(w) - problem.least
    return found.permute(1, 2, 0).reshape(count, *layout.shape, -1).numpy()


def _rates(layout: Layout) -> Floats:
    """Return every configuration's rate at every step, (steps, A x P); 0 where its run is over."""
    rates = np.zeros((layout.steps, len(layout.plans)))
    for column, plan in enumerate(layout.plans):
        values = plan.resolve().table()["optimizer.lr"]
        rates[: len(values), column] = values
    return rates
