"""Several operations with one strength, which a plan can drive."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ostinato.augment import images, mixing, numbers
from ostinato.augment.draws import generator
from ostinato.augment.traits import TRAITS, demand_fitting, demand_maximum, demand_strength
from ostinato.checks import whole
from ostinato.core.address import Address
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError, suggest

__all__ = ["NAMES", "Augment", "demand_known"]

_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "shift": images.shift,
    "flip": images.flip,
    "cutout": images.cutout,
    "colour": images.colour,
    "cutmix": mixing.cutmix,
    "mixup": mixing.mixup,
    "noise": numbers.noise,
    "feature_noise": numbers.feature_noise,
    "feature_dropout": numbers.feature_dropout,
    "token_dropout": numbers.token_dropout,
}

NAMES = tuple(TRAITS)
"""The operations by name."""


def demand_known(names: Sequence[str], maxima: Mapping[str, float]) -> None:
    """Check operations and their maxima, without loading what they need.

    Raises:
        ConfigError: There is no such operation, one is named twice, or a maximum is out of range or of none of them.
    """
    for place, name in enumerate(names):
        if name not in TRAITS:
            raise ConfigError(f"ops: no operation {name!r}{suggest(str(name), NAMES)}")
        if name in names[:place]:
            raise ConfigError(f"ops: {name!r} is there twice; delete one")
    for name, maximum in maxima.items():
        if name not in names:
            raise ConfigError(f"maxima: {name!r} is not among the operations{suggest(str(name), names)}")
        demand_maximum(name, maximum)


class Augment:
    """Operations applied one after another to a batch, all with one strength.

    ``augment.strength`` is an ordinary target: ``plan.bind(augment=augment, ...)`` sets it before each update. What is drawn follows from
    (seed, count), so that a batch is the same whoever makes it: call it in your loop, or hand it to `ostinato.data.ScheduledLoader` as
    `batch_transform`, whose workers evaluate the plan for the very update that the batch is for.

    Limits. A worker has a copy of the object, so that a strength set by hand does not reach it. With several processes each draws for its
    own part of a batch, and mixes within it.

    Args:
        ops: Operations by name, see `ostinato.augment`.
        strength: In [0, 1]; what holds where no plan drives it.
        seed: A whole number >= 0.
        maxima: By operation what strength 1 means, where it is not the default.
        classes: Number of classes; for ``mixup`` and ``cutmix``.
        mask_id: Id of the mask; for ``token_dropout``.
        spread: Deviation of each feature; for ``feature_noise``, which otherwise takes the batch's.
        target: The target whose value is the strength of a batch that carries the plan's values.

    Raises:
        ConfigError: An operation is unknown or lacks what it needs (kornia among it), or a number is out of range.

    >>> augment = Augment(["noise", "feature_dropout"], strength=0.5, seed=0)
    >>> changed = augment(torch.ones(2, 3), 7)
    >>> torch.equal(changed, augment(torch.ones(2, 3), 7)), torch.equal(changed, augment(torch.ones(2, 3), 8))
    (True, False)
    >>> augment.strength = 1.5
    >>> augment(torch.ones(2, 3), 7)
    Traceback (most recent call last):
        ...
    ostinato.errors.DomainError: augment.strength: got 1.5, expected a strength in [0, 1]
    """

    def __init__(
        self,
        ops: Sequence[str],
        strength: float = 1.0,
        seed: int = 0,
        *,
        maxima: Mapping[str, float] | None = None,
        classes: int | None = None,
        mask_id: int | None = None,
        spread: Tensor | Sequence[float] | None = None,
        target: str = "augment.strength",
    ) -> None:
        names = (ops,) if isinstance(ops, str) else tuple(ops)
        if not names:
            raise ConfigError(f"ops: got none, expected some of {', '.join(NAMES)}")
        demand_known(names, maxima or {})
        whole("seed", seed, 0)
        self.strength = demand_strength(strength, target)
        self._names, self._seed, self._target = names, seed, target
        self._options = {"classes": classes, "mask_id": mask_id, "spread": spread}
        self._maxima = {name: float((maxima or {}).get(name, _default(name))) for name in names}
        for name, needed in (("classes", "mixup"), ("classes", "cutmix"), ("mask_id", "token_dropout")):
            if needed in names and self._options[name] is None:
                raise ConfigError(f"augment: {needed!r} needs {name}; write Augment([...], {name}=10)")
        if any(TRAITS[name].needs_kornia for name in names):
            images.demand_kornia()

    @property
    def ops(self) -> tuple[str, ...]:
        """The operations in their order."""
        return self._names

    @property
    def seed(self) -> int:
        """The seed."""
        return self._seed

    @property
    def target(self) -> str:
        """The target whose value is the strength of a batch that carries the plan's values."""
        return self._target

    @property
    def maxima(self) -> Mapping[str, float]:
        """By operation what strength 1 means."""
        return MappingProxyType(self._maxima)

    def __call__(self, batch: Any, count: int, *, part: int = 0, first: int = 0, strength: float | None = None) -> Any:
        """Return a batch augmented for an update; at strength 0 it is the very object that was given.

        Args:
            batch: Inputs alone, or a pair (inputs, targets).
            count: The update that it is for, counted from 0.
            part: Which batch of the update, where several are accumulated.
            first: Position of its first example in the batch of all processes.
            strength: Instead of the object's own.

        Raises:
            DomainError: The strength is not in [0, 1].
            DataError: An operation does not take such inputs.
        """
        chosen = demand_strength(self.strength if strength is None else strength, self._target)
        paired = isinstance(batch, tuple | list) and len(batch) == 2
        inputs, targets = batch if paired else (batch, None)
        if chosen == 0.0:
            self.check(inputs)
            return batch
        draws = generator(self._seed, count, part=part, first=first)
        for name in self._names:
            inputs, targets = self._applied(name, inputs, targets, chosen, draws)
        return (inputs, targets) if paired else inputs

    def _applied(
        self, name: str, inputs: Any, targets: Any, strength: float, draws: torch.Generator
    ) -> tuple[Any, Any]:
        options = {option: self._options[option] for option in TRAITS[name].options}
        arguments = strength, draws, self._maxima[name]
        if TRAITS[name].mixes:
            mixed: tuple[Any, Any] = _FUNCTIONS[name](inputs, targets, *arguments, **options)
            return mixed
        return _FUNCTIONS[name](inputs, *arguments, **options), targets

    def check(self, inputs: Any) -> None:
        """Check that every operation takes such inputs.

        Raises:
            DataError: One does not; the message says which do.
        """
        for name in self._names:
            demand_fitting(name, inputs)

    def describe(self) -> dict[str, Any]:
        """Return operations, strength, maxima and seed as a JSON document."""
        return {"ops": list(self._names), "strength": self.strength, "maxima": dict(self._maxima), "seed": self._seed}

    # -- for what loads data -----------------------------------------------------------------------------------

    def fits(self, resolved: ResolvedPlan, /) -> None:
        """Check that a plan gives the strength of each batch, or leaves it alone.

        Raises:
            ConfigError: The binding is relative, or the plan drives a strength under another address.
        """
        if self._target in resolved.targets:
            if resolved.plan.bound[self._target].relative:
                raise ConfigError(
                    f"{self._target}: is relative, but data loading knows no original; write low and high as strengths in [0, 1]"
                )
            return
        near = [target for target in resolved.targets if Address.parse(target).key == "strength"]
        if near:
            raise ConfigError(
                f"augment: the plan drives {near[0]!r}, batches take their strength from {self._target!r}; write Augment(..., target={near[0]!r})"
            )

    def placed(self, data: Any, values: Mapping[str, float], /, *, count: int, part: int, first: int) -> Any:
        """Return a batch augmented with the strength among the plan's values for its update."""
        strength = values.get(self._target, self.strength)
        return self(data, count, part=part, first=first, strength=strength)

    def __repr__(self) -> str:
        return f"Augment({list(self._names)}, strength={self.strength}, seed={self._seed})"


def _default(name: str) -> float:
    """Return the maximum that an operation's function has by default."""
    value: float = inspect.signature(_FUNCTIONS[name]).parameters["maximum"].default
    return value
