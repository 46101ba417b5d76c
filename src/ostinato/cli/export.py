"""``ostinato export``: a plan as code to paste."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ostinato.cli.console import err
from ostinato.cli.rates import (
    PlanFile,
    SamplesPerStep,
    Steps,
    StepsPerEpoch,
    StepsPerRound,
    TokensPerStep,
    resolved_plan,
)
from ostinato.errors import ConfigError

__all__ = ["export"]


def export(
    plan: PlanFile,
    to: Annotated[str, typer.Option("--to", metavar="FRAMEWORK", help="What to write the code for: torch.")] = "torch",
    out: Annotated[Path | None, typer.Option("--out", help="The file to write; by default standard output.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    steps: Steps = None,
    steps_per_epoch: StepsPerEpoch = None,
    samples_per_step: SamplesPerStep = None,
    tokens_per_step: TokensPerStep = None,
    steps_per_round: StepsPerRound = None,
) -> None:
    """Print the code that has the plan's values without Ostinato.

    Example: ostinato export plan.toml --to torch --steps-per-epoch 391 --out schedule.py
    """
    from ostinato import export as exporting

    if to not in exporting.frameworks():
        raise ConfigError(f"--to: got {to!r}, expected one of: {', '.join(exporting.frameworks())}")
    if out is not None and not force and os.path.lexists(out):
        raise ConfigError(f"--out: {str(out)!r} is there already; pass --force to replace it, or choose another name")
    resolved = resolved_plan(
        plan,
        steps=steps,
        steps_per_epoch=steps_per_epoch,
        samples_per_step=samples_per_step,
        tokens_per_step=tokens_per_step,
        steps_per_round=steps_per_round,
    )
    code = exporting.export(resolved, to)
    if out is None:
        typer.echo(code, nl=False)
        return
    from ostinato.atomic import write_bytes

    write_bytes(out, code.encode())
    err.print(f"wrote {out}")
