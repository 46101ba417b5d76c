"""Being told how a run goes."""

from __future__ import annotations

from ostinato.core.clock import Tick
from ostinato.ensembles import Member
from ostinato.training.session import Session

__all__ = ["Observer"]


class Observer:
    """What a run tells while it goes on; override what is of interest."""

    def begun(self, session: Session, count: int) -> None:
        """Say that training goes on after `count` updates."""

    def updated(self, tick: Tick, loss: float) -> None:
        """Say that an update was made."""

    def evaluated(self, step: int, metrics: dict[str, float]) -> None:
        """Say that the model was scored on the test data."""

    def captured(self, member: Member) -> None:
        """Say that a snapshot was taken; it is written in the background, and asking for ``member.file`` waits for it."""

    def saved(self, count: int) -> None:
        """Say that a checkpoint was written."""
