"""``ostinato compare``: the plan against its controls."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ostinato.cli.bar import Bar
from ostinato.cli.console import out, print_json
from ostinato.cli.options import Config, Data, Json, Model, Optimizer, Recipe, Settings, Total
from ostinato.cli.settings import configuration, named
from ostinato.errors import ConfigError

if TYPE_CHECKING:
    from ostinato.comparison import Comparison, Summary

__all__ = ["compare"]


def compare(
    config: Config = None,
    seeds: Annotated[int | None, typer.Option(help="Runs of each arm, from train.seed on.  [default: 8]")] = None,
    controls: Annotated[
        str | None, typer.Option(help="Names with commas between them.  [default: sorted,cosine,constant]")
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(help="error, nll, ece, area, ensemble_error, ensemble_nll, error@K, nll@K.  [default: error]"),
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="The smallest gain that matters, in the endpoint's units.  [default: 0.002]")
    ] = None,
    data: Data = None,
    model: Model = None,
    optimizer: Optimizer = None,
    recipe: Recipe = None,
    total: Total = None,
    output: Annotated[
        Path | None, typer.Option("--out", help="The folder to make.  [default: runs/compare-DATA-N]")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="The folder of a comparison to go on with; perhaps with more --seeds.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="Judge the records of a comparison again; nothing is trained.")
    ] = None,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Train a plan and its control arms on the same budget, seeds paired, and say whether cycling helped.

    Without a CONFIG: scikit-learn's digits under the default plan, as train does it.

    Example: ostinato compare --seeds 8
    """
    from ostinato import comparison

    changes: dict[str, Any] = {
        "data": data,
        "model": model,
        "optimizer": optimizer,
        "recipe": recipe,
        "total": total,
        "settings": settings,
    }
    begun: dict[str, Any] = {"seeds": seeds, "controls": controls, "endpoint": endpoint, "margin": margin}
    given = config is not None or any(value is not None for value in changes.values())
    if source is not None:
        _alone(given or any(value is not None for value in begun.values()) or output is not None or resume is not None)
        _show(comparison.judge(source), json)
        return
    if resume is not None and output is not None:
        raise ConfigError("--resume and --out: a comparison goes on in its own folder; leave --out out")
    wanted = {name: value for name, value in begun.items() if value is not None}
    if controls is not None:
        wanted["controls"] = controls.split(",")
    with Bar() as bar:
        told = partial(bar, "training the arms")
        if resume is not None:
            base = comparison.ComparisonFolder(resume).load_config() if config is None else None
            chosen = configuration(config, **_filled(changes), base=base) if given else None
            done = comparison.resume(resume, config=chosen, progress=told, **wanted)
        else:
            chosen = configuration(config, **_filled(changes))
            with named(config):
                done = comparison.compare(chosen, out=output, progress=told, **wanted)
    _show(done, json)


def _filled(changes: dict[str, Any]) -> dict[str, Any]:
    return {**changes, "settings": changes["settings"] or ()}


def _alone(others: bool) -> None:
    if others:
        raise ConfigError(
            "--from: judges what was recorded, as it was planned; leave the other options out, or go on with --resume"
        )


def _show(comparison: Comparison, json: bool) -> None:
    if json:
        print_json(comparison.to_document())
        return
    summary = comparison.summary
    out.print(_arms(summary))
    out.print(_gains(summary))
    out.print(summary.sentence, style="bold")
    for line in (summary.literal, *summary.notes):
        if line:
            out.print(line)
    if comparison.folder.picture.exists():
        out.print(f"picture: {comparison.folder.picture}")


_ROLES = {"primary": "comparator", "required": "required", "secondary": "secondary", "literal": "literal"}


def _arms(summary: Summary) -> Table:
    endpoint = summary.endpoint
    title = f"{summary.data}: {endpoint.words} of each arm, {len(summary.seeds)} seeds"
    table = _columns(title, "arm", "mean", "95 % interval", "diverged")
    for name, score in summary.arms.items():
        span = f"{endpoint.score(score.interval.low)} to {endpoint.score(score.interval.high)}"
        table.add_row(name, endpoint.score(score.mean), span, str(score.diverged or "-"))
    return table


def _gains(summary: Summary) -> Table:
    number, unit = summary.endpoint.number, summary.endpoint.unit
    title = f"gain of the plan: how much lower its {summary.endpoint.words} is{f', {unit}' if unit else ''}"
    table = _columns(title, "against", "gain", "95 % interval", "verdict", "counts as")
    for effect in summary.effects:
        decision = effect.decision
        span = f"{number(decision.interval.low)} to {number(decision.interval.high)}"
        role = _ROLES[effect.role] if effect.p_holm is None else f"Holm p {effect.p_holm:.2g}"
        table.add_row(
            "  its last model" if effect.single else effect.control,
            number(decision.effect),
            span,
            decision.verdict,
            role,
        )
    return table


def _columns(title: str, *names: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in names:
        table.add_column(name, justify="left" if name in ("arm", "against", "verdict", "counts as") else "right")
    return table
