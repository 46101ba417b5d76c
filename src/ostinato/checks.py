"""What a number must be, said in one line where it is not.

Numbers are Python's own unless one asks otherwise: those are what a file, a digest or a saved state can hold. ``of=Integral`` and ``of=Real`` take
NumPy's too. True and False are no numbers here, since who writes them means something else.
"""

from __future__ import annotations

import math
from typing import Any, TypeGuard

from ostinato.errors import ConfigError, OstinatoError

__all__ = ["is_finite", "is_number", "is_whole", "whole"]


def is_whole(
    value: object, least: int | None = None, most: int | None = None, *, of: type[Any] = int
) -> TypeGuard[int]:
    """Return whether a value is a whole number, not below `least` and not above `most`.

    >>> is_whole(3), is_whole(3, 4), is_whole(3.0), is_whole(True)
    (True, False, False, False)
    """
    if not isinstance(value, of) or isinstance(value, bool):
        return False
    return (least is None or int(value) >= least) and (most is None or int(value) <= most)


def is_number(value: object, *, of: Any = (int, float)) -> TypeGuard[float]:
    """Return whether a value is a real number, infinite ones and NaN included.

    >>> is_number(0.5), is_number(float("nan")), is_number("0.5"), is_number(True)
    (True, True, False, False)
    """
    return isinstance(value, of) and not isinstance(value, bool)


def is_finite(value: object, *, of: Any = (int, float)) -> TypeGuard[float]:
    """Return whether a value is a finite real number.

    >>> is_finite(0.5), is_finite(float("inf"))
    (True, False)
    """
    return is_number(value, of=of) and math.isfinite(value)


def whole(
    name: str,
    value: object,
    least: int | None = 1,
    most: int | None = None,
    *,
    of: type[Any] = int,
    error: type[OstinatoError] = ConfigError,
) -> int:
    """Return a whole number as an int.

    Args:
        name: What the message calls it.
        value: What arrived.
        least: The smallest that can be; None where any can.
        most: The largest that can be; None where there is no end. It goes with a `least`.
        of: What numbers are taken.
        error: What is raised.

    Raises:
        ConfigError: It is no whole number, or too small or too large; or `error`.

    >>> whole("rounds", 3)
    3
    >>> whole("rounds", 0)
    Traceback (most recent call last):
        ...
    ostinato.errors.ConfigError: rounds: got 0, expected a whole number >= 1
    """
    if is_whole(value, least, most, of=of):
        return int(value)
    ends = "" if least is None else f" >= {least}" if most is None else f" from {least} to {most:,}"
    raise error(f"{name}: got {value!r}, expected a whole number{ends}")
