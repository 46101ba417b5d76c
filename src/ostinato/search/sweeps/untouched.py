"""Leaving no trace: whatever a block does to models, optimizers, loaders and random states is undone after it, however it ends."""

from __future__ import annotations

import copy
import random
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import BatchSampler, DataLoader

from ostinato.driver import Driver
from ostinato.errors import ConfigError, StateError
from ostinato.scheduler import Scheduler

__all__ = ["Memory", "untouched"]

_WALKED = (nn.Module, Optimizer, LRScheduler, GradScaler, Scheduler, Driver)
_FUNCTIONS = (FunctionType, BuiltinFunctionType, MethodType, type)
_PLAIN = (int, float, complex, str, bytes, type(None))
_DATA_PARTS = ("sampler", "batch_sampler", "dataset", "datasets", "data_source")


@contextmanager
def untouched(*objects: Any) -> Iterator[None]:
    """Undo, after the block, everything that it did to some objects and to the random states, bit for bit.

    It holds however the block ends: normally, by an exception, or by Ctrl-C, which is let through once everything is back. Ctrl-C during
    the restoration itself waits until it is done.

    - Models: parameters, buffers (persistent or not), gradients (None as well), ``requires_grad``, training flags, numbers such as
      ``Dropout.p``; tensors keep their identity.
    - Optimizers: state and parameter groups, in place; no hook is called.
    - `ostinato.Scheduler`, torch's schedulers and ``GradScaler``: all they hold.
    - ``DataLoader``: its generator, and the numbers and generators of its samplers and data sets. A running iterator of one with persistent
      workers is put aside and goes on afterwards where it was.
    - Anything else: its attributes, and ``load_state_dict(state_dict())`` where it has them. A pair (getter, setter): what the getter returned.
    - Python's, numpy's and torch's global random states, of every CUDA device too.

    Args:
        *objects: What the block may change. Functions and None are passed over.

    Raises:
        ConfigError: An object is an iterator, which cannot be wound back.
        StateError: A model has parameters without a shape as yet.

    Limits: tensors are copied, so that memory for a second copy is needed. Objects inside objects are put back, but only looked into where
    they are of a kind named above; data sets are not copied; what worker processes and files hold is out of reach.

    >>> model = nn.Linear(2, 1)
    >>> before = model.weight.clone()
    >>> with untouched(model):
    ...     _ = nn.init.zeros_(model.weight), torch.rand(3)
    >>> torch.equal(model.weight, before)
    True
    """
    memory = Memory(*objects)
    try:
        yield
    finally:
        try:
            memory.restore()
        except KeyboardInterrupt:
            memory.restore()
            raise


