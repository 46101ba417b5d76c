"""In which form every optimizer takes a hyperparameter that changes at each step of a compiled `step`."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ostinato.compilation import Compilations, count_recompiles

__all__ = ["FORMS", "OPTIMIZERS", "Outcome", "cases", "measure_forms", "recompiles_of"]

_STEPS = 6
_TOLERANCE = 1e-5

FORMS = ("number", "tensor", "tensor, capturable")
"""How a hyperparameter may be held; ``capturable`` is the optimizer's option."""

OPTIMIZERS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, tuple[float, float]]]] = {
    "SGD": (
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-2},
        {"lr": (0.01, 0.1), "momentum": (0.8, 0.9), "dampening": (0.1, 0.2), "weight_decay": (1e-2, 1e-1)},
    ),
    "Adam": ({"weight_decay": 1e-2}, {"lr": (1e-3, 1e-2), "betas": (0.8, 0.9), "eps": (1e-8, 1e-4), "weight_decay": (1e-2, 1e-1)}),
    "AdamW": ({"weight_decay": 1e-2}, {"lr": (1e-3, 1e-2), "betas": (0.8, 0.9), "eps": (1e-8, 1e-4), "weight_decay": (1e-2, 1e-1)}),
    "RMSprop": (
        {"momentum": 0.5, "weight_decay": 1e-2},
        {"lr": (1e-3, 1e-2), "momentum": (0.5, 0.9), "alpha": (0.9, 0.99), "eps": (1e-8, 1e-4), "weight_decay": (1e-2, 1e-1)},
    ),
    "NAdam": ({"weight_decay": 1e-2}, {"lr": (1e-3, 1e-2), "betas": (0.8, 0.9), "weight_decay": (1e-2, 1e-1)}),
    "RAdam": ({"weight_decay": 1e-2}, {"lr": (1e-3, 1e-2), "betas": (0.8, 0.9), "weight_decay": (1e-2, 1e-1)}),
    "Adagrad": ({"weight_decay": 1e-2}, {"lr": (1e-3, 1e-2), "weight_decay": (1e-2, 1e-1)}),
    "Adamax": ({"weight_decay": 1e-2}, {"lr": (1e-3, 1e-2), "betas": (0.8, 0.9), "weight_decay": (1e-2, 1e-1)}),
}  # fmt: skip
"""For each optimizer its arguments, and the range that each hyperparameter is taken through."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one hyperparameter of one optimizer in one form.

    Attributes:
        optimizer: Name of the class in `torch.optim`.
        key: The hyperparameter; ``betas`` moves the first of the two.
        form: One of `FORMS`.
        counts: What was compiled, call by call; None where the optimizer refuses the form.
        difference: Largest relative difference of the weights from eager steps with plain numbers; NaN where refused.
        refusal: What torch says where it refuses.
    """

    optimizer: str
    key: str
    form: str
    counts: Compilations | None
    difference: float
    refusal: str = ""

    @property
    def works(self) -> bool:
        """Whether the step stays one graph, is not compiled again, and does the same as an eager one."""
        return self.counts is not None and self.counts.steady and self.difference <= _TOLERANCE


def cases(names: Iterator[str] | tuple[str, ...] = tuple(OPTIMIZERS)) -> Iterator[tuple[str, str, str]]:
    """Yield every (optimizer, hyperparameter, form) that there is."""
    for name in names:
        for key in OPTIMIZERS[name][1]:
            for form in FORMS:
                if (
                    form != FORMS[2]
                    or "capturable" in getattr(torch.optim, name)([nn.Parameter(torch.zeros(1))]).defaults
                ):
                    yield name, key, form


def recompiles_of(optimizer: str, key: str, form: str, *, backend: str = "inductor", steps: int = _STEPS) -> Outcome:
    """Compile an optimizer's step, move one hyperparameter at every call, and count what is compiled.

    Args:
        optimizer: Name of a class in `torch.optim` that `OPTIMIZERS` lists.
        key: The hyperparameter.
        form: One of `FORMS`.
        backend: Of `torch.compile`.
        steps: How many.
    """
    torch._dynamo.reset()
    arguments, ranges = OPTIMIZERS[optimizer]
    low, high = ranges[key]
    course = [low + (high - low) * ((place * 5) % steps) / steps for place in range(steps)]
    try:
        counts, weights = _run(optimizer, arguments, key, form, course, backend=backend)
    except Exception as error:  # whatever torch raises is the outcome
        return Outcome(optimizer, key, form, None, float("nan"), f"{type(error).__name__}: {error}".splitlines()[0])
    _, wanted = _run(optimizer, arguments, key, FORMS[0], course, backend=None)
    return Outcome(optimizer, key, form, counts, max(map(_difference, weights, wanted)))


def _run(
    name: str, arguments: Mapping[str, Any], key: str, form: str, course: list[float], *, backend: str | None
) -> tuple[Compilations, list[Tensor]]:
    weights = _weights()
    kind: Callable[..., Optimizer] = getattr(torch.optim, name)
    optimizer = kind(weights, **arguments, **({"capturable": True} if form == FORMS[2] else {}))
    group = optimizer.param_groups[0]
    if form != FORMS[0]:
        group[key] = _as_tensors(group[key])
    step = _compiled(optimizer, backend)
    gradients = iter([_weights(seed) for seed in range(1, len(course) + 1)])

    def call(place: int) -> None:
        _set(group, key, course[place])
        for weight, gradient in zip(weights, next(gradients), strict=True):
            weight.grad = gradient.detach()
        step()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counts = count_recompiles(call, len(course))
    return counts, [weight.detach().clone() for weight in weights]


def _compiled(optimizer: Optimizer, backend: str | None) -> Callable[[], object]:
    def step() -> None:
        optimizer.step()

    return step if backend is None else torch.compile(step, backend=backend)


def _weights(seed: int = 0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((8, 4), (8,))]


def _as_tensors(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(torch.tensor(part) for part in value)
    return torch.tensor(float(value))


def _set(group: dict[str, Any], key: str, value: float) -> None:
    current = group[key]
    first = current[0] if isinstance(current, tuple) else current
    if isinstance(first, Tensor):
        first.fill_(value)
    elif isinstance(current, tuple):
        group[key] = (value, *copy.copy(current[1:]))
    else:
        group[key] = value


def _difference(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


def measure_forms(told: Callable[[str], None] = lambda text: None) -> list[Outcome]:
    """Measure every case of `cases` on the CPU with Inductor; it takes some minutes."""
    outcomes = []
    for case in cases():
        told(", ".join(case))
        outcomes.append(recompiles_of(*case))
    return outcomes
