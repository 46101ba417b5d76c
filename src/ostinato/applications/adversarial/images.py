"""Scoring generated images by torchmetrics' FID and KID, on the features of a small classifier that is trained here.

The numbers compare generators that were scored with the same features, and nothing else: they are not those of the Inception network that
publications report, and a classifier trained under another seed gives others.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ostinato.errors import ConfigError, DataError
from ostinato.population import recipes
from ostinato.training.models import cnn

__all__ = ["Distances", "Features", "distances", "learn_features"]

_BATCH = 128


class Features(nn.Module):
    """A classifier's last hidden layer, (B, C, H, W) in [0, 1] to (B, num_features): what torchmetrics takes as ``feature``.

    Over the images that they were learnt from, features have mean 0 and their variances the mean 1: the kernel distance is cubic in them, and means
    nothing on another scale.

    Attributes:
        num_features: Their number.
        error: The classifier's error on images that were held out.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, body: nn.Module, seen: Tensor, error: float) -> None:
        super().__init__()
        self.body, self.error = body, error
        found = _in_batches(body, seen)
        self.num_features = found.shape[1]
        self.register_buffer("mean", found.mean(dim=0))
        self.register_buffer("spread", found.var(dim=0).mean().sqrt())

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Return the features."""
        found: Tensor = (self.body(images) - self.mean) / self.spread
        return found


@torch.no_grad()
def _in_batches(network: nn.Module, images: Tensor) -> Tensor:
    return torch.cat([network(part) for part in torch.split(images, _BATCH)])


def learn_features(
    images: Tensor, labels: Tensor, *, num_features: int = 64, epochs: int = 3, held_out: int = 2000, seed: int = 0
) -> Features:
    """Train a small convolutional classifier and return its features.

    Args:
        images: (N, C, H, W) in [0, 1].
        labels: Classes, int64 (N,).
        num_features: Width of the last hidden layer.
        epochs: Passes over the images that are not held out.
        held_out: The last images, which only say how good the classifier is.
        seed: Of weights and order.

    Raises:
        DataError: There are no images to learn from.
    """
    if len(images) <= held_out:
        raise DataError(f"images: got {len(images)}, expected more than the {held_out} that are held out")
    classes, kept = int(labels.max()) + 1, len(images) - held_out
    with recipes.kept_randomness():
        recipes.reseed(seed)
        body = nn.Sequential(cnn(images.shape[1:], num_features), nn.ReLU())
        head = nn.Linear(num_features, classes)
        optimizer = torch.optim.Adam([*body.parameters(), *head.parameters()], lr=2e-3)
        for _ in range(epochs):
            for rows in torch.split(torch.randperm(kept), _BATCH):
                optimizer.zero_grad()
                F.cross_entropy(head(body(images[rows])), labels[rows]).backward()  # type: ignore[no-untyped-call]  # torch does not say what it returns
                optimizer.step()
    body.eval()
    guesses = _in_batches(nn.Sequential(body, head), images[kept:]).argmax(dim=1)
    return Features(body, images[:kept], float((guesses != labels[kept:]).double().mean()))


@dataclass(frozen=True)
class Distances:
    """How far generated images are from real ones, on given features.

    Attributes:
        fid: Frechet distance of two normal distributions with the features' means and covariances (M. Heusel et al., NeurIPS 2017).
        kid: Kernel distance, mean over subsets (M. Binkowski et al., ICLR 2018); unbiased in the number of images, and so may be below 0.
        kid_sd: Its standard deviation over the subsets.
        n: Generated images.
    """

    fid: float
    kid: float
    kid_sd: float
    n: int


def distances(real: Tensor, generated: Tensor, features: Features, *, subset: int = 500, seed: int = 0) -> Distances:
    """Return FID and KID by torchmetrics.

    Give at least 10,000 images, and many more than features: FID is biased upwards in few.

    Args:
        real: (N, C, H, W) in [0, 1].
        generated: The same form.
        features: The same for all that is to be compared.
        subset: Images in each subset of the kernel distance.
        seed: Of the subsets.

    Raises:
        ConfigError: torchmetrics is not installed.
        DataError: There are fewer images than a subset has.
    """
    if min(len(real), len(generated)) < subset:
        raise DataError(
            f"images: got {len(real)} real and {len(generated)} generated, expected at least {subset} of each"
        )
    frechet, kernel = _metrics(features, subset)
    with recipes.kept_randomness():
        recipes.reseed(seed)
        for metric in (frechet, kernel):
            for images, is_real in ((real, True), (generated, False)):
                for part in torch.split(images, _BATCH):
                    metric.update(part, real=is_real)
        mean, sd = kernel.compute()
        return Distances(float(frechet.compute()), float(mean), float(sd), len(generated))


def _metrics(features: Features, subset: int) -> tuple[Any, Any]:
    try:
        from torchmetrics.image.fid import FrechetInceptionDistance
        from torchmetrics.image.kid import KernelInceptionDistance
    except ImportError:
        raise ConfigError("images: torchmetrics is not installed; type: pip install 'ostinato[adversarial]'") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it keeps all features in memory
        return (
            FrechetInceptionDistance(feature=features, normalize=True),
            KernelInceptionDistance(feature=features, normalize=True, subset_size=subset),
        )
