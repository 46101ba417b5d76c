"""The options that fill in a plan's rates and total, shared by the commands that only look at a plan."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ostinato.errors import PlanError

if TYPE_CHECKING:
    from ostinato.core.resolved import ResolvedPlan

__all__ = ["PlanFile", "SamplesPerStep", "Steps", "StepsPerEpoch", "StepsPerRound", "TokensPerStep", "resolved_plan"]

PlanFile = Annotated[Path, typer.Argument(help="A plan or run configuration: .toml or .json.")]
Steps = Annotated[int | None, typer.Option("--steps", min=1, help="Total of the run in steps, instead of the plan's.")]
StepsPerEpoch = Annotated[
    int | None,
    typer.Option("--steps-per-epoch", min=1, help="Optimizer updates in an epoch, where the plan counts in epochs."),
]
SamplesPerStep = Annotated[
    int | None, typer.Option("--samples-per-step", min=1, help="Samples an update, where the plan counts in samples.")
]
TokensPerStep = Annotated[
    int | None, typer.Option("--tokens-per-step", min=1, help="Tokens an update, where the plan counts in tokens.")
]
StepsPerRound = Annotated[
    int | None,
    typer.Option("--steps-per-round", min=1, help="Updates of a client in a round, where the plan counts in rounds."),
]

_MISSING_RATE = re.compile(r"needs (steps_per_epoch|samples_per_step|tokens_per_step|steps_per_round);.*")


def resolved_plan(
    path: Path,
    *,
    steps: int | None = None,
    steps_per_epoch: int | None = None,
    samples_per_step: int | None = None,
    tokens_per_step: int | None = None,
    steps_per_round: int | None = None,
) -> ResolvedPlan:
    """Return the plan of a file, resolved; the errors name the options that help.

    Raises:
        PlanError: The file is no plan, or a rate or the total is missing.
    """
    from ostinato.core.plan import Plan

    plan = Plan.load(path)
    try:
        if steps is not None:
            plan = plan.replace({"total": steps})
        elif plan.total is None:
            raise PlanError("total: missing; pass --steps N, or write total = '10ep' into the file")
        return plan.resolve(
            steps_per_epoch=steps_per_epoch,
            samples_per_step=samples_per_step,
            tokens_per_step=tokens_per_step,
            steps_per_round=steps_per_round,
        )
    except PlanError as error:
        raise type(error)(f"{path}: {_MISSING_RATE.sub(_option, str(error))}") from None


def _option(match: re.Match[str]) -> str:
    name = match[1]
    return f"needs {name}; pass --{name.replace('_', '-')} N"