class Memory:
    """What some objects and the random states are at one moment; `restore` brings that back, as often as it is called."""

    def __init__(self, *objects: Any) -> None:
        self._seen: dict[int, Any] = {}
        self._actions: list[Callable[[], object]] = []
        for each in objects:
            self._given(each)
        self._randomness()

    def restore(self) -> None:
        """Put everything back; Ctrl-C waits until that is done.

        Raises:
            ExceptionGroup: Some object refused; all others are back.
        """
        errors: list[Exception] = []
        with _uninterrupted():
            for action in self._actions:
                try:
                    action()
                except Exception as error:  # one object that refuses must not keep the others from being restored
                    errors.append(error)
        if errors:
            raise ExceptionGroup("not everything could be put back", errors)

    # -- which kind of object ----------------------------------------------------------------------------------

    def _given(self, each: Any) -> None:
        """Remember an object that was named, as far as it can be looked into."""
        if each is None or isinstance(each, _FUNCTIONS):
            return
        if hasattr(each, "__next__"):
            raise ConfigError(
                f"a {type(each).__name__} cannot be wound back; pass the loader that it comes from, or a list of batches"
            )
        if isinstance(each, DataLoader):
            self._loader(each)
        elif isinstance(each, tuple) and len(each) == 2 and all(isinstance(part, _FUNCTIONS) for part in each):
            getter, setter = each
            value = getter()
            self._actions.append(lambda: setter(value))
        elif isinstance(each, (*_WALKED, Tensor, dict, list, tuple)):
            self._keep(each)
        else:
            self._stateful(each)
            self._keep(getattr(each, "__dict__", None))
            self._generator(each)
            self._data(each)

    def _keep(self, value: Any) -> None:
        """Remember a value and what lies in it; what is of no known kind is put back as it is."""
        if isinstance(value, (*_PLAIN, *_FUNCTIONS)) or id(value) in self._seen:
            return
        self._seen[id(value)] = value
        if isinstance(value, Tensor):
            self._tensor(value)
        elif isinstance(value, dict):
            self._dict(value)
        elif isinstance(value, list | deque | set):
            self._container(value)
        elif isinstance(value, tuple):
            for part in value:
                self._keep(part)
        elif isinstance(value, np.ndarray):
            array = value.copy()
            self._actions.append(lambda: np.copyto(value, array))
        elif isinstance(value, _WALKED):
            self._keep(vars(value))
        else:
            self._generator(value)

    # -- how each kind is put back -----------------------------------------------------------------------------

    def _tensor(self, tensor: Tensor) -> None:
        if nn.parameter.is_lazy(tensor):
            raise StateError("a parameter has no shape yet; run one batch through the model first")
        alias = tensor.detach()  # the same memory, also where the block gives the tensor another one
        whole = _storage(alias) if any(stride == 0 for stride in alias.stride()) else alias
        values, leaf = whole.clone(), tensor.is_leaf
        gradient = tensor.grad if leaf else None
        trained = tensor.requires_grad
        if gradient is not None:
            self._keep(gradient)

        def restore() -> None:
            with torch.no_grad():
                whole.copy_(values)
                if not _same_memory(tensor, alias):
                    tensor.data = alias
                if leaf:
                    tensor.requires_grad_(trained)
                    tensor.grad = gradient

        self._actions.append(restore)

    def _dict(self, value: dict[Any, Any]) -> None:
        items = list(value.items())

        def restore() -> None:
            if len(items) != len(value) or any(
                a is not c or b is not d for (a, b), (c, d) in zip(items, value.items(), strict=True)
            ):
                value.clear()
                value.update(items)

        self._actions.append(restore)
        for _, part in items:
            self._keep(part)

    def _container(self, value: Any) -> None:
        parts = list(value)

        def restore() -> None:
            value.clear()
            (value.update if isinstance(value, set) else value.extend)(parts)

        self._actions.append(restore)
        for part in parts:
            self._keep(part)

    def _generator(self, value: Any) -> None:
        """Remember a random generator."""
        if isinstance(value, torch.Generator):
            state = value.get_state()
            self._actions.append(lambda: value.set_state(state))
        elif isinstance(value, np.random.Generator | np.random.BitGenerator):
            bits = value.bit_generator if isinstance(value, np.random.Generator) else value
            inner = copy.deepcopy(bits.state)
            self._actions.append(lambda: setattr(bits, "state", inner))
        elif isinstance(value, np.random.RandomState):
            legacy = value.get_state()
            self._actions.append(lambda: value.set_state(legacy))
        elif isinstance(value, random.Random) and not isinstance(value, random.SystemRandom):
            words = value.getstate()
            self._actions.append(lambda: value.setstate(words))

    def _stateful(self, each: Any) -> None:
        """Remember the state that an object declares; its attributes are put back after it."""
        if callable(getattr(each, "state_dict", None)) and callable(getattr(each, "load_state_dict", None)):
            state = copy.deepcopy(each.state_dict())
            self._actions.append(lambda: each.load_state_dict(copy.deepcopy(state)))

    def _loader(self, loader: DataLoader[Any]) -> None:
        self._generator(loader.generator)
        self._stateful(loader)
        self._data(loader)
        running = loader._iterator
        self._actions.append(lambda: setattr(loader, "_iterator", running))
        loader._iterator = None  # of persistent workers: a new epoch would take it over

    def _data(self, part: Any) -> None:
        """Remember the numbers and the generators of samplers and data sets, but not the data."""
        if id(part) in self._seen and isinstance(part, DataLoader | BatchSampler):
            return
        self._seen[id(part)] = part
        attributes = getattr(part, "__dict__", {})
        plain = {name: value for name, value in attributes.items() if isinstance(value, _PLAIN)}
        self._actions.append(lambda: attributes.update(plain))
        for value in attributes.values():
            self._generator(value)
        for name in _DATA_PARTS:
            inner = attributes.get(name)
            for each in inner if isinstance(inner, list | tuple) else (inner,):
                if hasattr(each, "__dict__") and id(each) not in self._seen:
                    self._stateful(each)
                    self._data(each)

    def _randomness(self) -> None:
        python, legacy, words = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - the global one
        self._actions += [
            lambda: random.setstate(python),
            lambda: np.random.set_state(legacy),  # noqa: NPY002 - the global one is meant
            lambda: torch.set_rng_state(words),
        ]
        if torch.cuda.is_available():
            devices = torch.cuda.get_rng_state_all()
            self._actions.append(lambda: torch.cuda.set_rng_state_all(devices))


def _storage(tensor: Tensor) -> Tensor:
    """Return all of the memory that a tensor looks into, flat: where several of its elements are one."""
    size = tensor.untyped_storage().nbytes() // tensor.element_size()
    return torch.as_strided(tensor, (size,), (1,), 0)


def _same_memory(tensor: Tensor, alias: Tensor) -> bool:
    kinds = ((each.dtype, each.device, each.shape, each.layout) for each in (tensor, alias))
    if next(kinds) != next(kinds):
        return False
    return tensor.layout != torch.strided or (
        tensor.data_ptr() == alias.data_ptr() and tensor.stride() == alias.stride()
    )


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait until the block is done."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or handler is None:
        yield
        return
    asked: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: asked.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if asked:
            signal.raise_signal(signal.SIGINT)
