"""Operations on images. The arithmetic is kornia's; what is drawn, and how far it goes, is decided here."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ostinato.augment.draws import uniform
from ostinato.augment.traits import reach
from ostinato.errors import ConfigError

__all__ = ["colour", "cutout", "demand_kornia", "flip", "rectangles", "shift"]


def demand_kornia() -> Any:
    """Import kornia, at the first use.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import kornia
        import kornia.enhance
        import kornia.geometry
    except ImportError as error:
        raise ConfigError(
            "augment: shift, cutout, colour and cutmix are kornia's, which cannot be imported"
            f" ({error}); pip install 'ostinato[augment]'"
        ) from error
    return kornia


def shift(inputs: Tensor, strength: float, generator: torch.Generator, maximum: float = 0.25) -> Tensor:
    r"""Return images moved sideways and up or down, each by its own amount; zeros come in from outside.

    .. math:: \Delta = s\,m\,(2u - 1) \cdot (W, H), \quad u \in [0, 1)^2

    Fractions of a pixel are interpolated, so that the strength acts evenly on small images too.

    Args:
        inputs: Images (N, C, H, W).
        strength: s in [0, 1].
        generator: Where u is drawn.
        maximum: m, the largest shift, as a share of width and height.

    Raises:
        DataError: The inputs are no images.
        DomainError: The strength is none.
        ConfigError: The maximum is no share, or kornia is missing.

    Source: `kornia.geometry.transform.translate`.

    >>> from ostinato.augment import generator
    >>> shift(torch.ones(1, 1, 2, 2), 0.0, generator(0, 0)).tolist()
    [[[[1.0, 1.0], [1.0, 1.0]]]]
    """
    share = reach("shift", inputs, strength, maximum)
    if share == 0.0:
        return inputs
    sides = torch.tensor([inputs.shape[3], inputs.shape[2]], device=inputs.device)
    offsets = share * (2.0 * uniform((len(inputs), 2), generator, inputs) - 1.0) * sides
    moved: Tensor = demand_kornia().geometry.translate(
        inputs, offsets.to(inputs.dtype), mode="bilinear", padding_mode="zeros", align_corners=True
    )
    return moved


def flip(inputs: Tensor, strength: float, generator: torch.Generator, maximum: float = 0.5) -> Tensor:
    r"""Return images of which some are flipped from left to right: those with :math:`u < s\,m`.

    Args:
        inputs: Images (N, C, H, W).
        strength: s in [0, 1].
        generator: Where u is drawn, one for each image.
        maximum: m, the largest probability.

    Raises:
        DataError: The inputs are no images.
        DomainError: The strength is none.
        ConfigError: The maximum is no share.

    >>> from ostinato.augment import generator
    >>> flip(torch.tensor([[[[1.0, 2.0]]]]), 1.0, generator(0, 0), maximum=1.0).tolist()
    [[[[2.0, 1.0]]]]
    """
    share = reach("flip", inputs, strength, maximum)
    if share == 0.0:
        return inputs
    chosen = uniform((len(inputs), 1, 1, 1), generator, inputs) < share
    return torch.where(chosen, inputs.flip(-1), inputs)


def cutout(inputs: Tensor, strength: float, generator: torch.Generator, maximum: float = 0.5) -> Tensor:
    r"""Return images in each of which a rectangle is zero.

    Its sides are :math:`\mathrm{round}(s\,m\,u \cdot (H, W))` with one u for both; it lies anywhere inside the image.

    Args:
        inputs: Images (N, C, H, W).
        strength: s in [0, 1].
        generator: Where sizes and places are drawn.
        maximum: m, the largest sides, as a share of the image's.

    Raises:
        DataError: The inputs are no images.
        DomainError: The strength is none.
        ConfigError: The maximum is no share, or kornia is missing.

    Source: DeVries & Taylor 2017, arXiv 1708.04552; Zhong et al. 2017, Random Erasing, arXiv 1708.04896.

    >>> from ostinato.augment import generator
    >>> cut = cutout(torch.ones(64, 1, 8, 8), 1.0, generator(0, 0))
    >>> int((cut == 0).sum(dim=(1, 2, 3)).max())
    16
    """
    share = reach("cutout", inputs, strength, maximum)
    if share == 0.0:
        return inputs
    return inputs.masked_fill(rectangles(inputs, share * uniform((len(inputs),), generator, inputs), generator), 0.0)


def colour(inputs: Tensor, strength: float, generator: torch.Generator, maximum: float = 0.5) -> Tensor:
    r"""Return images with each channel multiplied by a gain of its own: brightness and, with several channels, hue change.

    .. math:: x'_c = x_c\,(1 + s\,m\,(2u_c - 1)), \quad u_c \in [0, 1)

    Nothing is clipped, so that standardised images are as welcome as those in [0, 1].

    Args:
        inputs: Images (N, C, H, W).
        strength: s in [0, 1].
        generator: Where u is drawn, one for each channel of each image.
        maximum: m: gains lie in [1 - m, 1 + m].

    Raises:
        DataError: The inputs are no images.
        DomainError: The strength is none.
        ConfigError: The maximum is no share, or kornia is missing.

    Source: `kornia.enhance.adjust_contrast`.

    >>> from ostinato.augment import generator
    >>> gains = colour(torch.ones(100, 3, 1, 1), 1.0, generator(0, 0), maximum=0.5)
    >>> bool(gains.min() >= 0.5), bool(gains.max() <= 1.5)
    (True, True)
    """
    share = reach("colour", inputs, strength, maximum)
    if share == 0.0:
        return inputs
    gains = 1.0 + share * (2.0 * uniform(tuple(inputs.shape[:2]), generator, inputs) - 1.0)
    each = inputs.reshape(-1, 1, *inputs.shape[2:])
    changed: Tensor = demand_kornia().enhance.adjust_contrast(each, gains.flatten().to(inputs.dtype), clip_output=False)
    return changed.reshape(inputs.shape)


def rectangles(inputs: Tensor, sides: Tensor, generator: torch.Generator) -> Tensor:
    """Return where a rectangle of each image is, bool (N, 1, H, W), at a random place inside it.

    Args:
        inputs: Images (N, C, H, W).
        sides: Share of height and width that the sides have, (N,); rounded to whole pixels.
        generator: Where the places are drawn.
    """
    height, width = inputs.shape[2:]
    tall, wide = (sides * height).round(), (sides * width).round()
    place = uniform((2, len(inputs)), generator, inputs)
    top, left = (place[0] * (height - tall + 1)).floor(), (place[1] * (width - wide + 1)).floor()
    boxes = demand_kornia().geometry.bbox
    mask: Tensor = boxes.bbox_to_mask(boxes.bbox_generator(left, top, wide, tall), width, height)
    return mask.bool().unsqueeze(1)
