"""Training many members at once: the public functions."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError, PopulationFallbackWarning, TruncatedCycleWarning
from ostinato.population import recipes
from ostinato.population.alone import Alone, Stop, train_alone
from ostinato.population.assembly import Origin, from_alone, from_chunks
from ostinato.population.job import Evaluate, Job, make_job
from ostinato.population.memory import available, chunks_of
from ostinato.population.pool import train_in_processes
from ostinato.population.result import PopulationResult
from ostinato.population.scoring import Metric
from ostinato.population.stacked import Chunk, Steps
from ostinato.population.template import Template, names_of, prepare

__all__ = ["single", "train"]

Loss = Callable[[Any, Any], Tensor]
Progress = Callable[[int, int], None]
_WORKERS = 2


def train(
    make_model: Callable[[], nn.Module],
    plans: Sequence[Plan | ResolvedPlan],
    data: Any,
    *,
    loss: Loss = F.cross_entropy,
    optimizer: str = "adamw",
    optimizer_options: Mapping[str, Any] | None = None,
    seeds: Iterable[int] | None = None,
    batch_size: int = 64,
    drop_last: bool = False,
    steps: int | None = None,
    evaluate: Evaluate = "ends",
    metrics: Mapping[str, Metric] | None = None,
    snapshots: bool | Evaluate = False,
    subsets: Sequence[Sequence[int]] | NDArray[np.int64] | None = None,
    batches: NDArray[np.integer[Any]] | None = None,
    memory_limit: int | None = None,
    compile: Literal["auto"] | bool = "auto",
    progress: Progress | None = None,
) -> PopulationResult:
    """Train K members of one architecture at once, each with its own plan, seed, initial weights and order of the data.

    Member k becomes what it becomes by itself (`single`), within 1e-5 for float32 as long as training is not chaotic: rounding differs. Its
    update is ``vmap(grad(loss))`` over the members and a functional optimizer in the order of operations of `torch.optim`, traced once and
    compiled where that pays. Masks of dropout layers and the numbers of `ostinato.nn.RandomLayer` are a function of seed, step, layer and element (`counted`). A member whose loss or
    gradient is not finite keeps its last weights from then on; the others go on.

    Where a model cannot be treated so (control flow that depends on data, ``.item()``, buffers changed in place, randomness of its own,
    another optimizer), one warning says why and the members are trained one by one in two processes, with the same kind of result. A member
    whose process dies is tried again when the others are through; if it dies again, a second warning names it and the others' results stand.

    Args:
        make_model: Makes a model; its weights are drawn from the global generators, which are seeded before.
        plans: One for each member. Targets begin with ``optimizer``, ``model`` or ``loss``. What a member's plan does not drive keeps the
            value that optimizer and model have. Lengths may differ. A plan without a total gets `steps`.
        data: An object with `train` and `test` (`ostinato.training.datasets.Data`), or a pair of them; each has `inputs` and `targets`, or is a pair.
        loss: Of (outputs, targets), one number. ``F.cross_entropy`` has the attributes of `torch.nn.CrossEntropyLoss` for plans to drive.
        optimizer: ``"sgd"``, ``"adam"``, ``"adamw"``; any other of `torch.optim` in processes. Two groups, ``decay`` and ``no_decay``.
        optimizer_options: What its class accepts; `ostinato.training` has the defaults.
        seeds: A whole number for each member; by default 0 to K - 1.
        batch_size: Examples of a batch.
        drop_last: Leave out an epoch's last batch where it is not full, which saves a second compilation.
        steps: Updates to make, at most the plans' totals; by default each plan's total.
        evaluate: When a member is scored: ``"ends"``, ``"peaks"`` or ``"troughs"`` of its cycles, ``"last"``, every N steps, given steps, or a
            function of its resolved plan. It always is after its last update.
        metrics: Functions of test outputs and targets that return one number, by name; by default ``error`` and ``nll`` for classes, ``mse`` otherwise.
        snapshots: Keep every member's weights at the ends of its cycles (True), or when `evaluate` says it in the same words: at given steps,
            every N steps, by a function of its resolved plan, and after its last update.
        subsets: For every member the examples that it trains on, all equally many; by default all.
        batches: For every member the examples of each of its updates, indices (K, updates, examples), in place of shuffled passes: streams, replay,
            curricula. `batch_size` and `drop_last` are then not used, and an epoch is the whole.
        memory_limit: Bytes to stay below, roughly; members are trained in chunks then, with the same results. By default half of the free memory.
        compile: ``"auto"`` decides from the number of steps, members and weights.
        progress: Is told (member-steps done, member-steps in all) now and then.

    Raises:
        ConfigError: An argument cannot be, or not one member fits into memory.
        DataError: The data is not in memory.
        OstinatoError: The processes of all members died.
        PlanError: A plan cannot be resolved, or has fewer steps than `steps`.
        TargetError: A plan's target matches nothing.

    Warns:
        PopulationFallbackWarning: The members cannot be trained at once; or one of them could not be trained at all.
        TruncatedCycleWarning: Some members' runs end inside a cycle.

    >>> import ostinato as ost
    >>> plans = [ost.Plan(total=4, bindings={"optimizer.lr": rate}) for rate in (0.01, 0.1)]
    >>> data = torch.randn(16, 3), torch.arange(16) % 2
    >>> result = ost.population.train(lambda: nn.Linear(3, 2), plans, (data, data), batch_size=8)
    >>> result.status, result.metrics["error"].shape
    (('done', 'done'), (2, 1))
    """
    begun = time.monotonic()
    job = make_job(
        make_model, plans, data, loss=loss, optimizer=optimizer, options=optimizer_options, seeds=seeds, batch_size=batch_size,
        drop_last=drop_last, steps=steps, evaluate=evaluate, metrics=metrics, snapshots=snapshots, subsets=subsets, batches=batches,
    )  # fmt: skip
    if compile not in ("auto", True, False):
        raise ConfigError(f"compile: got {compile!r}, expected 'auto', True or False")
    _warn_of_truncation(job)
    with recipes.kept_randomness():
        model = recipes.built(make_model, job.seeds[0])
    names = names_of(model)
    template = prepare(job, model)
    if isinstance(template, str):
        warnings.warn(
            f"{template}; the members are trained one by one in {_WORKERS} processes, which is slower",
            PopulationFallbackWarning,
            stacklevel=2,
        )
        alone = train_in_processes(job, _WORKERS, progress)
        _warn_of_failures(alone)
        return from_alone(job, alone, Origin(names, "processes", template, (1,) * len(alone), begun))
    return _stacked(template, available() if memory_limit is None else memory_limit, compile, progress, begun)


def single(
    make_model: Callable[[], nn.Module],
    plan: Plan | ResolvedPlan,
    data: Any,
    *,
    loss: Loss = F.cross_entropy,
    optimizer: str = "adamw",
    optimizer_options: Mapping[str, Any] | None = None,
    seed: int = 0,
    batch_size: int = 64,
    drop_last: bool = False,
    steps: int | None = None,
    evaluate: Evaluate = "ends",
    metrics: Mapping[str, Metric] | None = None,
    snapshots: bool | Evaluate = False,
    subset: Sequence[int] | NDArray[np.int64] | None = None,
    batches: NDArray[np.integer[Any]] | None = None,
    stop: Stop | None = None,
) -> PopulationResult:
    """Train one member by itself, by a plain loop: a live model, `torch.optim`, `Scheduler`. Takes what `train` takes; `batches` are (updates, examples).

    `stop` is called as ``stop(step, scores)`` after every scoring, and ends the training there by returning True.

    >>> import ostinato as ost
    >>> data = torch.randn(16, 3), torch.arange(16) % 2
    >>> ost.population.single(lambda: nn.Linear(3, 2), ost.Plan(total=4), data, batch_size=8).status
    ('done',)
    """
    begun = time.monotonic()
    job = make_job(
        make_model, [plan], data, loss=loss, optimizer=optimizer, options=optimizer_options, seeds=[seed], batch_size=batch_size,
        drop_last=drop_last, steps=steps, evaluate=evaluate, metrics=metrics, snapshots=snapshots, subsets=None if subset is None else np.asarray(subset)[None],
        batches=None if batches is None else np.asarray(batches)[None],
    )  # fmt: skip
    _warn_of_truncation(job)
    with recipes.kept_randomness():
        names = names_of(recipes.built(make_model, seed))
    return from_alone(job, [train_alone(job, 0, stop)], Origin(names, "alone", "", (1,), begun))


def _warn_of_truncation(job: Job) -> None:
    cut = [k for k, plan in enumerate(job.plans) if plan.truncated and job.totals[k] == plan.total]
    if cut:
        fits = " or ".join(map(str, job.plans[cut[0]].totals_that_fit))
        warnings.warn(
            f"{len(cut)} of {len(job.plans)} runs end inside a cycle, which yields no snapshot; for member {cut[0]} a total of {fits} steps fits",
            TruncatedCycleWarning,
            stacklevel=3,
        )


def _warn_of_failures(alone: Sequence[Alone]) -> None:
    lost = [f"member {k} failed: {one.failure}" for k, one in enumerate(alone) if one.failure]
    if lost:
        warnings.warn(
            f"{'; '.join(lost)}; the other {len(alone) - len(lost)} members are complete",
            PopulationFallbackWarning,
            stacklevel=3,
        )


def _stacked(
    template: Template, limit: int, compile: bool | str, progress: Progress | None, begun: float
) -> PopulationResult:
    job = template.job
    by_length = sorted(range(len(job.seeds)), key=lambda k: job.totals[k])
    chunks = chunks_of(by_length, template.each, limit)
    steps, done, every = Steps(template, compile), [], sum(job.totals)
    before = 0
    for members in chunks:
        chunk = Chunk(template, members, len(chunks[0]) if compile is not False else len(members))
        totals = [job.totals[k] for k in members]

        def report(step: int, before: int = before, totals: list[int] = totals) -> None:
            if progress is not None:
                progress(before + sum(min(step, total) for total in totals), every)

        with torch.no_grad():
            for step in chunk.updates(steps):
                report(step)
        before += sum(totals)
        report(max(totals))
        done.append(chunk)
    sizes = tuple(len(chunk.members) for chunk in done)
    how: Literal["compiled", "stacked"] = "compiled" if steps.compiled else "stacked"
    return from_chunks(job, done, Origin(template.names, how, "", sizes, begun))
