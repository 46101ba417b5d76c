"""``ostinato audit``: what a run's snapshots give away about their training examples."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ostinato.cli.bar import Bar
from ostinato.cli.console import out, print_json
from ostinato.cli.options import Data, Json, Model, Optimizer, Recipe, Settings, Total
from ostinato.cli.settings import configuration
from ostinato.errors import ConfigError

if TYPE_CHECKING:
    from ostinato.applications.privacy import Audit

__all__ = ["audit"]


def audit(
    run: Annotated[
        Path | None,
        typer.Argument(
            help="The folder of a finished run; or a plan file with tables, whose recipe is audited without a run."
        ),
    ] = None,
    models: Annotated[int, typer.Option(help="Shadow models under each plan, an even number.")] = 16,
    attack: Annotated[str, typer.Option(help="lira, lira-offline or loss.")] = "lira",
    tolerance: Annotated[float, typer.Option(help="Accuracy that may be given up for a smaller leak.")] = 0.005,
    seed: Annotated[int, typer.Option(help="Seed of the halves and of the shadow models.")] = 0,
    data: Data = None,
    model: Model = None,
    optimizer: Optimizer = None,
    recipe: Recipe = None,
    total: Total = None,
    output: Annotated[
        Path | None, typer.Option("--out", help="The folder to write into.  [default: RUN/audit, or runs/audit-DATA-N]")
    ] = None,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Train shadow models as the run was trained, attack them at every phase, and say which snapshot to release.

    Example: ostinato audit runs/digits-1
    """
    from ostinato.applications import privacy
    from ostinato.training import RunFolder

    options: dict[str, Any] = {"data": data, "model": model, "optimizer": optimizer, "recipe": recipe, "total": total}
    given = [f"--{name}" for name, value in options.items() if value is not None] + (["--set"] if settings else [])
    folder = run is not None and not (run.is_file() or run.suffix in (".toml", ".json"))
    if folder and given:
        raise ConfigError(
            f"{given[0]}: a run is audited as it was trained; leave it out, or give a plan file instead of {run}"
        )
    with Bar() as bar:
        subject = run if folder else configuration(run, **options, settings=settings or ())
        assert subject is not None
        found = privacy.audit(
            subject, models=models, attack=attack, tolerance=tolerance, seed=seed, progress=partial(bar, "training shadow models")  # type: ignore[arg-type]  # audit checks the attack's name
        )  # fmt: skip
    place = output or (
        run / "audit" if folder and run is not None else RunFolder.unused("runs", f"audit-{Path(found.data).stem}")
    )
    privacy.save_audit(found, place)
    if json:
        print_json(found.to_document())
        return
    _show(found)
    out.print(f"report: {place / 'audit.html'}")


def _show(found: Audit) -> None:
    own = any(snapshot.own for snapshot in found.snapshots)
    rates = [f"TPR {100 * rate:g}%" for rate in found.snapshots[0].tpr]
    title = f"{found.data}: area of {found.attack} on {found.models} models, with its 95 % interval over models"
    table = Table(title=title, title_justify="left")
    for name in ("cycle", "accur.", "area", "low", "high", *rates, "stopped", *(["run"] if own else [])):
        table.add_column(name, justify="right")
    for place, snapshot in enumerate(found.snapshots):
        reading = snapshot.reading
        cells = [
            f"{'> ' if place == found.release else ''}{reading.cycle + 1}",
            f"{100 * reading.accuracy:.2f}%",
            *(f"{value:.3f}" for value in (reading.auc, reading.interval.low, reading.interval.high)),
            *("-" if value is None else f"{100 * value:.2f}%" for value in snapshot.tpr.values()),
            "-" if snapshot.stopped is None else f"{snapshot.stopped:.3f}",
        ]
        cells += ["-" if snapshot.own is None else f"{snapshot.own['auc']:.3f}"] if own else []
        table.add_row(*cells)
    out.print(table)
    out.print(found.sentence, style="bold", markup=False)
    for line in (found.comparison, *found.limits):
        if line:
            out.print(line, markup=False)
