"""Training the arms of study ``snapshot-ensemble``: a few runs for each seed, and what is averaged out of them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato import controls, evaluation, population
from ostinato.core.bindings import wave
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan
from ostinato.studies.frame.cells import Cell, Measurement, Request, Stage, pack_bits
from ostinato.studies.frame.images import Images, load_images, small_cnn, subset
from ostinato.studies.frame.spec import Regime
from ostinato.studies.frame.study import regime_of

__all__ = ["measure", "together"]

MEMBERS = 5
_OPTIONS = {"momentum": 0.9, "weight_decay": 5e-4}

Probabilities = NDArray[np.float64]
Weights = Mapping[str, Tensor]


def together(regime: Regime, stage: Stage, cells: tuple[Cell, ...]) -> Iterable[tuple[Cell, ...]]:
    """Cells of one seed share their runs once settings are chosen; on trial, each has runs of its own."""
    groups: dict[tuple[int, int], list[Cell]] = {}
    for place, cell in enumerate(cells):
        groups.setdefault((cell.seed, place if stage == "tuning" else 0), []).append(cell)
    return (tuple(group) for group in groups.values())


def measure(request: Request) -> Iterator[Measurement]:
    """Measure cells seed by seed."""
    regime = regime_of(request)
    images = load_images(regime.data, regime.sha256, request.parameters["pool"], request.parameters.get("judged_on"))
    for seed in sorted({cell.seed for cell in request.cells}):
        bench = _Bench(request, images, seed)
        for cell in request.cells:
            if cell.seed == seed:
                yield bench.measure(cell)


@dataclass
class _Run:
    """One training: snapshots in order, the last of them at the end."""

    snapshots: list[Weights]
    digest: str
    wall_s: float
    diverged: bool


@dataclass(frozen=True)
class _Scores:
    metrics: dict[str, float]
    curves: dict[str, list[float]]
    correct: str


@dataclass
class _Bench:
    """The runs of one seed, each made when it is first asked for."""

    request: Request
    images: Images
    seed: int
    runs: dict[tuple[str, float, int], _Run] = field(default_factory=dict)
    predictions: dict[tuple[int, int], Probabilities] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows = torch.from_numpy(subset(self.images, self.request.parameters["examples"], self.seed))
        self.train = self.images.inputs[rows], self.images.targets[rows]
        self.make: Callable[[], nn.Module] = small_cnn(self.images)

    def run(self, kind: str, peak: float, member: int = 0) -> _Run:
        """Return a training by its schedule, peak rate and place among independent ones."""
        key = kind, peak, member
        if key not in self.runs:
            self.runs[key] = self._trained(kind, peak, member)
        return self.runs[key]

    def _trained(self, kind: str, peak: float, member: int) -> _Run:
        parameters = self.request.parameters
        steps = parameters["epochs"] * (parameters["examples"] // parameters["batch"])
        plan = plan_of(kind, peak, steps - steps % MEMBERS)
        begun = time.monotonic()
        result = population.single(
            self.make, plan, self.train, optimizer="sgd", optimizer_options={**_OPTIONS, "lr": peak}, seed=self.seed + 100_000 * member,
            batch_size=parameters["batch"], drop_last=True, evaluate="last", snapshots=True,
        )  # fmt: skip
        wall = time.monotonic() - begun
        kept = result.snapshots(0)
        return _Run([kept[step] for step in sorted(kept)], plan.resolve().digest, wall, result.status[0] == "diverged")

    def measure(self, cell: Cell) -> Measurement:
        """Measure one cell."""
        runs, choose = self._runs_of(cell.arm, cell.settings["peak"])
        digests = tuple(dict.fromkeys(run.digest for run in runs))
        wall = sum(run.wall_s for run in runs)
        if any(run.diverged for run in runs):
            return Measurement(cell, {}, digests, status="diverged", wall_s=wall)
        found = self._scores(choose, augmented=cell.arm == "augmented", nested=cell.arm == "full-ensemble")
        if cell.arm == "snapshots" and self.request.stage == "confirming":
            found.metrics["barrier"] = self._barrier(choose)
        return Measurement(cell, found.metrics, digests, found.curves, found.correct, wall_s=wall)

    def _runs_of(self, arm: str, peak: float) -> tuple[list[_Run], list[Weights]]:
        """Return an arm's runs and the weights whose predictions it averages."""
        if arm in ("snapshots", "sorted", "no-cycle"):
            run = self.run({"snapshots": "cycles", "sorted": "sorted", "no-cycle": "cosine"}[arm], peak)
            return [run], run.snapshots
        if arm in ("last-snapshot", "best-snapshot"):
            run = self.run("cycles", peak)
            chosen = run.snapshots[-1:] if arm == "last-snapshot" else self._best(run.snapshots)
            return [run], chosen
        if arm in ("cosine", "augmented"):
            run = self.run("cosine", peak)
            return [run], run.snapshots[-1:]
        kind = "fifth" if arm == "cold-starts" else "cosine"
        runs = [self.run(kind, peak, member) for member in range(MEMBERS)]
        return runs, [run.snapshots[-1] for run in runs if run.snapshots]

    def _best(self, snapshots: Sequence[Weights]) -> list[Weights]:
        inputs, targets = self.images.validation
        if not snapshots:
            return []
        errors = [evaluation.error(self._remembered(weights, inputs), targets.numpy()) for weights in snapshots]
        return [snapshots[int(np.argmin(errors))]]

    def _predicted(self, members: Sequence[Weights], inputs: Tensor) -> Probabilities:
        """Return each member's probabilities, (M, N, C); one by one, because stacked convolutions gain nothing."""
        return np.stack([self._predicted_by(weights, inputs) for weights in members])

    def _predicted_by(self, weights: Weights, inputs: Tensor) -> Probabilities:
        stacked = {name: tensor[None] for name, tensor in weights.items()}
        found: Probabilities = population.predict(self.make, stacked, inputs)[0].double().softmax(-1).numpy()
        return found

    def _averaged(
        self, members: Sequence[Weights], inputs: Tensor, *, augmented: bool
    ) -> tuple[Probabilities, Probabilities]:
        """Return the average of the members' probabilities, and theirs."""
        if augmented:
            each = np.mean([self._predicted(members, view) for view in _shifted(inputs)], axis=0)
        else:
            each = np.stack([self._remembered(weights, inputs) for weights in members])
        return each.mean(axis=0), each

    def _remembered(self, weights: Weights, inputs: Tensor) -> Probabilities:
        """Return the probabilities of weights that several arms look at."""
        key = id(weights), id(inputs)
        if key not in self.predictions:
            self.predictions[key] = self._predicted_by(weights, inputs)
        return self.predictions[key]

    def _scores(self, members: Sequence[Weights], *, augmented: bool, nested: bool) -> _Scores:
        labels = self.images.validation[1].numpy()
        average, each = self._averaged(members, self.images.validation[0], augmented=augmented)
        temperature = evaluation.temperature(average, labels)
        metrics = {
            "validation_error": evaluation.error(average, labels),
            "validation_nll": evaluation.nll(average, labels),
        }
        if self.request.stage == "tuning":
            return _Scores(metrics, {}, "")
        curves = {}
        if nested:
            temperatures = [evaluation.temperature(each[:m].mean(axis=0), labels) for m in range(1, len(each) + 1)]
        labels = self.images.test[1].numpy()
        average, each = self._averaged(members, self.images.test[0], augmented=augmented)
        metrics |= {
            "error": evaluation.error(average, labels),
            "nll": evaluation.nll(average, labels),
            "nll_at_temperature": evaluation.nll_at_temperature(average, labels, temperature),
            "temperature": temperature,
            "ece": evaluation.ece(average, labels),
            "brier": evaluation.brier(average, labels),
        }
        if len(members) > 1:
            metrics["disagreement"] = _mean_pair(evaluation.disagreement(each))
        curves["member_error"] = [evaluation.error(one, labels) for one in each]
        if nested:
            curves["nll_at_temperature_by_size"] = [
                evaluation.nll_at_temperature(each[:m].mean(axis=0), labels, temperatures[m - 1])
                for m in range(1, len(each) + 1)
            ]
        return _Scores(metrics, curves, pack_bits(average.argmax(axis=1) == labels))

    def _barrier(self, snapshots: Sequence[Weights]) -> float:
        """Return the mean rise of the training loss half-way between neighbouring snapshots over the mean of its ends."""
        inputs, targets = self.train[0][:2000], self.train[1][:2000].numpy()
        pairs = list(itertools.pairwise(snapshots))
        halves = [self._recalibrated(_halfway(a, b)) for a, b in pairs]
        ends = [evaluation.nll(p, targets) for p in self._predicted(snapshots, inputs)]
        middle = [evaluation.nll(p, targets) for p in self._predicted(halves, inputs)]
        return float(np.mean([m - (a + b) / 2 for m, a, b in zip(middle, ends[:-1], ends[1:], strict=True)]))

    def _recalibrated(self, weights: Weights) -> Weights:
        """Return weights with the batch-norm statistics of the training images."""
        model = self.make()
        model.load_state_dict(dict(weights))
        torch.optim.swa_utils.update_bn(((x,) for x in torch.split(self.train[0][:2000], 500)), model)
        return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def plan_of(kind: str, peak: float, steps: int) -> Plan:
    """Return the plan of a run, with a snapshot at each of five ends.

    Args:
        kind: ``cycles``, ``cosine`` (its cycles only tell when snapshots are taken), ``sorted``, or ``fifth`` (one of the cold starts).
        peak: Highest rate.
        steps: Steps of the whole budget.
    """
    cycles = Plan(total=steps, cycle=Cycle("cosine", count=MEMBERS), bindings={"optimizer.lr": wave(0.0, peak)})
    if kind == "cycles":
        return cycles
    if kind == "sorted":
        return controls.sorted(cycles)
    if kind == "fifth":
        return Plan(total=steps // MEMBERS, cycle=Cycle("cosine", count=1), bindings={"optimizer.lr": wave(0.0, peak)})
    return cycles.replace({"optimizer.lr": wave(0.0, peak, cycle=Cycle("cosine", count=1))})


def _halfway(a: Weights, b: Weights) -> Weights:
    return {name: (a[name] + b[name]) / 2 if a[name].is_floating_point() else a[name] for name in a}


def _shifted(inputs: Tensor) -> list[Tensor]:
    """Return the images and their shifts by one pixel up, down, left and right, the border repeated."""
    padded = nn.functional.pad(inputs, (1, 1, 1, 1), mode="replicate")
    height, width = inputs.shape[-2:]
    places = ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))
    return [padded[..., top : top + height, left : left + width] for top, left in places]


def _mean_pair(matrix: NDArray[np.float64]) -> float:
    """Return the mean over pairs of different members."""
    return float(matrix[np.triu_indices(len(matrix), 1)].mean())
