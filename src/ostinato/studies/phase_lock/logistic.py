"""The bank of regime ``logistic``: stochastic logistic regression, whose loss over all examples, and its minimum, are known exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit

from ostinato.applications.landscapes import Logistic
from ostinato.studies.phase_lock.bank import Bank
from ostinato.studies.phase_lock.layout import Layout

__all__ = ["make_bank", "make_problem"]

Floats = NDArray[np.float64]


def make_problem(parameters: Mapping[str, Any]) -> Logistic:
    """Return the problem of the study: normal features of scales 1 to 0.1, labels by a logistic model. Always the same."""
    rng = np.random.default_rng(20_263)
    examples, features = parameters["examples"], parameters["features"]
    scales = np.geomspace(1.0, 0.1, features)
    x = rng.standard_normal((examples, features)) * scales
    teacher = rng.standard_normal(features) / scales
    y = np.where(rng.random(examples) < expit(x @ teacher), 1.0, -1.0)
    return Logistic(torch.from_numpy(y[:, None] * x), parameters["ridge"], parameters["batch"])


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


def _excess(problem: Logistic, parameters: Mapping[str, Any], layout: Layout, seed: int) -> Floats:
    """Return the excess loss of a seed's runs, (runs, A, P, judged steps); a run that is over keeps its last value.

    Start and minibatches are those of the run, the same for all configurations.
    """
    rng = np.random.default_rng([seed, 20_264])
    count, batch, (examples, features) = parameters["runs"], parameters["batch"], problem.rows.shape
    rates = torch.from_numpy(_rates(layout))
    rows = problem.rows
    w = torch.from_numpy(rng.standard_normal((count, 1, features))).repeat(1, rates.shape[1], 1)
    found = torch.empty(layout.steps - layout.start, count, rates.shape[1], dtype=torch.float64)
    for step in range(layout.steps):
        z = rows[torch.from_numpy(rng.integers(examples, size=(count, batch)))]
        pull = torch.sigmoid(-(w @ z.transpose(1, 2))) @ z / batch
        w += rates[step][None, :, None] * (pull - problem.ridge * w)
        if step >= layout.start:
            found[step - layout.start] = problem.value(w) - problem.least
    return found.permute(1, 2, 0).reshape(count, *layout.shape, -1).numpy()


def _rates(layout: Layout) -> Floats:
    """Return every configuration's rate at every step, (steps, A x P); 0 where its run is over."""
    rates = np.zeros((layout.steps, len(layout.plans)))
    for column, plan in enumerate(layout.plans):
        values = plan.resolve().table()["optimizer.lr"]
        rates[: len(values), column] = values
    return rates
