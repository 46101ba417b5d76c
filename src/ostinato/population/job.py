"""What is to be trained, checked and in one form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.checks import is_whole, whole
from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError, DataError, PlanError, suggest
from ostinato.population import recipes
from ostinato.population.scoring import Metric
from ostinato.population.values import EVENTS, chosen_steps

if TYPE_CHECKING:
    from ostinato.training.batches import EpochOrder

__all__ = ["Arrays", "Evaluate", "Job", "criterion_of", "make_job"]

Evaluate = str | int | Iterable[int] | Callable[[ResolvedPlan], Iterable[int]]


@dataclass(frozen=True)
class Arrays:
    """Training examples, and test examples where there are any."""

    inputs: Tensor
    targets: Tensor
    test: tuple[Tensor, Tensor] | None


@dataclass(frozen=True, eq=False)
class GivenOrder:
    """An order that was given whole: one pass of as many batches as there are updates.

    Attributes:
        rows: Places in the training set, (T, B).
    """

    rows: NDArray[np.integer[Any]]

    @property
    def batches(self) -> int:
        """Number of batches."""
        return len(self.rows)

    def size(self, index: int) -> int:
        """Return the number of examples of a batch."""
        return int(self.rows.shape[1])

    def batch(self, epoch: int, index: int) -> NDArray[np.int64]:
        """Return the examples of one batch."""
        chosen: NDArray[np.int64] = self.rows[index].astype(np.int64)
        return chosen

    def indices(self, epoch: int) -> NDArray[np.int64]:
        """Return the examples of all batches, one after another."""
        return self.rows.reshape(-1).astype(np.int64)


@dataclass(frozen=True)
class Job:
    """The members of a population and how they are trained."""

    make_model: Callable[[], nn.Module]
    plans: tuple[ResolvedPlan, ...]
    totals: tuple[int, ...]
    seeds: tuple[int, ...]
    arrays: Arrays
    loss: Callable[[Any, Any], Tensor]
    optimizer: str
    options: Mapping[str, Any]
    batch_size: int
    drop_last: bool
    subsets: NDArray[np.int64] | None
    batches: NDArray[np.integer[Any]] | None
    scored: tuple[frozenset[int], ...]
    saved: tuple[frozenset[int], ...]
    metrics: Mapping[str, Metric] | None

    @property
    def length(self) -> int:
        """Training examples of one member."""
        return len(self.arrays.targets) if self.subsets is None else int(self.subsets.shape[1])

    def order(self, k: int) -> EpochOrder | GivenOrder:
        """Return the order in which member `k` sees its examples."""
        if self.batches is not None:
            return GivenOrder(self.batches[k])
        return recipes.order_of(self.length, self.batch_size, self.seeds[k], drop_last=self.drop_last)

    def examples(self, k: int, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where in the training set member `k`'s examples are."""
        return chosen if self.subsets is None else self.subsets[k][chosen]


def criterion_of(loss: Callable[[Any, Any], Tensor]) -> Any:
    """Return a loss of one's own to drive: ``F.cross_entropy`` as the module with its attributes, anything else copied."""
    return nn.CrossEntropyLoss() if loss is F.cross_entropy else deepcopy(loss)


