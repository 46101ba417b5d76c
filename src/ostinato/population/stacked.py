"""Training a chunk of members at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ostinato.population.job import Arrays
from ostinato.population.memory import BLOCK
from ostinato.population.stepping import Batch, State, traced
from ostinato.population.template import Template
from ostinato.population.values import Values

__all__ = ["Chunk", "Feed", "Steps"]

_REPORT = 64  # steps from one report to the next
_MEMBER_STEPS = 50_000
_WORK = 1_000_000_000


Step = Callable[[State, Batch], None]


@dataclass
class Steps:
    """The update by (members, batch size), compiled where that pays."""

    template: Template
    compile: bool | str
    made: dict[tuple[int, int], Step] = field(default_factory=dict)
    compiled: bool = False

    def run(self, state: State, batch: Batch, uses: Callable[[], int]) -> None:
        """Make one update; `uses` says how many there are with a batch of this size."""
        key = (len(state.died), batch.targets.shape[1])
        if key in self.made:
            self.made[key](state, batch)
            return
        plain = self.made[key] = self.template.machine.step
        if self.compile is True or (self.compile == "auto" and self._pays(state, uses())):
            try:
                step = traced(self.template.machine, state, batch, fake=True)
                step.first(state, batch)
            except Exception:  # there is no compiler, or it gives up; nothing was computed
                if self.compile is True:
                    raise
                plain(state, batch)
            else:
                self.made[key], self.compiled = step, True
        else:
            plain(state, batch)

    def _pays(self, state: State, uses: int) -> bool:
        """Whether compiling, which takes some 5 to 15 seconds, is made good: decided from sizes alone, so that it is the same every time."""
        member_steps = uses * len(state.died)
        numbers = sum(p[0].numel() for p in state.parameters.values())
        return member_steps >= _MEMBER_STEPS and member_steps * numbers >= _WORK


@dataclass
class Scores:
    """What was scored: by step, then by name, members' positions and values."""

    metrics: dict[int, dict[str, tuple[list[int], Tensor]]] = field(default_factory=dict)
    saved: dict[int, tuple[list[int], dict[str, Tensor]]] = field(default_factory=dict)


