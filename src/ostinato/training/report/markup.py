"""A tiny element helper that escapes, and how numbers are written."""

from __future__ import annotations

import html
import json
import math
import re
from typing import Any

__all__ = [
    "DASH",
    "Markup",
    "breakable",
    "data_island",
    "duration",
    "join",
    "number",
    "percent",
    "table",
    "tag",
    "text",
]

DASH = "\u2013"
_VOID = frozenset({"meta", "link", "br", "wbr", "input", "hr"})
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Markup(str):
    """Text that is markup already and is not escaped again."""

    __slots__ = ()


def text(value: object) -> Markup:
    """Escape anything for element content and for quoted attributes; control characters become U+FFFD.

    >>> text('</script> & "x"')
    '&lt;/script&gt; &amp; &quot;x&quot;'
    """
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(_CONTROL.sub("\ufffd", str(value)), quote=True))


def join(parts: Any, between: str = "") -> Markup:
    """Escape each part that is no markup and put them one after the other."""
    return Markup(text(between).join(text(part) for part in parts))


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """Write one element; attribute names lose a trailing ``_`` and turn ``_`` into ``-``; None and False are left out.

    >>> tag("a", "x < y", class_="k", aria_label='"')
    '<a class="k" aria-label="&quot;">x &lt; y</a>'
    """
    written = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        word = key.rstrip("_").replace("_", "-")
        written.append(word if value is True else f'{word}="{text(value)}"')
    opening = f"<{' '.join(written)}>"
    return Markup(opening) if name in _VOID else Markup(f"{opening}{join(children)}</{name}>")


def breakable(name: str) -> Markup:
    """Escape a dotted name and let it break after its separators.

    >>> breakable("model:Dropout.p")
    'model:<wbr>Dropout.<wbr>p'
    """
    return join(re.split(r"(?<=[.:/_])(?=.)", name), Markup("<wbr>"))


def table(rows: Any, *, caption: str, class_: str = "data") -> Markup:
    """Write rows as a table that scrolls sideways; the first row is the header, the first column names the row."""
    rows = [list(row) for row in rows]
    if not rows:
        return Markup("")
    head = tag("tr", *(tag("th", cell, scope="col") for cell in rows[0]))
    body = [
        tag("tr", *(tag("td", cell) if i else tag("th", cell, scope="row") for i, cell in enumerate(row)))
        for row in rows[1:]
    ]
    inner = tag("table", tag("caption", caption, class_="sr"), tag("thead", head), tag("tbody", *body), class_=class_)
    return tag("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)


def data_island(document: Any, *, id_: str) -> Markup:
    r"""Embed a JSON document so that no text in it can end the script element.

    >>> data_island({"a": "</script>"}, id_="d")
    '<script type="application/json" id="d">{"a":"\\u003c/script\\u003e"}</script>'
    """
    written = json.dumps(document, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        written = written.replace(character, f"\\u{ord(character):04x}")
    return tag("script", Markup(written), type="application/json", id=id_)


def _finite(value: object) -> float | None:
    if isinstance(value, (str, bytes)) or value is None:
        return None
    try:
        number_ = float(value)  # type: ignore[arg-type]  # a number by then
    except (TypeError, ValueError, OverflowError):
        return None
    return number_ if math.isfinite(number_) else None


def number(value: object, digits: int = 4) -> str:
    """Write a number with so many significant digits; a dash for what is no finite number.

    >>> [number(v) for v in (0.1, 1e-4, 0.123456, 1234567, 0)]
    ['0.1', '1e-4', '0.1235', '1.235e6', '0']
    """
    x = _finite(value)
    if x is None:
        return DASH
    if x == 0:
        return "0"
    if 1e-3 <= abs(x) < 1e6:
        plain = f"{x:.{max(digits, math.floor(math.log10(abs(x))) + 1)}g}"
        return plain.replace("-", "\u2212")
    mantissa, exponent = f"{x:.{digits - 1}e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa.replace('-', chr(0x2212))}e{int(exponent)}"


def percent(value: object, places: int = 1) -> str:
    r"""Write a fraction as a percentage.

    >>> percent(0.0139)
    '1.4\xa0%'
    """
    x = _finite(value)
    return DASH if x is None else f"{100 * x:.{places}f}\u00a0%"


def duration(seconds: float | None) -> str:
    """Write a length of time in the two largest units.

    >>> duration(3.21), duration(192), duration(7384)
    ('3.2 s', '3 min 12 s', '2 h 3 min')
    """
    x = _finite(seconds)
    if x is None:
        return DASH
    if x < 59.95:
        return f"{x:.1f} s"
    whole = round(x)
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
