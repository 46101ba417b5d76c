"""A plan as a script for PyTorch: every value as a function of the step, and a class that writes the values where they belong."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping

from ostinato.core.address import Address
from ostinato.core.resolved import ResolvedPlan
from ostinato.export._text import WIDTH, call_lines, quoted
from ostinato.export._torch_places import PLACES, needs
from ostinato.export._values import Values

__all__ = ["render"]

_RESERVED = ("self", "setters", "step", "count", "math", "torch", "Writer", "TOTAL", "WARMUP", "VALUES", *PLACES)
_COMPARISON = re.compile(r"\s*(?P<key>\w+)\s*(?P<sign>==|!=|<=|>=|<|>)\s*(?P<value>[^\s].*?)\s*")


def render(resolved: ResolvedPlan) -> str:
    """Return the script. See `ostinato.export.to_torch`."""
    values = Values(resolved, _RESERVED)
    addresses = {target: Address.parse(target) for target in resolved.targets}
    roots = _root_names(addresses)
    optimizers = _optimizers(addresses)
    places = {target: _places(address, address.root in optimizers) for target, address in addresses.items()}
    writer = _writer(resolved, places, addresses, roots)
    text = "\n\n".join([*values.blocks, _table(values), *needs(writer), writer])
    imports = [f"import {name}\n" for name in ("math", "torch") if re.search(rf"\b{name}\.", text)]
    constants = f"TOTAL = {resolved.total}\n" + (f"WARMUP = {resolved.warmup}\n" if resolved.warmup else "")
    head = "\n".join(part for part in (_header(resolved, roots), "\n".join(imports), constants) if part)
    return _excused(f"{head}\n\n{text}")


def _excused(text: str) -> str:
    """Mark the lines that cannot be broken because they hold a long address."""
    lines = [line if len(line) <= WIDTH or '"""' in line else f"{line}  # noqa: E501" for line in text.splitlines()]
    return "\n".join(lines) + "\n"


def _header(resolved: ResolvedPlan, roots: Mapping[str, str]) -> str:
    given = [f"{name}={name}" for name in roots.values()]
    call = "\n".join(call_lines("writer =", "Writer", given))
    return f'''"""A training plan as plain Python, written by `ostinato export --to torch`.

Plan {resolved.digest[:16]}: {resolved.total} updates, of which {resolved.warmup} warm up.
Every function below gives the value that update `step` uses, counted from 0; the
last one holds past the end. Write the values before each update:

{call}
    for step in range(TOTAL):
        writer.write(step)
        ...  # forward, backward
        optimizer.step()

A resumed run continues with the step that comes next; there is no state to save.
What Writer cannot reach, or shall not, goes into setters={{target: function(value)}}.
"""
'''


def _table(values: Values) -> str:
    rows = "".join(f"    {quoted(target)}: {name},\n" for target, name in values.names.items())
    return f"VALUES = {{\n{rows}}}\n" if rows else "VALUES = {}\n"


def _root_names(addresses: Mapping[str, Address]) -> dict[str, str]:
    """Return root to the name of the parameter that takes it."""
    names: dict[str, str] = {}
    for address in addresses.values():
        clash = keyword.iskeyword(address.root) or address.root in _RESERVED
        names[address.root] = f"{address.root}_" if clash else address.root
    return names


def _optimizers(addresses: Mapping[str, Address]) -> set[str]:
    """Return the roots that are optimizers, as far as the addresses tell."""
    return {
        address.root
        for address in addresses.values()
        if address.group is not None
        or address.root.lower().startswith("opt")
        or (address.owner is None and address.path and address.path[0] in ("lr", "weight_decay", "betas"))
    }


def _places(address: Address, is_optimizer: bool) -> tuple[str, list[str]] | tuple[()]:
    """Return the function that finds a target's places and its arguments after the root; nothing where only a setter can."""
    if is_optimizer and address.owner is None:
        return _groups(address)
    if address.owner is not None:
        path = ".".join(address.path)
        arguments = [quoted(address.owner), quoted(".".join(address.attribute))]
        return "module_places", [*arguments, *([f"path={quoted(path)}"] if path else [])]
    return ("attribute_places", [quoted(".".join(address.path))]) if address.path else ()


