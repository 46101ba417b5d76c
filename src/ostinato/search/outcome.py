"""What came out of a search: the best plan, what mattered, what it cost, beside its baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from ostinato._version import __version__
from ostinato.core.plan import Plan
from ostinato.search.baseline import baseline_of
from ostinato.search.queue import SCHEMA, Queue, result_of
from ostinato.search.samplers import quiet
from ostinato.search.storage import address
from ostinato.search.trials import Laboratory, Progress
from ostinato.training.outcome import environment

__all__ = ["Row", "importance", "outcome_of", "rows_of"]

_FEWEST = 10
_TREES_SEED = 0


@dataclass(frozen=True)
class Row:
    """One trial that ended.

    Attributes:
        number: Its number in the storage.
        status: ``"done"``, ``"pruned"``, ``"diverged"``, ``"infeasible"``, or ``"lost"`` with its worker (another one has it again).
        score: The objective; None unless it is done.
        values: What was drawn, as a plan writes it.
        steps: Updates that it took.
        wall_s: Seconds, shared by what ran at once.
        detail: Why it is not done.
    """

    number: int
    status: str
    score: float | None
    values: Mapping[str, Any]
    steps: int
    wall_s: float
    detail: str


def rows_of(queue: Queue) -> list[Row]:
    """Return every trial that ended, in order."""
    space = queue.setup.space
    rows = []
    for trial in queue.trials():
        if trial.state.is_finished():
            told = result_of(trial)
            status = "lost" if trial.state == TrialState.FAIL else str(told["status"])
            rows.append(
                Row(
                    trial.number,
                    status,
                    trial.value if status == "done" else None,
                    space.read(trial.params),
                    int(told.get("steps", 0)) if status != "lost" else 0,
                    float(told.get("wall_s", 0.0)) if status != "lost" else 0.0,
                    str(told.get("detail", "")),
                )
            )
    return rows


def best_of(rows: Sequence[Row]) -> Row | None:
    """Return the trial with the lowest score, the first of equal ones; None where none is done."""
    done = [row for row in rows if row.score is not None]
    return min(done, key=lambda row: (row.score, row.number), default=None)


def importance(queue: Queue) -> dict[str, float | None]:
    """Return each field's share of the variance of the scores, by functional ANOVA over a random forest (F. Hutter, H. Hoos, K. Leyton-Brown 2014).

    None for a field that is not drawn in every trial, and for all of them below ten scores or where all are equal: there is nothing to tell.
    """
    import optuna

    fields = list(queue.setup.space.fields)
    nothing: dict[str, float | None] = dict.fromkeys(fields)
    done = queue.trials(TrialState.COMPLETE)
    if len(done) < _FEWEST or len({trial.value for trial in done}) < 2:
        return nothing
    everywhere = [name for name in fields if all(name in trial.params for trial in done)]
    varied = [name for name in everywhere if len({trial.params[name] for trial in done}) > 1]
    if not varied:
        return nothing
    with quiet():
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=_TREES_SEED)
        found = optuna.importance.get_param_importances(_finished(queue, done), evaluator=evaluator, params=varied)
    return nothing | {name: float(found.get(name, 0.0)) for name in everywhere}


def _finished(queue: Queue, done: Sequence[FrozenTrial]) -> Any:
    """Return a study in memory with the trials that have a score."""
    import optuna

    study = optuna.create_study(study_name=queue.name)
    study.add_trials(done)
    return study


def outcome_of(
    queue: Queue, laboratory: Laboratory, *, baseline: bool, progress: Progress | None = None
) -> dict[str, Any]:
    """Return the document of ``result.json``; the first worker that finds the queue empty makes it, for all."""
    with queue.alone():
        found = queue.outcome
        if found is None or (baseline and found["baseline"] is None):
            found = _made(queue, laboratory, baseline, progress)
            queue.write_outcome(found)
    return found


def _made(queue: Queue, laboratory: Laboratory, baseline: bool, progress: Progress | None) -> dict[str, Any]:
    setup, rows = queue.setup, rows_of(queue)
    best = best_of(rows)
    counts = Counter(row.status for row in rows)
    steps = sum(row.steps for row in rows)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "version": __version__,
        "study": queue.name,
        "storage": address(queue.url),
        "search": {key: value for key, value in setup.to_document().items() if key not in ("config", "data")},
        "data": dict(setup.data),
        "trials": {name: counts[name] for name in ("done", "pruned", "diverged", "infeasible", "lost")},
        "best": None,
        "importance": importance(queue),
        "cost": {"steps": steps, "wall_s": round(sum(row.wall_s for row in rows), 3)},
        "baseline": None,
        "environment": environment(),
    }
    if best is not None:
        plan = setup.space.plan(laboratory.base, best.values)
        document["best"] = {
            "trial": best.number,
            "score": best.score,
            "values": dict(best.values),
            "plan": plan.to_document(),
        }
        if baseline:
            document["baseline"] = baseline_of(laboratory, laboratory.resolve(plan), steps, progress).to_document()
    return document


def best_plan(document: Mapping[str, Any]) -> Plan | None:
    """Return the best plan of a result's document."""
    return None if document["best"] is None else Plan.from_document(document["best"]["plan"])
