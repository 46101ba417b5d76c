"""A number in shared memory, for feedback that loader workers read."""

from __future__ import annotations

from ctypes import c_double
from multiprocessing.context import get_spawning_popen
from multiprocessing.sharedctypes import RawValue
from typing import Any, NoReturn

from ostinato.errors import StateError

__all__ = ["SharedValue"]


class SharedValue:
    """A float64 in shared memory: set in one process, read in others, such as the workers of a ``DataLoader``.

    It is for *feedback* (a value that follows from a loss or an accuracy), which no worker can compute ahead. It is **racy by nature**:
    workers fetch ahead, so which value a given batch saw is undefined, differs from run to run, and cannot be resumed. For whatever
    follows from the count of updates take `ostinato.data`, whose batches are exact. There is no lock: a read gives some value that was
    written whole (8 aligned bytes), and ``shared.value += 1`` in two processes may lose one.

    It reaches another process by inheritance only: in the data set of a ``DataLoader`` or the arguments of a ``Process``, whether forked
    or spawned. It can be the target of a plan: ``plan.bind(noise=shared)`` with the address ``noise.value``.

    Args:
        value: What it holds at first.

    Raises:
        StateError: It is copied, or pickled for anything but starting a process; or it is given what is no number.

    >>> noise = SharedValue(0.1)
    >>> noise.set(0.25)
    >>> noise.value, noise.get()
    (0.25, 0.25)
    """

    __slots__ = ("_cell",)

    def __init__(self, value: float = 0.0) -> None:
        self._cell = RawValue(c_double, _number(value))

    @property
    def value(self) -> float:
        """The number as it is now."""
        return float(self._cell.value)

    @value.setter
    def value(self, value: float) -> None:
        self._cell.value = _number(value)

    def get(self) -> float:
        """Return the number as it is now."""
        return self.value

    def set(self, value: float) -> None:
        """Set the number, for every process that shares it."""
        self.value = value

    def __copy__(self) -> NoReturn:
        raise StateError(
            "a SharedValue cannot be copied: what reads the one would not see the other; pass the object itself, or make SharedValue(shared.value)"
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> NoReturn:
        self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        if get_spawning_popen() is None:
            raise StateError(
                "a SharedValue can be pickled only to start a process: hand it to the data set of a DataLoader or to Process(args=...),"
                " and save shared.value"
            )
        return _restored, (self._cell,)

    def __repr__(self) -> str:
        return f"SharedValue({self.value!r})"


def _restored(cell: Any) -> SharedValue:
    shared = SharedValue.__new__(SharedValue)
    shared._cell = cell
    return shared


def _number(value: Any) -> float:
    if isinstance(value, str | bytes | bool):
        raise StateError(f"SharedValue: got {value!r}, expected a number")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise StateError(f"SharedValue: got a {type(value).__name__}, expected a number ({error})") from None
