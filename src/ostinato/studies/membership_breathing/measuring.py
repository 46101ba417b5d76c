"""Training and attacking the models of study ``membership-breathing``: a block of models that share their points, for each seed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato import controls, evaluation
from ostinato.applications import privacy
from ostinato.applications.privacy import Shadows
from ostinato.core.bindings import wave
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan
from ostinato.studies.frame.cells import Cell, Measurement, Request, Stage
from ostinato.studies.frame.images import Images, load_images, small_mlp, subset
from ostinato.studies.frame.spec import Regime
from ostinato.studies.frame.study import regime_of
from ostinato.studies.membership_breathing.spec import CYCLES

__all__ = ["Block", "Course", "course_of", "measure", "plan_of", "readings", "together"]

Floats = NDArray[np.float64]
_OPTIONS = {"momentum": 0.9, "weight_decay": 5e-4}
_QUARTER = 0.35
"""Evaluations up to this share of a cycle are its first quarter: the eighths 1 and 2, rounded up to whole steps, but not the third."""


def together(regime: Regime, stage: Stage, cells: tuple[Cell, ...]) -> Iterable[tuple[Cell, ...]]:
    """The cells of a seed: they share their models."""
    return (tuple(cell for cell in cells if cell.seed == seed) for seed in sorted({cell.seed for cell in cells}))


@cache
def plan_of(name: str, peak: float, steps: int) -> Plan:
    """Return the plan of ``cycles``, or of its ``sorted``, ``constant`` or ``cosine`` twin.

    >>> means = [plan_of(name, 0.1, 400).table()["optimizer.lr"].mean().round(6) for name in ("cycles", "sorted", "constant", "cosine")]
    >>> len(set(means))
    1
    """
    cycles = Plan(total=steps, cycle=Cycle("cosine", count=CYCLES), bindings={"optimizer.lr": wave(0.0, peak)})
    return cycles if name == "cycles" else controls.make(name, cycles).plan


def plan_name(arm: str) -> str:
    """Return the plan that an arm's models are trained under."""
    stem = arm.removesuffix("-canaries")
    return {"quarter": "cycles", "trough": "cycles", "sorted-late": "sorted"}.get(stem, stem)


@dataclass(frozen=True, eq=False)
class Block:
    """The points of one seed.

    Attributes:
        inputs: (N, 1, H, W).
        labels: With the canaries' wrong ones, (N,).
        canary: Which labels are wrong, (N,).
        inside: Which points each model is trained with, (K, N).
    """

    inputs: Tensor
    labels: Tensor
    canary: NDArray[np.bool_]
    inside: NDArray[np.bool_]

    @classmethod
    def drawn(cls, images: Images, points: int, models: int, share: float, seed: int) -> Block:
        """Draw points, halves and canaries: a share of the labels replaced by one of the other classes."""
        rows = subset(images, points, seed)
        generator = np.random.default_rng([seed, 31_415])
        canary = np.zeros(points, np.bool_)
        canary[generator.permutation(points)[: round(share * points)]] = True
        turned = torch.from_numpy(np.where(canary, generator.integers(1, images.classes, points), 0))
        labels = (images.targets[rows] + turned) % images.classes
        return cls(images.inputs[rows], labels, canary, privacy.halves(points, models, seed))


@dataclass(frozen=True, eq=False)
class Course:
    """What the models of one plan leak at each evaluation, in the mean over the block.

    Attributes:
        cycle: (E,).
        phase: The share of the cycle that is through, (E,).
        accuracy: On images that no model has seen, (E,).
        leaks: By metric: ``auc``, ``tpr``, ``loss_auc``, ``rmia_auc``, (E,) each.
        canaries: The area of the first among the canaries alone, (E,); empty where there are none.
    """

    cycle: NDArray[np.int64]
    phase: Floats
    accuracy: Floats
    leaks: Mapping[str, Floats]
    canaries: Floats


