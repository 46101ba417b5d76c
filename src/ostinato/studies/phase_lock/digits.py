"""The bank of regime ``digits``: perceptrons on digits, scored after every judged step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

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


def images_of(regime: Regime) -> Images:
    """Return the images of the regime in their roles."""
    return load_images(regime.data, regime.sha256)


def perceptron(images: Images) -> Callable[[], nn.Module]:
    """Return what makes a perceptron with one hidden layer of 32."""
    size = images.inputs[0].numel()

    def make() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(size, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, images.classes))

    return make


def make_bank(
    regime: Regime, parameters: Mapping[str, Any], layout: Layout, seeds: Sequence[int], *, confirming: bool
) -> Bank:
    """Train every configuration under every seed; the configurations of one seed at once."""
    images, shape = images_of(regime), layout.shape
    read, truth = [], []
    chunks: list[int] = []
    steps = range(layout.start, layout.steps)
    for seed in seeds:
        each = [seed] * len(layout.plans)
        result = train(images, parameters, layout.plans, each, steps, confirming=confirming)
        read.append(result.metrics["read"].reshape(*shape, -1))
        truth.append(result.metrics["truth"].reshape(*shape, -1))
        chunks += result.chunks
    return Bank.of(layout, seeds, np.stack(read), np.stack(truth), tuple(dict.fromkeys(chunks)))


def train(
    images: Images,
    parameters: Mapping[str, Any],
    plans: Sequence[Plan],
    seeds: Sequence[int],
    steps: range,
    *,
    confirming: bool,
    total: int | None = None,
) -> PopulationResult:
    """Train one member a plan and seed, each on its seed's own images, and score it after some steps.

    ``read`` is the NLL on the first validation images, which searches may look at; ``truth`` that on as many test images, or, in the
    development stage, on the validation images that come next.

    Raises:
        RunInterruptedError: A run was lost.
    """
    count = parameters["images"]
    held_out = [images.validation, images.test] if confirming else [images.validation, _after(images.validation, count)]
    judged = tuple(torch.cat([part[place][:count] for part in held_out]) for place in (0, 1))
    rows = {seed: subset(images, parameters["examples"], seed) for seed in dict.fromkeys(seeds)}
    result = population.train(
        perceptron(images), plans, ((images.inputs, images.targets), judged), optimizer="sgd", seeds=seeds,
        batch_size=parameters["batch"], drop_last=True, steps=total, evaluate=steps,
        metrics={"read": _nll(slice(None, count)), "truth": _nll(slice(count, None))},
        subsets=np.stack([rows[seed] for seed in seeds]), compile=False,
    )  # fmt: skip
    for reason in result.failures.values():
        raise RunInterruptedError(f"phase-lock: a run was lost: {reason}; run it again")
    return result


def _after(pair: tuple[Tensor, Tensor], count: int) -> tuple[Tensor, Tensor]:
    return pair[0][count:], pair[1][count:]


def _nll(part: slice) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda outputs, targets: F.cross_entropy(outputs[part], targets[part])
