"""One update of many members: a function of tensors, traced once, compiled if that pays."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from ostinato.population.masks import Frame
from ostinato.population.rules import Rule
from ostinato.population.values import SlotPlace

__all__ = ["Batch", "Machine", "State", "traced"]

Tensors = dict[str, Tensor]


@dataclass
class State:
    """What an update changes, all stacked over the members (first dimension K).

    Attributes:
        parameters: Trained parameters by name.
        moments: The optimizer's state of each, in the rule's order.
        buffers: Buffers and frozen parameters by name.
        died: The step at which a member's loss or gradient was not finite, -1 for none, int64 (K,).
        losses: Sum of the training losses since they were last read, (K,).
    """

    parameters: Tensors
    moments: dict[str, list[Tensor]]
    buffers: Tensors
    died: Tensor
    losses: Tensor

    def tensors(self) -> Tensors:
        """Return parameters and buffers under the names that the model gives them."""
        return {**self.parameters, **self.buffers}


@dataclass(frozen=True)
class Batch:
    """What an update reads.

    Attributes:
        coefficients: The rule's, float32 (groups x coefficients, K).
        values: Values of attributes, float32 (places, K).
        keys: Keys of the masks, int64 (K, layers, 2).
        totals: Updates that each member makes, int64 (K,).
        step: The update, int64 ().
        inputs: (K, B, ...).
        targets: (K, B, ...).
    """

    coefficients: Tensor
    values: Tensor
    keys: Tensor
    totals: Tensor
    step: Tensor
    inputs: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Machine:
    """A model whose layers and values can differ from member to member.

    Attributes:
        model: The template; what it holds itself is never used.
        loss: Loss of (outputs, targets).
        frame: What the template's layers look up.
        places: Attributes that members drive.
        groups: For every trained parameter the index of its group.
        rule: The optimizer.
        width: Coefficients of one group.
    """

    model: nn.Module
    loss: Callable[[Any, Any], Tensor]
    frame: Frame
    places: tuple[SlotPlace, ...]
    groups: Mapping[str, int]
    rule: Rule
    width: int

    def outputs(self, tensors: Tensors, inputs: Tensor, keys: Tensor, step: Tensor | int) -> Any:
        """Return one member's outputs; its values must be in place."""
        self.frame.at(step, keys)
        return functional_call(self.model, tensors, (inputs,))

    def _loss_of(  # noqa: PLR0917 - vmap maps over positions
        self, trained: Tensors, rest: Tensors, values: Tensor, keys: Tensor, step: Tensor, x: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensors]:
        with placed(self.places, values):
            loss = self.loss(self.outputs({**trained, **rest}, x, keys, step), y)
        return loss, dict(self.frame.updates)

    def step(self, state: State, batch: Batch) -> None:
        """Make one update of all members in place; those that are over or have diverged stay as they are."""
        gradient = grad_and_value(self._loss_of, has_aux=True)
        each = vmap(gradient, in_dims=(0, 0, 1, 0, None, 0, 0))
        gradients, (losses, updates) = each(
            state.parameters, state.buffers, batch.values, batch.keys, batch.step, batch.inputs, batch.targets
        )
        running = (state.died < 0) & (batch.step < batch.totals)
        finite = torch.isfinite(losses)
        for g in gradients.values():
            finite = finite & torch.isfinite(g.flatten(1).abs().amax(1))
        good = running & finite
        for name, p in state.parameters.items():
            self._update(name, p, gradients[name], state.moments[name], coefficients=batch.coefficients, good=good)
        for name, value in updates.items():
            _replace(state.buffers[name], value, good)
        state.losses.add_(torch.where(good, losses, torch.zeros_like(losses)))
        state.died.copy_(torch.where(running & ~finite, batch.step, state.died))

    def _update(
        self, name: str, p: Tensor, g: Tensor, moments: list[Tensor], *, coefficients: Tensor, good: Tensor
    ) -> None:
        first = self.groups[name] * self.width
        shape = [-1] + [1] * (p.dim() - 1)
        c = [coefficients[first + place].view(shape) for place in range(self.width)]
        new, state = self.rule.update(p, g, moments, c)
        _replace(p, new, good)
        for before, after in zip(moments, state, strict=True):
            _replace(before, after, good)


def _replace(old: Tensor, new: Tensor, good: Tensor) -> None:
    old.copy_(torch.where(good.view([-1] + [1] * (old.dim() - 1)), new, old))


@contextlib.contextmanager
def placed(places: Sequence[SlotPlace], values: Tensor) -> Iterator[None]:
    """Put one member's values where its model and loss look for them, and the originals back."""
    kept = []
    for column, place in enumerate(places):
        owner, name = place.slot.owner, place.slot.name
        home = owner.__dict__ if name in owner.__dict__ else owner._buffers
        kept.append((home, name, home[name]))
        home[name] = values[column]
    try:
        yield
    finally:
        for home, name, value in kept:
            home[name] = value


def traced(machine: Machine, state: State, batch: Batch, *, fake: bool) -> Traced:
    """Return the update as a graph of tensor operations for these shapes.

    Args:
        machine: The update.
        state: Of these shapes. With ``fake`` it stays as it is, otherwise it is used up.
        batch: Of these shapes.
        fake: Trace without computing, which takes longer and no memory.

    Raises:
        Exception: Whatever an operation raises that cannot be mapped over members.
    """

    def flat(*tensors: Tensor) -> list[Tensor]:
        machine.step(*_unflattened(tensors, state))
        return []

    mode: Literal["fake", "real"] = "fake" if fake else "real"
    return Traced(make_fx(flat, tracing_mode=mode, _allow_non_fake_inputs=fake)(*_flattened(state, batch)))


class Traced:
    """A traced update; compiled by its first call, which takes seconds."""

    def __init__(self, graph: torch.fx.GraphModule) -> None:
        self.code = graph.code
        self._compiled: Callable[..., Any] = torch.compile(graph, fullgraph=True, dynamic=False)

    def first(self, state: State, batch: Batch) -> None:
        """Compile and make the update.

        Raises:
            Exception: The compiler's, before anything was computed.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the compiler thinks of itself
            self(state, batch)

    def __call__(self, state: State, batch: Batch) -> None:
        self._compiled(*_flattened(state, batch))


def _flattened(state: State, batch: Batch) -> list[Tensor]:
    moments = [tensor for tensors in state.moments.values() for tensor in tensors]
    kept = [*state.parameters.values(), *moments, *state.buffers.values(), state.died, state.losses]
    return [*kept, batch.coefficients, batch.values, batch.keys, batch.totals, batch.step, batch.inputs, batch.targets]


def _unflattened(tensors: Sequence[Tensor], like: State) -> tuple[State, Batch]:
    found = iter(tensors)
    parameters = {name: next(found) for name in like.parameters}
    moments = {name: [next(found) for _ in before] for name, before in like.moments.items()}
    buffers = {name: next(found) for name in like.buffers}
    return State(parameters, moments, buffers, next(found), next(found)), Batch(*found)
