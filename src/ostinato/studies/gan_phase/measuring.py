"""Playing the games of study ``gan-phase``: all arms of some seeds at once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.applications import adversarial
from ostinato.applications.adversarial import Games, networks
from ostinato.studies.frame.cells import Cell, Measurement, Request, Stage
from ostinato.studies.frame.spec import Regime
from ostinato.studies.frame.threads import one_thread
from ostinato.studies.gan_phase.plans import plan_of

__all__ = ["measure", "metrics_of", "together"]

Floats = NDArray[np.float64]
PHASES = tuple(k / 8 for k in range(1, 9))


def together(regime: Regime, stage: Stage, cells: tuple[Cell, ...]) -> Iterable[tuple[Cell, ...]]:
    """The cells of one seed are played at once: so many games fit a processor's cache."""
    seeds = sorted({cell.seed for cell in cells})
    return (tuple(cell for cell in cells if cell.seed == seed) for seed in seeds)


def measure(request: Request) -> Iterator[Measurement]:
    """Play the games of a request: seeds that have the same arms and settings at once."""
    by_seed: dict[int, list[Cell]] = {}
    for cell in request.cells:
        by_seed.setdefault(cell.seed, []).append(cell)
    groups: dict[tuple[Any, ...], list[int]] = {}
    for seed, cells in by_seed.items():
        groups.setdefault(tuple(sorted(_key(cell) for cell in cells)), []).append(seed)
    with one_thread():
        for seeds in groups.values():
            yield from _played([by_seed[seed] for seed in seeds], request.parameters)


def _key(cell: Cell) -> tuple[str, tuple[tuple[str, float], ...]]:
    return cell.arm, tuple(sorted(cell.settings.items()))


def _played(cells: Sequence[Sequence[Cell]], parameters: Mapping[str, Any]) -> Iterator[Measurement]:
    """Play games of several seeds, the same arms and settings in each; equal plans are one arm."""
    begun = time.monotonic()
    sizes = parameters["rounds"], parameters["cycles"]
    plans = {_key(cell): plan_of(cell.arm, cell.settings, *sizes) for cell in cells[0]}
    games = play(parameters, {plan.digest: plan for plan in plans.values()}, [own[0].seed for own in cells])
    wall = (time.monotonic() - begun) / (len(cells) * len(plans))
    measured = metrics_of(games)
    for place, own in enumerate(cells):
        for cell in own:
            digest = plans[_key(cell)].digest
            arm = games.place(digest)
            if games.diverged[arm, place] >= 0:
                yield Measurement(cell, {}, plans=(digest,), status="diverged", wall_s=wall)
                continue
            metrics = {name: float(values[arm, place]) for name, values in measured.items()}
            curves = {"jsd": games.coverage.jsd[:, arm, place].tolist()}
            yield Measurement(cell, metrics, plans=(digest,), curves=curves, wall_s=wall)


def play(parameters: Mapping[str, Any], plans: Mapping[str, Any], seeds: Sequence[int]) -> Games:
    """Play the games of a regime."""
    sizes = {name: parameters[name] for name in ("hidden", "layers")}
    return adversarial.play(
        parameters["mixture"], plans, seeds=seeds,
        generator=partial(networks.generator, **sizes),
        discriminator=partial(networks.discriminator, octaves=parameters["octaves"], **sizes),
        batch=parameters["batch"], every=parameters["every"], samples=parameters["samples"],
    )  # fmt: skip


def metrics_of(games: Games) -> dict[str, Floats]:
    """Return numbers by name, (A, S): means over the last cycle, what was read last, and the worst of the last cycle; never the best."""
    covered, mean = games.coverage, games.last_cycle
    uncovered = np.log(
        games.mixture.modes
    )  # what the reverse KL of a single mode is: no sample of high quality is no better
    found = {
        "jsd": mean(covered.jsd),
        "jsd_final": covered.jsd[-1],
        "jsd_worst": games.last_cycle(covered.jsd, np.max),
        "missed": mean(covered.mixture.modes - covered.modes.astype(np.float64)),
        "junk": mean(1.0 - covered.high_quality),
        "reverse_kl": mean(np.nan_to_num(covered.reverse_kl, nan=uncovered)),
        "runaway": games.overall(games.below),
        "loss_discriminator": mean(games.losses[0]),
        "loss_generator": mean(games.losses[1]),
    }
    return found | {f"jsd_phase_{place}": games.at(covered.jsd, phase) for place, phase in enumerate(PHASES)}