class Feed:
    """Gathers members' examples, in buffers that are used again: what it returned before is overwritten."""

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays
        self._held: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def __call__(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs (K, B, ...) and targets (K, B, ...) of the places `chosen`, (K, B), of the training set."""
        members, size = chosen.shape
        arrays = self._arrays
        if (members, size) not in self._held:
            shape = (members * size,)
            self._held[members, size] = (
                arrays.inputs.new_empty(shape + arrays.inputs.shape[1:]),
                arrays.targets.new_empty(shape + arrays.targets.shape[1:]),
            )
        x, y = self._held[members, size]
        flat = chosen.reshape(-1)
        torch.index_select(arrays.inputs, 0, flat, out=x)
        torch.index_select(arrays.targets, 0, flat, out=y)
        return x.view(members, size, *x.shape[1:]), y.view(members, size, *y.shape[1:])


class Chunk:
    """Members that are trained at once.

    Args:
        template: What all members share.
        members: Their numbers in the job.
        width: How many to compute; what `members` lack is filled up with idle copies, so that all chunks have one shape.
    """

    def __init__(self, template: Template, members: Sequence[int], width: int) -> None:
        self.template, self.job = template, template.job
        self.members = list(members)
        padded = [*members, *[members[-1]] * (width - len(members))]
        self.padded = padded
        device = self.job.arrays.inputs.device
        totals = [self.job.totals[k] for k in members] + [0] * (width - len(members))
        self.totals = torch.tensor(totals, device=device)
        self.total = max(totals)
        self.keys = template.keys(padded).to(device)
        self.state = template.start(padded)
        self.values = Values([template.placement.driven[k] for k in padded])
        self.orders = [self.job.order(k) for k in padded]
        sizes = [self.orders[0].size(index) for index in range(self.orders[0].batches)]
        self.bounds = np.concatenate([[0], np.cumsum(sizes)]).tolist()
        self.scores = Scores()
        self._since = dict.fromkeys(range(len(self.members)), 0)
        self.feed = Feed(self.job.arrays)

    def updates(self, steps: Steps) -> Iterator[int]:
        """Train to the end, and yield how many updates each member is through now and then."""
        self.template.machine.rule.restart()
        self.template.machine.model.train()
        events = self._events()
        for step in range(self.total):
            place = step % BLOCK
            if step % _REPORT == 0 and step:
                yield step
                if self._idle(step):
                    break
            if place == 0:
                block = np.arange(step, min(step + BLOCK, self.total), dtype=np.int64)
                coefficients, values = self.template.block(self.values, block)
            batch = self._batch(step, coefficients[place], values[place])
            steps.run(self.state, batch, partial(self._uses, step))
            if step in events:
                self._look(step, values[place])
        self._close()
        yield self.total

    def _close(self) -> None:
        """Note as diverged whose very last update made weights that are not finite: no update came after that would have noticed."""
        finite = torch.ones_like(self.state.died, dtype=torch.bool)
        for p in self.state.parameters.values():
            finite &= torch.isfinite(p.flatten(1)).all(1)
        late = (self.state.died < 0) & ~finite & (self.totals > 0)
        self.state.died.copy_(torch.where(late, self.totals - 1, self.state.died))

    def _idle(self, step: int) -> bool:
        return bool(((self.state.died >= 0) | (step >= self.totals)).all())

    def _events(self) -> set[int]:
        return {step for k in self.members for step in (*self.job.scored[k], *self.job.saved[k])}

    def _uses(self, step: int) -> int:
        """Return how many updates of this chunk have the same batch size, roughly."""
        sizes = [after - before for before, after in zip(self.bounds[:-1], self.bounds[1:], strict=True)]
        share = sizes.count(sizes[step % len(sizes)]) / len(sizes)
        return int(share * self.total)

    def _batch(self, step: int, coefficients: Tensor, values: Tensor) -> Batch:
        epoch, index = divmod(step, self.orders[0].batches)
        if index == 0:
            self._rows = self._order(epoch)
        first, after = self.bounds[index], self.bounds[index + 1]
        inputs, targets = self.feed(self._rows[:, first:after])
        return Batch(coefficients, values, self.keys, self.totals, torch.tensor(step), inputs, targets)

    def _order(self, epoch: int) -> Tensor:
        """Return every member's order of an epoch as places in the training set, int32 (K, N)."""
        known: dict[int, np.ndarray[Any, Any]] = {}
        rows = []
        for k, order in zip(self.padded, self.orders, strict=True):
            key = self.job.seeds[k] if self.job.batches is None else k
            if key not in known:
                known[key] = order.indices(epoch)
            rows.append(self.job.examples(k, known[key]).astype(np.int32))
        return torch.from_numpy(np.stack(rows)).to(self.totals.device)

    def _look(self, step: int, values: Tensor) -> None:
        """Score and keep the members whose step this is, unless they have diverged."""
        alive = (self.state.died < 0).tolist()
        scored = [place for place, k in enumerate(self.members) if step in self.job.scored[k] and alive[place]]
        saved = [place for place, k in enumerate(self.members) if step in self.job.saved[k] and alive[place]]
        if scored:
            self.scores.metrics[step] = {
                name: (scored, value) for name, value in self._scored(step, scored, values).items()
            }
        if saved:
            chosen = torch.tensor(saved, device=self.totals.device)
            self.scores.saved[step] = saved, {name: tensor[chosen] for name, tensor in self.state.tensors().items()}

    def _scored(self, step: int, members: list[int], values: Tensor) -> dict[str, Tensor]:
        chosen = torch.tensor(members, device=self.totals.device)
        counts = torch.tensor([step + 1 - self._since[place] for place in members], dtype=torch.float64)
        found = {"train_loss": self.state.losses[chosen].cpu().to(torch.float64) / counts}
        self.state.losses[chosen] = 0.0
        self._since.update(dict.fromkeys(members, step + 1))
        whole = len(members) == len(self.padded)
        tensors = {name: tensor if whole else tensor[chosen] for name, tensor in self.state.tensors().items()}
        scores = self.template.scores(tensors, values if whole else values[:, chosen], step)
        return found | {name: value.cpu() for name, value in scores.items()}
