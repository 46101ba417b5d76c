from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits

from ostinato.applications.adversarial.images import Features, distances, learn_features
from ostinato.errors import DataError

pytest.importorskip("torchmetrics")


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    found = load_digits()
    return torch.from_numpy(found.images).float()[:, None] / 16, torch.from_numpy(found.target).long()


@pytest.fixture(scope="module")
def features(digits: tuple[torch.Tensor, torch.Tensor]) -> Features:
    return learn_features(*digits, num_features=16, epochs=6, held_out=300)


def test_the_features_are_a_classifiers_that_learnt(
    features: Features, digits: tuple[torch.Tensor, torch.Tensor]
) -> None:
    assert features.error < 0.15
    assert features(digits[0][:5]).shape == (5, features.num_features) == (5, 16)


def test_distances_grow_with_what_is_planted(features: Features, digits: tuple[torch.Tensor, torch.Tensor]) -> None:
    images = digits[0][torch.randperm(len(digits[0]), generator=torch.Generator().manual_seed(0))]
    real, other = images[:800], images[800:1600]
    null = distances(real, other, features, subset=200)
    one_class = distances(real, digits[0][digits[1] == 3].repeat(5, 1, 1, 1)[:800], features, subset=200)
    noise = distances(real, torch.rand(800, 1, 8, 8), features, subset=200)
    assert abs(null.kid) < 0.02
    assert null.fid < 0.2 * min(one_class.fid, noise.fid)
    assert null.kid < 0.2 * min(one_class.kid, noise.kid)
    assert distances(real, other, features, subset=200) == null  # the subsets have a seed of their own
    assert null.n == 800


def test_too_few_images_are_refused(features: Features, digits: tuple[torch.Tensor, torch.Tensor]) -> None:
    with pytest.raises(DataError, match="images: got 10 real and 1797 generated, expected at least 500 of each"):
        distances(digits[0][:10], digits[0], features)
    with pytest.raises(DataError, match="images: got 100, expected more than the 2000 that are held out"):
        learn_features(digits[0][:100], digits[1][:100])