def make_job(
    make_model: Callable[[], nn.Module],
    plans: Sequence[Plan | ResolvedPlan],
    data: Any,
    *,
    loss: Callable[[Any, Any], Tensor],
    optimizer: str,
    options: Mapping[str, Any] | None,
    seeds: Iterable[int] | None,
    batch_size: int,
    drop_last: bool,
    steps: int | None,
    evaluate: Evaluate,
    metrics: Mapping[str, Metric] | None,
    snapshots: bool | Evaluate,
    subsets: Sequence[Sequence[int]] | NDArray[np.int64] | None,
    batches: NDArray[np.integer[Any]] | None = None,
) -> Job:
    """Check everything that can be checked before a model is made."""
    plans = list(plans)
    if not plans:
        raise ConfigError("plans: got none, expected one for each member")
    chosen = _seeds(seeds, len(plans))
    arrays = arrays_of(data)
    rows = _subsets(subsets, len(plans), len(arrays.targets))
    given = _batches(batches, len(plans), len(arrays.targets))
    if given is not None:
        if rows is not None:
            raise ConfigError("subsets, batches: got both; batches say whole which examples a member sees")
        batch_size, per_epoch = int(given.shape[2]), int(given.shape[1])
    else:
        length = len(arrays.targets) if rows is None else rows.shape[1]
        per_epoch = recipes.order_of(length, batch_size, 0, drop_last=drop_last).steps()
    resolved = _resolved(plans, steps, per_epoch, batch_size)
    totals = tuple(plan.total if steps is None else steps for plan in resolved)
    if given is not None and max(totals) > given.shape[1]:
        raise ConfigError(
            f"batches: got {given.shape[1]} for each member, expected one for each of {max(totals)} updates"
        )
    for k, plan in enumerate(resolved):
        if totals[k] > plan.total:
            raise PlanError(
                f"steps: got {steps}, but plan {k} has a total of {plan.total}; leave steps out, or lengthen the plan"
            )
    evaluate = _checked_evaluate(evaluate, max(totals))
    if not isinstance(snapshots, bool):
        snapshots = _checked_evaluate(snapshots, max(totals), "snapshots")
    pairs = list(zip(resolved, totals, strict=True))
    scored = tuple(frozenset(chosen_steps(plan, total, evaluate)) for plan, total in pairs)
    kept = tuple(_kept(plan, total, snapshots) for plan, total in pairs)
    return Job(
        make_model, tuple(resolved), totals, chosen, arrays, loss, optimizer, dict(options or {}), batch_size, drop_last, rows, given, scored, kept, metrics
    )  # fmt: skip


def _kept(plan: ResolvedPlan, total: int, snapshots: bool | Evaluate) -> frozenset[int]:
    """Return the steps after which a member's weights are kept."""
    if isinstance(snapshots, bool):
        return frozenset(step for step in plan.snapshots if snapshots and step < total)
    return frozenset(chosen_steps(plan, total, snapshots))


def _checked_evaluate(evaluate: Any, longest: int, what: str = "evaluate") -> Evaluate:
    """Return when to score, or to keep weights, in plain numbers."""
    if callable(evaluate):
        return evaluate  # type: ignore[no-any-return]  # a name by then, which the check above allows
    if isinstance(evaluate, str):
        if evaluate not in EVENTS:
            raise ConfigError(
                f"{what}: got {evaluate!r}{suggest(evaluate, EVENTS)}; or a number N for every N steps, or the steps themselves"
            )
        return evaluate
    if is_whole(evaluate, 1, of=Integral):
        return int(evaluate)
    if not isinstance(evaluate, Iterable):
        raise ConfigError(f"{what}: got {evaluate!r}, expected a whole number > 0 of steps, or the steps themselves")
    steps = list(evaluate)
    for step in steps:
        if not is_whole(step, 0, longest - 1, of=Integral):
            raise ConfigError(f"{what}: got the step {step!r}, expected whole numbers from 0 to {longest - 1}")
    return [int(step) for step in steps]


def _seeds(seeds: Iterable[int] | None, members: int) -> tuple[int, ...]:
    chosen = tuple(range(members)) if seeds is None else tuple(seeds)
    if len(chosen) != members:
        raise ConfigError(f"seeds: got {len(chosen)} for {members} plans, expected one for each")
    for seed in chosen:
        if not is_whole(seed, 0, of=Integral):
            raise ConfigError(f"seeds: got {seed!r}, expected whole numbers >= 0")
    return tuple(int(seed) for seed in chosen)


