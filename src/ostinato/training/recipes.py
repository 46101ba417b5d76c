"""Recipes: plan fragments with a name, to begin from. `docs/recipes.md` says what each did on real data.

A recipe is a document, merged under a plan: what the plan says itself stays.

>>> plan("batchnorm", total="30ep").bindings["model:BatchNorm.momentum"].schedule.high
0.3
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ostinato.core.address import Address
from ostinato.core.plan import Plan
from ostinato.core.units import DurationLike
from ostinato.errors import ConfigError, TargetError, suggest
from ostinato.targets import find
from ostinato.training.models import MODELS

__all__ = ["NAMES", "RECIPES", "Recipe", "demand_fit", "fitting", "merged", "plan"]

_CYCLE = {"waveform": "cosine", "count": 5}
_RANGE = 100.0


@dataclass(frozen=True)
class Recipe:
    """A plan fragment.

    Attributes:
        about: What it does, in a few words.
        bind: Its bindings beside the learning rate, as in a plan file.
    """

    about: str
    bind: tuple[Mapping[str, Any], ...] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets of its bindings."""
        return tuple(table["target"] for table in self.bind)


_DROPOUT = {"target": "model:Dropout.p", "relation": "mirror", "low": 0.05, "high": 0.3}
_SMOOTHING = {"target": "loss.label_smoothing", "relation": "mirror", "low": 0.0, "high": 0.1}
_DEPTH = {"target": "model:StochasticDepth.p", "relation": "mirror", "low": 0.0, "high": 2.0, "relative": True}
_DECAY = {"target": "optimizer.weight_decay", "low": 0.1, "high": 1.9, "shift": 0.25, "relative": True}
_MOMENTUM = {"target": "model:BatchNorm.momentum", "relation": "mirror", "low": 0.01, "high": 0.3}
_AUGMENT = {"target": "augment.strength", "relation": "mirror", "low": 0.1, "high": 1.0}

RECIPES: Mapping[str, Recipe] = {
    "snapshot": Recipe("five cosine cycles of the learning rate"),
    "antiphase": Recipe("dropout and label smoothing strong where the rate is low", (_DROPOUT, _SMOOTHING)),
    "stochastic-depth": Recipe("stochastic depth strong where the rate is low", (_DEPTH,)),
    "weight-decay-phase": Recipe("weight decay a quarter of a cycle late", (_DECAY,)),
    "batchnorm": Recipe("batch-norm statistics slow where the rate is high", (_MOMENTUM,)),
    "augmentation": Recipe("augmentation strong where the rate is low", (_AUGMENT,)),
    "concert": Recipe(
        "dropout, smoothing, augmentation, weight decay and batch norm at once",
        (_DROPOUT, _SMOOTHING, _AUGMENT, _DECAY, _MOMENTUM),
    ),
}
"""From name to recipe. Each has five cosine cycles of the learning rate, from the optimizer's own down to a hundredth of it."""

NAMES = tuple(RECIPES)
"""The names of all recipes."""


def plan(name: str, *, total: DurationLike | None = None, rate: float | None = None) -> Plan:
    """Return a recipe as a plan.

    Args:
        name: One of `NAMES`.
        total: Length of the run; may be left out as in any plan.
        rate: The highest learning rate. Without it the rate is relative: from the optimizer's own down to a hundredth of it.

    Raises:
        ConfigError: There is no such recipe; the message lists them.
        PlanError: The total or the rate cannot be.

    >>> sorted(plan("antiphase").bindings)
    ['loss.label_smoothing', 'model:Dropout.p', 'optimizer.lr']
    """
    top = 1.0 if rate is None else float(rate)
    lead = {"target": "optimizer.lr", "low": top / _RANGE, "high": top, "relative": rate is None}
    document: dict[str, Any] = {"cycle": _CYCLE, "bind": [lead, *(dict(table) for table in _recipe(name).bind)]}
    return Plan.from_document(document if total is None else {**document, "total": total})


