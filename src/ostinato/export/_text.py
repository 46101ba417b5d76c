"""Writing Python: names, literals and lines of at most 88 characters."""

from __future__ import annotations

import keyword
import re
import textwrap
from collections.abc import Collection, Iterable

__all__ = ["WIDTH", "call_lines", "docstring", "identifier", "joined", "quoted", "table"]

WIDTH = 88
_LONGEST_NAME = 40


def escaped(text: str) -> str:
    """Return text as it may stand between double quotes."""
    return text.encode("unicode_escape").decode("ascii").replace('"', '\\"')


def quoted(text: str) -> str:
    r"""Return text as a string literal.

    >>> print(quoted('a"b'))
    "a\"b"
    """
    return f'"{escaped(text)}"'


def identifier(text: str, taken: Collection[str]) -> str:
    """Return a name like `text` that is free and no keyword.

    >>> identifier("model:Dropout.p", ()), identifier("optimizer[0].lr", {"optimizer_0_lr"})
    ('model_dropout_p', 'optimizer_0_lr_2')
    """
    base = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_").lower()[:_LONGEST_NAME].rstrip("_") or "value"
    if base[0].isdigit() or keyword.iskeyword(base) or keyword.issoftkeyword(base):
        base = f"value_{base}"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    return name


def docstring(text: str, indent: str = "    ") -> list[str]:
    """Return the lines of a docstring of one paragraph."""
    if len(one := f'{indent}"""{text}"""') <= WIDTH:
        return [one]
    room = WIDTH - len(indent) - 9  # so that there are two lines at least, which a formatter leaves as they are
    body = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
    return [f'{indent}"""{body[0]}', *(indent + line for line in body[1:]), f'{indent}"""']


def joined(prefix: str, parts: list[str], sign: str, indent: str = "    ") -> list[str]:
    """Return the lines of ``prefix a + b + c``, broken where they must be."""
    flat = f" {sign} ".join(parts)
    if len(line := f"{indent}{prefix} {flat}") <= WIDTH:
        return [line]
    if len(line := f"{indent}    {flat}") <= WIDTH:
        return [f"{indent}{prefix} (", line, f"{indent})"]
    rest = [f"{indent}    {sign} {part}" for part in parts[1:]]
    return [f"{indent}{prefix} (", f"{indent}    {parts[0]}", *rest, f"{indent})"]


def call_lines(prefix: str, function: str, arguments: list[str], indent: str = "    ") -> list[str]:
    """Return the lines of ``prefix function(arguments)``, broken where they must be."""
    flat = ", ".join(arguments)
    if len(line := f"{indent}{prefix} {function}({flat})") <= WIDTH:
        return [line]
    if len(line := f"{indent}    {flat}") <= WIDTH:
        return [f"{indent}{prefix} {function}(", line, f"{indent})"]
    return [f"{indent}{prefix} {function}(", *(f"{indent}    {argument}," for argument in arguments), f"{indent})"]


def table(name: str, numbers: Iterable[int]) -> list[str]:
    """Return the lines of a tuple of whole numbers under a name."""
    words = [str(number) for number in numbers]
    flat = f"{name} = ({', '.join(words)}{',' if len(words) == 1 else ''})"
    if len(flat) <= WIDTH:
        return [flat]
    body = textwrap.wrap(", ".join(words) + ",", WIDTH - 4)
    return [f"{name} = (", *(f"    {line}" for line in body), ")  # fmt: skip"]
