"""Options that several commands take, each with the same words everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Config", "Data", "Json", "Model", "Optimizer", "Recipe", "Seed", "Settings", "Total"]

Config = Annotated[
    Path | None,
    typer.Argument(help="A plan file, perhaps with tables data, model, optimizer, train, augment, workers and search."),
]
Data = Annotated[str | None, typer.Option(help="digits, fashion-mnist, mnist, a .csv or .npz file, or module:factory.")]
Model = Annotated[str | None, typer.Option(help="cnn, resnet, mlp, linear, or module:factory.")]
Optimizer = Annotated[str | None, typer.Option(help="An optimizer of torch by its name.")]
Recipe = Annotated[
    str | None,
    typer.Option(
        help="A plan to begin from: antiphase, augmentation, batchnorm, concert, snapshot, stochastic-depth, weight-decay-phase."
    ),
]
Total = Annotated[str | None, typer.Option(help="Length of a run, such as 10ep or 5000step.")]
Seed = Annotated[int | None, typer.Option(help="Seed of the weights, the order of the data and everything random.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="ADDRESS=VALUE", help="Any field, such as train.batch_size=128 or optimizer.lr/high=0.2."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
