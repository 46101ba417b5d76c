"""Making what a plan drives safe to compile: the modules, losses and optimizers that it names, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from ostinato.core.address import Address
from ostinato.core.plan import Plan
from ostinato.errors import DomainError, TargetError
from ostinato.nn import dropout, losses, normalization
from ostinato.nn.optimizers import form_of, give_form
from ostinato.nn.values import ScheduledModule
from ostinato.targets import AttributeSlot, GroupSlot, ItemSlot, Slot, find, roots_of

__all__ = ["SAFE", "Swapped", "compile_safe", "convert", "obstacle"]

SAFE: Mapping[type[nn.Module], type[ScheduledModule]] = {
    nn.Dropout: dropout.Dropout,
    nn.Dropout1d: dropout.Dropout1d,
    nn.Dropout2d: dropout.Dropout2d,
    nn.Dropout3d: dropout.Dropout3d,
    nn.BatchNorm1d: normalization.BatchNorm1d,
    nn.BatchNorm2d: normalization.BatchNorm2d,
    nn.BatchNorm3d: normalization.BatchNorm3d,
    nn.CrossEntropyLoss: losses.LabelSmoothingCrossEntropy,
}
"""Torch's classes, and ours that hold the same value in a buffer."""

_BREAKING = ("weight_decay", "momentum")  # torch asks whether they are 0, which a compiled step cannot ask of a tensor


@dataclass(frozen=True, slots=True)
class Swapped:
    """What `compile_safe` did.

    Attributes:
        modules: (address of the value, old class, new class) of each module that changed its class.
        groups: (address of the value, what it is now) of each hyperparameter of an optimizer that changed its form.
        unsafe: (address of the value, why) of what would still be compiled again, and what to do.
        unseen: Targets whose object was not given.
    """

    modules: tuple[tuple[str, str, str], ...] = ()
    groups: tuple[tuple[str, str], ...] = ()
    unsafe: tuple[tuple[str, str], ...] = ()
    unseen: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{label}: {old} became {new}" for label, old, new in self.modules]
        lines += [f"{label}: became a {form}" for label, form in self.groups]
        lines += [f"{label}: not safe to compile: {why}" for label, why in self.unsafe]
        lines += [f"{target}: not looked at, its object was not given" for target in self.unseen]
        return "\n".join(lines) or "nothing had to change"


def compile_safe(
    model: nn.Module,
    plan: Plan,
    *,
    loss: object = None,
    optimizer: object = None,
    **roots: object,
) -> Swapped:
    """Make the values that a plan drives safe to change in a compiled model, loss and optimizer step.

    Call it before `torch.compile` and before `Plan.bind`. Exactly the modules whose values the plan drives change their class, in place: a
    module keeps its identity, parameters, buffers, hooks, `state_dict` and training flag, and results stay those of torch's. A module that
    is in several places changes in all of them.

    Args:
        model: The root ``model``.
        plan: Whose targets, read as `Plan.bind` reads them.
        loss: The root ``loss``.
        optimizer: The root ``optimizer``, if its step is compiled too. Its hyperparameters get the form that torch needs for that, which an
            eager step need not accept: for an eager step leave it out, since nothing has to change there.
        roots: Objects under other names. Targets whose object is not given are listed, not refused.

    Raises:
        TargetError: A target matches nothing in the object that it names.

    >>> import ostinato as ost
    >>> model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1))
    >>> plan = ost.Plan(total=10, cycle=ost.Cycle(count=1), bindings={"model:Dropout.p": ost.mirror(0.0, 0.3)})
    >>> print(compile_safe(model, plan))
    model.1.p: Dropout became ostinato.nn.Dropout
    """
    given = {"model": model, "loss": loss, "optimizer": optimizer, **roots}
    present = {name: root for name, root in given.items() if root is not None}
    targets = [target for target in plan.bound if Address.parse(target).root in present]
    roots_of(targets, present)
    modules, groups, unsafe = [], [], []
    for slot in (slot for target in targets for slot in find(target, present, {})):
        change = _made_safe(slot)
        if isinstance(change, tuple):
            modules.append((slot.label, *change))
        elif change is not None:
            groups.append((slot.label, change))
        elif (why := obstacle(slot)) is not None:
            unsafe.append((slot.label, why))
    unseen = tuple(target for target in plan.bound if target not in targets)
    return Swapped(tuple(modules), tuple(groups), tuple(unsafe), unseen)


