"""``ostinato train``: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ostinato.cli.console import print_json
from ostinato.cli.settings import configuration, named
from ostinato.errors import ConfigError

__all__ = ["train"]


def train(
    config: Annotated[
        Path | None,
        typer.Argument(help="A plan file, perhaps with [data], [model], [optimizer], [train] and [augment] tables."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="digits, fashion-mnist, mnist, a .csv or .npz file, or module:factory.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="cnn, resnet, mlp, linear, or module:factory.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="An optimizer of torch by its name.")] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="A plan to begin from: antiphase, augmentation, batchnorm, concert, snapshot, stochastic-depth, weight-decay-phase."
        ),
    ] = None,
    total: Annotated[str | None, typer.Option(help="Length of the run, such as 10ep or 5000step.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the weights, the order of the data and everything random.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder to make.  [default: runs/DATA-N]")] = None,
    resume: Annotated[Path | None, typer.Option(help="A run folder to go on with, bit for bit.")] = None,
    devices: Annotated[int | None, typer.Option(help="Processes, each with its device.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="ADDRESS=VALUE", help="Any field, such as train.batch_size=128 or optimizer.lr/high=0.2."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print result.json's document on standard output.")] = False,
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
