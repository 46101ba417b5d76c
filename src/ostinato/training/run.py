"""Runs from beginning to end: what `ostinato train` and `ostinato evaluate` call."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Set
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ostinato.atomic import read_json
from ostinato.ensembles import SnapshotEnsemble
from ostinato.errors import (
    ConfigError,
    FollowedError,
    NonFiniteError,
    OstinatoError,
    OstinatoWarning,
    RunInterruptedError,
    StateError,
    StorageError,
)
from ostinato.training.changes import plan_difference, table_difference, tables
from ostinato.training.config import RunConfig
from ostinato.training.folder import RunFolder
from ostinato.training.launching import is_first_process, started
from ostinato.training.loop import Observer, TrainingLoop
from ostinato.training.outcome import Average, evaluate, result_document, write_outcome
from ostinato.training.session import Session, in_order, resolve_config
from ostinato.training.states import ELASTIC
from ostinato.training.team import TeamFormer, no_team

__all__ = ["evaluate_run", "resume", "train"]


def train(
    config: RunConfig, out: str | Path | None = None, *, observer: Observer | None = None, form: TeamFormer = no_team
) -> tuple[RunFolder, dict[str, Any]]:
    """Train under a plan from the beginning and return the run folder and the document of ``result.json``.

    Args:
        config: What to train; a plan without bindings or total is filled in with the default ones.
        out: The run folder; by default the first unused ``runs/<data>-<n>``.
        observer: Is told how the run goes.
        form: Makes the team of a run of workers: `ostinato.applications.federated.workers`.

    Raises:
        OstinatoError: The configuration cannot be; nothing was written then. Or training had to stop, see `TrainingLoop.run`.
    """
    config = resolve_config(config)
    if out is not None and is_first_process():
        RunFolder(Path(out)).demand_free()
    session = Session.build(config, form)
    place = str(out) if out is not None else session.fabric.broadcast(str(_unused_folder(session)))
    folder = RunFolder(Path(place))
    session.lead(lambda: RunFolder.create(folder.path, config))
    return folder, _finish(session, folder, observer)


def _unused_folder(session: Session) -> Path:
    return RunFolder.unused("runs", Path(session.data.name).stem.replace(":", "-") or "run")


def resume(
    path: str | Path,
    config: RunConfig | None = None,
    *,
    observer: Observer | None = None,
    form: TeamFormer = no_team,
    elastic: bool = False,
) -> tuple[RunFolder, dict[str, Any]]:
    """Go on with a run from its last checkpoint, bit for bit, and return what `train` returns.

    Args:
        path: The run folder.
        config: If given, it must say the same as the run's own.
        observer: Is told how the run goes.
        form: As for `train`.
        elastic: Let `config`, or torchrun, have another number of workers: they go on from the average of those that there were.

    Raises:
        ConfigError: There is no run.
        StateError: `config` says something else; the message shows what.
    """
    folder = RunFolder.open(path)
    own = folder.load_config()
    number = _number_of_workers(own, config, folder, elastic=elastic)
    if config is not None:
        wanted = resolve_config(config.replace({"workers.count": number}))
        _demand_same(own, wanted, folder, but=ELASTIC if elastic else frozenset())
        if elastic:
            own = own.replace({"workers": wanted.workers})
    elif number != own.workers.count:
        own = own.replace({"workers.count": number}, source=str(folder.config))
    return folder, _finish(Session.build(own, form), folder, observer, elastic=elastic)


def _number_of_workers(own: RunConfig, given: RunConfig | None, folder: RunFolder, *, elastic: bool) -> int | None:
    """Return how many workers go on; None for a run that has none.

    Raises:
        StateError: There are others than before, and nobody has said that this is meant.
    """
    before = own.workers.count
    if before is None:
        if elastic:
            raise StateError(f"{folder.path}: is a run without workers; leave --elastic out")
        return None if given is None else given.workers.count
    now = started() or (before if given is None else given.workers.count) or before
    if now != before and not elastic:
        remedy = f"start {before}, or add --elastic to go on from the average of their models"
        line = f"{folder.path}: the checkpoint is of {before} workers, now there are {now}; {remedy}"
        raise StateError(line) if is_first_process() else FollowedError(line)
    return now


def _demand_same(own: RunConfig, given: RunConfig, folder: RunFolder, but: Set[tuple[str, str]]) -> None:
    hint = f"leave it out to go on with {folder.path}, or start another run with --out"
    changed = plan_difference(own.plan or {}, given.plan or {})
    if changed:
        raise StateError(f"{folder.path}: was begun under another plan: {changed}; {hint}")
    changed = table_difference(tables(own, free=True), tables(given, free=True), but=but)
    if changed:
        raise StateError(f"{folder.path}: {changed}; {hint}")


def _finish(session: Session, folder: RunFolder, observer: Observer | None, *, elastic: bool = False) -> dict[str, Any]:
    """Make the remaining updates and write what came out."""
    with ExitStack() as stack:
        session.lead(lambda: stack.enter_context(folder.claimed()))
        loop = TrainingLoop(session, folder, observer or Observer(), elastic)
        try:
            _run(loop)
        except (RunInterruptedError, NonFiniteError) as error:
            if not session.leads:  # all processes agree on these
                raise FollowedError(str(error)) from error
            _write_partial_outcome(loop, error)
            raise
        document = write_outcome(loop) if session.leads else {}
    session.fabric.barrier()
    return document


def _run(loop: TrainingLoop) -> None:
    """Make the remaining updates; the end of another process of the run ends this one too."""
    try:
        loop.run()
    except RuntimeError as error:
        if loop.session.fabric.world_size == 1 or "onnection" not in str(error):
            raise
        raise RunInterruptedError(
            f"another process of the run has ended; resume with: ostinato train --resume {shlex.quote(str(loop.folder.path))}"
        ) from error


def _write_partial_outcome(loop: TrainingLoop, cause: OstinatoError) -> None:
    """Write the report of a run that stopped; the cause is what matters, so that a failure here is only a warning."""
    status = "interrupted" if isinstance(cause, RunInterruptedError) else "stopped"
    try:
        write_outcome(loop, status=status, message=str(cause))
    except OstinatoError as error:
        warnings.warn(f"no report of the stopped run: {error}", OstinatoWarning, stacklevel=2)


def evaluate_run(
    path: str | Path, *, last: int | None = None, average: Average | None = None, recalibrate: bool = False
) -> dict[str, Any]:
    """Score a run's ensemble and members on its test data and return the document of ``result.json``; nothing is written.

    The snapshots are all that it needs. Where no checkpoint can be read, `steps` ends with the last snapshot and `wall_s` is that of
    ``result.json``, 0 without it.

    Args:
        path: The run folder.
        last: Only the last so many snapshots.
        average: ``"probabilities"`` or ``"logits"``; by default what the run was configured with.
        recalibrate: Give each member batch-norm statistics measured on the training data first.

    Raises:
        ConfigError: There is no run.
        StorageError: No snapshot can be trusted.

    Warns:
        DamagedSnapshotWarning: A snapshot was left out.
        OstinatoWarning: A checkpoint was passed over, or every one is damaged.
    """
    folder = RunFolder.open(path)
    alone = {
        "train.devices": 1,
        "train.strategy": "auto",
        "workers": {},
    }  # scoring needs one process, and must not write twice
    session = Session.build(folder.load_config().replace(alone, source=str(folder.config)))
    loop = TrainingLoop(session, folder)
    if not len(loop.snapshots):
        raise ConfigError(f"{folder.path}: holds no snapshot yet; the first is taken at the end of the first cycle")
    if recalibrate:
        _recalibrate(loop.snapshots, session)
    _take_up(loop)
    return result_document(loop, evaluate(loop, last=last, average=average), None, last=last)


def _recalibrate(snapshots: SnapshotEnsemble, session: Session) -> None:
    snapshots.recalibrate(session.to_device(batch) for batch in in_order(session.data.train))


def _take_up(loop: TrainingLoop) -> None:
    """Take over from the newest checkpoint how far the run had come; from its last snapshot where every checkpoint is damaged."""
    scheduler = loop.session.scheduler
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            checkpoint = loop.checkpoints.latest()
        except StorageError:
            checkpoint, told[:] = None, []
            damaged = True
        else:
            damaged = False
    for warning in told:
        warnings.warn(warning.message, stacklevel=3)
    if checkpoint is not None:
        scheduler.load_state_dict(checkpoint.state["scheduler"])
        loop.elapsed_before = checkpoint.elapsed_s
        return
    scheduler.step(by=loop.snapshots.members[-1].step + 1)
    loop.elapsed_before = _seconds_told(loop.folder)
    if damaged:
        warnings.warn(
            f"{loop.folder.checkpoints}: every checkpoint is damaged; what is scored are the {len(loop.snapshots)} snapshots, up to step {scheduler.count}",
            OstinatoWarning,
            stacklevel=3,
        )


def _seconds_told(folder: RunFolder) -> float:
    """Return the seconds of training that ``result.json`` tells of; 0 where it does not."""
    try:
        seconds = read_json(folder.result)["wall_s"]
    except (StorageError, KeyError, TypeError):
        return 0.0
    return float(seconds) if isinstance(seconds, int | float) else 0.0
