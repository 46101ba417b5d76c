"""How the processes of a run go together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ostinato.core.plan import Plan
from ostinato.errors import StateError
from ostinato.training.config import RunConfig

__all__ = ["Team", "TeamFormer"]


class Team:
    """The processes of a run that share every update, and so are always equal; or one process. Override for those that go apart."""

    apart = False
    """Whether each process has weights and a state of its own."""

    def plan(self, plan: Plan) -> Plan:
        """Return the plan that this process follows."""
        return plan

    def updated(self) -> None:
        """Say that an update was made, and its tick taken."""

    def common(self) -> AbstractContextManager[None]:
        """Return the context in which the model is the one that all share; every process enters it."""
        return nullcontext()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint has to hold of this process beside its model, its optimizer and its scheduler."""
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint of as many processes; all else is loaded."""

    def join(self, states: Sequence[Mapping[str, Any]], count: int) -> None:
        """Go on, in model and optimizer too, from the states of another number of processes after `count` updates.

        Raises:
            StateError: These go together, and cannot.
        """
        raise StateError(f"the checkpoint is of {len(states)} processes; start as many")

    def describe(self) -> dict[str, Any] | None:
        """Return what ``result.json`` says about it; None for nothing."""
        return None


TeamFormer = Callable[[RunConfig, nn.Module, torch.optim.Optimizer], Team]
"""Makes the team of a run, in each of its processes, from its configuration and the live model and optimizer."""


def no_team(config: RunConfig, model: nn.Module, optimizer: Optimizer) -> Team:
    """Return the team of a run without a ``[workers]`` table."""
    return Team()
