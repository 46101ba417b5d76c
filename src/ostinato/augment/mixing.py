"""Operations that mix the examples of a batch, and their targets with them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ostinato.augment.draws import permutation, uniform
from ostinato.augment.images import rectangles
from ostinato.augment.traits import reach
from ostinato.errors import ConfigError, DataError

__all__ = ["cutmix", "mixup", "soft"]


def soft(targets: Tensor, classes: int | None = None) -> Tensor:
    """Return targets as probabilities, float32 (N, C): classes one-hot, probabilities as they are.

    A loss takes both forms; a compiled step is compiled once for each, which this avoids.

    Args:
        targets: Classes (N,) of whole numbers, or probabilities (N, C).
        classes: C; needed for classes.

    Raises:
        ConfigError: `classes` is missing.
        DataError: The targets are neither, or a class is out of range.

    >>> soft(torch.tensor([1, 0]), 2).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    if targets.is_floating_point() and targets.ndim == 2:
        return targets
    if targets.is_floating_point() or targets.ndim != 1:
        raise DataError(
            f"augment: got targets of shape {tuple(targets.shape)} and {targets.dtype}, expected classes (N,) or probabilities (N, C)"
        )
    if classes is None:
        raise ConfigError("augment: mixing needs the number of classes; write classes=10")
    if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < classes:
        raise DataError(
            f"augment: got classes {int(targets.min())} to {int(targets.max())}, expected 0 to {classes - 1}"
        )
    return F.one_hot(targets.long(), classes).float()


def mixup(
    inputs: Tensor,
    targets: Tensor,
    strength: float,
    generator: torch.Generator,
    maximum: float = 0.5,
    *,
    classes: int | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Return each example mixed with another of the batch, and their targets likewise, as probabilities.

    .. math:: x' = x + \lambda (x_\pi - x), \quad y' = y + \lambda (y_\pi - y), \quad \lambda = s\,m\,u,\ u \in [0, 1)

    With s = 1 and m = 1/2 the pairs are those of mixup with :math:`\alpha = 1`, each named by its larger part.

    Args:
        inputs: Floating numbers (N, ...).
        targets: Classes (N,) or probabilities (N, C). At strength 0 they are returned as they are, see `soft`.
        strength: s in [0, 1].
        generator: Where the order :math:`\pi` and u, one for each example, are drawn.
        maximum: m, the largest share of the other example.
        classes: C, for targets that are classes.

    Raises:
        DataError: Inputs or targets are of another kind.
        DomainError: The strength is none.
        ConfigError: The maximum is no share, or `classes` is missing.

    Source: Zhang et al. 2018, arXiv 1710.09412.

    >>> from ostinato.augment import generator
    >>> mixed, targets = mixup(torch.eye(2), torch.tensor([0, 1]), 1.0, generator(0, 0), classes=2)
    >>> torch.equal(mixed, targets)
    True
    """
    share = reach("mixup", inputs, strength, maximum)
    _demand_as_many(inputs, targets)
    if share == 0.0:
        return inputs, targets
    others = permutation(len(inputs), generator, inputs)
    weights = share * uniform((len(inputs),), generator, inputs)
    along = weights.to(inputs.dtype).reshape(-1, *[1] * (inputs.ndim - 1))
    return torch.lerp(inputs, inputs[others], along), _mixed(targets, others, weights, classes)


def cutmix(
    inputs: Tensor,
    targets: Tensor,
    strength: float,
    generator: torch.Generator,
    maximum: float = 0.5,
    *,
    classes: int | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Return images with a rectangle from another image of the batch, and their targets mixed by its share of the area.

    Its sides are :math:`\mathrm{round}(\sqrt{s\,m\,u} \cdot (H, W))`, and the targets are mixed by the area that it has after rounding.

    Args:
        inputs: Images (N, C, H, W).
        targets: Classes (N,) or probabilities (N, C). At strength 0 they are returned as they are, see `soft`.
        strength: s in [0, 1].
        generator: Where the order of the others, sizes and places are drawn.
        maximum: m, the largest share of the area, before rounding.
        classes: C, for targets that are classes.

    Raises:
        DataError: Inputs or targets are of another kind.
        DomainError: The strength is none.
        ConfigError: The maximum is no share, `classes` or kornia is missing.

    Source: Yun et al. 2019, arXiv 1905.04899.

    >>> from ostinato.augment import generator
    >>> images = torch.eye(2).reshape(2, 2, 1, 1).expand(2, 2, 8, 8)
    >>> mixed, targets = cutmix(images, torch.tensor([0, 1]), 1.0, generator(0, 0), classes=2)
    >>> torch.allclose(mixed.mean(dim=(2, 3)), targets)
    True
    """
    share = reach("cutmix", inputs, strength, maximum)
    _demand_as_many(inputs, targets)
    if share == 0.0:
        return inputs, targets
    others = permutation(len(inputs), generator, inputs)
    mask = rectangles(inputs, (share * uniform((len(inputs),), generator, inputs)).sqrt(), generator)
    weights = mask.float().mean(dim=(1, 2, 3))
    return torch.where(mask, inputs[others], inputs), _mixed(targets, others, weights, classes)


def _demand_as_many(inputs: Tensor, targets: Tensor) -> None:
    if not isinstance(targets, Tensor) or len(targets) != len(inputs):
        got = f"of shape {tuple(targets.shape)}" if isinstance(targets, Tensor) else f"a {type(targets).__name__}"
        raise DataError(f"augment: got targets {got}, expected one for each of {len(inputs)} inputs, to be mixed too")


def _mixed(targets: Tensor, others: Tensor, weights: Tensor, classes: int | None) -> Tensor:
    whole = soft(targets, classes)
    return torch.lerp(whole, whole[others], weights.to(whole).unsqueeze(1))
