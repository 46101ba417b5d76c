"""What arguments must be, said in one line where they are not."""

from __future__ import annotations

from numbers import Integral

from ostinato.errors import ConfigError

__all__ = ["is_whole", "whole"]


def is_whole(value: object) -> bool:
    """Return whether a value is a whole number; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def whole(name: str, value: object, least: int = 1) -> int:
    """Return a whole number of at least `least`.

    Raises:
        ConfigError: It is something else.

    >>> whole("rounds", 3)
    3
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name}: got {value!r}, expected a whole number of at least {least}")
    return int(value)
