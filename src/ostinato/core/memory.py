"""Remembering the last result, so that what several curves need of one block of counts is computed once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

from ostinato.core.waveforms import IntArray

__all__ = ["Remembered", "frozen"]

Result = TypeVar("Result")
Array = TypeVar("Array", bound=np.ndarray)


class Remembered(Generic[Result]):
    """A pure function of an array of counts that remembers its last result.

    Only read-only arrays are remembered, by identity: nobody can change them behind its back. Threads may compute twice, never wrongly.
    """

    __slots__ = ("_function", "_last")

    def __init__(self, function: Callable[[IntArray], Result]) -> None:
        self._function = function
        self._last: tuple[IntArray, Result] | None = None

    def __call__(self, count: IntArray) -> Result:
        """Return the function of `count`."""
        last = self._last
        if last is not None and last[0] is count:
            return last[1]
        result = self._function(count)
        if not count.flags.writeable:
            self._last = (count, result)
        return result


def frozen(array: Array) -> Array:
    """Make an array of one's own read-only and return it.

    >>> frozen(np.arange(3)).flags.writeable
    False
    """
    array.flags.writeable = False
    return array
