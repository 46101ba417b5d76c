"""Image data in the roles that a study gives it: a training subset of its own for each seed, validation, and the official test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.errors import DataError
from ostinato.nn import RandomShift
from ostinato.training import datasets, models
from ostinato.training.config import DataConfig

__all__ = ["Images", "load_images", "small_cnn", "small_mlp", "subset"]

_VALIDATION = {"fashion-mnist": 10_000, "mnist": 10_000, "digits": 360}


@dataclass(frozen=True, eq=False)
class Images:
    """Images of classes, divided by what they are for.

    Attributes:
        inputs: What subsets are drawn from, float32 (N, 1, H, W): the training images, but the last where those are for validation.
        targets: int64 (N,).
        validation: Images that settings are chosen and temperatures fitted on: the data's own, or the last training images.
        test: The official test images, for confirming runs only.
        classes: Number of classes.
    """

    inputs: Tensor
    targets: Tensor
    validation: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    classes: int


@cache
def load_images(name: str, sha256: str, pool: int = 1, judged_on: int | None = None) -> Images:
    """Return a named data set in roles.

    Args:
        name: ``fashion-mnist``, ``mnist`` or ``digits``, or a data set with validation images of its own.
        sha256: What the data must be.
        pool: Side of the squares that are averaged: 2 makes 14x14 of 28x28.
        judged_on: At most so many validation and test images; by default all.

    Raises:
        DataError: It is other data.
    """
    data = datasets.load(DataConfig(name=name))
    if data.digest != sha256:
        raise DataError(f"{name}: has SHA-256 {data.digest}, the study was specified for {sha256}; restore the data")
    train, test = data.train, data.test
    assert isinstance(train, datasets.Split)
    assert isinstance(test, datasets.Split)
    kept = len(train) - _VALIDATION.get(name, 0)
    own = data.validation if data.validation is not None else datasets.Split(train.inputs[kept:], train.targets[kept:])
    assert isinstance(own, datasets.Split)

    def pooled(inputs: Tensor, targets: Tensor, most: int | None) -> tuple[Tensor, Tensor]:
        return (F.avg_pool2d(inputs[:most], pool) if pool > 1 else inputs[:most]), targets[:most]

    return Images(
        *pooled(train.inputs, train.targets, kept),
        pooled(own.inputs, own.targets, judged_on),
        pooled(test.inputs, test.targets, judged_on),
        data.classes,
    )


def subset(images: Images, size: int, seed: int) -> NDArray[np.int64]:
    """Return the rows of `images.inputs` that a seed trains on, drawn without replacement."""
    return np.random.default_rng([seed, 20_260]).permutation(len(images.targets))[:size]


def small_cnn(images: Images) -> Callable[[], nn.Module]:
    """Return what makes a CNN of 16 and 32 channels (3x3, batch norm, pooling) with a linear layer."""
    shape = tuple(images.inputs.shape[1:])
    return lambda: models.cnn(shape, images.classes, width=16, dropout=0.0)


def small_mlp(images: Images, *, most_pixels: int = 0, dropout: bool = False) -> Callable[[], nn.Module]:
    """Return what makes a perceptron with two hidden layers of 64, without batch norm.

    Args:
        images: For the shapes.
        most_pixels: Of a `RandomShift` of strength 0 before it, for a plan to drive; 0 leaves it out.
        dropout: Whether dropout of probability 0 follows each hidden layer, for a plan to drive.
    """
    size = images.inputs[0].numel()

    def make() -> nn.Module:
        layers: list[nn.Module] = [RandomShift(most_pixels, 0.0)] if most_pixels else []
        layers.append(nn.Flatten())
        for width in (size, 64):
            layers += [nn.Linear(width, 64), nn.ReLU()]
            layers += [nn.Dropout(0.0)] if dropout else []
        return nn.Sequential(*layers, nn.Linear(64, images.classes))

    return make
