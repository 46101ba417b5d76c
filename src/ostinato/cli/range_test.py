"""``ostinato range-test``: a mock run that sweeps one value, and what it suggests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ostinato.cli.console import err, out, print_json, sparkline
from ostinato.cli.options import Config, Data, Json, Model, Optimizer, Seed, Settings
from ostinato.cli.settings import configuration
from ostinato.errors import ConfigError, RunInterruptedError

if TYPE_CHECKING:
    from ostinato.search import RangeTest

__all__ = ["range_test"]

_SPARK = 60


def range_test(
    config: Config = None,
    data: Data = None,
    model: Model = None,
    optimizer: Optimizer = None,
    target: Annotated[
        str, typer.Option(help="What to sweep: optimizer.lr, optimizer.weight_decay, model:Dropout.p, ...")
    ] = "optimizer.lr",
    low: Annotated[float | None, typer.Option(help="First value.  [default: by the kind of target]")] = None,
    high: Annotated[float | None, typer.Option(help="Last value.  [default: by the kind of target]")] = None,
    steps: Annotated[int | None, typer.Option(help="Number of values.  [default: 100 for a rate, else 20]")] = None,
    sweep: Annotated[str | None, typer.Option(help="exponential or linear.  [default: by the kind of target]")] = None,
    restart: Annotated[
        int | None,
        typer.Option(
            help="Updates that each value gets from the same weights; 0 is one run through all.  [default: 0 for a rate, else 20]"
        ),
    ] = None,
    seed: Seed = None,
    settings: Settings = None,
    png: Annotated[Path | None, typer.Option("--png", help="Write the picture to this file.")] = None,
    json: Json = False,
) -> None:
    """Sweep one value in a short mock run and suggest where to set it, each suggestion with its reason. Nothing is kept of the run.

    Without arguments: the learning rate, on scikit-learn's digits.

    Example: ostinato range-test --data fashion-mnist --target optimizer.lr --png lr.png
    """
    from ostinato.search.sweeps.configured import range_test_of
    from ostinato.search.sweeps.sweep import Sweep

    if png is not None and png.suffix.lower() != ".png":
        raise ConfigError(f"--png: got {str(png)!r}, expected a name that ends in .png")
    planned = Sweep.of(target, low=low, high=high, steps=steps, scale=sweep, restart=restart)
    planned.plan().resolve()
    wanted = configuration(config, data=data, model=model, optimizer=optimizer, seed=seed, settings=settings or ())
    with _progress(planned.steps) as told:
        result, about = range_test_of(
            wanted, target, low=low, high=high, steps=steps, sweep=sweep, restart=restart, progress=told
        )
    if png is not None:
        result.save_picture(png)
    if json:
        print_json({**result.to_document(), **about})
        return
    _show(result, about)
    if png is not None:
        err.print(f"wrote {png}")


@contextmanager
def _progress(steps: int) -> Iterator[Callable[[int, float, float], object]]:
    """Show a bar on a terminal; say what Ctrl-C means."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("", total=steps)

        def told(place: int, value: float, loss: float) -> None:
            bar.update(task, completed=place + 1, description=f"{value:.2e}  loss {loss:.3f}")

        try:
            yield told
        except KeyboardInterrupt:
            raise RunInterruptedError("the mock run was stopped; nothing is kept of it, so run it again") from None


def _show(result: RangeTest, about: dict[str, Any]) -> None:
    from rich.table import Table

    sweep, shown = result.sweep, result.smoothed.tolist()
    tried = f"{len(result.values)} of {sweep.steps}" if result.stopped else f"{sweep.steps}"
    each = f", {sweep.restart} updates each from the same weights" if sweep.restart else ""
    out.print(
        f"[bold]{sweep.target}[/bold] on {about['data']['name']}: {tried} values from {sweep.low:g} to {sweep.high:g}{each}"
    )
    if shown:
        kind = "validation" if result.judge == "validation" else "training"
        out.print(f"{sparkline(shown, min(_SPARK, len(shown)))}  {kind} loss {shown[0]:.3g} to {min(shown):.3g}")
    if result.stopped:
        out.print(f"stopped: {result.stopped}")
    table = Table("rule", "value", "reason")
    for suggestion in result.suggestions.values():
        best = suggestion is result.suggestion and suggestion.value is not None
        value = "none" if suggestion.value is None else f"{suggestion.value:.3g}"
        table.add_row(suggestion.name, value, suggestion.reason, style="bold" if best else None)
    out.print(table)
    found = result.suggestion
    out.print("no suggestion" if found.value is None else f"suggested: {found.value:.3g} ({found.name})")
