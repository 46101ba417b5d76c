"""Folding a chain: a method, a budget of evaluations that it cannot exceed, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.applications.folding.annealing import anneal
from ostinato.applications.folding.descent import polish
from ostinato.applications.folding.energy import Energy
from ostinato.applications.folding.references import Reference, reference
from ostinato.applications.folding.searching import BasinHopping, Multistart, Rule, random_angles, search
from ostinato.core.bindings import wave
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan
from ostinato.errors import ConfigError, suggest
from ostinato.evaluation import Interval

__all__ = ["EVALUATIONS", "METHODS", "WITHIN", "Folding", "Hits", "Method", "default_plan", "fold", "split"]

Method = Literal["plan", "noise", "lbfgs", "basin-hopping"]
Ends = Literal["lowest", "last"]
METHODS: tuple[Method, ...] = get_args(Method)
EVALUATIONS = 10_000
WITHIN = 1e-3
"""How near to a reference counts as having found it, in units of energy."""
_POLISH_SHARE, _MOST_POLISH = 10, 1_000
_CYCLES = 10
_POINTS = 200


@dataclass(frozen=True)
class Hits:
    """How many chains found the reference.

    Attributes:
        count: Chains within `WITHIN` of it, or below.
        chains: All of them.
        interval: Wilson's 95 % interval of the probability that a chain does.
    """

    count: int
    chains: int
    interval: Interval

    @property
    def share(self) -> float:
        """Count over chains."""
        return self.count / self.chains


@dataclass(frozen=True, eq=False)
class Folding:
    """What came of folding a chain from many starts.

    Attributes:
        sequence: Beads.
        model: The model.
        dim: Its dimension.
        method: How it was folded.
        energies: The lowest point that each start met, or its last one where that was asked for, polished, (B,).
        angles: Where, (B, angles).
        coordinates: Beads of the lowest, (N, dim).
        evaluations: Evaluations of all starts together, as the energy counted them.
        mean: Mean energy of the starts at each evaluation, before the polish: the present one under a plan, else the lowest so far, (steps,).
        lowest: The lowest energy of any start so far, (steps,).
        reached: The first evaluation at which each start was within `WITHIN` of the target, counted from 1; 0 where it never was, (B,). What
            only the polish reached counts with the start's whole budget.
        target: The energy to be reached: what was asked for, by default the reference; NaN where there is neither.
        reference: The lowest energy known; None where none is.
        plan: Digest of the resolved plan; empty for the other methods.
    """

    sequence: str
    model: str
    dim: int
    method: str
    energies: NDArray[np.float64]
    angles: NDArray[np.float64]
    coordinates: NDArray[np.float64]
    evaluations: int
    mean: NDArray[np.float64]
    lowest: NDArray[np.float64]
    reached: NDArray[np.int64]
    target: float
    reference: Reference | None
    plan: str

    @property
    def best(self) -> float:
        """The lowest energy."""
        return float(self.energies.min())

    @property
    def gap(self) -> float | None:
        """The lowest energy less the reference's; None where there is none."""
        return None if self.reference is None else self.best - self.reference.energy

    def hits(self, energy: float | None = None) -> Hits | None:
        """Return how many starts found an energy, by default the reference's; None where there is none."""
        wanted = energy if energy is not None else None if self.reference is None else self.reference.energy
        if wanted is None:
            return None
        from scipy.stats import binomtest

        count = int((self.energies <= wanted + WITHIN).sum())
        found = binomtest(count, len(self.energies)).proportion_ci(method="wilson")
        return Hits(count, len(self.energies), Interval(float(found.low), float(found.high), 0.95))

    def time_to_target(self) -> float | None:
        """Return the median evaluation at which a start reached the target, those that never did counted as later than any.

        None where fewer than half did, or there is no target.
        """
        times = np.sort(np.where(self.reached > 0, self.reached, np.inf))
        median = float(times[(len(times) - 1) // 2])
        return median if math.isfinite(median) else None

    def to_document(self) -> dict[str, Any]:
        """Return the folding as a JSON document: the lowest fold whole, of the others the energies, of the traces at most 200 points."""
        known, hits, place = self.reference, self.hits(), int(self.energies.argmin())
        points = np.unique(np.linspace(0, len(self.mean) - 1, _POINTS).astype(int))
        return {
            "sequence": self.sequence, "model": self.model, "dim": self.dim, "method": self.method, "chains": len(self.energies),
            "evaluations": self.evaluations, "energy": self.best, "mean_energy": float(self.energies.mean()),
            "reference": None if known is None else {"name": known.name, "energy": known.energy, "source": known.source},
            "gap": self.gap, "hits": None if hits is None else {"count": hits.count, "share": hits.share, "interval": hits.interval.to_document()},
            "time_to_target": self.time_to_target(), "plan_digest": self.plan, "energies": self.energies.tolist(), "angles": self.angles[place].tolist(),
            "coordinates": self.coordinates.tolist(), "trace": {"evaluation": (points + 1).tolist(), "mean": self.mean[points].tolist(), "lowest": self.lowest[points].tolist()},
        }  # fmt: skip


def default_plan(method: str = "plan", steps: int | None = None) -> Plan:
    """Return the plan that ``plan`` or ``noise`` folds under when none is given.

    ``plan``: ten cosine cycles of the rate from 0.3 to 0. ``noise``: one such decay, with noise on the gradient that falls with it from 3 to 0.

    >>> default_plan("noise", 100).bindings.keys() == {"optimizer.lr", "noise.scale"}
    True
    """
    if method == "noise":
        cycle, bindings = Cycle("cosine", count=1), {"optimizer.lr": wave(0.0, 0.3), "noise.scale": wave(0.0, 3.0)}
    else:
        cycle, bindings = Cycle("cosine", count=_CYCLES), {"optimizer.lr": wave(0.0, 0.3)}
    return Plan(total=steps, cycle=cycle, bindings=bindings)


def split(evaluations: int) -> tuple[int, int]:
    """Return how a start's evaluations are divided: steps under the plan, and the most that its polish may use.

    >>> split(10_000), split(500)
    ((9000, 1000), (450, 50))
    """
    kept = min(evaluations // _POLISH_SHARE, _MOST_POLISH)
    return evaluations - kept, kept


def fold(
    sequence: str,
    model: str = "I",
    dim: int = 3,
    *,
    method: str = "basin-hopping",
    chains: int = 64,
    evaluations: int | None = None,
    plan: Plan | None = None,
    size: float = 1.2,
    temperature: float = 0.5,
    target: float | None = None,
    ends: Ends = "lowest",
    seed: int = 0,
    progress: Callable[[int, int, float], bool] | None = None,
) -> Folding:
    """Fold a chain of the AB model from many random starts at once.

    =================  ==============================================================================================================
    method             what each start does
    =================  ==============================================================================================================
    ``plan``           Adam on the angles under a plan (`annealing.anneal`), then a polish by L-BFGS
    ``noise``          the same with noise on the gradient that a plan lets fall: annealing
    ``lbfgs``          L-BFGS from one random start after another
    ``basin-hopping``  L-BFGS, a random displacement, Metropolis' rule, again and again
    =================  ==============================================================================================================

    No start uses more than `evaluations` energies or gradients, the polish included. The result depends on the seed, and on nothing else of
    one machine; across builds of torch, chaos in the descents makes it differ.

    Args:
        sequence: Beads A and B, at least 3.
        model: ``"I"``, ``"II"`` or ``"azimuth"`` (`Energy`).
        dim: 2 or 3.
        method: As above.
        chains: Starts, B.
        evaluations: The most that each start may use; by default 10,000, or a plan's own total and a tenth of the whole for the
            polish. What a plan's total leaves is the polish's.
        plan: For ``plan`` and ``noise``: drives ``optimizer.lr`` and ``noise.scale``. By default `default_plan`. One without a total gets what is left
            beside the polish.
        size: Of the displacements of basin hopping, in radians.
        temperature: Of its rule, in units of energy.
        target: An energy to be reached; by default the reference.
        ends: What is polished of a start under a plan: the lowest point that it met, or the last one, which is what its rates led to. A search ends at its
            lowest in any case.
        seed: Of starts, noise and displacements.
        progress: Is told (evaluations of a start so far, of how many, the lowest energy so far) now and then; where it answers True, the starts are polished
            where they are, and that is the result.

    Raises:
        ConfigError: There is no such model, dimension or method, or a number cannot be.
        DataError: The sequence is none.
        PlanError: The plan cannot be used.

    >>> folding = fold("ABBABBABABBAB", "azimuth", chains=4, evaluations=1_000)
    >>> folding.evaluations <= 4_000, folding.coordinates.shape
    (True, (13, 3))
    """
    energy, known = Energy(sequence, model, dim), reference(sequence, model, dim)
    steps, kept, plan = _budget(method, chains, evaluations, plan)
    wanted = target if target is not None else math.nan if known is None else known.energy
    generator = torch.Generator().manual_seed(seed)
    starts = random_angles(energy, chains, generator)
    told = None if progress is None else partial(_tell, progress, steps + kept)
    aim = wanted + WITHIN if math.isfinite(wanted) else -math.inf
    if plan is not None:
        noise_seed = int(torch.randint(2**62, (), generator=generator))
        course = anneal(energy, starts, plan, seed=noise_seed, target=aim, progress=told)
        values, angles = polish(energy, course.angles if ends == "last" else course.lowest_angles, kept)
        mean, lowest, reached, digest = course.mean, course.lowest, course.reached, plan.resolve().digest
    else:
        rule: Rule = Multistart(generator)
        if method == "basin-hopping":
            rule = BasinHopping(chains, generator, size=size, temperature=temperature)
        found = search(energy, starts, rule, steps, target=aim, progress=told)
        values, angles = polish(energy, found.angles, kept)
        mean, lowest, reached, digest = found.mean, found.lowest, found.reached, ""
    reached = np.where((reached == 0) & (values.numpy() <= aim), steps + kept, reached)
    place = int(values.argmin())
    return Folding(
        energy.sequence, model, dim, method, values.numpy(), angles.numpy(), energy.coordinates(angles[place : place + 1])[0].numpy(),
        energy.evaluations, mean, lowest, reached, wanted, known, digest,
    )  # fmt: skip


def _tell(progress: Callable[[int, int, float], bool], every: int, done: int, lowest: float) -> bool:
    return progress(done, every, lowest)


def _budget(method: str, chains: int, evaluations: int | None, plan: Plan | None) -> tuple[int, int, Plan | None]:
    """Return steps, the most evaluations of the polish, and the plan with its total."""
    if method not in METHODS:
        raise ConfigError(f"method: got {method!r}{suggest(method, METHODS)}")
    for name, number, least in (("chains", chains, 1), ("evaluations", evaluations, 20)):
        if number is not None and number < least:
            raise ConfigError(f"{name}: got {number}, expected a whole number >= {least}")
    if method not in ("plan", "noise"):
        if plan is not None:
            raise ConfigError(f"plan: got one with method {method}, which follows none; type method plan, or noise")
        whole = evaluations or EVALUATIONS
        return *split(whole), None
    plan = plan or default_plan(method)
    if method == "noise" and "noise.scale" not in plan.bindings:
        raise ConfigError(
            "plan: it drives no noise.scale, which method noise needs; add that binding, or type method plan"
        )
    if plan.total is None:
        steps, kept = split(evaluations or EVALUATIONS)
        return steps, kept, plan.replace({"total": steps})
    steps = plan.resolve().total
    if evaluations is None:
        return steps, min(steps // (_POLISH_SHARE - 1), _MOST_POLISH), plan
    if evaluations < steps:
        raise ConfigError(
            f"evaluations: got {evaluations}, fewer than the {steps} steps of the plan; leave one of them out"
        )
    return steps, evaluations - steps, plan
