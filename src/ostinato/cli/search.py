"""``ostinato search``: amplitude, period and phase, safe against phase locking."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ostinato.cli.bar import Bar
from ostinato.cli.console import err, print_json
from ostinato.cli.options import Config, Data, Json, Model, Optimizer, Recipe, Settings, Total
from ostinato.cli.searched import show_search
from ostinato.cli.settings import configuration, named
from ostinato.core.documents import read_document
from ostinato.core.schedules import located
from ostinato.errors import ConfigError, suggest

if TYPE_CHECKING:
    from ostinato.search import Space

__all__ = ["search"]

_KEYS = ("space", "trials", "sampler", "metric", "score", "evaluations", "seeds", "pruner", "sampler_seed")


def search(
    config: Config = None,
    trials: Annotated[int | None, typer.Option(help="How many plans to try.  [default: 100]")] = None,
    sampler: Annotated[str | None, typer.Option(help="random, grid, qmc or tpe.  [default: random]")] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            "--field",
            metavar="FIELD=LOW..HIGH",
            help="A field to search instead of [[search.space]]: cycle.period=2ep..10ep, optimizer.lr/high=0.01..1:log, cycle.waveform=cosine,triangular.",
        ),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="error or nll, of held-out training examples.  [default: error]")
    ] = None,
    score: Annotated[
        str | None, typer.Option(help="When: trough, cycle-mean, jittered, or every:N steps.  [default: trough]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Take every:N also where it is locked to few phases.")] = False,
    seeds: Annotated[int | None, typer.Option(help="Runs of each plan; its score is their mean.  [default: 1]")] = None,
    pruner: Annotated[
        str | None,
        typer.Option(
            help="none, median, halving, hyperband or patient, at matched phase; for --engine processes or ray.  [default: none]"
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="population (many plans at once), processes, or ray.  [default: population, unless the model has convolutions]"
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes of the engine.  [default: one a core]")] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Where trials are kept: a file for SQLite, or postgresql://USER@HOST/DATABASE.  [default: a file in the folder]"
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="The study's name in the storage.  [default: by data and digest, so that the same command joins]"
        ),
    ] = None,
    baseline: Annotated[
        bool, typer.Option("--baseline/--no-baseline", help="Run a range test and the default cycle at the same cost.")
    ] = True,
    data: Data = None,
    model: Model = None,
    optimizer: Optimizer = None,
    recipe: Recipe = None,
    total: Total = None,
    output: Annotated[
        Path | None, typer.Option("--out", help="The folder to make.  [default: runs/search-DATA-N]")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="The folder of a search to go on with.")] = None,
    heartbeat: Annotated[
        int,
        typer.Option(
            min=1, help="Seconds between a worker's signs of life; its trials are given away after three without one."
        ),
    ] = 10,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Try many plans, each scored at a matched phase of its cycle, and write the best one ready to train.

    Started on several machines with one --storage, all work on one search. Without a CONFIG: digits, the default plan's rate and number of cycles.

    Example: ostinato search --model mlp --trials 200 --sampler qmc
    """
    from ostinato.search import optimize
    from ostinato.search import resume as go_on

    chosen: dict[str, Any] = {
        "trials": trials, "sampler": sampler, "metric": metric, "score": score, "seeds": seeds, "pruner": pruner,
    }  # fmt: skip
    how: dict[str, Any] = {
        "engine": engine,
        "workers": workers,
        "storage": storage,
        "baseline": baseline,
        "heartbeat_s": heartbeat,
    }
    with Bar() as bar:
        how |= {"progress": bar, "told": lambda text: err.print(f"note: {text}")}
        if resume is not None:
            others = [config, field, name, data, model, optimizer, recipe, total, output, settings, *chosen.values()]
            _demand_alone(any(value is not None for value in others) or force)
            done = go_on(resume, **how)
        else:
            wanted = configuration(
                config, data=data, model=model, optimizer=optimizer, recipe=recipe, total=total, settings=settings or ()
            )
            space, given = _asked(config, field or (), chosen, force=force)
            with named(config):
                done = optimize(wanted, space, name=name, out=output, **given, **how)
    if json:
        print_json(done.document)
    else:
        show_search(done)


def _demand_alone(others: bool) -> None:
    if others:
        raise ConfigError(
            "--resume: what is searched is fixed before the first trial; leave the other options out, but for --engine, --workers, --storage and --baseline"
        )


def _asked(
    config: Path | None, fields: Any, chosen: dict[str, Any], *, force: bool
) -> tuple[Space | None, dict[str, Any]]:
    """Return the space (None for the default one) and the arguments of `optimize`, from the file's [search] table and the options over it."""
    from ostinato.search import Objective, Space

    table = read_document(config).get("search", {}) if config is not None else {}
    where = f"{config}: [search] "
    if not isinstance(table, dict):
        raise ConfigError(f"{where.strip()}: got {table!r}, expected a table")
    for key in table:
        if key not in _KEYS:
            raise ConfigError(f"{where}{key}: no such key{suggest(str(key), _KEYS)}")
    given = {**table, **{key: value for key, value in chosen.items() if value is not None}}
    given.pop("space", None)
    objective = {
        "metric": given.pop("metric", "error"),
        "moment": given.pop("score", "trough"),
        "evaluations": given.pop("evaluations", 16),
        "forced": force,
    }
    if fields:
        space: Space | None = Space(dict(_field(text) for text in fields))
    elif "space" in table:
        with located(where):
            space = Space.from_document(table["space"])
    else:
        space = None
    return space, {"objective": Objective(**objective), **given}


def _field(text: str) -> tuple[str, Any]:
    """Return a field of the command line.

    >>> _field("cycle.period=2ep..10ep")
    ('cycle.period', Range(low='2ep', high='10ep', log=False, step=None, points=5, when={}))
    >>> _field("cycle.waveform=cosine,triangular")[1].values
    ('cosine', 'triangular')
    """
    from ostinato.search import Choice, Range

    name, equals, told = text.partition("=")
    low, dots, rest = told.partition("..")
    if not equals or not name.strip() or not told.strip():
        raise ConfigError(f"--field: got {text!r}, expected FIELD=LOW..HIGH, FIELD=LOW..HIGH:log or FIELD=ONE,OTHER")
    with located(f"--field {name.strip()}: "):
        if not dots:
            return name.strip(), Choice([_value(part) for part in told.split(",")])
        high, colon, scale = rest.partition(":")
        if colon and scale != "log":
            raise ConfigError(f"--field: got {text!r}, expected nothing or :log after the ends")
        return name.strip(), Range(_value(low), _value(high), log=bool(colon))


def _value(text: str) -> Any:
    text = text.strip()
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
