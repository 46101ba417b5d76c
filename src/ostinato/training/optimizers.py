"""Optimizers by name, with weight decay only where it belongs."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ostinato.errors import ConfigError, suggest
from ostinato.nn.groups import parameter_groups

__all__ = ["build"]

_DEFAULTS: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4},
    "adamw": {"lr": 1e-3},
}


def build(
    name: str, parameters: nn.Module | Iterable[Tensor] | Iterable[tuple[str, Tensor]], **options: Any
) -> torch.optim.Optimizer:
    """Build any optimizer of ``torch.optim`` by its name, over the groups ``"decay"`` and ``"no_decay"``.

    Defaults are torch's, except: ``sgd`` has lr 0.02, momentum 0.9, Nesterov momentum (where momentum > 0 and
    dampening = 0) and weight_decay 5e-4.

    Args:
        name: Class name in ``torch.optim``, in any case: ``"sgd"``, ``"adamw"``, ``"rmsprop"``, ...
        parameters: A model, its parameters, or its named parameters; see `ostinato.parameter_groups`.
        options: What the class accepts: ``lr``, ``weight_decay``, ``betas``, ...

    Raises:
        ConfigError: the name or an option is unknown, a value is refused, or nothing can be trained.

    >>> optimizer = build("SGD", nn.Linear(3, 2), lr=0.05)
    >>> [(group["name"], group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
    [('decay', 0.05, 0.0005), ('no_decay', 0.05, 0.0)]
    """
    cls = _find(name)
    known = [key for key in inspect.signature(cls).parameters if key != "params"]
    for key in options:
        if key not in known:
            near = suggest(key, known, most=1)
            hint = near if "did you mean" in near else ""
            raise ConfigError(f"optimizer: {cls.__name__} has no option {key!r}{hint}; it has: {', '.join(known)}")
    filled = _with_defaults(name.lower(), {key: _plain(value) for key, value in options.items()})
    groups = parameter_groups(parameters)
    if not groups:
        raise ConfigError("optimizer: the model has no parameter that requires a gradient; nothing can be trained")
    if "weight_decay" not in known:
        for group in groups:
            group.pop("weight_decay", None)
    try:
        return cls(groups, **filled)
    except (TypeError, ValueError, RuntimeError) as error:
        given = ", ".join(f"{key} = {value!r}" for key, value in filled.items()) or "these parameters"
        raise ConfigError(f"optimizer: {cls.__name__} refused {given}: {' '.join(str(error).split())}") from error


def _find(name: str) -> type[torch.optim.Optimizer]:
    optimizer = torch.optim.Optimizer
    classes = {
        key.lower(): value
        for key, value in vars(torch.optim).items()
        if inspect.isclass(value) and issubclass(value, optimizer) and value is not optimizer
    }
    if name.lower() == "lbfgs":
        raise ConfigError(
            "optimizer: LBFGS evaluates the loss several times within one step and takes one parameter group, "
            'so that an update has no single value; write name = "sgd" or "adamw"'
        )
    classes.pop("lbfgs", None)
    if name.lower() not in classes:
        raise ConfigError(f"optimizer: torch.optim has no {name!r}{suggest(name.lower(), classes)}")
    return classes[name.lower()]


def _with_defaults(name: str, options: dict[str, Any]) -> dict[str, Any]:
    filled = {**_DEFAULTS.get(name, {}), **options}
    if name == "sgd" and "nesterov" not in options and (not filled["momentum"] or options.get("dampening")):
        filled["nesterov"] = False
    return filled


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
