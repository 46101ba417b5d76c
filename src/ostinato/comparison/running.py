"""From a configuration to a verdict: `compare`, going on with `resume`, and judging what is there with `judge`."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ostinato._version import __version__
from ostinato.atomic import write_bytes, write_json
from ostinato.comparison.analysis import Summary, summarise
from ostinato.comparison.arms import DEFAULT_CONTROLS, TUNED, Arm, arms_of, check_controls, rates_of
from ostinato.comparison.endpoints import check_margin, endpoint_of
from ostinato.comparison.folder import SCHEMA, ComparisonFolder
from ostinato.comparison.picture import draw
from ostinato.comparison.setup import Material, Setup, check_seeds, material_of
from ostinato.comparison.training import Progress, blocks_of, train_block, tuned
from ostinato.controls import tuned_constant
from ostinato.errors import ConfigError, PopulationFallbackWarning, RunInterruptedError
from ostinato.records import read_records
from ostinato.training import RunConfig, RunFolder
from ostinato.training.session import resolve_config
from ostinato.training.signals import StopRequest

__all__ = ["Comparison", "compare", "judge", "resume"]


@dataclass(frozen=True)
class Comparison:
    """A comparison that has its verdict.

    Attributes:
        folder: Where it lies.
        summary: What came out.
    """

    folder: ComparisonFolder
    summary: Summary

    def to_document(self) -> dict[str, Any]:
        """Return the document of ``result.json``."""
        return {"schema": "ostinato.comparison", "version": __version__, **self.summary.to_document()}


def compare(
    config: RunConfig,
    *,
    seeds: int = 8,
    controls: Sequence[str] = DEFAULT_CONTROLS,
    endpoint: str = "error",
    margin: float | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Train a plan and its controls at equal budget, seeds paired, and decide whether cycling helped.

    Everything is resolved as ``ostinato train`` resolves it. Arms share, seed by seed, the initial weights, the order of the data and the masks of
    dropout; they are trained many at once (`ostinato.population`) in blocks of whole seeds, and each block's records are written when it is
    done. The rule is that of `ostinato.evaluation.decide`, with the differences oriented so that positive means that the plan is better.

    Args:
        config: What to train; a plan without bindings or total is filled in with the default ones.
        seeds: How many, at least 2, from ``train.seed`` on.
        controls: Names of `ostinato.controls`. The sorted twin is the comparator where it is there, otherwise the first.
        endpoint: What decides, see `ostinato.comparison.endpoints`.
        margin: The smallest difference that matters; by default 0.002 of error, 0.01 nats of NLL, 0.005 of calibration error.
        out: The folder to make; by default the first unused ``runs/compare-<data>-<n>``.
        progress: Is told (member-steps done, member-steps in all) now and then.

    Raises:
        ConfigError: An argument or setting cannot be; nothing was written then.
        PlanError: The plan ends inside a cycle, or cannot have a control.
        RunInterruptedError: SIGINT or SIGTERM came; finished blocks are kept.
    """
    chosen = check_controls(controls)
    config = resolve_config(config)
    check_seeds(seeds, config.train.seed)
    if margin is not None:
        check_margin(margin)
    if out is not None:
        ComparisonFolder(Path(out)).demand_free()
    material = material_of(config)
    cycles = len(material.plan.cycles)
    decided = endpoint_of(endpoint, cycles)
    setup = Setup(
        config, chosen, decided, decided.margin if margin is None else float(margin), seeds, material.data.describe(), cycles, material.plan.digest
    )  # fmt: skip
    _demand_arms(setup, material)
    stem = f"compare-{Path(material.data.name).stem.replace(':', '-') or 'run'}"
    folder = ComparisonFolder(Path(out) if out is not None else RunFolder.unused("runs", stem))
    folder.begin(setup.to_document())
    return _finish(folder, setup, material, progress)


