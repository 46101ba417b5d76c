"""The template: one model whose layers take every member's weights and values in turn, and what stands against that."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.errors import ConfigError
from ostinato.population import recipes
from ostinato.population.job import Job, criterion_of
from ostinato.population.layers import equip_loss, equip_norms
from ostinato.population.masks import Frame, equip_masks, layer_keys
from ostinato.population.memory import block_bytes, saved_bytes
from ostinato.population.rules import rule_of
from ostinato.population.scoring import Scorer, metrics_for
from ostinato.population.stepping import Batch, Machine, State, placed, traced
from ostinato.population.values import GroupPlace, Placement, Values, place_plans

__all__ = ["Template", "names_of", "prepare"]

Ints = NDArray[np.int64]
_TINY = 4


@dataclass(frozen=True)
class Template:
    """Everything that the members of a job share.

    Attributes:
        job: The job.
        machine: The update.
        placement: Where the plans' values land.
        groups: The optimizer's parameter groups, for the values that no plan drives.
        buffers: Names of buffers and frozen parameters.
        layers: Number of random layers.
        names: From each name of the state_dict to the name that the tensor is kept under.
        each: Bytes that one member needs, roughly.
        scorer: Scores on the test data, None without.
    """

    job: Job
    machine: Machine
    placement: Placement
    groups: Sequence[Mapping[str, Any]]
    buffers: tuple[str, ...]
    layers: int
    names: Mapping[str, str]
    each: int
    scorer: Scorer | None

    def start(self, members: Sequence[int]) -> State:
        """Return the members' state before their first update, each made under its own seed."""
        made: dict[int, dict[str, Tensor]] = {}
        with recipes.kept_randomness():
            for seed in {self.job.seeds[k] for k in members}:
                model = recipes.built(self.job.make_model, seed)
                made[seed] = {name: tensor.detach() for name, tensor in _named(model).items()}
        found = [made[self.job.seeds[k]] for k in members]
        parameters = {name: _stacked(name, found) for name in self.machine.groups}
        buffers = {name: _stacked(name, found) for name in self.buffers}
        return self.fresh(parameters, buffers)

    def fresh(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> State:
        """Return the state of members that begin with these tensors, stacked, and an optimizer that knows nothing yet; they are used up."""
        moments = {name: [torch.zeros_like(p) for _ in self.machine.rule.states] for name, p in parameters.items()}
        members = len(next(iter(parameters.values())))
        device = self.job.arrays.inputs.device
        died = torch.full((members,), -1, device=device)
        return State(parameters, moments, buffers, died, torch.zeros(members, device=device))

    def keys(self, members: Sequence[int]) -> Tensor:
        """Return the keys of the members' masks, int64 (K, layers, 2)."""
        return torch.stack([layer_keys(self.job.seeds[k], self.layers) for k in members])

    def block(self, values: Values, steps: Ints, counts: Ints | None = None) -> tuple[Tensor, Tensor]:
        """Return the rule's coefficients (steps, columns, K) and the values of attributes (steps, places, K), float32.

        Args:
            values: The members'.
            steps: The optimizer's updates, consecutive, (steps,).
            counts: Where on its clock each member is, as `Values.block` takes it; by default at the same updates.
        """
        rule, counts = self.machine.rule, steps if counts is None else counts
        columns = []
        for number, group in enumerate(self.groups):
            found = {}
            for key, element in rule.keys:
                original = group[key] if element is None else group[key][element]
                found[key, element] = values.block(GroupPlace(number, key, element), float(original), counts)
            columns += rule.coefficients(found, steps, number)
        places, originals = self.placement.attributes, self.placement.originals
        held = [values.block(place, originals[place], counts) for place in places]
        empty = np.zeros((len(steps), 0, len(values)))
        stacks = [np.stack(part, axis=1) if part else empty for part in (columns, held)]
        device = self.job.arrays.inputs.device
        of_rule, of_places = (torch.from_numpy(stack.astype(np.float32)).to(device) for stack in stacks)
        return of_rule, of_places

    def scores(self, tensors: Mapping[str, Tensor], values: Tensor, step: int) -> dict[str, Tensor]:
        """Return the scores on the test data of stacked weights, in evaluation mode; nothing without test data.

        Args:
            tensors: Parameters and buffers, (K, ...).
            values: Values of attributes, (places, K).
            step: The update that they are of.
        """
        if self.scorer is None:
            return {}
        machine = self.machine

        def forward(weights: dict[str, Tensor], held: Tensor, x: Tensor) -> Tensor:
            with placed(machine.places, held):
                outputs: Tensor = machine.outputs(weights, x, machine.frame.keys, step)
            return outputs

        machine.model.eval()
        try:
            return self.scorer.many(forward, tensors, values.T)
        finally:
            machine.model.train()


def names_of(model: nn.Module) -> dict[str, str]:
    """Return under which name each tensor of the state_dict is kept; tied ones share theirs."""
    known = {id(tensor): name for name, tensor in _named(model).items()}
    state = model.state_dict(keep_vars=True)
    return {name: known[id(tensor)] for name, tensor in state.items() if id(tensor) in known}


def prepare(job: Job, model: nn.Module) -> Template | str:
    """Return the template, or the reason why the members cannot be trained at once. `model` is used up.

    Raises:
        Exception: What the model or the loss raise by themselves, on a few examples.
        TargetError: A target matches nothing.
    """
    names = names_of(model)
    optimizer = recipes.make_optimizer(job.optimizer, model, job.options)
    loss = criterion_of(job.loss)
    placement = place_plans(job.plans, {"optimizer": optimizer, "model": model, "loss": loss})
    if placement.foreign:
        return f"{placement.foreign[0]} cannot differ from member to member"
    groups = optimizer.param_groups
    momentum = placement.drives("momentum")
    rule = rule_of(job.optimizer, groups, momentum_driven=momentum)
    if isinstance(rule, str):
        return rule
    driven = {
        (place.key, place.element) for member in placement.driven for place in member if isinstance(place, GroupPlace)
    }
    if strange := driven - set(rule.keys):
        return f"the optimizer's {sorted(strange, key=str)[0][0]} cannot differ from member to member"
    frame = Frame(layer_keys(job.seeds[0], 0))
    layers = equip_masks(model, frame)
    frame.at(0, layer_keys(job.seeds[0], layers))
    tracked = equip_norms(model, frame)
    equip_loss(loss)
    with recipes.kept_randomness():
        recipes.reseed(job.seeds[0])
        reason, used, outputs = _tiny_step(job, model, loss)
        each = 0 if reason else _each(job, model)
    if reason:
        return reason
    scheduled = {(id(place.slot.owner), place.slot.name) for place in placement.attributes}
    trained = {name for name, p in model.named_parameters() if id(p) in used}
    index = {id(p): number for number, group in enumerate(groups) for p in group["params"]}
    membership = {name: index[id(p)] for name, p in model.named_parameters() if name in trained}
    rest = tuple(name for name in _named(model) if name not in trained and _owner(model, name) not in scheduled)
    if missing := tracked - set(rest):
        return f"{sorted(missing)[0]} is driven and tracked at once"
    width = len(rule.coefficients({key: np.full((1, 1), 0.5) for key in rule.keys}, np.zeros(1, np.int64), 0))
    rule.restart()
    each += block_bytes(width * len(groups) + len(placement.attributes), max(job.totals))
    machine = Machine(model, loss, frame, placement.attributes, membership, rule, width)
    template = Template(job, machine, placement, groups, rest, layers, names, each, _scorer(job, outputs, each))
    return _untraceable(template) or template


def _tiny_step(job: Job, model: nn.Module, loss: Any) -> tuple[str, set[int], Any]:
    """Run a few examples forward and back as they are; return what stands against mapping, the parameters used, and the outputs."""
    count = min(_TINY, job.length)
    x, y = job.arrays.inputs[:count], job.arrays.targets[:count]
    versions = {name: (buffer, buffer._version) for name, buffer in model.named_buffers()}
    before = torch.get_rng_state(), str(np.random.get_state(legacy=True)), random.getstate()  # noqa: NPY002 - the global one is meant
    model.train()
    outputs = model(x)
    value = loss(outputs, y)
    if not isinstance(value, Tensor) or value.dim() != 0:
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ConfigError(f"loss: returned {shape}, expected one number, a tensor of shape ()")
    value.backward()  # type: ignore[no-untyped-call]  # torch does not say what it returns
    used = {id(p) for p in model.parameters() if p.requires_grad and p.grad is not None}
    model.zero_grad()
    after = torch.get_rng_state(), str(np.random.get_state(legacy=True)), random.getstate()  # noqa: NPY002 - the global one is meant
    for name, buffer in model.named_buffers():
        if name not in versions or versions[name][0] is not buffer or versions[name][1] != buffer._version:
            return f"the model changes its buffer {name!r} in its forward pass", used, outputs
    if not torch.equal(before[0], after[0]) or before[1:] != after[1:]:
        return (
            "the model or the loss draws random numbers outside of dropout layers and ostinato.nn.RandomLayer, from a stream that members would share",
            used,
            outputs,
        )
    return "", used, outputs.detach() if isinstance(outputs, Tensor) else outputs


def _each(job: Job, model: nn.Module) -> int:
    """Return roughly the bytes that one member needs: weights, moments, gradients, activations and its order of the data."""
    weights = sum(tensor.numel() * tensor.element_size() for tensor in _named(model).values())
    size = min(job.batch_size, job.length)
    batch = job.arrays.inputs[:size]
    kept = saved_bytes(model, batch)
    return 7 * weights + 3 * kept + 2 * batch.numel() * batch.element_size() + 8 * job.length


def _scorer(job: Job, outputs: Any, each: int) -> Scorer | None:
    if job.arrays.test is None:
        return None
    inputs, targets = job.arrays.test
    members = max(1, (256 << 20) // max(1, each * 1024 // max(1, min(job.batch_size, job.length))))
    return Scorer(inputs, targets, metrics_for(targets[: len(outputs)], outputs, job.metrics), members)


def _untraceable(template: Template) -> str:
    """Return why an update of two members cannot be traced, or is traced differently a second time; empty where it can."""
    job, machine = template.job, template.machine
    count = min(_TINY, job.length)
    state = template.start([0, 0])
    batch = Batch(
        torch.zeros(machine.width * len(template.groups), 2),
        torch.tensor([[template.placement.originals[place]] * 2 for place in machine.places]).reshape(-1, 2),
        template.keys([0, 0]),
        torch.ones(2, dtype=torch.int64),
        torch.tensor(0),
        torch.stack([job.arrays.inputs[:count]] * 2),
        torch.stack([job.arrays.targets[:count]] * 2),
    )
    try:
        codes = {traced(machine, state, batch, fake=False).code for _ in range(2)}
    except Exception as error:  # whatever the model's operations raise under vmap
        first = (str(error).strip().splitlines() or ["no message"])[0]
        return f"torch.vmap cannot take the model or the loss ({type(error).__name__}: {first[:200]})"
    return "" if len(codes) == 1 else "the model's forward pass is not the same every time"


def _named(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _owner(model: nn.Module, name: str) -> tuple[int, str]:
    path, _, last = name.rpartition(".")
    return id(model.get_submodule(path)), last


def _stacked(name: str, found: Sequence[Mapping[str, Tensor]]) -> Tensor:
    try:
        return torch.stack([tensors[name] for tensors in found])
    except (KeyError, RuntimeError) as error:
        raise ConfigError(
            f"make_model: {name} is not the same in every model ({error}); members differ in seed and plan only"
        ) from error
