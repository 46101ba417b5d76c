"""What each operation takes and how far it may go, and the checks that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from ostinato.checks import is_number
from ostinato.core.domains import STRENGTH, Domain
from ostinato.errors import ConfigError, DataError, DomainError

__all__ = ["TRAITS", "Trait", "demand_fitting", "demand_strength", "reach"]

_SHARE = Domain("a share", 0.0, 1.0)
_DEVIATION = Domain("a standard deviation", 0.0, float("inf"))


def _are_images(inputs: Tensor) -> bool:
    return inputs.is_floating_point() and inputs.ndim == 4


def _are_features(inputs: Tensor) -> bool:
    return inputs.is_floating_point() and inputs.ndim >= 2


def _are_numbers(inputs: Tensor) -> bool:
    return inputs.is_floating_point() and inputs.ndim >= 1


def _are_tokens(inputs: Tensor) -> bool:
    return not (inputs.is_floating_point() or inputs.is_complex()) and inputs.ndim >= 1


_KINDS: Mapping[str, Callable[[Tensor], bool]] = {
    "images (N, C, H, W) of floating numbers": _are_images,
    "features (N, F, ...) of floating numbers": _are_features,
    "floating numbers (N, ...)": _are_numbers,
    "token ids (N, ...) of whole numbers": _are_tokens,
}
_IMAGES, _FEATURES, _NUMBERS, _TOKENS = _KINDS


@dataclass(frozen=True, slots=True)
class Trait:
    """What holds for an operation whatever the batch.

    Attributes:
        takes: The kind of inputs, in words.
        limit: What its maximum may be.
        mixes: Whether it mixes examples, and their targets with them.
        needs_kornia: Whether kornia does the work.
        options: Options of `Augment` that it is given.
    """

    takes: str
    limit: Domain = _SHARE
    mixes: bool = False
    needs_kornia: bool = False
    options: tuple[str, ...] = ()


TRAITS: Mapping[str, Trait] = {
    "shift": Trait(_IMAGES, needs_kornia=True),
    "flip": Trait(_IMAGES),
    "cutout": Trait(_IMAGES, needs_kornia=True),
    "colour": Trait(_IMAGES, needs_kornia=True),
    "cutmix": Trait(_IMAGES, mixes=True, needs_kornia=True, options=("classes",)),
    "mixup": Trait(_NUMBERS, mixes=True, options=("classes",)),
    "noise": Trait(_NUMBERS, _DEVIATION),
    "feature_noise": Trait(_FEATURES, _DEVIATION, options=("spread",)),
    "feature_dropout": Trait(_FEATURES),
    "token_dropout": Trait(_TOKENS, options=("mask_id",)),
}


def demand_strength(strength: float, what: str) -> float:
    """Return a strength as a number.

    Raises:
        DomainError: It is none in [0, 1].
    """
    try:
        number = float(strength)
    except (TypeError, ValueError):
        raise DomainError(f"{what}: got {strength!r}, expected {STRENGTH}") from None
    if not STRENGTH.holds(number):
        raise DomainError(f"{what}: got {number:g}, expected {STRENGTH}")
    return number


def demand_fitting(name: str, inputs: Tensor) -> None:
    """Check that an operation takes the inputs.

    Raises:
        DataError: It does not; the message says which ones do.
    """
    takes = TRAITS[name].takes
    if not isinstance(inputs, Tensor):
        raise DataError(f"augment: {name!r} takes {takes}, got a {type(inputs).__name__}")
    if not _KINDS[takes](inputs):
        fit = ", ".join(other for other, trait in TRAITS.items() if _KINDS[trait.takes](inputs)) or "none"
        raise DataError(
            f"augment: {name!r} takes {takes}, got inputs of shape {tuple(inputs.shape)} and {inputs.dtype}; operations that fit: {fit}"
        )


def demand_maximum(name: str, maximum: float) -> float:
    """Return a maximum as a number.

    Raises:
        ConfigError: The operation cannot go so far.
    """
    limit = TRAITS[name].limit
    if not is_number(maximum) or not limit.holds(maximum):
        raise ConfigError(f"augment: {name}: got a maximum of {maximum!r}, expected {limit}")
    return float(maximum)


def reach(name: str, inputs: Tensor, strength: float, maximum: float) -> float:
    """Return strength times maximum, after checking both and the inputs."""
    demand_fitting(name, inputs)
    return demand_strength(strength, f"{name}: strength") * demand_maximum(name, maximum)
