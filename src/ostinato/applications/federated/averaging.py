"""Workers without a server: each trains on its own part of the data, and every so many updates their models are averaged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from ostinato.applications.federated.merging import Update, shares
from ostinato.applications.federated.phases import Phases
from ostinato.applications.federated.progress import Progress
from ostinato.checks import whole
from ostinato.core.plan import Plan
from ostinato.errors import ConfigError, StateError

__all__ = ["PeriodicAveraging", "mean_state"]

_BUCKET = 1 << 22
"""Numbers that are averaged in one message: 32 MiB."""


class PeriodicAveraging:
    """Averages the models of all processes of `torch.distributed` every `every` updates: local SGD.

    Worker r of N has w_r after its own updates. An averaging puts w = (1/N) * sum of w_r in the place of every w_r; with `normalise`,
    w = v + sum of s_r (w_r - v), v the model after the averaging before and s_r the `merging.shares` by how far each worker's rates took
    it, so that the one whose phase has high rates pulls no harder. Sums are taken in float64, and every worker has the same bits
    afterwards. Averaged are the parameters and the floating-point buffers that a `state_dict` holds (running statistics; these always
    plainly), not the optimizer's state, and no scheduled value. With one worker nothing changes; with `every=1`, plain SGD and equal
    rates it is the mean gradient of synchronous training, up to rounding.

    At the beginning all workers get worker 0's model.

    Args:
        model: This worker's model. Not wrapped in ``DistributedDataParallel``, which averages at every update.
        every: Updates from one averaging to the next, H.
        phases: What phase each worker has; as many clients as workers. None: all have the plan's.
        normalise: See above; needs `optimizer`.
        optimizer: Whose rate and momentum say how far this worker went.

    Raises:
        ConfigError: An argument cannot be.

    Source: S. Stich, Local SGD Converges Fast and Communicates Little, ICLR 2019 (arXiv 1805.09767); J. Wang et al., arXiv 2007.07481.

    >>> import ostinato as ost
    >>> model = nn.Linear(2, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> averaging = PeriodicAveraging(model, every=2, phases=Phases(1))
    >>> plan = ost.Plan(total=4, cycle=ost.Cycle(count=2), bindings={"optimizer.lr": ost.wave(0.0, 0.1)})
    >>> scheduler = averaging.plan_of(plan).bind(optimizer=optimizer)
    >>> for _ in range(4):
    ...     model(torch.ones(1, 2)).sum().backward()
    ...     optimizer.step()
    ...     tick = scheduler.step()
    ...     print(averaging.step(), tick.cycle_end)
    False False
    True True
    False False
    True True
    """

    def __init__(
        self,
        model: nn.Module,
        every: int = 8,
        *,
        phases: Phases | None = None,
        normalise: bool = False,
        optimizer: Optimizer | None = None,
    ) -> None:
        whole("every", every)
        if isinstance(model, nn.parallel.DistributedDataParallel):
            raise ConfigError(
                "model: got a DistributedDataParallel, which averages at every update; pass the model inside"
            )
        if normalise and optimizer is None:
            raise ConfigError("normalise: needs the rates that each worker used; pass optimizer=")
        self.workers, self.rank = (dist.get_world_size(), dist.get_rank()) if _connected() else (1, 0)
        if phases is not None and phases.clients != self.workers:
            raise ConfigError(
                f"phases: made for {phases.clients} workers, but there are {self.workers}; pass Phases({self.workers})"
            )
        self.every, self.normalise, self.phases = every, normalise, phases
        self.count = 0
        self._model = model
        self._progress = Progress(optimizer)
        if optimizer is not None and normalise:
            optimizer.register_step_post_hook(lambda *_: self._progress.add(self._progress.in_force()))
        self._begin()

    def _begin(self) -> None:
        """Give all workers worker 0's model, and begin to note how far they go."""
        if self.workers > 1:
            tensors = self._parameters() + self._buffers()
            _put(tensors, _summed(tensors, float(self.rank == 0)))
        self._before = [tensor.clone() for tensor in self._parameters()] if self.normalise else []
        self._progress.way = 0.0

    # -- the plan ----------------------------------------------------------------------------------------------

    @property
    def shift(self) -> float:
        """This worker's phase, in fractions of a cycle."""
        return 0.0 if self.phases is None else self.phases.of(self.rank)

    def plan_of(self, plan: Plan) -> Plan:
        """Return the plan that this worker follows: every wave late by its phase. Cycles begin and end as in the common plan."""
        return plan.shifted(self.shift)

    # -- averaging ---------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Say that an update was made, after ``scheduler.step()``; average where one is due, and return whether it was."""
        self.count += 1
        if self.count % self.every:
            return False
        self.average()
        return True

    def average(self) -> None:
        """Average now, whatever the count. Every worker has to call it."""
        self._put_mean()
        if self.normalise:
            self._before = [tensor.clone() for tensor in self._parameters()]
        self._progress.way = 0.0

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the average into the model for a block, to save or to score it, and this worker's own weights back. Every worker has to enter it."""
        tensors = self._parameters() + self._buffers()
        own = [tensor.clone() for tensor in tensors]
        self._put_mean()
        try:
            yield
        finally:
            _put(tensors, own)

    def _put_mean(self) -> None:
        if self.workers == 1:
            return
        parameters, buffers, plain = self._parameters(), self._buffers(), 1.0 / self.workers
        if not self.normalise:
            _put(parameters + buffers, _summed(parameters + buffers, plain))
            return
        ways = [now.double() - then.double() for now, then in zip(parameters, self._before, strict=True)]
        moved = [then.double() + way for then, way in zip(self._before, _summed(ways, self._pull()), strict=True)]
        _put(parameters, moved)
        _put(buffers, _summed(buffers, plain))

    def _pull(self) -> float:
        """Return what this worker's way is multiplied with."""
        device = self._before[0].device
        own = torch.tensor([self._progress.way], dtype=torch.float64, device=device)
        everyone = [torch.zeros_like(own) for _ in range(self.workers)]
        dist.all_gather(everyone, own)
        ways = [float(way) for way in everyone]
        if not any(ways):  # nobody has gone anywhere since the last averaging
            return 1.0 / self.workers
        return float(shares([Update(rank, {}, 1.0, way) for rank, way in enumerate(ways)], normalise=True)[self.rank])

    def _parameters(self) -> list[Tensor]:
        return [_real(tensor) for tensor in self._tensors() if isinstance(tensor, nn.Parameter)]

    def _buffers(self) -> list[Tensor]:
        return [_real(tensor) for tensor in self._tensors() if not isinstance(tensor, nn.Parameter)]

    def _tensors(self) -> Iterable[Tensor]:
        """Return what is averaged, each once; scheduled values lie in buffers that a state_dict does not hold."""
        held = self._model.state_dict(keep_vars=True).values()
        chosen = (tensor for tensor in held if isinstance(tensor, Tensor))
        return {id(tensor): tensor for tensor in chosen if tensor.is_floating_point() or tensor.is_complex()}.values()

    # -- state -------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the state of this worker; each worker saves its own, beside its model's and its optimizer's."""
        return {
            "workers": self.workers,
            "every": self.every,
            "normalise": self.normalise,
            "count": self.count,
            "way": self._progress.way,
            "memory": self._progress.memory,
            "before": [tensor.clone() for tensor in self._before],
        }

    def load_state_dict(self, state: Mapping[str, Any], *, elastic: bool = False) -> None:
        """Go on from a state; the model, the optimizer and the scheduler are to be loaded before.

        Args:
            state: This worker's; with `elastic`, anyone's.
            elastic: Go on with another number of workers. Load `mean_state` of the saved models first: all workers begin from worker 0's
                model, with phases as of a new start. The average that they begin from is that of the saved ones within a rounding.

        Raises:
            StateError: The state is of another number of workers, or of other settings.
        """
        for name in ("every", "normalise"):
            if state[name] != getattr(self, name):
                raise StateError(
                    f"{name}: the checkpoint has {state[name]!r}, now it is {getattr(self, name)!r}; make PeriodicAveraging as before"
                )
        if state["workers"] != self.workers and not elastic:
            raise StateError(
                f"the checkpoint is of {state['workers']} workers, now there are {self.workers}; start {state['workers']},"
                " or load mean_state of all their models and then this with elastic=True"
            )
        self.count, self._progress.memory = int(state["count"]), float(state["memory"])
        if state["workers"] != self.workers:
            self._begin()
            return
        self._progress.way = float(state["way"])
        self._before = [
            saved.to(tensor.device, copy=True)
            for saved, tensor in zip(state["before"], self._parameters() if self.normalise else [], strict=True)
        ]


def mean_state(states: Sequence[Any]) -> Any:
    """Return one state of several alike: floating-point tensors averaged in float64, all else as in the first.

    For the ``state_dict`` of models and of optimizers, whose momenta and second moments are averaged so too.

    Args:
        states: Nested dicts, lists and tuples, one a worker, of the same form.

    Raises:
        StateError: They are not of the same form.

    >>> mean_state([{"w": torch.zeros(2), "n": 3}, {"w": torch.ones(2), "n": 3}])
    {'w': tensor([0.5000, 0.5000]), 'n': 3}
    """
    first = states[0]
    if isinstance(first, Tensor):
        if any(not isinstance(state, Tensor) or state.shape != first.shape for state in states):
            raise StateError(f"the workers' states differ: expected tensors of shape {tuple(first.shape)} from each")
        if not (first.is_floating_point() or first.is_complex()):
            return first
        wide = torch.complex128 if first.is_complex() else torch.float64
        return torch.stack([state.to(wide) for state in states]).mean(0).to(first.dtype)
    if isinstance(first, Mapping):
        if any(not isinstance(state, Mapping) or state.keys() != first.keys() for state in states):
            raise StateError(f"the workers' states differ: expected the keys {list(first)} from each")
        return type(first)((key, mean_state([state[key] for state in states])) for key in first)  # type: ignore[call-arg]  # dict and OrderedDict
    if isinstance(first, list | tuple):
        return type(first)(mean_state(list(items)) for items in zip(*states, strict=True))
    return first


def _connected() -> bool:
    return dist.is_available() and dist.is_initialized()


def _real(tensor: Tensor) -> Tensor:
    """Return the tensor's own storage, as real numbers and without gradients."""
    return torch.view_as_real(tensor.detach()) if tensor.is_complex() else tensor.detach()


def _summed(tensors: Sequence[Tensor], factor: float) -> list[Tensor]:
    """Return the sum over all workers of factor * tensor for each tensor, float64."""
    found: list[Tensor] = []
    for bucket in _buckets(tensors):
        flat = torch.cat([tensor.reshape(-1).double() for tensor in bucket]) * factor
        dist.all_reduce(flat)
        pieces = torch.split(flat, [tensor.numel() for tensor in bucket])
        found += [piece.view(tensor.shape) for piece, tensor in zip(pieces, bucket, strict=True)]
    return found


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    for tensor in tensors:
        if bucket and sum(map(Tensor.numel, bucket)) + tensor.numel() > _BUCKET:
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


def _put(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Write values into tensors, which keep their identity."""
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)
