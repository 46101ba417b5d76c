"""The result in words and in three cards."""

from __future__ import annotations

import math
from typing import Any

from ostinato.training.report.markup import Markup, join, number, percent, tag
from ostinato.training.report.members import part, places
from ostinato.training.report.model import RunReport

__all__ = ["cards", "sentences"]

_WHO = (("ensemble", "Ensemble"), ("last", "Last snapshot"), ("best_member", "Best member"))


def sentences(report: RunReport) -> list[str]:
    """Say the result in one sentence, then what qualifies it.

    A difference is given in examples where their number is known, because a small test set makes small
    differences worthless, and a best member is named for what it is: chosen on the examples that judge it.
    """
    lines = [_result(report)]
    gain = _gain(report)
    if gain:
        lines.append(gain)
    if report.message:
        lines.append(report.message)
    return lines


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _number(value: Any) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        return math.nan
    return found if math.isfinite(found) else math.nan


def _result(report: RunReport) -> str:
    count = len(report.snapshots)
    if count == 0:
        return f"No snapshot was taken in {_plural(report.total_steps, 'step')}."
    decimals = places(report.evaluation)
    together, last = (part(report.evaluation, who, "error") for who in ("ensemble", "last"))
    if math.isnan(_number(together)) and math.isnan(_number(last)):
        return f"{_plural(count, 'snapshot')}, not evaluated yet."
    if count == 1:
        return f"1 snapshot, error {percent(last if last is not None else together, decimals)}."
    return (
        f"{_plural(count, 'snapshot')}, ensemble error {percent(together, decimals)}, "
        f"last snapshot {percent(last, decimals)}."
    )


def _gain(report: RunReport) -> str:
    together, last = (_number(part(report.evaluation, who, "error")) for who in ("ensemble", "last"))
    if math.isnan(together - last) or len(report.snapshots) < 2:
        return ""
    examples = part(report.evaluation, "examples")
    if isinstance(examples, int) and examples > 0:
        fewer = round(last * examples) - round(together * examples)
        of = f" of {examples}"
    else:
        fewer, of = 0, ""
    points = f"{100 * abs(last - together):.{places(report.evaluation)}f} percentage points"
    if together < last:
        counted = f", {abs(fewer)} fewer wrong{of}" if of else ""
        return f"The ensemble is better than the last snapshot by {points}{counted}. One run, one seed."
    if together > last:
        counted = f", {abs(fewer)} more wrong{of}" if of else ""
        return f"The ensemble is worse than the last snapshot by {points}{counted}. One run, one seed."
    return "The ensemble and the last snapshot have the same error."


def cards(report: RunReport) -> Markup:
    """Show error, NLL and ECE of the ensemble, the last snapshot and the best member."""
    found = [(key, name, part(report.evaluation, key)) for key, name in _WHO]
    found = [entry for entry in found if entry[2] is not None]
    if not found:
        return Markup("")
    errors = [_number(part(entry, "error")) for _, _, entry in found]
    top = max((e for e in errors if not math.isnan(e)), default=0.0)
    return tag("div", *(_card(report, *entry, top) for entry in found), class_="cards")


def _card(report: RunReport, key: str, name: str, entry: Any, top: float) -> Markup:
    error = _number(part(entry, "error"))
    decimals = places(report.evaluation)
    share = 0.0 if math.isnan(error) or top <= 0 else error / top
    bar = tag("svg", tag("rect", width=f"{100 * share:.2f}%", height="100%"), class_="bar", aria_hidden="true")
    examples = part(report.evaluation, "examples")
    wrong = ""
    if isinstance(examples, int) and not math.isnan(error):
        wrong = f"{round(error * examples)} of {examples} wrong"
    pairs = [("NLL", number(part(entry, "nll"), 3)), ("ECE", percent(part(entry, "ece"), 1))]
    small = tag("dl", *(tag("div", tag("dt", k), tag("dd", v)) for k, v in pairs))
    step = part(entry, "step")
    label = join([name, tag("span", f" step {step}", class_="at") if step is not None else ""])
    parts = [
        tag("h2", label),
        tag("p", percent(error, decimals), tag("span", " error", class_="unit"), class_="big"),
        bar,
        tag("p", wrong or "\u00a0", class_="wrong"),
        small,
    ]
    if key == "best_member" and error <= _least(report):
        parts.append(tag("p", "The lowest on these same examples, so flattered.", class_="caveat"))
    return tag("article", *parts, class_=f"card {key}")


def _least(report: RunReport) -> float:
    members = part(report.evaluation, "members") or []
    errors = [_number(part(member, "error")) for member in members]
    return min((e for e in errors if not math.isnan(e)), default=math.nan)
