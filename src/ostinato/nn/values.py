"""Modules whose scheduled values are buffers: changed in place, so that what was compiled stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ostinato.core.domains import Domain
from ostinato.errors import DomainError
from ostinato.targets.slots import is_number

__all__ = ["POSITIVE", "ScheduledModule", "as_number", "shown"]

POSITIVE = Domain("a number", 1e-30, float("inf"))


def as_number(value: Tensor | float) -> float | None:
    """Return a value as a plain number where reading it costs nothing, else None.

    It costs nothing outside a compiled function, for a tensor in host memory. None is returned while compiling, for a tensor on an
    accelerator (reading would wait for it), and for one that a transform of `torch.func` maps over.
    """
    if not isinstance(value, Tensor):
        return float(value)
    if torch.compiler.is_compiling() or value.device.type != "cpu" or type(value) not in (Tensor, nn.Parameter):
        return None
    try:
        return float(value.detach())
    except RuntimeError:  # mapped over by torch.vmap, which has no single number to give
        return None


def shown(value: Tensor | float | None) -> str:
    """Return a value as text, to the digits that a float32 holds.

    >>> shown(torch.tensor(0.3)), shown(None)
    ('0.3', 'None')
    """
    if value is None:
        return "None"
    if isinstance(value, Tensor) and value.is_meta:
        return "..."
    return f"{float(value):.7g}"


class ScheduledModule(nn.Module):
    """Base of modules with values that a plan drives: 0-dim float32 buffers that are not persistent.

    Assigning a number fills the buffer in place, after checking it. Conversions (``.half()``, ``.to(dtype)``) leave the values float32 and
    where they are in memory; moves to another device take them along. They are in no `state_dict`, so that it is the same as that of the
    torch module that such a module stands for. A plain one-element tensor is copied; an `nn.Parameter` takes the buffer's place (a trained
    temperature, say).

    Attributes:
        scheduled: For every value its name and what it accepts.
    """

    scheduled: ClassVar[Mapping[str, Domain]] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        domain = type(self).scheduled.get(name)
        if domain is None or value is None or isinstance(value, nn.Parameter) or "_buffers" not in self.__dict__:
            super().__setattr__(name, value)
            return
        if not (isinstance(value, Tensor) and value.is_meta):
            value = self._checked(name, value)
            self.__dict__.setdefault("_assigned", {})[name] = value
        current = self._buffers.get(name)
        if current is None:
            self.__dict__.pop(name, None)
            self.register_buffer(name, _tensor(value, self._place()), persistent=False)
        elif not current.is_meta:
            with torch.no_grad():
                current.fill_(value)

    @classmethod
    def _checked(cls, name: str, value: object) -> float:
        """Return the number of a value that is one and that its domain holds."""
        domain = cls.scheduled[name]
        if not is_number(value):
            raise DomainError(f"{cls.__name__}.{name}: got {value!r}, expected {domain}")
        number = float(value)  # type: ignore[arg-type]  # is_number has checked it
        if not domain.holds(number):
            raise DomainError(f"{cls.__name__}.{name}: got {number:g}, expected {domain}")
        return number

    def _place(self) -> torch.device | None:
        """Return where a new value belongs: where the module's other tensors are."""
        return next(
            (tensor.device for tensor in (*self._parameters.values(), *self._buffers.values()) if tensor is not None),
            None,
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Convert or move the module; of the scheduled values only the place in memory may change."""
        kept = {name: value for name in type(self).scheduled if (value := self._buffers.get(name)) is not None}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch does not say what it returns
        for name, value in kept.items():
            self._buffers[name] = self._moved(name, value, self._buffers[name])
        return self

    def _moved(self, name: str, value: Tensor, converted: Tensor | None) -> Tensor:
        if converted is None or converted is value or converted.device == value.device:
            return value
        if value.is_meta:
            return _tensor(self.__dict__["_assigned"][name], converted.device)
        return value.to(converted.device)


def _tensor(value: float | Tensor, device: torch.device | None) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach().to(torch.float32)
    return torch.tensor(value, dtype=torch.float32, device=device)
