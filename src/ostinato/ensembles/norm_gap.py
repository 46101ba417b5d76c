"""Batch norm between training and inference: what the running statistics cost, and how far they are from the precise ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ostinato.core.clock import Tick
from ostinato.core.resolved import ResolvedPlan
from ostinato.core.waveforms import IntArray
from ostinato.ensembles.passes import Forward
from ostinato.ensembles.prediction import (
    call_with,
    default_output,
    isolated,
    model_tensors,
    run_batch,
    split_batch,
    to_device,
    to_probabilities,
    unwrap,
)
from ostinato.ensembles.recalibration import Statistics, norm_layers, observing
from ostinato.ensembles.scores import columns, plain_labels
from ostinato.errors import ConfigError, DataError
from ostinato.evaluation.metrics import nll
from ostinato.evaluation.timings import at_phases

__all__ = ["GapByPhase", "NormGap", "NormGapRecord", "norm_gap"]


@dataclass(frozen=True)
class NormGap:
    """What batch norm's running statistics cost at one moment.

    Attributes:
        running_nll: NLL of the labelled data with the running statistics, as in inference.
        batch_nll: NLL of the same data with the statistics of each batch, as in training; dropout is off in both.
        precise_nll: NLL with the precise statistics (PreciseBN): averages of batch means and variances over the calibration data.
        mean_distance: |running mean - precise mean| / precise standard deviation, averaged over channels, then layers.
        variance_distance: |log(running variance / precise variance)|, averaged alike.
        layers: For each layer its two distances.
        examples: How many examples were scored.
    """

    running_nll: float
    batch_nll: float
    precise_nll: float
    mean_distance: float
    variance_distance: float
    layers: Mapping[str, tuple[float, float]]
    examples: int

    @property
    def gap(self) -> float:
        """NLL with running statistics less NLL with batch statistics: what inference loses to stale or noisy statistics."""
        return self.running_nll - self.batch_nll

    def to_document(self) -> dict[str, Any]:
        """Return everything as a JSON document."""
        return {"gap": self.gap, **asdict(self), "layers": {name: list(both) for name, both in self.layers.items()}}


def norm_gap(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    calibrate: Iterable[Any] | None = None,
    forward: Forward | None = None,
) -> NormGap:
    """Measure what a model's batch-norm running statistics cost, and how far they are from the precise ones.

    The model is left as it was: parameters, buffers, training flags and random states, also after an exception.

    Args:
        model: Wrappers of torch.compile, DDP, DataParallel and Fabric are looked through.
        batches: Labelled batches (inputs, labels). Statistics of a batch depend on its size: give the size that trains.
        calibrate: Batches that the precise statistics are measured on, as a rule of the training data: (inputs, ...) or inputs. By default
            `batches`.
        forward: ``forward(model, inputs)`` for inputs of another form.

    Raises:
        ConfigError: The model has no batch norm with running statistics.
        DataError: There is no batch, or one with a single value a channel, which has no statistics.

    Source: Wu and Johnson 2021, "Rethinking 'Batch' in BatchNorm", arXiv 2105.07576, sections 3 and 4.

    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))         # running statistics: mean 0, variance 1
    >>> found = norm_gap(model, [(3.0 + 2.0 * torch.randn(64, 2), torch.zeros(64).long())])
    >>> round(found.mean_distance, 1), round(found.variance_distance, 1), found.examples
    (1.8, 1.2, 64)
    """
    inner = unwrap(model)
    layers = norm_layers(inner)
    if not layers:
        raise ConfigError(
            f"{type(inner).__name__} has no batch norm with running statistics; there is no gap to measure"
        )
    live = model_tensors(inner)
    place = next(iter(live.values())).device
    states, statistics = dict(live), Statistics()

    def call(*args: Any, **kwargs: Any) -> Any:
        return call_with(inner, states, args, kwargs)

    with isolated(inner):
        labelled = [(to_device(inputs, place), target) for inputs, target in map(split_batch, batches)]
        if not labelled:
            raise DataError("there is no batch to measure the gap on; an iterator that was used up gives none")
        running = _nll(call, labelled, forward)
        with observing(layers, statistics):
            batch = _nll(call, labelled, forward)
        if calibrate is not None:
            statistics = Statistics()
            with observing(layers, statistics):
                _pass(call, calibrate, place, forward)
        precise = statistics.buffers(live)
        distances = {
            name: _distances(live, precise, f"{name}." if name else "", layer.eps)
            for name, layer in layers.items()
            if (f"{name}." if name else "") + "running_mean" in precise
        }
        states.update(precise)
        corrected = _nll(call, labelled, forward)
    means, variances = (float(np.mean([both[which] for both in distances.values()])) for which in (0, 1))
    return NormGap(running, batch, corrected, means, variances, distances, sum(len(target) for _, target in labelled))


def _called(call: Callable[..., Any], inputs: Any, forward: Forward | None) -> Any:
    try:
        return run_batch(call, inputs, forward)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise DataError(
            "a batch with one value a channel has no statistics; leave out the last, short batch (drop_last=True)"
        ) from error


def _nll(call: Callable[..., Any], batches: Sequence[tuple[Any, Any]], forward: Forward | None) -> float:
    probabilities, labels = [], []
    for inputs, target in batches:
        found = to_probabilities(default_output(_called(call, inputs, forward)))
        labels.append(plain_labels(target, tuple(found.shape[:-1])))
        probabilities.append(columns(found[None])[0])
    return nll(np.concatenate(probabilities), np.concatenate(labels))


def _pass(call: Callable[..., Any], batches: Iterable[Any], place: torch.device, forward: Forward | None) -> None:
    empty = True
    for batch in batches:
        empty = False
        inputs = batch[0] if isinstance(batch, list | tuple) else batch
        _called(call, to_device(inputs, place), forward)
    if empty:
        raise DataError("there is no batch to calibrate on; an iterator that was used up gives none")


def _distances(live: Mapping[str, Tensor], precise: Mapping[str, Tensor], dot: str, eps: float) -> tuple[float, float]:
    """Return how far a layer's running mean and variance are from the precise ones."""
    (mean, variance), (true_mean, true_variance) = (
        (state[dot + "running_mean"].double(), state[dot + "running_var"].double() + eps) for state in (live, precise)
    )
    means = (mean - true_mean).abs() / true_variance.sqrt()
    return float(means.mean()), float((variance / true_variance).log().abs().mean())


