"""``docs/BENCHMARKS.md``: the page of the last run, with the machine that it ran on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ostinato.atomic import write_bytes
from ostinato.bench.overhead import measure_growth
from ostinato.bench.suite import BENCHMARKS

__all__ = ["render_page", "write_page"]

_PICTURE = "pictures/growth.svg"


def write_page(path: Path, result: Mapping[str, Any]) -> None:
    """Write the page and, beside it, the picture of how a step's cost grows."""
    growth = measure_growth()
    picture = path.parent / _PICTURE
    picture.parent.mkdir(parents=True, exist_ok=True)
    _draw(picture, growth)
    write_bytes(path, render_page(result, growth).encode())


def render_page(result: Mapping[str, Any], growth: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """Return the page as Markdown."""
    where = ", ".join(f"{key} {value}" for key, value in result["machine"].items() if value is not None)
    lines = ["# Benchmarks", "", "Made by `ostinato bench all --write docs/BENCHMARKS.md`; do not edit.", ""]
    lines += [
        f"Machine: {where}.",
        "",
        "Ratios are ours over the peer's, both in one process and in turn: medians, with first and third quartile.",
        "",
    ]
    lines += ["| benchmark | what | ratio | spread | must reach | aim | holds |", "|---|---|---|---|---|---|---|"]
    for row in result["benchmarks"]:
        sign = ">=" if row["higher_is_better"] else "<="
        reach, aim = ("-" if row[key] is None else f"{sign} {row[key]:g}" for key in ("reach", "aim"))
        holds = {True: "yes", False: "no", None: "-"}[row["holds"]]
        what = BENCHMARKS[row["name"]][2] if row["name"] in BENCHMARKS else row["detail"].get("what", "")
        lines.append(
            f"| {row['name']} | {what} | {row['ratio']:.3g} | {row['spread'][0]:.3g} to {row['spread'][1]:.3g} | {reach} | {aim} | {holds} |"
        )
    lines += ["", "## What was measured", ""]
    lines += [
        f"- **{row['name']}**: " + ", ".join(f"{key} {_shown(value)}" for key, value in row["detail"].items())
        for row in result["benchmarks"]
    ]
    lines += [
        "",
        "## Growth",
        "",
        "Microseconds of one `Scheduler.step()`: linear in bindings and in groups.",
        "",
        f"![growth]({_PICTURE})",
        "",
    ]
    lines += ["| number | bindings | groups of one binding |", "|---|---|---|"]
    lines += [
        f"| {size:,} | {bindings:.2f} | {groups:.2f} |"
        for (size, bindings), (_, groups) in zip(growth["bindings"], growth["groups"], strict=True)
    ]
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _draw(path: Path, growth: Mapping[str, Sequence[tuple[int, float]]]) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "ostinato"}):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for (name, points), marker in zip(growth.items(), "os", strict=True):
            axes.loglog(*zip(*points, strict=True), marker=marker, label=name)
        axes.set(xlabel="number of bindings, of groups", ylabel="microseconds a step")
        axes.grid(alpha=0.3, which="both")
        axes.legend(frameon=False)
        figure.savefig(path, metadata={"Date": None})
