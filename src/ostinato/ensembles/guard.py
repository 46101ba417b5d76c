"""Watching a model's attributes: whether a recording of its forward still holds."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, compress
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Guard", "UnstackableError"]

_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.layout, Tensor)
_MOST = 20_000


class UnstackableError(Exception):
    """This model cannot be recorded over stacked weights; the reason is for the reader of a table, not an error."""


class Guard:
    """What a recording took for granted: the identity of every plain attribute, part and hook of the model.

    Raises:
        UnstackableError: an attribute is of a kind whose content cannot be watched (an array, a generator).
    """

    def __init__(self, model: nn.Module) -> None:
        self._mappings: list[dict[Any, Any]] = []
        self._sequences: list[list[Any]] = []
        self._seen: set[int] = set()
        for module in model.modules():
            self._watch_module(module)
        self._mask = [key != "training" for mapping in self._mappings for key in mapping]
        self._size, self._saved = self._count(), list(self._values())
        self._lists = [list(sequence) for sequence in self._sequences]

    def _values(self) -> Iterable[Any]:
        return chain.from_iterable(map(dict.values, self._mappings))

    def _count(self) -> int:
        return sum(map(len, self._mappings))

    def _watch_module(self, module: nn.Module) -> None:
        self._mappings.append(module.__dict__)
        for name in ("_modules", "_forward_hooks", "_forward_pre_hooks"):
            self._mappings.append(module.__dict__[name])
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            if hooks:
                raise UnstackableError(f"{type(module).__name__} has forward hooks, which a recording would not call")
        for name, value in module.__dict__.items():
            if name not in _MODULE_PARTS:
                self._watch(value, f"{type(module).__name__}.{name}")

    def _watch(self, value: Any, where: str) -> None:
        if isinstance(value, (*_PLAIN, nn.Module, type)) or callable(value) or id(value) in self._seen:
            return
        self._seen.add(id(value))
        if len(self._seen) > _MOST:
            raise UnstackableError(f"{where} holds more than {_MOST} objects to watch")
        if type(value) in (tuple, torch.Size, frozenset):
            inner: Iterable[Any] = value
        elif type(value) is dict:
            self._mappings.append(value)
            inner = value.values()
        elif type(value) is list:
            self._sequences.append(value)
            inner = value
        elif type(value).__module__ != "numpy" and hasattr(value, "__dict__") and not hasattr(type(value), "__slots__"):
            self._mappings.append(value.__dict__)
            inner = value.__dict__.values()
        elif type(value) is set and not value:
            return
        else:
            raise UnstackableError(f"{where} is a {type(value).__name__}, whose changes would not be noticed")
        for item in inner:
            self._watch(item, where)

    def holds(self) -> bool:
        """Whether everything is as it was; a few microseconds for a small model."""
        if self._count() != self._size or not all(compress(map(is_, self._values(), self._saved), self._mask)):
            return False
        return all(
            len(now) == len(then) and all(map(is_, now, then))
            for now, then in zip(self._sequences, self._lists, strict=True)
        )


_MODULE_PARTS = frozenset(nn.Module().__dict__)
