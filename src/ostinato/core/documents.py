"""Plans as documents: the dictionary that a TOML or JSON file holds, both ways, with errors that say where."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from ostinato.core.algebra import Clip, Join, Product, Sum, Warmup
from ostinato.core.bindings import Binding
from ostinato.core.cycles import Cycle
from ostinato.core.registry import lookup
from ostinato.core.reordering import Reordered
from ostinato.core.schedules import Hold, Linear, OneCycle, Schedule, Wave, Write, located
from ostinato.core.units import key_text
from ostinato.errors import PlanError, suggest

__all__ = [
    "RUN_TABLES",
    "binding_document",
    "binding_from",
    "canonical",
    "digest",
    "parse_json",
    "parse_toml",
    "read_document",
]

VERSION = 1
RUN_TABLES = ("data", "model", "optimizer", "loss", "train", "augment", "compare", "search")
_WAVE_KEYS = ("low", "high", "shift", "scale", "cycle")
_OPTION_KEYS = ("relative", "effective", "warmup", "domain")
_LEAVES: Mapping[str, type[Schedule]] = {kind.kind: kind for kind in (Hold, Linear, OneCycle)}
_LISTS: Mapping[str, type[Schedule]] = {kind.kind: kind for kind in (Product, Sum, Join, Reordered)}


def canonical(document: Any) -> str:
    """Return the one JSON text of a document: sorted keys, no spaces, no NaN."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(document: Any) -> str:
    """Return the SHA-256 of a document's canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical(document).encode()).hexdigest()


def binding_document(target: str, binding: Binding, write: Write) -> dict[str, Any]:
    """Return the ``[[bind]]`` table of a binding, defaults filled in."""
    course = binding.schedule.to_document(write)
    body = {"relation": course.pop("kind"), **course} if isinstance(binding.schedule, Wave) else {"schedule": course}
    options: dict[str, Any] = {"relative": binding.relative, "effective": binding.effective}
    if binding.warmup is not None:
        options["warmup"] = binding.warmup
    if binding.domain is not None:
        options["domain"] = list(binding.domain)
    return {"target": target, **body, **options}


def binding_from(table: Mapping[str, Any]) -> Binding:
    """Return the binding that a ``[[bind]]`` table describes (without its target)."""
    options = {key: table[key] for key in _OPTION_KEYS if key in table}
    if isinstance(options.get("domain"), list):
        options["domain"] = tuple(options["domain"])
    if "schedule" in table:
        _only(table, ("target", "relation", "schedule", *_OPTION_KEYS))
        if table.get("relation", "schedule") != "schedule":
            raise PlanError(f"relation: got {table['relation']!r} beside a [bind.schedule]; leave relation out")
        course = _table(table["schedule"], "schedule")
        with located("schedule."):
            schedule = schedule_from(course)
        return Binding(schedule, **options)
    _only(table, ("target", "relation", *_WAVE_KEYS, *_OPTION_KEYS))
    return Binding(_wave_from(table.get("relation", "wave"), table), **options)


def _wave_from(relation: Any, table: Mapping[str, Any]) -> Wave:
    if relation not in ("wave", "mirror"):
        raise PlanError(f"relation: got {relation!r}{suggest(str(relation), ('wave', 'mirror'))}")
    for key in ("low", "high"):
        if key not in table:
            raise PlanError(f"{key}: missing; write {key} = 0.1")
    given = {key: table[key] for key in _WAVE_KEYS if key in table}
    if "cycle" in given:
        cycle = _table(given["cycle"], "cycle")
        with located("cycle."):
            given["cycle"] = Cycle.from_document(cycle)
    return Wave(mirrored=relation == "mirror", **given)


def schedule_from(table: Mapping[str, Any]) -> Schedule:
    """Return the schedule that a table with a ``kind`` describes."""
    kind = table.get("kind")
    given = {key: value for key, value in table.items() if key != "kind"}
    if kind in ("wave", "mirror"):
        _only(given, _WAVE_KEYS)
        return _wave_from(kind, given)
    if not isinstance(kind, str):
        raise PlanError("kind: missing; write kind = 'one_cycle' or the name of another schedule")
    if kind in _LEAVES:
        return _build(_LEAVES[kind], given)
    if kind in _LISTS:
        return _build(_LISTS[kind], {**given, "of": _parts(given)})
    if kind in (Warmup.kind, Clip.kind):
        parts = _parts(given)
        if len(parts) != 1:
            raise PlanError(f"of: {kind} takes one schedule, got {len(parts)}")
        return _build(Warmup if kind == Warmup.kind else Clip, {**given, "of": parts[0]})
    factory = lookup(kind)
    version = given.pop("version", factory.version)
    if version != factory.version:
        raise PlanError(
            f"version: the plan was written for {kind!r} version {version}, installed is version {factory.version}"
        )
    return factory.build(given)


def _build(kind: Callable[..., Schedule], given: Mapping[str, Any]) -> Schedule:
    known = fields(kind)  # type: ignore[arg-type]  # every built-in schedule is a dataclass
    _only(given, [entry.name for entry in known])
    for entry in known:
        if entry.name not in given and entry.default is MISSING:
            raise PlanError(f"{entry.name}: missing; write {entry.name} = ...")
    return kind(**given)


def _parts(given: Mapping[str, Any]) -> tuple[Schedule, ...]:
    parts = given.get("of")
    if not isinstance(parts, list | tuple):
        raise PlanError("of: missing; write of = [{ kind = 'hold', value = 0.1 }, ...]")
    built = []
    for place, part in enumerate(parts):
        table = _table(part, f"of.{place}")
        with located(f"of.{place}."):
            built.append(schedule_from(table))
    return tuple(built)


def _table(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise PlanError(f"{what}: got {value!r}, expected a table")
    return value


def _only(table: Mapping[str, Any], known: Any) -> None:
    for key in table:
        if key not in known:
            raise PlanError(f"{key_text(key)}: unknown key{suggest(str(key), known)}")


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """Read TOML text.

    Raises:
        PlanError: It is no TOML; the message has the file, line and column.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"{where}: {error}") from None
    except RecursionError:
        raise PlanError(f"{where}: nested too deeply") from None


def parse_json(text: str, where: str) -> dict[str, Any]:
    """Read JSON text.

    Raises:
        PlanError: It is no JSON object, or holds a number that is not finite.
    """
    try:
        document = json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        raise PlanError(f"{where}: {error}") from None
    except RecursionError:
        raise PlanError(f"{where}: nested too deeply") from None
    if not isinstance(document, dict):
        raise PlanError(f'{where}: expected a JSON object such as {{"total": "10ep", "bind": []}}')
    return document


def read_document(path: Path) -> dict[str, Any]:
    """Read a plan file, ``.json`` or TOML, into a document.

    Raises:
        PlanError: The file is missing, unreadable or malformed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PlanError(f"{path}: {error.strerror or error}; give the path of a plan file") from None
    except UnicodeDecodeError as error:
        raise PlanError(f"{path}: not UTF-8 text at byte {error.start}") from None
    return parse_json(text, str(path)) if path.suffix == ".json" else parse_toml(text, str(path))


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no number that a plan can hold")
