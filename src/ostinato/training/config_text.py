"""What the configuration says when something is not understood, and the checks that pydantic leaves open."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, time
from typing import Any

from pydantic import BaseModel, ValidationError

from ostinato.errors import suggest

__all__ = ["check_plain", "explain", "one_line", "one_of"]


def explain(error: ValidationError, run: type[BaseModel], tables: Mapping[str, Any], source: str) -> str:
    """One line for all that pydantic found: the first in words, the others by their place."""
    found: dict[str, str] = {}
    for item in error.errors(include_url=False):
        place = [str(part) for part in item["loc"]]
        table, key = place[0], place[1] if len(place) > 1 else ""
        cls: type[BaseModel] = run.model_fields[table].annotation  # type: ignore[assignment]  # a table's annotation is its model
        reason = _reason(cls, (table, key), item["type"], item["msg"], tables.get(table))
        found.setdefault(f"[{table}] {key}".rstrip(), reason)
    (where, reason), *others = found.items()
    more = f" (and also: {', '.join(place for place, _ in others)})" if others else ""
    return one_line(f"{source}: {where}: {reason}{more}")


def one_line(text: str) -> str:
    r"""Write what cannot be printed, line ends among it, as Python escapes it.

    >>> print(one_line("a\nb"))
    a\nb
    """
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def one_of(**given: str | None) -> None:
    """Raise ``ValueError`` if more than one is given."""
    named = [key for key, value in given.items() if value is not None]
    if len(named) > 1:
        raise ValueError(f"got {' and '.join(named)}, expected one of them; delete the others")


def check_plain(value: Any, place: str) -> None:
    """Refuse what TOML cannot say again, and numbers that are not finite."""
    if isinstance(value, dict):
        for key, item in value.items():
            check_plain(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            check_plain(item, f"{place}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{place}: got {value!r}, expected a finite number")
    elif not isinstance(value, str | bool | int | float | date | time):
        raise ValueError(f"{place}: got a {type(value).__name__}, expected text, a number, a list or a table")


def _reason(cls: type[BaseModel], place: tuple[str, str], kind: str, message: str, given: Any) -> str:
    table, key = place
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    if kind == "extra_forbidden":
        return f"no such key{suggest(key, cls.model_fields)}"
    if not key:
        return f"got {_short(given)}, expected a table (write [{table}] on a line of its own)"
    value = given.get(key) if isinstance(given, dict) else given
    field = cls.model_fields.get(key)
    otherwise = "a text that is not empty" if kind.startswith("string") else message.removeprefix("Input should be ")
    expected = (field.description if field else None) or otherwise
    examples = field.examples if field else None
    example = f" (write {key} = {_toml(examples[0])})" if examples else ""
    return f"got {_short(value)}, expected {expected}{example}"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
