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
    devices: Annotated[int | None, typer.Option(help="Processes, each with its device.")] = None,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Train a model under a cyclic plan, take a snapshot at every cycle's end, and report members against ensemble.

    Without arguments: scikit-learn's digits, a small network, five cosine cycles.

    Example: ostinato train --data fashion-mnist --total 5ep --out runs/fashion
    """
    from ostinato import training
    from ostinato.cli.progress import ProgressObserver, show_result

    if resume is not None and out is not None:
        raise ConfigError("--resume and --out: a run goes on in its own folder; leave --out out")
    base = training.RunFolder.open(resume).load_config() if resume is not None and config is None else None
    given = any(value is not None for value in (config, data, model, optimizer, recipe, total, seed, devices)) or bool(
        settings
    )
    wanted = configuration(
        config,
        data=data,
        model=model,
        optimizer=optimizer,
        recipe=recipe,
        total=total,
        seed=seed,
        devices=devices,
        settings=settings or (),
        base=base,
    )
    with ProgressObserver() as observer:
        if resume is None:
            with named(config):
                folder, document = training.train(wanted, out, observer=observer)
        else:
            folder, document = training.resume(resume, wanted if given else None, observer=observer)
    if not document:  # this process does not lead
        return
    if json:
        print_json(document)
    else:
        show_result(document, folder)
