"""The form in which a compiled optimizer step takes a hyperparameter that changes, measured by `ostinato.bench.optimizer_forms`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

__all__ = ["FORMS", "Form", "form_of", "give_form"]

Form = Literal["number", "tensor"]
"""A plain number, or a 0-dim tensor."""

FORMS: Mapping[str, Mapping[str, Form | None]] = {
    "SGD": {"lr": "tensor", "momentum": "number", "dampening": "tensor", "weight_decay": None},
    "Adam": {"lr": "number", "betas": "tensor", "eps": "number", "weight_decay": None},
    "AdamW": {"lr": "number", "betas": "tensor", "eps": "number", "weight_decay": "number"},
    "RMSprop": {"lr": "tensor", "momentum": "number", "alpha": "tensor", "eps": "number", "weight_decay": None},
    "NAdam": {"lr": "number", "betas": "tensor", "weight_decay": None},
    "RAdam": {"lr": "number", "betas": "tensor", "weight_decay": None},
    "Adagrad": {"lr": "number", "weight_decay": None},
    "Adamax": {"lr": "number", "betas": "tensor", "weight_decay": None},
}
"""For each optimizer of torch and each hyperparameter the first form that needs no compilation after the second step; None where none does."""


def form_of(optimizer: Optimizer, key: str) -> tuple[Form | None, str]:
    """Return the form that a hyperparameter needs, or None, and why in that case.

    >>> form_of(torch.optim.SGD([torch.zeros(1, requires_grad=True)]), "lr")
    ('tensor', '')
    """
    name = type(optimizer).__name__
    if type(optimizer) is not getattr(torch.optim, name, None) or name not in FORMS:
        return (
            None,
            f"{name} has not been measured; hold {key} in a 0-dim tensor and see whether its step is compiled again",
        )
    if key not in FORMS[name]:
        return None, f"{key} of {name} has not been measured"
    form = FORMS[name][key]
    return form, "" if form else (
        f"torch compiles {name}'s step again whenever {key} changes, or cuts it in pieces, in every form;"
        " leave the step uncompiled, or take AdamW, whose decay is decoupled"
    )


def give_form(group: dict[str, Any], key: str, form: Form) -> bool:
    """Give a hyperparameter of a group the form; return whether it had another. Numbers stay numbers where a tensor is there already."""
    if form == "number":
        return False
    device = group["params"][0].device if group["params"] else None
    values = group[key] if isinstance(group[key], tuple | list) else (group[key],)
    if all(isinstance(value, Tensor) for value in values):
        return False
    tensors = [
        value if isinstance(value, Tensor) else torch.tensor(float(value), dtype=torch.float32, device=device)
        for value in values
    ]
    group[key] = tuple(tensors) if isinstance(group[key], tuple | list) else tensors[0]
    return True
