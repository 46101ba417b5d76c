"""Editing a plan's document by address."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from ostinato.core.cycles import Cycle
from ostinato.core.units import plain_number
from ostinato.errors import PlanError, suggest

__all__ = ["edited"]

_INSTEAD = {"period": "count", "count": "period"}
_SHAPES = ("up", "duty", "ratio")
_FIXED = ("version", "bind", "target")
_OPTIONAL = {
    "": ("total", "warmup", "unit", "cycle"),
    "cycle": ("period", "count", "up", "duty", "ratio"),
    "bind": ("warmup", "domain", "cycle"),
}


def edited(document: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a plan's document in which each address has its new value."""
    result = copy.deepcopy(document)
    for address, value in changes.items():
        if not isinstance(address, str) or not address.isprintable():
            raise PlanError(f"replace: got the address {address!r}, expected text such as 'cycle.period'")
        if "/" in address:
            table, path = _binding(result, address)
            _set(table, path.split("."), _plain(value), address=address, changes=changes, optional=_OPTIONAL["bind"])
        else:
            _set(result, address.split("."), _plain(value), address=address, changes=changes, optional=_OPTIONAL[""])
    return result


def _plain(value: Any) -> Any:
    """Return the value as a document holds it."""
    if isinstance(value, Cycle):
        return value.to_document()
    if isinstance(value, Fraction):
        return plain_number(value)
    return list(value) if isinstance(value, tuple) else value


def _binding(document: dict[str, Any], address: str) -> tuple[dict[str, Any], str]:
    """Return the binding that an address names and the path inside it; a target may hold a slash itself."""
    for table in document["bind"]:
        if address.startswith(f"{table['target']}/"):
            return table, address.removeprefix(f"{table['target']}/")
    target = address.partition("/")[0]
    bound = [table["target"] for table in document["bind"]]
    raise PlanError(f"{address}: no binding drives {target!r}{suggest(target, bound)}")


def _set(
    table: Any, keys: list[str], value: Any, *, address: str, changes: Mapping[str, Any], optional: tuple[str, ...]
) -> None:
    if keys[0] in _FIXED:
        raise PlanError(f"{address}: there is no field {keys[0]!r} to replace{_known(table, optional)}")
    for depth, key in enumerate(keys[:-1]):
        if isinstance(table, list) and key.isdigit() and int(key) < len(table):
            table = table[int(key)]
        elif isinstance(table, dict) and isinstance(table.get(key), dict | list):
            table = table[key]
        else:
            raise PlanError(f"{address}: there is no {'.'.join(keys[: depth + 1])!r} here{_known(table)}")
        optional = _OPTIONAL["cycle"] if key == "cycle" else ()
    last = keys[-1]
    if isinstance(table, list):
        if not last.isdigit() or int(last) >= len(table):
            raise PlanError(f"{address}: {last!r} is no place in a list of {len(table)}")
        table[int(last)] = value
        return
    if last not in table and last not in optional:
        raise PlanError(f"{address}: there is no field {last!r} to replace{_known(table, optional)}")
    if value is None:
        table.pop(last, None)
        return
    before, table[last] = table.get(last), value
    if last in _INSTEAD:
        table.pop(_INSTEAD[last], None)
    if last == "waveform" and value != before:
        given = [shape for shape in _SHAPES if f"{address.removesuffix('waveform')}{shape}" in changes]
        for shape in set(_SHAPES).difference(given):
            table.pop(shape, None)


def _known(table: Any, optional: tuple[str, ...] = ()) -> str:
    if not isinstance(table, dict):
        return ""
    return "; known: " + ", ".join(sorted({*table, *optional}.difference(_FIXED)))
