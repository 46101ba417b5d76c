"""Runs from beginning to end: what `ostinato train` and `ostinato evaluate` call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ostinato.core.plan import Plan
from ostinato.ensembles import SnapshotEnsemble
from ostinato.errors import ConfigError, NonFiniteError, RunInterruptedError, StateError
from ostinato.state import document_difference
from ostinato.training.config import RunConfig
from ostinato.training.folder import RunFolder
from ostinato.training.loop import Observer, TrainingLoop
from ostinato.training.outcome import Average, evaluate, result_document, write_outcome
from ostinato.training.session import Session, in_order, resolve_config

__all__ = ["evaluate_run", "resume", "train"]


def train(
    config: RunConfig, out: str | Path | None = None, *, observer: Observer | None = None
) -> tuple[RunFolder, dict[str, Any]]:
    """Train under a plan from the beginning and return the run folder and the document of ``result.json``.

    Args:
        config: What to train; a plan without bindings or total is filled in with the default ones.
        out: The run folder; by default the first unused ``runs/<data>-<n>``.
        observer: Is told how the run goes.

    Raises:
        OstinatoError: The configuration cannot be; nothing was written then. Or training had to stop, see `TrainingLoop.run`.
    """
    config = resolve_config(config)
    session = Session.build(config)
    if out is not None:
        place = Path(out)
    else:
        stem = Path(session.data.name).stem.replace(":", "-") or "run"
        place = Path(session.fabric.broadcast(str(RunFolder.unused("runs", stem))))
    folder = RunFolder.create(place, config) if session.leads else RunFolder(place)
    session.fabric.barrier()
    return folder, _finish(session, folder, observer)


def resume(
    path: str | Path, config: RunConfig | None = None, *, observer: Observer | None = None
) -> tuple[RunFolder, dict[str, Any]]:
    """Go on with a run from its last checkpoint, bit for bit, and return what `train` returns.

    Args:
        path: The run folder.
        config: If given, it must say the same as the run's own.
        observer: Is told how the run goes.

    Raises:
        ConfigError: There is no run.
        StateError: `config` says something else; the message shows what.
    """
    folder = RunFolder.open(path)
    own = folder.load_config()
    if config is not None:
        _demand_same(own, resolve_config(config), folder)
    return folder, _finish(Session.build(own), folder, observer)


def _demand_same(own: RunConfig, given: RunConfig, folder: RunFolder) -> None:
    plans = (Plan.from_document(own.plan or {}), Plan.from_document(given.plan or {}))
    hint = f"leave it out to go on with {folder.path}, or start another run with --out"
    if plans[0].digest != plans[1].digest:
        raise StateError(
            f"{folder.path}: was begun under another plan: {document_difference(plans[0].to_document(), plans[1].to_document())}; {hint}"
        )
    before, after = own.to_document(), given.to_document()
    for table in ("data", "model", "optimizer", "train"):
        if before[table] != after[table]:
            key = next(
                key for key in {**before[table], **after[table]} if before[table].get(key) != after[table].get(key)
            )
            raise StateError(
                f"{folder.path}: [{table}] {key} was {before[table].get(key)!r}, is {after[table].get(key)!r}; {hint}"
            )


def _finish(session: Session, folder: RunFolder, observer: Observer | None) -> dict[str, Any]:
    """Make the remaining updates and write what came out."""
    loop = TrainingLoop(session, folder, observer or Observer())
    try:
        loop.run()
    except (RunInterruptedError, NonFiniteError) as error:
        if session.leads:
            write_outcome(
                loop, status="interrupted" if isinstance(error, RunInterruptedError) else "stopped", message=str(error)
            )
        raise
    document = write_outcome(loop) if session.leads else {}
    session.fabric.barrier()
    return document


def evaluate_run(
    path: str | Path, *, last: int | None = None, average: Average | None = None, recalibrate: bool = False
) -> dict[str, Any]:
    """Score a run's ensemble and members on its test data and return the document of ``result.json``; nothing is written.

    Args:
        path: The run folder.
        last: Only the last so many snapshots.
        average: ``"probabilities"`` or ``"logits"``; by default what the run was configured with.
        recalibrate: Give each member batch-norm statistics measured on the training data first.

    Raises:
        ConfigError: There is no run.
        StorageError: No snapshot can be trusted.
    """
    folder = RunFolder.open(path)
    session = Session.build(folder.load_config())
    loop = TrainingLoop(session, folder)
    if not len(loop.snapshots):
        raise ConfigError(f"{folder.path}: holds no snapshot yet; the first is taken at the end of the first cycle")
    if recalibrate:
        _recalibrate(loop.snapshots, session)
    checkpoint = loop.checkpoints.latest()
    session.scheduler.load_state_dict(checkpoint.state["scheduler"]) if checkpoint else None
    loop.elapsed_before = 0.0 if checkpoint is None else checkpoint.elapsed_s
    return result_document(loop, evaluate(loop, last=last, average=average), None)


def _recalibrate(snapshots: SnapshotEnsemble, session: Session) -> None:
    snapshots.recalibrate(session.to_device(batch) for batch in in_order(session.data.train))
