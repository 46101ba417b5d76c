"""What comes out of a run: the ensemble's evaluation, ``result.json`` and the report."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch

from ostinato._version import __version__
from ostinato.atomic import write_bytes, write_json
from ostinato.core.bindings import Binding
from ostinato.core.resolved import ResolvedPlan
from ostinato.core.schedules import Wave
from ostinato.ensembles import Evaluation
from ostinato.training.class_scores import class_reports
from ostinato.training.log import read_metrics
from ostinato.training.loop import TrainingLoop
from ostinato.training.report import RunReport, Series, render

__all__ = ["environment", "evaluate", "result_document", "write_outcome"]

SCHEMA = "ostinato.result"
_MOST_POINTS = 4000
_TESTED = {"error": "error", "nll": "nll", "balanced_error": "balanced error", "average_precision": "AUPRC"}
Average = Literal["probabilities", "logits"]


def environment() -> dict[str, str]:
    """Return the versions and the machine that figures depend on."""
    return {
        "ostinato": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "threads": str(torch.get_num_threads()),
    }


def evaluate(loop: TrainingLoop, *, last: int | None = None, average: Average | None = None) -> Evaluation | None:
    """Score the ensemble on the test data; None where there is no snapshot."""
    session = loop.session
    if not len(loop.snapshots):
        return None
    with session.evaluating():
        chosen: Average = average or session.config.train.average
        return loop.snapshots.evaluate(session.test_batches(), last=last, average=chosen)


def result_document(
    loop: TrainingLoop, evaluation: Evaluation | None, final: Mapping[str, float] | None, *, last: int | None = None
) -> dict[str, Any]:
    """Return the document of ``result.json``.

    `metrics` has `last` (last snapshot), `best_member` (chosen on the same data, hence optimistic) and `ensemble`, each {error, nll, ece},
    or None without snapshots; `final` is the model as training left it. Where classes are unequal, `last` and `ensemble` have {balanced_error,
    average_precision} too, and `classes` the scores class by class; else that is None. `last` snapshots, or all, are what the ensemble is of.
    """
    session, resolved = loop.session, loop.session.scheduler.resolved
    scores = {} if evaluation is None else evaluation.to_document()
    average: Average = scores.get("average") or session.config.train.average
    classes = {
        who: report.to_document() for who, report in class_reports(session, loop.snapshots, last, average).items()
    }
    for who, report in classes.items() if scores else ():
        scores[who] |= {key: report[key] for key in ("balanced_error", "average_precision")}
    members = [
        {"step": member.step, "cycle": member.cycle, "file": member.file.name, "sha256": member.file.sha256, **metrics}
        for member, metrics in zip(
            loop.snapshots.members[-len(scores.get("members", [])) :], scores.get("members", []), strict=False
        )
    ]
    return {
        "schema": SCHEMA,
        "version": __version__,
        "plan_digest": resolved.digest,
        "data": session.data.describe(),
        "model": session.config.model.name or session.config.model.factory or type(session.model).__name__,
        "optimizer": session.config.optimizer.name,
        "loss": session.config.loss.name,
        "augment": _augmentation(loop),
        "seed": session.config.train.seed,
        "workers": session.team.describe(),
        "steps": session.scheduler.count,
        "steps_per_epoch": session.steps_per_epoch,
        "cycles": [{"start": span.start, "end": span.end, "complete": span.complete} for span in resolved.cycles],
        "snapshots": [member.step for member in loop.snapshots.members],
        "metrics": {name: scores.get(name) for name in ("last", "best_member", "ensemble")}
        | {"final": dict(final) if final else None},
        "members": members,
        "best_step": scores.get("best_step"),
        "disagreement": scores.get("disagreement"),
        "calibration": {"ensemble": scores["calibration"], "last": scores["last_calibration"]} if scores else None,
        "examples": scores.get("examples"),
        "classes": classes or None,
        "average": scores.get("average"),
        "environment": environment(),
        "wall_s": round(loop.elapsed_s, 3),
    }


def _augmentation(loop: TrainingLoop) -> dict[str, Any] | None:
    """Return what was done to the training batches, and whether the plan drove how strongly."""
    session = loop.session
    if session.augment is None:
        return None
    driven = session.augment.target in session.scheduler.resolved.targets
    return (
        session.augment.describe()
        | session.config.augment.to_table()
        | {"maxima": dict(session.augment.maxima), "driven": driven}
    )


def write_outcome(loop: TrainingLoop, *, status: Any = "complete", message: str = "") -> dict[str, Any]:
    """Score what there is and write ``report.html``, and ``result.json`` if the run is complete; return its document."""
    records = list(read_metrics(loop.folder.metrics))
    tests = [record for record in records if "test" in record]
    document = result_document(loop, evaluate(loop), tests[-1]["test"] if tests else None)
    if status == "complete":
        write_json(loop.folder.result, document)
    write_bytes(loop.folder.report, render(run_report(loop, document, records, status, message)).encode())
    return document


def run_report(
    loop: TrainingLoop, document: Mapping[str, Any], records: list[dict[str, Any]], status: Any, message: str
) -> RunReport:
    """Return what the page of a run shows."""
    session, resolved = loop.session, loop.session.scheduler.resolved
    losses = [(record["step"], record["loss"]) for record in records if "loss" in record]
    tests = [(record["step"], record["test"]) for record in records if "test" in record]
    norms = [(record["step"], record["weight_norm"]) for record in records if "weight_norm" in record]
    metrics = [
        Series(f"test {words}", [step for step, _ in tests], [test[name] for _, test in tests], "metric")
        for name, words in _TESTED.items()
        if all(name in test for _, test in tests)
    ]
    if norms:
        metrics.append(Series("weight norm", [step for step, _ in norms], [norm for _, norm in norms], "metric"))
    metrics += norm_series(records)
    evaluation = None
    if document["members"]:
        parts = {key: document[key] for key in ("members", "disagreement", "calibration", "examples")}
        best = {**document["metrics"]["best_member"], "step": document["best_step"]}
        evaluation = parts | {
            "ensemble": document["metrics"]["ensemble"],
            "last": document["metrics"]["last"],
            "best_member": best,
        }
    folder = shlex.quote(str(loop.folder.path))
    return RunReport(
        title=f"{document['data']['name']} · {document['model']}",
        data=document["data"]["name"],
        model=document["model"],
        seed=document["seed"],
        total_steps=resolved.total,
        steps_per_epoch=session.steps_per_epoch,
        warmup=resolved.warmup,
        cycles=[(span.start, span.end) for span in resolved.cycles],
        snapshots=document["snapshots"],
        schedules=schedule_series(resolved),
        losses=[Series("train loss", [step for step, _ in losses], [loss for _, loss in losses], "loss")],
        metrics=metrics,
        evaluation=evaluation,
        plan_toml=resolved.plan.to_toml(),
        plan_rows=plan_rows(resolved),
        command=f"ostinato train {folder}/config.toml --out {folder}-again",
        resume_command=None if status == "complete" else f"ostinato train --resume {folder}",
        environment=document["environment"],
        wall_s=document["wall_s"],
        status=status,
        message=message,
    )


def norm_series(records: list[dict[str, Any]]) -> list[Series]:
    """Return the batch-norm gap and the distances of the running statistics, where they were measured."""
    gaps = [(record["step"], record["norm_gap"]) for record in records if "norm_gap" in record]
    names = {"gap": "batch-norm gap", "mean": "running mean distance", "variance": "running variance distance"}
    return [
        Series(words, [step for step, _ in gaps], [gap[name] for _, gap in gaps], "metric")
        for name, words in names.items()
        if gaps
    ]


def schedule_series(resolved: ResolvedPlan) -> list[Series]:
    """Return every scheduled value at a few thousand steps, both sides of each cycle's end among them."""
    stride = max(1, resolved.total // _MOST_POINTS)
    steps = set(range(0, resolved.total, stride)) | {resolved.total - 1}
    if len(resolved.cycles) <= _MOST_POINTS:
        steps |= {step for span in resolved.cycles for step in (span.start, span.end - 1)}
    chosen = np.array(sorted(steps), dtype=np.int64)
    series = []
    for target, curve in resolved.curves.items():
        low, high = (value if np.isfinite(value) else None for value in (curve.low, curve.high))
        series.append(
            Series(
                target,
                chosen,
                curve(chosen),
                "schedule",
                low=low,
                high=high,
                note=relation(resolved.plan.bound[target]),
            )
        )
    return series


def relation(binding: Binding) -> str:
    """Return in words how a binding moves with the cycle."""
    course = binding.schedule
    words = [course.to_document(lambda duration, what: str(duration))["kind"]]
    if isinstance(course, Wave):
        words += [f"shift {course.shift:g}"] if course.shift else []
        words += [course.scale] if course.scale != "linear" else []
        words += [f"own cycle {course.cycle.period or course.cycle.count}"] if course.cycle else []
    words += [word for word in ("relative", "effective") if getattr(binding, word)]
    return ", ".join(words)


def plan_rows(resolved: ResolvedPlan) -> list[list[str]]:
    """Return the plan as a table: target, relation, range and mean."""
    rows = [["target", "relation", "low", "high", "mean"]]
    for target, binding in resolved.plan.bound.items():
        curve = resolved.curves[target]
        rows.append(
            [target, relation(binding), f"{curve.low:.4g}", f"{curve.high:.4g}", f"{resolved.mean(target):.4g}"]
        )
    return rows
