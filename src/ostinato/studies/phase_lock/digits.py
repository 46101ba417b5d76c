"""The bank of regime ``digits``: perceptrons on digits, scored after every judged step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from ostinato import population
from ostinato.core.plan import Plan
from ostinato.errors import RunInterruptedError
from ostinato.population import PopulationResult
from ostinato.studies.frame.images import Images, load_images, subset
from ostinato.studies.frame.spec import Regime
from ostinato.studies.phase_lock.bank import Bank
from ostinato.studies.phase_lock.layout import Layout

__all__ = ["images_of", "make_bank", "perceptron", "train"]

_HIDDEN = 32
_MEMBERS = 512


def images_of(regime: Regime) -> Images:
    """Return the images of the regime in their roles."""
    return load_images(regime.data, regime.sha256)


def perceptron(images: Images) -> Callable[[], nn.Module]:
    """Return what makes a perceptron with one hidden layer of 32."""
    size = images.inputs[0].numel()

    def make() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(size, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, images.classes))

    return make


def make_bank(regime: Regime, parameters: Mapping[str, Any], layout: Layout, seeds: Sequence[int]) -> Bank:
    """Train every configuration under every seed, as many seeds at once as make 512 members."""
    images, steps, count = images_of(regime), range(layout.start, layout.steps), len(layout.plans)
    at_once = max(1, _MEMBERS // count)
    scores: list[NDArray[np.float64]] = []
    chunks: list[int] = []
    for first in range(0, len(seeds), at_once):
        some = seeds[first : first + at_once]
        plans = [plan for _ in some for plan in layout.plans]
        result = train(images, parameters, plans, np.repeat(some, count).tolist(), steps)
        scores += list(result.metrics["nll"].reshape(len(some), *layout.shape, -1))
        chunks += result.chunks
    values = np.stack(scores)
    return Bank.of(layout, seeds, values, values, tuple(dict.fromkeys(chunks)))


def train(
    images: Images,
    parameters: Mapping[str, Any],
    plans: Sequence[Plan],
    seeds: Sequence[int],
    steps: range,
    *,
    total: int | None = None,
) -> PopulationResult:
    """Train one member a plan and seed, each on its seed's own images, and take its NLL on validation images after some steps.

    Raises:
        RunInterruptedError: A run was lost.
    """
    drawn = torch.from_numpy(
        np.random.default_rng(20_262).permutation(len(images.validation[1]))[: parameters["images"]]
    )
    judged = images.validation[0][drawn], images.validation[1][drawn]
    rows = {seed: subset(images, parameters["examples"], seed) for seed in dict.fromkeys(seeds)}
    result = population.train(
        perceptron(images), plans, ((images.inputs, images.targets), judged), optimizer="sgd", seeds=seeds,
        batch_size=parameters["batch"], drop_last=True, steps=total, evaluate=steps, metrics={"nll": F.cross_entropy},
        subsets=np.stack([rows[seed] for seed in seeds]), compile=False,
    )  # fmt: skip
    for reason in result.failures.values():
        raise RunInterruptedError(f"phase-lock: a run was lost: {reason}; run it again")
    return result