def merged(document: Mapping[str, Any] | None, name: str, rate: float) -> dict[str, Any]:
    """Return a plan's document with what a recipe adds: its cycle where there is none, its bindings for targets that are not bound yet.

    Args:
        document: The plan, or None.
        name: One of `NAMES`.
        rate: The highest learning rate, for a plan that binds none.

    Raises:
        ConfigError: There is no such recipe.
        PlanError: The plan, or what comes out, cannot be.

    >>> merged({"cycle": {"count": 3}, "bind": [{"target": "optimizer.lr", "low": 0.0, "high": 1.0}]}, "batchnorm", 0.1)["cycle"]["count"]
    3
    """
    own, fragment = Plan.from_document(document or {}), plan(name, rate=rate)
    rated = any(Address.parse(target).is_rate for target in own.bound)
    added = {
        target: binding
        for target, binding in fragment.bound.items()
        if target not in own.bound and not (rated and Address.parse(target).is_rate)
    }
    whole = Plan(own.total, own.warmup, own.cycle or fragment.cycle, {**own.bound, **added}, own.unit)
    return whole.to_document()


def fitting(
    model: nn.Module, optimizer: torch.optim.Optimizer, loss: object, augment: object = None
) -> dict[str, tuple[str, ...]]:
    """Return for each recipe the targets that a model, its optimizer, loss and augmentation lack: none where it fits.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> {name: len(missing) for name, missing in fitting(model, optimizer, nn.CrossEntropyLoss()).items()}
    {'snapshot': 0, 'antiphase': 0, 'stochastic-depth': 1, 'weight-decay-phase': 1, 'batchnorm': 1, 'augmentation': 1, 'concert': 3}
    """
    roots = {"model": model, "optimizer": optimizer, "loss": loss, **({} if augment is None else {"augment": augment})}
    return {
        name: tuple(target for target in recipe.targets if not _there(target, roots))
        for name, recipe in RECIPES.items()
    }


def _there(target: str, roots: Mapping[str, object]) -> bool:
    if Address.parse(target).root not in roots:
        return False
    try:
        return bool(find(target, roots, {}))
    except TargetError:
        return False


def demand_fit(
    name: str,
    bound: Mapping[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: object,
    *,
    augment: object = None,
) -> None:
    """Raise if a recipe drives what is not there.

    Args:
        name: Of the recipe.
        bound: The plan's bindings; a target of the recipe that was taken out of them is not asked for.
        model: The model.
        optimizer: Its optimizer.
        loss: The loss.
        augment: What augments batches, where anything does.

    Raises:
        ConfigError: A module or a weight decay is missing; the message says which recipes fit, and which models have the module.
    """
    missing = fitting(model, optimizer, loss, augment)
    lacking = [target for target in missing[name] if target in bound]
    if not lacking:
        return
    fits = ", ".join(each for each, targets in missing.items() if not targets)
    kinds = " and ".join(_words(target) for target in lacking)
    raise ConfigError(f"recipe: {name!r} needs {kinds}; recipes that fit this model and optimizer: {fits}")


def _words(target: str) -> str:
    """Return what a target needs, and who has it."""
    address = Address.parse(target)
    if address.root == "augment":
        return 'augmentation (write a table [augment] with ops = ["shift", "flip"])'
    if address.owner is None:
        return f"{address.key} above 0 in {address.root} ([optimizer] {address.key} = 5e-4)"
    with torch.random.fork_rng(devices=[]):
        having = [name for name, make in MODELS.items() if _there(target, {address.root: make((1, 8, 8), 2)})]
    return f"a {address.owner} module, which the model has not (models that have one: {', '.join(having)})"


def _recipe(name: str) -> Recipe:
    if name not in RECIPES:
        near = suggest(str(name), RECIPES, most=1)
        hint = f"{near.removesuffix('?')}? " if "did you mean" in near else "; "
        known = ", ".join(f"{each} ({recipe.about})" for each, recipe in RECIPES.items())
        raise ConfigError(f"recipe: got {name!r}{hint}known: {known}")
    return RECIPES[name]
