"""``ostinato preview``: what a plan will do, before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ostinato.balance import total_of
from ostinato.cli.console import err, out, print_json, sparkline
from ostinato.cli.rates import (
    PlanFile,
    SamplesPerStep,
    Steps,
    StepsPerEpoch,
    StepsPerRound,
    TokensPerStep,
    resolved_plan,
)

if TYPE_CHECKING:
    from ostinato.balance import Total
    from ostinato.core.clock import Span
    from ostinato.core.resolved import ResolvedPlan

__all__ = ["preview"]

_UNITS = {"ep": "epoch"}
_MOST_LISTED = 100_000
_MOST_EXACT = 20_000_000
_SHOWN_CYCLES = 10
_SPARK = 26
_COLUMNS = 4


def preview(
    plan: PlanFile,
    steps: Steps = None,
    steps_per_epoch: StepsPerEpoch = None,
    samples_per_step: SamplesPerStep = None,
    tokens_per_step: TokensPerStep = None,
    steps_per_round: StepsPerRound = None,
    svg: Annotated[Path | None, typer.Option("--svg", help="Write the picture to this file.")] = None,
    png: Annotated[Path | None, typer.Option("--png", help="Write the picture to this file.")] = None,
    rows: Annotated[int, typer.Option("--rows", min=0, max=1000, help="Steps in the table of values.")] = 12,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")] = False,
) -> None:
    """Show what a plan will do: its length, cycles, snapshots and values.

    Example: ostinato preview plan.toml --steps-per-epoch 391 --png plan.png
    """
    resolved = resolved_plan(
        plan,
        steps=steps,
        steps_per_epoch=steps_per_epoch,
        samples_per_step=samples_per_step,
        tokens_per_step=tokens_per_step,
        steps_per_round=steps_per_round,
    )
    pictures = {".svg": svg, ".png": png}
    for suffix, path in pictures.items():
        if path is not None:
            _save(resolved, path, suffix)
    if json:
        print_json(document(resolved, rows))
        return
    _show(resolved, rows)
    for path in pictures.values():
        if path is not None:
            err.print(f"wrote {path}")


def _save(resolved: ResolvedPlan, path: Path, suffix: str) -> None:
    from ostinato.errors import ConfigError
    from ostinato.plotting import save_picture

    if path.suffix.lower() != suffix:
        raise ConfigError(f"--{suffix[1:]}: got {str(path)!r}, expected a name that ends in {suffix}")
    save_picture(resolved, path)


# -- what there is to say --------------------------------------------------------------------------------------


def document(resolved: ResolvedPlan, rows: int) -> dict[str, Any]:
    """Return what the preview knows, as a JSON document.

    Of more than 100 000 cycles the first so many are listed; `cycle_count` counts them all.
    """
    spans = resolved.cycles[:_MOST_LISTED]
    chosen = chosen_steps(resolved, rows)
    return {
        "total_steps": resolved.total,
        "unit": resolved.plan.unit,
        "warmup": resolved.warmup,
        "rates": resolved.rates.to_document(),
        "digest": resolved.digest,
        "cycle_count": len(resolved.cycles),
        "cycles": [{"start": span.start, "end": span.end, "complete": span.complete} for span in spans],
        "snapshots": [span.end - 1 for span in spans if span.complete],
        "truncated": resolved.truncated,
        "totals_that_fit": list(resolved.totals_that_fit),
        "targets": [_about(resolved, target) for target in resolved.targets],
        "total_strength": None if (total := total_of(resolved)) is None else total.to_document(),
        "values": [{"step": step, "values": resolved.values(step)} for step in chosen],
    }


def _about(resolved: ResolvedPlan, target: str) -> dict[str, Any]:
    """Return one target's name, relation, extent, mean, first and last value."""
    from ostinato._samples import extent, sample_steps
    from ostinato.plotting import relation

    curve = resolved.curves[target]
    low, high = extent(resolved, target, curve(sample_steps(resolved, target)))
    mean, is_exact = _mean(resolved, target)
    return {
        "name": target,
        "relation": relation(resolved.plan.bound[target].schedule),
        "low": low,
        "high": high,
        "mean": mean,
        "mean_exact": is_exact,
        "first": curve(0),
        "last": curve(resolved.total - 1),
    }


def _mean(resolved: ResolvedPlan, target: str) -> tuple[float, bool]:
    """Return the mean and whether it is of every step; of a very long run, one step in each of 2^20 equal parts is looked at."""
    import numpy as np

    if resolved.total <= _MOST_EXACT:
        return resolved.mean(target), True
    parts = 1 << 20
    places = (np.arange(parts) + np.random.default_rng(0).random(parts)) * (resolved.total / parts)
    steps = np.minimum(places.astype(np.int64), resolved.total - 1)
    return float(np.mean(resolved.curves[target](steps))), False