def _made_safe(slot: Slot) -> tuple[str, str] | str | None:
    """Change what holds a value; return the old and new class, or the new form, or None where nothing changed."""
    if isinstance(slot, AttributeSlot) and _replacement(slot) is not None:
        old = type(slot.owner).__name__
        convert(slot.owner)
        return old, f"ostinato.nn.{type(slot.owner).__name__}"
    if isinstance(slot, GroupSlot):
        form, _ = form_of(slot.optimizer, slot.key)
        if form is not None and give_form(slot.optimizer.param_groups[slot.index], slot.key, form):
            return form
    return None


def _replacement(slot: AttributeSlot) -> type[ScheduledModule] | None:
    safe = SAFE.get(type(slot.owner))
    return safe if safe is not None and slot.name in safe.scheduled else None


def convert(module: nn.Module) -> None:
    """Give a module of torch, in place, the class of ours that holds its value in a buffer.

    Raises:
        TargetError: There is no such class.
        DomainError: Its value is not one that the class accepts; the module is left as it was.

    >>> module = nn.Dropout(0.25)
    >>> convert(module)
    >>> module
    Dropout(p=0.25, inplace=False)
    """
    old = type(module)
    if old not in SAFE:
        raise TargetError(
            f"{old.__name__}: has no compile-safe form; there is one for {', '.join(kind.__name__ for kind in SAFE)}"
        )
    held = {name: getattr(module, name) for name in SAFE[old].scheduled}
    module.__class__ = SAFE[old]
    try:
        for name, value in held.items():
            module._buffers.pop(name, None)
            setattr(module, name, value)
    except DomainError:
        module.__class__ = old
        raise


def obstacle(slot: Slot) -> str | None:
    """Return why a compiled function is compiled again, or cut in two, when a slot's value changes, and what to do; None if it is not."""
    if isinstance(slot, GroupSlot):
        return _of_group(slot)
    if isinstance(slot, AttributeSlot) and isinstance(slot.owner, nn.Module):
        return _of_module(slot)
    if isinstance(slot, AttributeSlot | ItemSlot) and not isinstance(slot.raw(), Tensor):
        return f"a plain number of a {type(slot.owner).__name__} is a constant; hold it in a tensor: torch.tensor(...), which is filled in place"
    return None


def _of_module(slot: AttributeSlot) -> str | None:
    module, key, kind = slot.owner, slot.name, type(slot.owner).__name__
    if _replacement(slot) is not None:
        return (
            f"torch's {kind} takes {key} as a constant; call ostinato.nn.compile_safe(model, plan) before torch.compile"
        )
    if type(module).__module__.startswith("torch."):
        return f"torch's {kind} takes {key} as a constant and has no compile-safe form; keep {key} fixed, or leave it uncompiled"
    if isinstance(slot.raw(), Tensor):
        return None
    return f"a plain number of {kind} is a constant; hold it in a tensor: self.register_buffer({key!r}, torch.tensor(...), persistent=False)"


def _of_group(slot: GroupSlot) -> str | None:
    form, why = form_of(slot.optimizer, slot.key)
    if form is None:
        return why
    kind = type(slot.optimizer).__name__
    if form == "number" and isinstance(slot.raw(), Tensor) and slot.key in _BREAKING:
        return f"a tensor cuts {kind}'s step in pieces; make {slot.key} a plain number"
    if form == "tensor" and not isinstance(slot.raw(), Tensor):
        return (
            f"a compiled step of {kind} is compiled again whenever {slot.key} changes, unless it is a 0-dim tensor;"
            " call ostinato.nn.compile_safe(model, plan, optimizer=optimizer) before torch.compile"
        )
    return None
