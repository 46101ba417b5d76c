"""``ostinato evaluate``: the ensemble and its members on the test data."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ostinato.cli.console import print_json

__all__ = ["evaluate"]


class Average(StrEnum):
    """What an ensemble averages."""

    probabilities = "probabilities"
    logits = "logits"


def evaluate(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    last: Annotated[int | None, typer.Option(min=1, help="Only the last so many snapshots.")] = None,
    average: Annotated[
        Average | None, typer.Option(help="What to average; by default as the run was configured.")
    ] = None,
    recalibrate: Annotated[
        bool, typer.Option("--recalibrate", help="Measure batch-norm statistics on the training data first.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the document of result.json on standard output.")] = False,
) -> None:
    """Score a run's ensemble and members on its test data. Damaged snapshots are refused by name and the rest used.

    Example: ostinato evaluate runs/digits-1 --last 3
    """
    from ostinato import training
    from ostinato.cli.progress import show_result

    document = training.evaluate_run(
        run, last=last, average=None if average is None else average.value, recalibrate=recalibrate
    )
    if json:
        print_json(document)
    else:
        show_result(document, training.RunFolder(run))
