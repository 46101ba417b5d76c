"""The state of a run in its checkpoints: of processes that are equal, once; of workers that train apart, each one's."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.utilities import move_data_to_device

from ostinato.errors import StateError
from ostinato.training.changes import plan_difference, table_difference, tables
from ostinato.training.config import RunConfig
from ostinato.training.randomness import random_states, restore_random_states, seed_everything
from ostinato.training.session import Session

__all__ = ["ELASTIC", "gathered", "restore"]

ELASTIC = frozenset({("workers", "count"), ("workers", "phases")})
"""What of a configuration may change where a run goes on with another number of workers."""

_JOINED = 2  # a stream of the seed beside a new run's


def gathered(session: Session) -> dict[str, Any] | None:
    """Return what a checkpoint holds of all processes; None where this one does not lead. Every process has to call it."""
    own = {
        "model": dict(session.model.state_dict()),
        "criterion": dict(session.criterion.state_dict()),
        "optimizer": session.optimizer.state_dict(),
        "scheduler": session.scheduler.state_dict(),
        "precision": dict(session.precision.state_dict()),
    }
    if not session.team.apart:
        everyone = _from_all(session, random_states())
        return {**own, "random": everyone} if session.leads else None
    everyone = _from_all(session, {**own, "team": session.team.state(), "random": random_states()})
    if not session.leads:
        return None
    random = [each.pop("random") for each in everyone]
    return {**everyone[0], "random": random, "others": everyone[1:]}


def _from_all(session: Session, own: dict[str, Any]) -> list[dict[str, Any]]:
    """Return, in the process that leads, what all of them have, in order of rank; for a moment it holds it all in memory."""
    world = session.fabric.world_size
    if world == 1:
        return [own]
    everyone: list[Any] = [None] * world
    own = move_data_to_device(own, torch.device("cpu"))
    torch.distributed.gather_object(
        own, everyone if session.leads else None, group=_in_memory(torch.distributed.group.WORLD)
    )
    return everyone


@cache
def _in_memory(group: Any) -> Any:
    """Return a group of the same processes whose messages do not pass through an accelerator's memory: `group` itself where it is gloo's."""
    return group if torch.distributed.get_backend(group) == "gloo" else torch.distributed.new_group(backend="gloo")


def restore(state: Mapping[str, Any], session: Session, file: Path, *, elastic: bool = False) -> dict[str, Any]:
    """Put a checkpoint's state into a session and return the mark of its log.

    Args:
        state: What a checkpoint holds.
        session: Of the same configuration.
        file: Where the configuration is, for messages.
        elastic: Let another number of workers go on from the average of those that there were.

    Raises:
        StateError: It is of another number of processes, another configuration or other data.
    """
    saved, world = len(state["random"]), session.fabric.world_size
    if saved != world and not elastic:
        apart = session.team.apart
        remedy = (
            f"type --workers {saved}, or --elastic to go on from their average"
            if apart
            else "resume with [train] devices as before"
        )
        raise StateError(
            f"the checkpoint is of {saved} {'workers' if apart else 'processes'}, now there are {world}; {remedy}"
        )
    _demand_unchanged(state, session.config, file, elastic=elastic)
    if state["data"] != session.data.digest:
        raise StateError(
            f"the data set {session.data.name!r} is not the one that the run began with (its SHA-256 differs); restore it, or start again with another --out"
        )
    everyone = [state, *state.get("others", [])]
    if saved == world:
        rank = session.fabric.global_rank
        _take_up(everyone[rank if session.team.apart else 0], state["random"][rank], session)
    else:
        _join(everyone, session)
    return dict(state["log"])


def _take_up(own: Mapping[str, Any], random: dict[str, Any], session: Session) -> None:
    session.model.load_state_dict(own["model"])
    session.criterion.load_state_dict(own["criterion"])
    session.optimizer.load_state_dict(own["optimizer"])
    session.scheduler.load_state_dict(own["scheduler"])
    session.precision.load_state_dict(own["precision"])
    session.team.load(own.get("team", {}))
    restore_random_states(random)


def _join(everyone: list[Mapping[str, Any]], session: Session) -> None:
    """Begin from what all workers of another number had in common."""
    count = int(everyone[0]["scheduler"]["count"])
    session.criterion.load_state_dict(everyone[0]["criterion"])
    session.precision.load_state_dict(everyone[0]["precision"])
    session.team.join(everyone, count)
    if count:
        session.scheduler.step(by=count)
    seed_everything(session.config.train.seed, _JOINED, session.fabric.global_rank, count)


def _demand_unchanged(state: Mapping[str, Any], config: RunConfig, file: Path, *, elastic: bool) -> None:
    """Refuse to go on under a configuration that was edited since the checkpoint."""
    changed = plan_difference(state["scheduler"]["plan"], config.plan or {})
    changed = changed or table_difference(state["config"], tables(config), but=ELASTIC if elastic else frozenset())
    if changed:
        raise StateError(
            f"{file}: was changed since the checkpoint: {changed}; change it back, or start another run with --out"
        )