@dataclass(frozen=True)
class NormGapRecord:
    """A `NormGap` with the moment it was measured at.

    Attributes:
        step: The update just done.
        cycle: Its cycle.
        phase: Its place in the cycle, in [0, 1).
        event: ``"peak"``, ``"trough"`` or empty.
        found: What was measured.
    """

    step: int
    cycle: int
    phase: float
    event: str
    found: NormGap


@dataclass
class GapByPhase:
    """Measures the gap along a run, in a loop of one's own: call `observe` with every tick.

    Args:
        model: The model that trains.
        batches: Labelled batches, read at every measurement: a list, or a loader that always gives the same.
        resolved: The plan, as ``scheduler.resolved``.
        at: How many evenly spaced phases of each cycle, the last one its end; peaks and troughs come in addition. Or the steps; or a
            timing, such as `ostinato.evaluation.at_troughs`.
        calibrate: As for `norm_gap`, read at every measurement.
        forward: As for `norm_gap`.

    Raises:
        DataError: A number is not whole, or below 1, or `batches` can be read only once.
        PlanError: The plan has no cycle.

    >>> import ostinato as ost
    >>> model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> plan = ost.Plan(total=12, cycle=ost.Cycle("cosine", count=2), bindings={"optimizer.lr": ost.wave(0.01, 0.1)})
    >>> scheduler = plan.bind(optimizer=optimizer)
    >>> gaps = GapByPhase(model, [(torch.randn(8, 2), torch.zeros(8).long())], scheduler.resolved, at=2)
    >>> for _ in range(12):
    ...     optimizer.step()
    ...     _ = gaps.observe(scheduler.step())
    >>> [(record.step, record.event) for record in gaps.records]
    [(0, 'peak'), (2, ''), (5, 'trough'), (6, 'peak'), (8, ''), (11, 'trough')]
    """

    model: nn.Module
    batches: Iterable[Any]
    resolved: ResolvedPlan
    at: int | Iterable[int] | Callable[[ResolvedPlan], IntArray] = 8
    calibrate: Iterable[Any] | None = None
    forward: Forward | None = None
    records: list[NormGapRecord] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        for name in ("batches", "calibrate"):
            if hasattr(getattr(self, name), "__next__"):
                raise DataError(f"{name}: an iterator can be read once only; give a list of batches, or a loader")
        events = {
            step: name
            for span in self.resolved.cycles
            for name in ("peak", "trough")
            if (step := getattr(span, name)) is not None
        }
        self._events: dict[int, str] = events
        if callable(self.at):
            self._steps = {int(step) for step in self.at(self.resolved)}
        elif isinstance(self.at, int):
            self._steps = {*at_phases(self.at)(self.resolved).tolist(), *events}
        else:
            self._steps = {int(step) for step in self.at}

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps after which it measures, rising."""
        return tuple(sorted(step for step in self._steps if step < self.resolved.total))

    def observe(self, tick: Tick) -> NormGapRecord | None:
        """Measure after the update that a tick tells of, if it is due; None if it is not."""
        if not tick.advanced or tick.step not in self._steps:
            return None
        found = norm_gap(self.model, self.batches, calibrate=self.calibrate, forward=self.forward)
        record = NormGapRecord(tick.step, tick.cycle, tick.phase, self._events.get(tick.step, ""), found)
        self.records.append(record)
        return record

    def mean(self, event: str | None = None) -> dict[str, float]:
        """Return the means over the records: all of them, or those at ``"peak"`` or ``"trough"``; NaN where there is none.

        Returns:
            `gap`, `running_nll`, `batch_nll`, `precise_nll`, `mean_distance`, `variance_distance`.
        """
        chosen = [record.found for record in self.records if event is None or record.event == event]
        names = ("gap", "running_nll", "batch_nll", "precise_nll", "mean_distance", "variance_distance")
        return {
            name: float(np.mean([getattr(each, name) for each in chosen])) if chosen else math.nan for name in names
        }