def resume(
    path: str | Path,
    *,
    config: RunConfig | None = None,
    seeds: int | None = None,
    controls: Sequence[str] | None = None,
    endpoint: str | None = None,
    margin: float | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Go on with a comparison: runs that are recorded are not made again. More seeds than before may be asked for.

    Raises:
        ConfigError: There is no comparison, or fewer seeds are asked for.
        StateError: What is given, or the data, differs from what was begun; the message shows how.
        StorageError: The records follow another version, or are damaged.
    """
    folder = ComparisonFolder(Path(path))
    setup = Setup.from_document(folder.read_setup(), str(folder.setup))
    folder.read()
    chosen = None if controls is None else check_controls(controls)
    setup.demand_same(str(folder.path), config=config, controls=chosen, endpoint=endpoint, margin=margin)
    if seeds is not None:
        setup = setup.with_seeds(seeds)
    material = material_of(setup.config)
    setup.demand_same_material(str(folder.path), material)
    folder.write_setup(setup.to_document())
    return _finish(folder, setup, material, progress)


def judge(path: str | Path) -> Comparison:
    """Return the verdict that the records of a comparison give by themselves; nothing is trained or written.

    Args:
        path: The folder of a comparison, or its ``records.jsonl``.

    Raises:
        ConfigError: There are no records.
        StateError: Runs are missing, so that there is no verdict yet.
        StorageError: The records follow another version, or are damaged.
    """
    place = Path(path)
    folder = ComparisonFolder(place.parent if place.is_file() else place)
    records = read_records(place if place.is_file() else folder.records, schema=SCHEMA)
    if not records:
        raise ConfigError(f"{place}: holds no records of a comparison; give the folder of one that was run")
    return Comparison(folder, summarise(records))


def _demand_arms(setup: Setup, material: Material) -> None:
    """Derive every control once, before anything is written."""
    arms_of(material.plan, [name for name in setup.controls if name != TUNED], {})
    if TUNED in setup.controls:
        tuned_constant(material.plan.plan, **rates_of(material.plan))


def _finish(folder: ComparisonFolder, setup: Setup, material: Material, progress: Progress | None) -> Comparison:
    """Make the runs that are missing, and write what came out."""
    with StopRequest() as stop:
        setup = _tuned(folder, setup, material, _Watch(folder, setup, stop))
        arms = arms_of(material.plan, setup.controls, setup.options)
        _train(folder, setup, material, arms, _Watch(folder, setup, stop, progress))
        comparison = Comparison(folder, summarise(folder.read()))  # what is left takes a second, and is not interrupted
        write_bytes(folder.picture, draw(comparison.summary))
        write_json(folder.result, comparison.to_document())
    return comparison


def _train(folder: ComparisonFolder, setup: Setup, material: Material, arms: Sequence[Arm], watch: _Watch) -> None:
    known = {record["seed"] for record in folder.read()}
    missing = [seed for seed in setup.chosen_seeds if seed not in known]
    each = len(arms) * material.plan.total
    with warnings.catch_warnings():
        for seeds in blocks_of(missing, len(arms)):
            watch.before = (setup.seeds - len(missing)) * each
            watch.all = setup.seeds * each
            watch(0, 0)
            folder.add(train_block(setup, material, arms, seeds, watch))
            missing = missing[len(seeds) :]
            warnings.simplefilter("ignore", PopulationFallbackWarning)  # said once
    watch.before, watch.all = 0, setup.seeds * each
    watch(watch.all, watch.all)


def _tuned(folder: ComparisonFolder, setup: Setup, material: Material, watch: _Watch) -> Setup:
    """Choose the rate of ``tuned_constant`` where it is asked for and not chosen yet, and write it down before the first run."""
    if TUNED not in setup.controls or TUNED in setup.options:
        return setup
    options, runs = tuned(material, setup.endpoint, watch)
    setup = replace(setup, options={TUNED: options}, tuning={TUNED: runs})
    folder.write_setup(setup.to_document())
    return setup


class _Watch:
    """Passes progress on, and ends the work once that is asked for."""

    def __init__(
        self, folder: ComparisonFolder, setup: Setup, stop: StopRequest, progress: Progress | None = None
    ) -> None:
        self._folder, self._setup, self._stop, self._progress = folder, setup, stop, progress
        self.before = self.all = 0

    def __call__(self, done: int, every: int) -> None:
        finished = 0 < every == done  # a block that is trained is worth recording first
        if self._stop.name is not None and not finished:
            seeds = len({record["seed"] for record in self._folder.read()})
            raise RunInterruptedError(
                f"{self._stop.name} with {seeds} of {self._setup.seeds} seeds done; go on with: ostinato compare --resume {shlex.quote(str(self._folder.path))}"
            )
        if self._progress is not None:
            self._progress(self.before + done, self.all)