def _subsets(subsets: Any, members: int, length: int) -> NDArray[np.int64] | None:
    if subsets is None:
        return None
    sizes = {len(row) for row in subsets}
    if len(subsets) != members or len(sizes) != 1:
        raise ConfigError(
            f"subsets: got {len(subsets)} of sizes {sorted(sizes)}, expected one for each of {members} members, all of one size"
        )
    found = np.asarray(subsets)
    if found.size and found.dtype.kind not in "iu":
        raise ConfigError(
            f"subsets: got {found.dtype} values, expected indices; of a mask write numpy.flatnonzero(mask)"
        )
    rows = found.astype(np.int64)
    if rows.size == 0 or rows.min() < 0 or rows.max() >= length:
        raise ConfigError(f"subsets: expected indices from 0 to {length - 1}, at least one for each member")
    return rows


def _batches(batches: Any, members: int, length: int) -> NDArray[np.integer[Any]] | None:
    if batches is None:
        return None
    given = np.asarray(batches)
    if given.ndim != 3 or len(given) != members or not given.size or given.dtype.kind not in "iu":
        raise ConfigError(
            f"batches: got {given.dtype} values of shape {given.shape}, expected indices of shape ({members}, updates, examples)"
        )
    if given.min() < 0 or given.max() >= length:
        raise ConfigError(f"batches: expected indices from 0 to {length - 1}, got {given.min()} to {given.max()}")
    return given


def _resolved(
    plans: Sequence[Plan | ResolvedPlan], steps: int | None, per_epoch: int, batch_size: int
) -> list[ResolvedPlan]:
    if steps is not None:
        whole("steps", steps, of=Integral)
    known: dict[str, ResolvedPlan] = {}
    result = []
    for k, plan in enumerate(plans):
        if isinstance(plan, ResolvedPlan):
            resolved = known.setdefault(plan.digest, plan)
        elif isinstance(plan, Plan):
            full = plan if plan.total is not None or steps is None else plan.replace({"total": steps})
            if full.digest not in known:
                known[full.digest] = full.resolve(steps_per_epoch=per_epoch, samples_per_step=batch_size)
            resolved = known[full.digest]
        else:
            raise ConfigError(f"plans: got a {type(plan).__name__} for member {k}, expected a Plan")
        if resolved.plan.unit != "step":
            raise PlanError(
                f"unit: members are trained in steps, plan {k} counts in {resolved.plan.unit!r}; leave unit out"
            )
        result.append(resolved)
    return result


def arrays_of(data: Any) -> Arrays:
    """Return a data set in memory: an object with `train` and `test`, or a pair of them; each (inputs, targets) or a `TensorDataset`.

    Raises:
        DataError: It is in another form.
    """
    if hasattr(data, "train"):
        train, test = data.train, getattr(data, "test", None)
    elif isinstance(data, tuple | list) and len(data) == 2 and not isinstance(data[0], Tensor | np.ndarray):
        train, test = data
    else:
        train, test = data, None
    inputs, targets = _pair(train, "train")
    if len(inputs) != len(targets) or not len(inputs):
        raise DataError(
            f"train: got {len(inputs)} inputs and {len(targets)} targets, expected as many of each and at least one"
        )
    return Arrays(inputs, targets, None if test is None else _pair(test, "test"))


def _pair(part: Any, where: str) -> tuple[Tensor, Tensor]:
    if hasattr(part, "inputs") and hasattr(part, "targets"):
        part = (part.inputs, part.targets)
    elif hasattr(part, "tensors"):
        part = part.tensors
    if (
        not isinstance(part, tuple | list)
        or len(part) != 2
        or not all(isinstance(item, Tensor | np.ndarray) for item in part)
    ):
        raise DataError(
            f"{where}: got a {type(part).__name__}, expected (inputs, targets) in memory; a population reads its examples from two tensors"
        )
    inputs, targets = (item if isinstance(item, Tensor) else torch.from_numpy(item) for item in part)
    return inputs, targets
