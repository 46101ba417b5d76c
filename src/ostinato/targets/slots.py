"""Slots: single places where one number lives. They keep the owner, and look inside it anew for every read and write."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, MutableMapping, MutableSequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ostinato.errors import TargetError

__all__ = ["Accessor", "AttributeSlot", "Cell", "GroupSlot", "ItemSlot", "Slot", "is_number"]

_CASTS = (torch.float32, torch.float16, torch.bfloat16)

Cell = tuple[dict[Any, Any], Any]


def is_number(value: object) -> bool:
    """Return whether `value` is a number that a plan can drive: a plain one, or a floating tensor of one element that is not trained.

    >>> is_number(0.1), is_number(True), is_number(torch.tensor(0.1)), is_number(nn.Parameter(torch.tensor(0.1)))
    (True, False, True, False)
    """
    if isinstance(value, Tensor):
        return value.numel() == 1 and value.is_floating_point() and not value.requires_grad
    return isinstance(value, int | float) and not isinstance(value, bool)


class Slot(ABC):
    """One place where one number lives.

    Attributes:
        label: Its concrete address, such as ``optimizer[0].lr``.
    """

    label: str

    @property
    @abstractmethod
    def place(self) -> Hashable:
        """What two slots share exactly when they are the same place."""

    @abstractmethod
    def raw(self) -> Any:
        """Return the object that is stored there now."""

    @abstractmethod
    def _put(self, value: Any) -> None:
        """Store another object."""

    def cell(self) -> Cell | None:
        """Return the dictionary and key that hold a plain number, or None where a write takes more than that."""
        return None

    def read(self) -> float:
        """Return the number.

        Raises:
            TargetError: What is there is no number.
        """
        value = self.raw()
        if not is_number(value):
            raise TargetError(f"{self.label}: holds {_described(value)}, expected a number")
        return float(value)

    def shown(self) -> str:
        """Return what is there now, in words."""
        value = self.raw()
        return repr(float(value)) if is_number(value) else _described(value)

    def write(self, value: float) -> None:
        """Set the number; a tensor is filled in place and keeps its identity."""
        current = self.raw()
        if isinstance(current, Tensor):
            if current.requires_grad:
                raise TargetError(f"{self.label}: holds {_described(current)}, expected a number")
            current.fill_(value)
        else:
            self._put(value)

    def holds(self, value: float) -> bool:
        """Return whether `value`, once written, is still there."""
        current = self.raw()
        if isinstance(current, Tensor):
            return current.numel() == 1 and _nearly(current.item(), value, current.dtype)
        return current is value or (is_number(current) and current == value)


def _nearly(found: float, written: float, dtype: torch.dtype) -> bool:
    """Return whether a tensor of `dtype` that was given `written` may hold `found`, as it is or after casts by way of other types."""
    if not dtype.is_floating_point:
        return False
    if found == torch.tensor(written, dtype=dtype).item():
        return True
    ways = [(first, then) for then in (dtype, *_CASTS) for first in (then, torch.float32)]
    return any(found == torch.tensor(written, dtype=first).to(then).to(dtype).item() for first, then in ways)


def _described(value: object) -> str:
    if isinstance(value, nn.Parameter):
        return "a trained parameter"
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and {value.dtype}"
    return repr(value) if value is None or isinstance(value, bool | str) else f"a {type(value).__name__}"


@dataclass(eq=False, slots=True)
class GroupSlot(Slot):
    """A key of a parameter group, or an element of the tuple that is there (``betas.0``)."""

    label: str
    optimizer: torch.optim.Optimizer
    index: int
    key: str
    element: int | None = None

    @property
    def place(self) -> Hashable:
        return id(self.optimizer), self.index, self.key, self.element

    def raw(self) -> Any:
        value = self.optimizer.param_groups[self.index][self.key]
        return value if self.element is None else value[self.element]

    def _put(self, value: Any) -> None:
        group = self.optimizer.param_groups[self.index]
        if self.element is None:
            group[self.key] = value
        else:
            values = list(group[self.key])
            values[self.element] = value
            group[self.key] = type(group[self.key])(values)

    def cell(self) -> Cell | None:
        if self.element is not None or isinstance(self.raw(), Tensor):
            return None
        return self.optimizer.param_groups[self.index], self.key


@dataclass(eq=False, slots=True)
class AttributeSlot(Slot):
    """An attribute of a module or of any other object."""

    label: str
    owner: Any
    name: str

    @property
    def place(self) -> Hashable:
        return id(self.owner), self.name

    def raw(self) -> Any:
        return getattr(self.owner, self.name)

    def _put(self, value: Any) -> None:
        cell = self.cell()
        if cell is not None:
            cell[0][cell[1]] = value
            return
        try:
            setattr(self.owner, self.name, value)
        except AttributeError as error:
            raise TargetError(f"{self.label}: cannot be set ({error}); bind a getter and a setter instead") from None

    def cell(self) -> Cell | None:
        own = getattr(self.owner, "__dict__", None)
        if not isinstance(own, dict) or self.name not in own or isinstance(own[self.name], Tensor):
            return None
        setter: object = type(self.owner).__setattr__
        intercepted = setter is not object.__setattr__ and setter is not nn.Module.__setattr__
        descriptor = getattr(type(self.owner), self.name, None)
        return None if intercepted or hasattr(descriptor, "__set__") else (own, self.name)


@dataclass(eq=False, slots=True)
class ItemSlot(Slot):
    """An item of a mapping or a sequence."""

    label: str
    owner: MutableMapping[Any, Any] | MutableSequence[Any]
    key: Any

    @property
    def place(self) -> Hashable:
        return id(self.owner), self.key

    def raw(self) -> Any:
        return self.owner[self.key]

    def _put(self, value: Any) -> None:
        self.owner[self.key] = value


@dataclass(eq=False, slots=True)
class Accessor(Slot):
    """A getter and a setter, for what no address reaches."""

    label: str
    getter: Callable[[], float]
    setter: Callable[[float], object]

    @property
    def place(self) -> Hashable:
        return id(self.setter)

    def raw(self) -> Any:
        return self.getter()

    def _put(self, value: Any) -> None:
        self.setter(value)

    def write(self, value: float) -> None:
        """Call the setter; what the getter returns may be another object every time."""
        self.setter(value)

    def holds(self, value: float) -> bool:
        """Return whether the getter gives the value back, to the precision of a float32."""
        return math.isclose(self.read(), value, rel_tol=1e-6, abs_tol=1e-12)