def course_of(shadows: Shadows, canary: NDArray[np.bool_]) -> Course:
    """Attack every model at every evaluation: all points but the canaries, and these by themselves."""
    plain = ~canary
    leaks = {
        "auc": shadows.auc("lira", points=plain).mean(axis=1),
        "tpr": shadows.tpr(0.01, "lira", points=plain).mean(axis=1),
        "loss_auc": shadows.auc("loss", points=plain).mean(axis=1),
        "rmia_auc": shadows.auc("rmia", points=plain).mean(axis=1),
    }
    canaries = shadows.auc("lira", points=canary).mean(axis=1) if canary.any() else np.empty(0)
    return Course(shadows.cycle, shadows.phase, shadows.accuracy.mean(axis=1), leaks, canaries)


def measure(request: Request) -> Iterator[Measurement]:
    """Train the models of a seed under every plan that its cells ask for, attack them, and read each arm off them."""
    regime, parameters = regime_of(request), request.parameters
    images = load_images(regime.data, regime.sha256, parameters["pool"], parameters["judged_on"])
    seen = images.test if request.stage == "confirming" else images.validation
    for seed in sorted({cell.seed for cell in request.cells}):
        begun, cells = time.monotonic(), [cell for cell in request.cells if cell.seed == seed]
        block = Block.drawn(images, parameters["points"], parameters["models"], parameters["canaries"], seed)
        steps = parameters["epochs"] * (parameters["points"] // 2 // parameters["batch"])
        steps -= steps % CYCLES
        names = ["cycles", *dict.fromkeys(plan_name(cell.arm) for cell in cells if plan_name(cell.arm) != "cycles")]
        plans = [plan_of(name, parameters["peak"], steps) for name in names]
        made, result = privacy.train_shadows(
            small_mlp(images), plans, (block.inputs, block.labels), block.inside, fresh=seen, optimizer="sgd",
            optimizer_options=_OPTIONS, when=evaluation.at_phases(parameters["phases"]), batch_size=parameters["batch"],
            seeds=np.random.SeedSequence([seed, 27_182]).generate_state(parameters["models"]).tolist(),
        )  # fmt: skip
        courses = {name: course_of(shadows, block.canary) for name, shadows in zip(names, made, strict=True)}
        digests = dict(zip(names, (plan.resolve().digest for plan in plans), strict=True))
        wall = (time.monotonic() - begun) / len(cells)
        for cell in cells:
            metrics = readings(cell.arm, courses)
            name = plan_name(cell.arm)
            curves = {**courses[name].leaks, "accuracy": courses[name].accuracy, "phase": courses[name].phase}
            curves |= {"canary_auc": courses[name].canaries} if len(courses[name].canaries) else {}
            yield Measurement(
                cell, metrics, plans=(digests[name],), chunks=result.chunks, wall_s=wall,
                curves={key: np.asarray(curve).tolist() for key, curve in curves.items()},
            )  # fmt: skip


def readings(arm: str, courses: Mapping[str, Course]) -> dict[str, float]:
    """Return an arm's metrics: means over the cycles from the second on.

    ``quarter`` reads the cycles at their first two eighths, ``trough`` at their ends; ``sorted-late`` reads the sorted twin after as many updates
    as ``quarter``; every other arm reads its plan where it first has the accuracy of ``quarter``, evaluation by evaluation.
    """
    cycles, own = courses["cycles"], courses[plan_name(arm)]
    late = cycles.cycle >= 1
    quarter = late & (cycles.phase <= _QUARTER)
    stem = arm.removesuffix("-canaries")
    leaks = {"auc": own.canaries} if arm.endswith("-canaries") else dict(own.leaks)
    if stem in ("quarter", "trough", "sorted-late"):
        at = late & (cycles.phase == 1.0) if stem == "trough" else quarter
        return {name: float(values[at].mean()) for name, values in (leaks | {"accuracy": own.accuracy}).items()}
    wanted = cycles.accuracy[quarter]
    found, reached = {}, np.ones(len(wanted), np.bool_)
    for name, values in (leaks | {"accuracy": own.accuracy}).items():
        read, reached = privacy.matched(own.accuracy, values, wanted)
        found[name] = float(read.mean())
    return found | {"reached": float(reached.mean())}
