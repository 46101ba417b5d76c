"""Showing how a run goes and what came out of it."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from ostinato.cli.console import err, out
from ostinato.core.clock import Tick
from ostinato.ensembles import Member
from ostinato.training import Observer, RunFolder
from ostinato.training.session import Session

__all__ = ["ProgressObserver", "show_result"]

_RATE = ".lr"


class ProgressObserver(Observer):
    """A progress bar on standard error: cycle k of n, phase, learning rate, loss, time left. Off a terminal, a line a cycle."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=err,
            transient=True,
            disable=not err.is_terminal,
        )
        self._task: TaskID | None = None
        self._leads = True
        self._cycles = 0
        self._scores: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begun(self, session: Session, count: int) -> None:
        self._leads = session.leads
        resolved = session.scheduler.resolved
        self._cycles = len(resolved.cycles)
        if not self._leads:
            return
        weights = sum(parameter.numel() for parameter in session.model.parameters())
        going_on = f", going on after step {count:,}" if count else ""
        err.print(
            f"{session.data.name}: {resolved.total:,} steps, {self._cycles} cycles, {weights:,} weights{going_on}"
        )
        self._task = self._bar.add_task("", total=resolved.total, completed=count)

    def updated(self, tick: Tick, loss: float) -> None:
        if self._task is None:
            return
        rate = (
            next((value for target, value in tick.values.items() if target.endswith(_RATE)), None)
            if err.is_terminal
            else None
        )
        where = f"cycle {tick.cycle + 1} of {self._cycles}  phase {tick.phase:.2f}" if tick.cycle >= 0 else "warm-up"
        shown = f"{where}  {'' if rate is None else f'lr {rate:.2e}  '}loss {loss:.3f}" if err.is_terminal else ""
        self._bar.update(self._task, completed=tick.step + 1, description=shown)

    def evaluated(self, step: int, metrics: dict[str, float]) -> None:
        self._scores = metrics

    def captured(self, member: Member) -> None:
        err.print(f"cycle {member.cycle + 1} of {self._cycles}: snapshot after step {member.step:,}")


def show_result(document: dict[str, Any], folder: RunFolder) -> None:
    """Print members, ensemble and where to look."""
    metrics = document["metrics"]
    if metrics["ensemble"] is None:
        out.print("No cycle ended, so there is no snapshot.")
    else:
        out.print(_table(document))
    for who, report in (document.get("classes") or {}).items():
        out.print(_classes(who, report))
    final = metrics["final"]
    if final is not None and metrics["last"] is None:
        out.print(f"final model: error {final['error']:.2%}, NLL {final['nll']:.4f}")
    out.print(f"trained in {document['wall_s']:.1f} s; report: {folder.report}")


def _table(document: dict[str, Any]) -> Table:
    metrics, examples = document["metrics"], document["examples"]
    table = Table(
        title=f"{document['data']['name']}: {len(document['members'])} snapshots on {examples:,} test examples",
        title_justify="left",
    )
    for name in ("", "after step", "error", "NLL", "ECE"):
        table.add_column(name, justify="right" if name else "left")
    for member in document["members"]:
        table.add_row(f"cycle {member['cycle'] + 1}", f"{member['step']:,}", *_scores(member))
    table.add_section()
    table.add_row("ensemble", "", *_scores(metrics["ensemble"]), style="bold")
    return table


def _classes(who: str, report: dict[str, Any]) -> str:
    """Return what unequal classes make of a score, in a line."""
    worst = min((one for one in report["classes"] if one["recall"] is not None), key=lambda one: one["recall"])
    area = report["average_precision"]
    known = "unknown" if area is None else f"{area:.2%}"
    return (
        f"{'last snapshot' if who == 'last' else who}: balanced error {report['balanced_error']:.2%}, AUPRC {known};"
        f" lowest recall: {worst['name']}, {worst['recall']:.2%} of {worst['support']:,}"
    )


def _scores(metrics: dict[str, Any]) -> tuple[str, str, str]:
    return f"{metrics['error']:.2%}", f"{metrics['nll']:.4f}", f"{metrics['ece']:.4f}"
