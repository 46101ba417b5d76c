"""One training a seed, and for every arm the running statistics that its course of the momentum would have left."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato import controls, evaluation, population
from ostinato.core.bindings import mirror, wave
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan
from ostinato.studies.batchnorm_momentum.shadows import BatchRecord, precise, shadows
from ostinato.studies.batchnorm_momentum.spec import CYCLES, PHASES, RATIO
from ostinato.studies.frame.cells import Cell, Measurement, Request, Stage, pack_bits
from ostinato.studies.frame.images import Images, load_images, small_cnn, subset
from ostinato.studies.frame.spec import Regime
from ostinato.studies.frame.study import regime_of

__all__ = ["measure", "plan_of", "together", "trajectory_of"]

_OPTIONS = {"momentum": 0.9, "weight_decay": 5e-4}
_MOMENTUM = "model:BatchNorm.momentum"
_PHASE_IMAGES = 1_000

Weights = Mapping[str, Tensor]
Probabilities = NDArray[np.float64]


def together(regime: Regime, stage: Stage, cells: tuple[Cell, ...]) -> Iterable[tuple[Cell, ...]]:
    """Cells of one seed and one peak share their training."""
    groups: dict[tuple[int, float], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.seed, cell.settings["peak"]), []).append(cell)
    return (tuple(group) for group in groups.values())


def measure(request: Request) -> Iterator[Measurement]:
    """Measure cells, training by training."""
    regime = regime_of(request)
    images = load_images(regime.data, regime.sha256, request.parameters["pool"], request.parameters.get("judged_on"))
    for group in together(regime, request.stage, request.cells):
        yield from _Training(request, images, group).measured()


def trajectory_of(peak: float, steps: int) -> Plan:
    """Return the plan that is trained: cosine cycles of the rate, and eight shorter cycles in each that only tell when weights are kept."""
    rate = wave(0.0, peak, cycle=Cycle("cosine", count=CYCLES))
    return Plan(total=steps, cycle=Cycle("cosine", count=CYCLES * PHASES), bindings={"optimizer.lr": rate})


def plan_of(arm: str, settings: Mapping[str, float], steps: int) -> Plan:
    """Return an arm's plan: the same rate, and its course of the momentum.

    Args:
        arm: Of the specification.
        settings: ``peak`` of the rate, and what was chosen for the arm: ``momentum``, or ``high``, the momentum where the rate is low.
        steps: Length.
    """

    def with_momentum(low: float, high: float) -> Plan:
        bindings = {"optimizer.lr": wave(0.0, settings["peak"]), _MOMENTUM: mirror(low, high)}
        return Plan(total=steps, cycle=Cycle("cosine", count=CYCLES), bindings=bindings)

    high = settings.get("high", math.nan)
    plans = {
        "constant": lambda: with_momentum(0.1, 0.1),
        "best-constant": lambda: with_momentum(settings["momentum"], settings["momentum"]),
        "constant-low": lambda: with_momentum(high / RATIO, high / RATIO),
        "anti": lambda: with_momentum(high / RATIO, high),
        "in-phase": lambda: controls.in_phase(with_momentum(high / RATIO, high)),
    }
    return plans[arm]()


@dataclass
class _Training:
    """One seed under one peak rate, and the cells that look at it."""

    request: Request
    images: Images
    cells: tuple[Cell, ...]

    def __post_init__(self) -> None:
        parameters = self.request.parameters
        self.seed, self.peak = self.cells[0].seed, self.cells[0].settings["peak"]
        self.batch: int = parameters["batch"]
        steps = parameters["epochs"] * (parameters["examples"] // self.batch)
        self.steps = steps - steps % (CYCLES * PHASES)
        rows = torch.from_numpy(subset(self.images, parameters["examples"], self.seed))
        self.train = self.images.inputs[rows], self.images.targets[rows]
        self.make: Callable[[], nn.Module] = small_cnn(self.images)
        self.model = self.make()
        self.confirming = self.request.stage == "confirming"
        self.judged = self.images.test if self.confirming else self.images.validation
        self.marks = [(k + 1) * self.steps // (CYCLES * PHASES) - 1 for k in range(CYCLES * PHASES)]
        self.record = BatchRecord()

    def measured(self) -> Iterator[Measurement]:
        """Train, and measure every cell."""
        begun = time.monotonic()
        plan = trajectory_of(self.peak, self.steps)
        result = population.single(
            lambda: self.record.watch(self.make()), plan, self.train, optimizer="sgd", optimizer_options=dict(_OPTIONS), seed=self.seed,
            batch_size=self.batch, drop_last=True, evaluate=self.marks, snapshots=True,
        )  # fmt: skip
        self.kept = result.snapshots(0)
        self.plans = [plan_of(cell.arm, cell.settings, self.steps).resolve() for cell in self.cells]
        if result.status[0] == "diverged":
            found = [_Scores({}, diverged=True) for _ in self.cells]
        elif not self.confirming and all(cell.arm == "constant" for cell in self.cells):
            found = self._of_peak(stable=self._stable(result.metrics["train_loss"][0]))
        else:
            found = self._scores()
        wall = (time.monotonic() - begun) / len(self.cells)
        for cell, own, scores in zip(self.cells, self.plans, found, strict=True):
            digests = plan.resolve().digest, own.digest
            status: Literal["done", "diverged"] = "diverged" if scores.diverged else "done"
            yield Measurement(cell, scores.metrics, digests, scores.curves, scores.correct, status, wall_s=wall)

    def _of_peak(self, *, stable: bool) -> list[_Scores]:
        """Return the criterion of the peak: the largest stable one is best."""
        return [_Scores({"criterion": -self.peak} if stable else {}, diverged=not stable) for _ in self.cells]

    def _stable(self, losses: NDArray[np.float64]) -> bool:
        """Return whether the mean training loss of every eighth of a cycle, the first cycle left out, is below half of chance."""
        return bool((losses[PHASES:] < math.log(self.images.classes) / 2).all())

    @cached_property
    def running(self) -> list[list[dict[str, Tensor]]]:
        """For each mark, for each cell, its running statistics."""
        momenta = np.stack([plan.table()[_MOMENTUM] for plan in self.plans])
        return shadows(self.record.table(), momenta, self.marks)

    def _scores(self) -> list[_Scores]:
        troughs = range(PHASES - 1, CYCLES * PHASES, PHASES)
        at = [self._at(mark, *self.judged, whole=self.confirming) for mark in troughs]
        if not self.confirming:
            return [
                _Scores({"criterion": float(np.mean([look.gaps[k] for look in at]))}) for k in range(len(self.cells))
            ]
        few = tuple(part[:_PHASE_IMAGES] for part in self.judged)
        last = range((CYCLES - 1) * PHASES, CYCLES * PHASES)
        by_phase = [self._at(mark, *few, whole=False) for mark in last]
        return [self._of(k, at, [look.gaps[k] for look in by_phase]) for k in range(len(self.cells))]

    def _of(self, k: int, at: list[_Look], by_phase: list[float]) -> _Scores:
        """Return what the troughs say of one cell."""
        metrics = {name: float(np.mean([look.metrics[k][name] for look in at])) for name in at[0].metrics[k]}
        gaps = [look.gaps[k] for look in at]
        metrics |= {"nll_gap": float(np.mean(gaps)), "nll_gap_first": gaps[0], "nll_gap_last": gaps[-1]}
        metrics["nll_gap_cycle"] = float(np.mean(by_phase))
        curves = {"nll_gap_by_trough": gaps, "nll_gap_by_phase": by_phase}
        return _Scores(metrics, curves, pack_bits(at[-1].correct[k]))

    def _at(self, mark: int, inputs: Tensor, targets: Tensor, *, whole: bool) -> _Look:
        """Judge the weights kept at a mark with every cell's statistics, with precise ones, and (`whole`) with the batch's own."""
        weights, labels = self.kept[self.marks[mark]], targets.numpy()
        self.model.load_state_dict(dict(weights))
        right = precise(self.model, self.train[0], self.batch)
        each = [self._predicted(weights, statistics, inputs) for statistics in (right, *self.running[mark])]
        losses = [evaluation.nll(one, labels) for one in each]
        gaps = [abs(loss - losses[0]) for loss in losses[1:]]
        if not whole:
            return _Look(gaps)
        of_batch = evaluation.nll(self._by_batch(weights, inputs), labels)
        metrics = [
            {
                "nll": losses[k + 1],
                "nll_precise": losses[0],
                "nll_inference": losses[k + 1] - of_batch,
                "error": evaluation.error(each[k + 1], labels),
                "error_precise": evaluation.error(each[0], labels),
                "distance": _distance(statistics, right),
            }
            for k, statistics in enumerate(self.running[mark])
        ]
        return _Look(gaps, metrics, [one.argmax(axis=1) == labels for one in each[1:]])

    def _predicted(self, weights: Weights, statistics: Weights, inputs: Tensor) -> Probabilities:
        stacked = {name: tensor[None] for name, tensor in {**weights, **statistics}.items()}
        found: Probabilities = population.predict(self.make, stacked, inputs)[0].double().softmax(-1).numpy()
        return found

    def _by_batch(self, weights: Weights, inputs: Tensor) -> Probabilities:
        """Return probabilities in training mode: each batch normalised by itself."""
        self.model.load_state_dict(dict(weights))
        self.model.train()
        with torch.no_grad():
            outputs = torch.cat([self.model(part) for part in torch.split(inputs, self.batch)])
        found: Probabilities = outputs.double().softmax(-1).numpy()
        return found


@dataclass(frozen=True)
class _Scores:
    """What is recorded of a cell."""

    metrics: dict[str, float]
    curves: dict[str, list[float]] = field(default_factory=dict)
    correct: str = ""
    diverged: bool = False


@dataclass(frozen=True)
class _Look:
    """What is seen at one mark, cell by cell."""

    gaps: list[float]
    metrics: list[dict[str, float]] = field(default_factory=list)
    correct: list[NDArray[np.bool_]] = field(default_factory=list)


def _distance(found: Weights, right: Weights) -> float:
    """Return the root mean square over channels of the means' distance, in standard deviations."""
    squares = []
    for name, tensor in right.items():
        if name.endswith("running_mean"):
            variance = right[name.replace("running_mean", "running_var")]
            squares.append(((found[name] - tensor) ** 2 / variance.clamp_min(1e-12)).double())
    return float(torch.cat(squares).mean().sqrt())
