"""From a configuration and a space to the best plan: `optimize`, and going on with `resume`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.core.schedules import Wave
from ostinato.errors import ConfigError, PlanError
from ostinato.folders import make_folder
from ostinato.search.domains import Choice, Range
from ostinato.search.engines import Crew, Errand, check_engine, crew_of
from ostinato.search.folder import SearchFolder
from ostinato.search.objective import Objective
from ostinato.search.outcome import Row, best_plan, outcome_of, rows_of
from ostinato.search.pictures import draw_pictures
from ostinato.search.pruning import pruner_of
from ostinato.search.queue import Queue
from ostinato.search.setup import Setup
from ostinato.search.space import Space
from ostinato.search.storage import HEARTBEAT_S, address, open_storage, told_as_ours
from ostinato.search.trials import Laboratory
from ostinato.search.worker import TOGETHER
from ostinato.training import RunConfig, RunFolder
from ostinato.training.session import resolve_config
from ostinato.training.signals import StopRequest

__all__ = ["Search", "default_space", "optimize", "resume"]

Progress = Callable[[str, int, int], None]
_PROBED = 512
_AROUND = 16.0


@dataclass(frozen=True)
class Search:
    """A search that has ended.

    Attributes:
        folder: Where it lies.
        document: What came out: ``result.json``.
        trials: Every trial that ended.
        pictures: Files that were drawn.
    """

    folder: SearchFolder
    document: dict[str, Any]
    trials: tuple[Row, ...]
    pictures: tuple[Path, ...]

    @property
    def best(self) -> Plan | None:
        """The best plan; None where no trial was scored."""
        return best_plan(self.document)


def optimize(
    config: RunConfig,
    space: Space | None = None,
    *,
    trials: int = 100,
    sampler: str = "random",
    objective: Objective | None = None,
    sampler_seed: int = 0,
    seeds: int = 1,
    pruner: str = "none",
    engine: str | None = None,
    workers: int | None = None,
    storage: str | Path | None = None,
    name: str | None = None,
    out: str | Path | None = None,
    baseline: bool = True,
    heartbeat_s: int = HEARTBEAT_S,
    progress: Progress | None = None,
    told: Callable[[str], object] | None = None,
) -> Search:
    """Search the fields of a plan for the lowest score, on Optuna's samplers and storages.

    Trials train on four fifths of the training examples and are scored on the last fifth, at a matched phase of the cycle (`Objective`); the test examples
    are not looked at until the best plan is known. All processes that are given one storage and one name work on one search: each trial is run by
    one of them, and by another where that one dies.

    Args:
        config: What to train; a plan without bindings or total is filled in with the default ones.
        space: The fields; by default the rate's peak (a factor of 16 to both sides, logarithmic) and the number of cycles, 1 to 10.
        trials: How many; a grid has as many as it has points, at most so many.
        sampler: ``"random"``, ``"grid"``, ``"qmc"`` (scrambled Sobol) or ``"tpe"``.
        objective: What is scored and when; by default the error at the last trough.
        sampler_seed: Seed of the sampler.
        seeds: Runs of each trial, from ``train.seed`` on, the same for all.
        pruner: One of `ostinato.search.pruning.PRUNERS`; needs an engine that runs trials one by one.
        engine: One of `ostinato.search.engines.ENGINES`; by default ``"population"``, but ``"processes"`` for a model with convolutions, which
            gain nothing by being mapped over members, and where a pruner is to save something.
        workers: Processes, where the engine has some; by default one for each core.
        storage: Where trials are kept: an SQLite file or ``postgresql://USER@HOST/DATABASE``; by default a file in the folder.
        name: The study's name in the storage; by default data and digest of what is searched, so that the same command joins.
        out: The folder to make; by default the first unused ``runs/search-<data>-<n>``.
        baseline: Whether to run a range test and the default cycle at the same cost.
        heartbeat_s: Seconds between a worker's signs of life.
        progress: Is told (what, done, in all) now and then.
        told: Is told sentences that are worth reading meanwhile.

    Raises:
        ConfigError: An argument or setting cannot be; nothing was written then.
        PlanError: The space names what is no field of the plan; or an interval is locked to too few phases.
        StateError: Another search has this name in the storage.
        StorageError: The storage refuses the connection, or another version made what is in it.
        RunInterruptedError: SIGINT or SIGTERM came; finished trials are kept.
    """
    if engine is not None:
        check_engine(engine, workers)
    config = resolve_config(config)
    objective = Objective() if objective is None else objective
    space = default_space(Plan.from_document(config.plan or {})) if space is None else space
    if pruner != "none" and engine == TOGETHER:
        raise ConfigError(
            "pruner: trials that are trained at once end together, so that pruning saves nothing; leave it out, or choose engine processes"
        )
    setup = Setup(config, space, objective, sampler, trials, sampler_seed, seeds, pruner, {})
    pruner_of(pruner)
    laboratory = Laboratory.of(config, objective, seeds)
    engine = check_engine(engine or _engine_for(laboratory, pruner), workers)
    setup = replace(setup, data=laboratory.material.data.describe())
    check_space(setup, laboratory)
    folder = SearchFolder(Path(out)) if out is not None else _unused(laboratory)
    folder.demand_free()
    name = name or f"{Path(laboratory.material.data.name).stem}-{setup.digest[:8]}"
    if storage is None:
        make_folder(folder.path)
    opened = open_storage(folder.trials if storage is None else storage, heartbeat_s=heartbeat_s, told=told)
    queue = Queue.begin(opened, name, setup)
    make_folder(folder.path)
    folder.begin(setup, name, address(queue.url), own=storage is None)
    errand = Errand(queue.url.render_as_string(hide_password=False), name, heartbeat_s)
    return _finish(folder, queue, laboratory, crew_of(engine, workers, errand), baseline=baseline, progress=progress)


def resume(
    path: str | Path,
    *,
    engine: str | None = None,
    workers: int | None = None,
    storage: str | Path | None = None,
    baseline: bool = True,
    heartbeat_s: int = HEARTBEAT_S,
    progress: Progress | None = None,
    told: Callable[[str], object] | None = None,
) -> Search:
    """Go on with a search: trials that ended are not run again.

    Args:
        path: Its folder.
        engine: As for `optimize`.
        workers: As for `optimize`.
        storage: Its storage, where that is not in the folder: a password is not kept.
        baseline: As for `optimize`.
        heartbeat_s: As for `optimize`.
        progress: As for `optimize`.
        told: As for `optimize`.

    Raises:
        ConfigError: There is no search, or its storage has to be given.
        StateError: The data or the plan is not what it was.
        StorageError: The storage cannot be read.
    """
    folder = SearchFolder(Path(path))
    setup, name, own = folder.read()
    if not own and storage is None:
        raise ConfigError(f"{folder.path}: its trials are in another storage; give its address with --storage")
    if own and not folder.trials.exists():
        raise ConfigError(f"{folder.trials}: is missing; restore it from a copy, or begin another search")
    if setup.pruner != "none" and engine == TOGETHER:
        raise ConfigError(f"engine: the search prunes with {setup.pruner}, which needs --engine processes or ray")
    laboratory = Laboratory.of(setup.config, setup.objective, setup.seeds)
    engine = check_engine(engine or _engine_for(laboratory, setup.pruner), workers)
    now = laboratory.material.data.describe()
    setup.demand_same(replace(setup, data=now), name)
    queue = Queue.join(open_storage(folder.trials if own else str(storage), heartbeat_s=heartbeat_s, told=told), name)
    queue.setup.demand_same(setup, name)
    errand = Errand(queue.url.render_as_string(hide_password=False), name, heartbeat_s)
    return _finish(folder, queue, laboratory, crew_of(engine, workers, errand), baseline=baseline, progress=progress)


def _finish(
    folder: SearchFolder, queue: Queue, laboratory: Laboratory, crew: Crew, *, baseline: bool, progress: Progress | None
) -> Search:
    """Work until the queue is empty, and write what came out."""
    told = progress or (lambda what, done, every: None)
    with told_as_ours(queue.url), StopRequest() as stop:
        crew(queue, laboratory, stop, lambda done, every: told("trials", done, every))
    document = outcome_of(
        queue, laboratory, baseline=baseline, progress=lambda done, every: told("baseline", done, every)
    )
    pictures = draw_pictures(queue, document["importance"], folder.path)
    folder.write(queue.setup, document)
    return Search(folder, document, tuple(rows_of(queue)), tuple(pictures))


def _engine_for(laboratory: Laboratory, pruner: str) -> str:
    from torch import nn

    model = laboratory.material.make_model()
    convolves = any(isinstance(module, nn.modules.conv._ConvNd) for module in model.modules())
    return "processes" if convolves or pruner != "none" else TOGETHER


def default_space(base: Plan) -> Space:
    """Return the space of a search that names none: the rate's peak and the number of cycles.

    Raises:
        PlanError: The plan has no wave on ``optimizer.lr`` above 0, or no cycle.

    >>> import ostinato as ost
    >>> base = ost.Plan(total=100, cycle=ost.Cycle(count=5), bindings={"optimizer.lr": ost.wave(0.001, 0.1)})
    >>> list(default_space(base).fields)
    ['optimizer.lr/middle', 'cycle.count']
    """
    target = "optimizer.lr"
    wave = base.bound[target].schedule if target in base.bound else None
    if not isinstance(wave, Wave) or wave.high <= 0 or base.cycle is None:
        raise PlanError(
            f"space: there is none, and the plan has no wave on {target} with a cycle for the default one; write [[search.space]] with field = ..."
        )
    middle = (wave.high * wave.low) ** 0.5 if wave.scale == "geometric" else (wave.high + wave.low) / 2
    peak = Range(float(f"{middle / _AROUND:.3g}"), float(f"{middle * _AROUND:.3g}"), log=True, points=9)
    return Space({f"{target}/middle": peak, "cycle.count": Range(1, 10)})


def check_space(setup: Setup, laboratory: Laboratory) -> None:
    """Check a space against the plan, and an interval against every rhythm that the space can make.

    Raises:
        PlanError: A field is unknown or cannot be what its range says, every plan of the space is impossible, or the interval is locked.
    """
    base, space = laboratory.base, setup.space
    space.check(base, laboratory.plain)
    if setup.objective.interval is None or setup.objective.forced:
        return
    for values in islice(_rhythms(space), _PROBED):
        try:
            resolved: ResolvedPlan = laboratory.plain(space.plan(base, values))
        except PlanError:
            continue  # an end of one range without its partner; such a trial is told as infeasible
        setup.objective.steps(resolved)


def _rhythms(space: Space) -> Any:
    """Yield the combinations of those fields that make the rhythm, each at every point of its grid."""
    own = {name: domain for name, domain in space.fields.items() if name.startswith(("cycle.", "total", "warmup"))}
    kept = {name: domain for name, domain in own.items() if set(domain.when) <= set(own)}
    fine = {name: _fine(domain) for name, domain in kept.items()}
    return (space.read(numbers) for numbers in Space(fine).grid()) if fine else iter([{}])


def _fine(domain: Range | Choice) -> Range | Choice:
    """Return a range with many points where it has no step."""
    if isinstance(domain, Range) and domain.points < 64:
        return Range(domain.low, domain.high, domain.log, domain.step, 64, domain.when)
    return domain


def _unused(laboratory: Laboratory) -> SearchFolder:
    stem = Path(laboratory.material.data.name).stem.replace(":", "-") or "run"
    return SearchFolder(RunFolder.unused("runs", f"search-{stem}"))
