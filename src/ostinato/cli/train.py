"""``ostinato train``: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ostinato.cli.console import print_json
from ostinato.cli.options import Config, Data, Json, Model, Optimizer, Recipe, Seed, Settings, Total
from ostinato.cli.settings import configuration, named
from ostinato.errors import ConfigError

__all__ = ["train"]


def train(
    config: Config = None,
    data: Data = None,
    model: Model = None,
    optimizer: Optimizer = None,
    recipe: Recipe = None,
    total: Total = None,
    seed: Seed = None,
    out: Annotated[Path | None, typer.Option(help="The run folder to make.  [default: runs/DATA-N]")] = None,
    resume: Annotated[Path | None, typer.Option(help="A run folder to go on with, bit for bit.")] = None,
    devices: Annotated[
        int | None, typer.Option(help="Processes, each with its device, that share every update.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes that train apart and average their models every 8 updates (--set workers.average_every=8)."
        ),
    ] = None,
    phase_shift: Annotated[
        bool | None, typer.Option("--phase-shift", help="Spread the workers' phases over the cycle.")
    ] = None,
    elastic: Annotated[
        bool,
        typer.Option("--elastic", help="With --resume: go on with another number of workers, from their average."),
    ] = False,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Train a model under a cyclic plan, take a snapshot at every cycle's end, and report members against ensemble.

    Without arguments: scikit-learn's digits, a small network, five cosine cycles.

    Example: ostinato train --data fashion-mnist --total 5ep --out runs/fashion
    """
    from ostinato import training
    from ostinato.applications.federated import workers as worker_runs
    from ostinato.cli.progress import ProgressObserver, show_result

    if resume is not None and out is not None:
        raise ConfigError("--resume and --out: a run goes on in its own folder; leave --out out")
    if devices is not None and workers is not None:
        raise ConfigError("--workers and --devices: each worker is a process with one device; leave --devices out")
    if elastic and resume is None:
        raise ConfigError("--elastic: goes on with a run of workers; add --resume RUN, or leave --elastic out")
    own = None if resume is None else training.RunFolder.open(resume).load_config()
    options = (config, data, model, optimizer, recipe, total, seed, devices, workers, phase_shift)
    given = any(value is not None for value in options) or bool(settings)
    wanted = configuration(
        config,
        data=data,
        model=model,
        optimizer=optimizer,
        recipe=recipe,
        total=total,
        seed=seed,
        devices=devices,
        workers=workers,
        phase_shift=phase_shift,
        settings=settings or (),
        base=own if config is None else None,
    )
    with ProgressObserver() as observer:
        if resume is None:
            begin = worker_runs.train if wanted.workers.wanted else training.train
            with named(config):
                folder, document = begin(wanted, out, observer=observer)
        elif elastic or any(each is not None and each.workers.wanted for each in (own, wanted)):
            folder, document = worker_runs.resume(resume, wanted if given else None, observer=observer, elastic=elastic)
        else:
            folder, document = training.resume(resume, wanted if given else None, observer=observer)
    if not document:  # this process does not lead
        return
    if json:
        print_json(document)
    else:
        show_result(document, folder)