def chosen_steps(resolved: ResolvedPlan, count: int) -> list[int]:
    """Return `count` steps worth a look: first and last, both ends of cycles, then the middles of the widest gaps."""
    spans = [
        resolved.cycles[k] for k in range(0, len(resolved.cycles), max(1, math.ceil(len(resolved.cycles) / 10_000)))
    ]
    events = {0, resolved.warmup, resolved.total - 1, *(step for span in spans for step in (span.start, span.end - 1))}
    steps = sorted(events)
    if count < len(steps):
        return [steps[place * (len(steps) - 1) // max(count - 1, 1)] for place in range(count)]
    while len(steps) < min(count, resolved.total):
        gaps = [after - before for before, after in pairwise(steps)]
        place = gaps.index(max(gaps))
        steps.insert(place + 1, steps[place] + gaps[place] // 2)
    return steps


# -- how it is shown -------------------------------------------------------------------------------------------


def _show(resolved: ResolvedPlan, rows: int) -> None:
    unit = _UNITS.get(resolved.plan.unit, resolved.plan.unit)
    out.print(
        f"[bold]{resolved.total:,} {unit}{'s' if resolved.total != 1 else ''}[/bold]{_epochs(resolved)}, warm-up {resolved.warmup:,}"
    )
    out.print(f"digest {resolved.digest[:16]}", style="dim")
    if resolved.plan.cycle is not None:
        out.print()
        _show_cycles(resolved)
    if resolved.targets:
        out.print()
        _show_targets(resolved)
        steps = chosen_steps(resolved, rows)
        for first in range(0, len(resolved.targets), _COLUMNS):
            if steps:
                out.print()
                _show_values(resolved, resolved.targets[first : first + _COLUMNS], steps)


def _epochs(resolved: ResolvedPlan) -> str:
    from ostinato.core.units import exact

    rate = resolved.rates.steps_per_epoch
    if rate is None or resolved.plan.unit != "step":
        return ""
    return f" ({float(resolved.total / exact(rate)):g} epochs of {rate:,})"


def _show_cycles(resolved: ResolvedPlan) -> None:
    cycles, shape = resolved.cycles, resolved.plan.cycle
    whole = len(cycles) - resolved.truncated
    kept = (
        list(range(len(cycles)))
        if len(cycles) <= _SHOWN_CYCLES
        else [*range(_SHOWN_CYCLES - 3), *range(len(cycles) - 3, len(cycles))]
    )
    table = _table(f"{whole:,} whole {shape.waveform if shape else ''} cycles, {whole:,} snapshots")
    for name in ("cycle", "first step", "last step", "length", "snapshot after"):
        table.add_column(name, justify="right")
    before = -1
    for k in kept:
        if k != before + 1:
            table.add_row("…", "…", "…", "…", "…")
        before = k
        table.add_row(*_cycle_row(cycles[k]))
    out.print(table)
    if resolved.truncated:
        fits = " or ".join(f"{total:,}" for total in resolved.totals_that_fit)
        out.print(f"The run ends inside a cycle, which gives no snapshot; totals that fit: {fits}", style="yellow")


def _cycle_row(span: Span) -> tuple[str, ...]:
    last = f"{span.end - 1:,}"
    return (
        f"{span.index:,}",
        f"{span.start:,}",
        last,
        f"{span.end - span.start:,}",
        last if span.complete else "cut short",
    )


def _show_targets(resolved: ResolvedPlan) -> None:
    import numpy as np

    table = _table()
    table.add_column("target", overflow="fold")
    table.add_column("relation")
    for name in ("low", "high", "mean"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("course", no_wrap=True)
    steps = np.linspace(0, resolved.total - 1, min(_SPARK, resolved.total)).round().astype(np.int64)
    for target in resolved.targets:
        about = _about(resolved, target)
        mean = _number(about["mean"]) if about["mean_exact"] else f"≈{_number(about['mean'])}"
        bars = sparkline(resolved.curves[target](steps).tolist(), _SPARK)
        table.add_row(escape(target), about["relation"], _number(about["low"]), _number(about["high"]), mean, bars)
    total = total_of(resolved)
    if total is not None:
        level = total.curve(np.maximum(steps, resolved.warmup))
        bars = sparkline((level if not total.constant else np.zeros(level.shape)).tolist(), _SPARK)
        middle = _number(float(level.mean()))
        table.add_row("total", "sum", _number(total.low), _number(total.high), f"≈{middle}", bars)
    out.print(table)
    if total is not None:
        out.print(f"{escape(total.formula)}: {_spread(total, resolved.warmup)}", style="dim")


def _spread(total: Total, warmup: int) -> str:
    """Return in words how constant a total is."""
    after = " after the warm-up" if warmup else ""
    if total.constant:
        return f"constant at {(total.low + total.high) / 2:.6g}{after}, spread {total.spread:.1g}"
    return f"from {total.low:.6g} to {total.high:.6g}{after}, spread {total.spread:.2g}; ost.balanced keeps it constant"


def _show_values(resolved: ResolvedPlan, targets: Sequence[str], steps: Sequence[int]) -> None:
    table = _table()
    table.add_column("step", justify="right", no_wrap=True)
    for target in targets:
        table.add_column(escape(target), justify="right", overflow="fold")
    for step in steps:
        table.add_row(f"{step:,}", *(_number(resolved.curves[target](step)) for target in targets))
    out.print(table)


def _table(title: str | None = None) -> Table:
    return Table(
        title=title, title_justify="left", title_style="bold", box=None, header_style="dim", padding=(0, 2, 0, 0)
    )


def _number(value: float) -> str:
    return f"{value:.4g}"