def _groups(address: Address) -> tuple[str, list[str]] | tuple[()]:
    key, *element = address.path
    if len(element) > 1 or (element and not element[0].isdigit()):
        return ()
    arguments = [quoted(key), *([f"element={int(element[0])}"] if element else [])]
    if address.group is None:
        return "group_places", [*arguments, *(["decaying=True"] if key == "weight_decay" else [])]
    if address.group == "*":
        return "group_places", arguments
    chosen = _chosen(address.group)
    return () if chosen is None else ("group_places", [*arguments, chosen])


def _chosen(group: str) -> str | None:
    """Return the argument that selects parameter groups; None where plain code cannot."""
    if group.isdigit():
        return f"chosen=lambda index, group: index == {int(group)}"
    comparison = _COMPARISON.fullmatch(group)
    if comparison is not None:
        key, sign, text = quoted(comparison["key"]), comparison["sign"], comparison["value"]
        try:
            return f"chosen=lambda index, group: group[{key}] {sign} {float(text)!r}"
        except ValueError:
            return f"chosen=lambda index, group: str(group[{key}]) {sign} {quoted(text)}"
    name = group.removesuffix("*")
    if re.search(r"[*?]", name):
        return None
    named = f".startswith({quoted(name)})" if name != group else f" == {quoted(name)}"
    return f'chosen=lambda index, group: str(group.get("name", "")){named}'


def _writer(
    resolved: ResolvedPlan,
    places: Mapping[str, tuple[str, list[str]] | tuple[()]],
    addresses: Mapping[str, Address],
    roots: Mapping[str, str],
) -> str:
    relative = [target for target in resolved.targets if resolved.plan.bound[target].relative]
    parameters = "".join(f"{name}, " for name in roots.values())
    signature = f"    def __init__(self, {'*, ' if roots else ''}{parameters}setters=None):"
    if len(signature) > WIDTH:
        rows = "".join(f"        {name},\n" for name in roots.values())
        signature = f"    def __init__(\n        self,\n        *,\n{rows}        setters=None,\n    ):"
    lines = [
        "class Writer:",
        '    """Writes the values of an update into the objects that the plan drives.',
        "",
        "    A target in `setters` is written by calling its function with the value instead.",
        '    """',
        "",
        signature,
        "        self.setters = dict(setters or {})",
        "        self.places = {}",
    ]
    for target in resolved.targets:
        lines += _find_lines(target, places[target], roots[addresses[target].root])
    lines += [
        "        for target, places in self.places.items():",
        "            if not places:",
        '                raise ValueError(f"{target} matches nothing; write it by a setter")',
    ]
    if relative:
        lines += _originals_lines(relative)
    return "\n".join([*lines, "", *_write_lines(bool(relative))]) + "\n"


def _find_lines(target: str, place: tuple[str, list[str]] | tuple[()], root: str) -> list[str]:
    name, indent = quoted(target), " " * 12
    head = f"        if {name} not in self.setters:"
    if not place:
        return [head, *_raise(f"{target} is written by a setter: setters={{target: function(value)}}", indent)]
    function, arguments = place
    return [head, *call_lines(f"self.places[{name}] =", function, [root, *arguments], indent)]


def _raise(message: str, indent: str) -> list[str]:
    return call_lines("raise", "ValueError", [quoted(message)], indent)


def _originals_lines(relative: list[str]) -> list[str]:
    names = "".join(f"            {quoted(target)},\n" for target in relative)
    return [
        "        # These values are factors on what is there now; a setter gets the factor.",
        f"        relative = [\n{names}        ]",
        "        self.originals = {",
        "            target: [place.read() for place in self.places[target]]",
        "            for target in relative",
        "            if target in self.places",
        "        }",
    ]


def _write_lines(relative: bool) -> list[str]:
    lines = [
        "    def write(self, step):",
        '        """Write the values of update `step`, counted from 0."""',
        "        for target, value_at in VALUES.items():",
        "            value = value_at(step)",
        "            if target in self.setters:",
        "                self.setters[target](value)",
        "                continue",
    ]
    if not relative:
        return [*lines, "            for place in self.places[target]:", "                place.put(value)"]
    return [
        *lines,
        "            originals = self.originals.get(target)",
        "            for number, place in enumerate(self.places[target]):",
        "                place.put(originals[number] * value if originals else value)",
    ]
