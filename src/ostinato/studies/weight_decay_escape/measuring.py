"""Running the arms of study ``weight-decay-escape``: all wells of a seed under all arms at once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from ostinato.applications.landscapes import Descent, DoubleWells, descend
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError
from ostinato.studies.frame.cells import Cell, Measurement, Request, Stage
from ostinato.studies.frame.spec import Regime
from ostinato.studies.frame.threads import one_thread
from ostinato.studies.weight_decay_escape.plans import highest, plan_of

__all__ = ["make_wells", "measure", "together"]

_AT_ONCE = 5


def together(regime: Regime, stage: Stage, cells: tuple[Cell, ...]) -> Iterable[tuple[Cell, ...]]:
    """The cells of five seeds go to one process."""
    seeds = sorted({cell.seed for cell in cells})
    blocks = (set(seeds[first : first + _AT_ONCE]) for first in range(0, len(seeds), _AT_ONCE))
    return (tuple(cell for cell in cells if cell.seed in block) for block in blocks)


def measure(request: Request) -> Iterator[Measurement]:
    """Run the cells of a request, those of one seed at once."""
    with one_thread():
        for seed in sorted({cell.seed for cell in request.cells}):
            own = [cell for cell in request.cells if cell.seed == seed]
            wells = make_wells(request.parameters, seed, request.stage)
            noisy = [cell for cell in own if cell.arm == "noise"]
            yield from _run(wells, [cell for cell in own if cell.arm != "noise"], request.parameters)
            yield from _run(replace(wells, noise=request.parameters["arm_noise"]), noisy, request.parameters)


def make_wells(parameters: Mapping[str, Any], seed: int, stage: Stage = "confirming") -> DoubleWells:
    """Return a seed's wells, placed as the regime says; settings are chosen before they are mirrored or shifted.

    Raises:
        ConfigError: It says something else than ``either``, ``inner``, ``mirrored`` or ``shifted``.
    """
    placed = parameters["placed"]
    if placed not in ("either", "inner", "mirrored", "shifted"):
        raise ConfigError(f"placed: got {placed!r}, expected either, inner, mirrored or shifted")
    wells = DoubleWells.draw(
        seed, parameters["wells"], barrier=parameters["barrier"], width=parameters["width"], shallow=parameters["shallow"],
        deeper="either" if placed == "either" else "inner", noise=parameters["noise"],
    )  # fmt: skip
    if stage == "tuning":
        return wells
    if placed == "shifted":
        return wells.shifted(-wells.barrier)
    return wells.mirrored() if placed == "mirrored" else wells


def _run(wells: DoubleWells, cells: Sequence[Cell], parameters: Mapping[str, Any]) -> Iterator[Measurement]:
    """Run cells of one seed; those of equal plans are one arm."""
    if not cells:
        return
    begun, seed = time.monotonic(), cells[0].seed
    highs = [highest(cell.arm, cell.settings, parameters["weak"]) for cell in cells]
    plans = [_plan(cell, high, parameters) for cell, high in zip(cells, highs, strict=True)]
    descent = descend(
        wells, wells.starts(seed, wells.instances), {plan.digest: plan for plan in plans}, optimizer="adamw", seed=seed, every=100
    )  # fmt: skip
    wall = (time.monotonic() - begun) / len(cells)
    for cell, plan, high in zip(cells, plans, highs, strict=True):
        place = descent.place(plan.digest)
        if (descent.diverged[place] >= 0).any():
            yield Measurement(cell, {}, plans=(plan.digest,), status="diverged", wall_s=wall)
        else:
            yield Measurement(cell, _metrics(wells, descent, place, high), plans=(plan.digest,), wall_s=wall)


def _plan(cell: Cell, high: float, parameters: Mapping[str, Any]) -> ResolvedPlan:
    sizes = parameters["rate"], parameters["steps"], parameters["cycles"]
    return plan_of(cell.arm, high, *sizes, seed=cell.seed if cell.arm == "shuffled" else 0)


def _metrics(wells: DoubleWells, descent: Descent, place: int, high: float) -> dict[str, float]:
    """Return the shares of an arm: trapped at the end, also by the side that zero lies on; and of wells in which the decay can matter."""
    deep = wells.in_deep(torch.from_numpy(descent.positions[place])).numpy()
    inside = wells.in_deep(torch.zeros(wells.instances, 1)).numpy()
    between = wells.barrier.numpy() == 0.0
    sides = {
        "zero_on_deep_side": inside & ~between,
        "zero_on_shallow_side": ~inside & ~between,
        "zero_on_barrier": between,
    }
    pull = high * wells.shallow[:, 0].abs().numpy()
    return {
        "trapped": float(1.0 - deep.mean()),
        **{f"trapped_{name}": float(1.0 - deep[side].mean()) for name, side in sides.items() if side.any()},
        "pulled": float((pull > 1.0).mean()),
        "highest_decay": high,
    }
