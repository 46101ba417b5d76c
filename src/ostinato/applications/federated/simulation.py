"""Federations within one process: the clients of many federations as members of one population, with the semantics of federated averaging."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ostinato.applications.federated.alone import simulate_alone
from ostinato.applications.federated.drawing import participants
from ostinato.applications.federated.federation import Federation, Setup, make_setup
from ostinato.applications.federated.members import Members, template_of
from ostinato.applications.federated.simulated import Course, How, SimulationResult
from ostinato.errors import ConfigError, PopulationFallbackWarning
from ostinato.population.job import arrays_of
from ostinato.population.memory import available, chunks_of
from ostinato.population.scoring import Metric
from ostinato.population.stacked import Steps
from ostinato.population.template import Template

__all__ = ["Federation", "SimulationResult", "simulate"]

Loss = Callable[[Any, Any], Tensor]
Progress = Callable[[int, int], None]
_MOST = 512  # clients at once: more gain nothing on a processor


def simulate(
    make_model: Callable[[], nn.Module],
    federations: Federation | Sequence[Federation],
    data: Any,
    *,
    rounds: int | None = None,
    local_epochs: int = 1,
    local_updates: int | None = None,
    batch_size: int = 64,
    fraction: float = 1.0,
    loss: Loss = F.cross_entropy,
    optimizer: str = "sgd",
    optimizer_options: Mapping[str, Any] | None = None,
    evaluate: int = 1,
    metrics: Mapping[str, Metric] | None = None,
    memory_limit: int | None = None,
    compile: Literal["auto"] | bool = "auto",
    progress: Progress | None = None,
) -> SimulationResult:
    """Simulate federations: in every round the clients that take part train from the common model, and `merge` joins what they send.

    In round r client i of a federation begins with the common model w and an empty optimizer, makes its updates on `batches_of` its own
    examples with the values of its plan at its phase (`LocalRound`), and sends w_i. The common model becomes
    w + rate * sum of s_i (w_i - w) with `merge`'s shares s_i, which are by number of examples, and the server's ``server.lr``, 1 where
    no plan drives it. A client keeps nothing from round to round: the semantics of Flower's ``FedAvg``.

    The clients of all federations are members of one population, so that arms and seeds cost little beside each other. Where a model cannot
    be treated so, one warning says why, and the clients are trained one after another, with the same result up to rounding.

    Args:
        make_model: Makes a model; its weights are drawn under each federation's seed.
        federations: One, or several with as many clients each.
        data: What `ostinato.population.train` takes: (inputs, targets), or a pair of training and test data.
        rounds: How many; by default as many as the plans have. A plan without a total gets these.
        local_epochs: Passes over a client's examples in a round, each of ceil(examples / batch_size) updates.
        local_updates: Updates in a round, the same for every client, instead.
        batch_size: Examples of a batch.
        fraction: Share of the clients that take part in a round.
        loss: Of (outputs, targets), one number.
        optimizer: A class of `torch.optim`, as for `ostinato.population.train`; of the clients, made anew in every round.
        optimizer_options: What its class accepts; `ostinato.training` has the defaults.
        evaluate: The common model is scored after every so many rounds, and after the last.
        metrics: Functions of test outputs and targets, by name; by default ``error`` and ``nll`` for classes.
        memory_limit: Bytes to stay below, roughly; by default half of the free memory.
        compile: ``"auto"`` decides from the numbers of updates, clients and weights.
        progress: Is told (client-rounds done, client-rounds in all) now and then.

    Raises:
        ConfigError: An argument cannot be, or not one federation fits into memory.
        DataError: The data is not in memory.
        PlanError: A plan cannot be resolved.
        TargetError: A plan's target matches nothing.

    Warns:
        PopulationFallbackWarning: The clients cannot be trained at once.
        TruncatedCycleWarning: The last round ends inside a cycle.

    >>> import ostinato as ost
    >>> from ostinato.applications.federated import Phases, partitions
    >>> plan = ost.Plan(total="4round", cycle=ost.Cycle(period="2round"), bindings={"optimizer.lr": ost.wave(0.01, 0.1)})
    >>> data = torch.randn(40, 3), torch.arange(40) % 2
    >>> arms = [Federation(plan, partitions.even(40, 4), phases) for phases in (None, Phases(4))]
    >>> result = simulate(lambda: nn.Linear(3, 2), arms, (data, data), batch_size=5)
    >>> len(result), result.rounds, result.metrics["error"].shape, result.progress[0, 0].round(2).tolist()
    (2, 4, (2, 4), [0.26, 0.26, 0.26, 0.26])
    """
    begun = time.monotonic()
    several = [federations] if isinstance(federations, Federation) else list(federations)
    if compile not in ("auto", True, False):
        raise ConfigError(f"compile: got {compile!r}, expected 'auto', True or False")
    setup = make_setup(
        make_model, several, arrays_of(data), rounds=rounds, local_epochs=local_epochs, local_updates=local_updates, batch_size=batch_size,
        fraction=fraction, loss=loss, optimizer=optimizer, options=optimizer_options, evaluate=evaluate, metrics=metrics,
    )  # fmt: skip
    report = _report(setup, progress)
    template = template_of(setup)
    if isinstance(template, str):
        warnings.warn(
            f"{template}; the clients are trained one after another, which is slower",
            PopulationFallbackWarning,
            stacklevel=2,
        )
        courses = [simulate_alone(setup, f, _after(f, setup, report)) for f in range(len(several))]
        return _result(setup, courses, "alone", template, chunks=(1,) * len(courses), begun=begun)
    limit = available() if memory_limit is None else memory_limit
    steps = Steps(template, compile)
    courses, chunks = _stacked(setup, template, steps, limit, report)
    return _result(setup, courses, "compiled" if steps.compiled else "stacked", "", chunks=chunks, begun=begun)


def _report(setup: Setup, progress: Progress | None) -> Callable[[int], None]:
    """Return what tells how many rounds of all federations are done."""
    every = len(setup.federations) * setup.rounds * setup.clients

    def told(rounds: int) -> None:
        if progress is not None:
            progress(rounds * setup.clients, every)

    return told


def _after(federations: int, setup: Setup, told: Callable[[int], None]) -> Callable[[int], None]:
    """Return what tells about rounds of one federation when some are through."""
    return lambda done: told(federations * setup.rounds + done)


def _stacked(
    setup: Setup, template: Template, steps: Steps, limit: int, told: Callable[[int], None]
) -> tuple[list[Course], tuple[int, ...]]:
    """Return the courses of all federations, and how many clients were trained at once."""
    each = len(participants(0, 1, setup.clients, setup.fraction))
    most = max(1, _MOST // each) * each * template.each
    chunks = chunks_of(range(len(setup.federations)), template.each * each, min(limit, most))
    courses: list[Course] = []
    for chosen in chunks:
        before = len(courses) * setup.rounds

        def report(rounds: int, before: int = before, count: int = len(chosen)) -> None:
            told(before + rounds * count)

        courses += Members(setup, template, chosen, len(chunks[0])).simulate(steps, report)
    return courses, tuple(len(chosen) * each for chosen in chunks)


def _result(
    setup: Setup, courses: Sequence[Course], how: How, reason: str, *, chunks: tuple[int, ...], begun: float
) -> SimulationResult:
    nothing = np.full(setup.rounds, np.nan)
    names = {name: None for course in courses for name in course.metrics}
    weights = {
        name: torch.from_numpy(np.stack([course.weights[name] for course in courses])) for name in courses[0].weights
    }
    return SimulationResult(
        {name: np.stack([course.metrics.get(name, nothing) for course in courses]) for name in names},
        np.stack([course.drift for course in courses]),
        np.stack([course.spread for course in courses]),
        np.stack([course.progress for course in courses]),
        np.array([course.diverged for course in courses], np.int64),
        weights, how, reason, chunks, time.monotonic() - begun,
    )  # fmt: skip
