"""Finding slots in modules, losses and any other objects, by path and by class."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, MutableMapping, MutableSequence, Sequence
from difflib import SequenceMatcher
from types import FunctionType
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from ostinato.core.address import Address
from ostinato.errors import TargetError
from ostinato.targets.slots import AttributeSlot, ItemSlot, Slot, is_number

__all__ = ["find_in_object"]

_WRAPPERS = ("_orig_mod", "_original_module", "module")
_WRAPPED_ONLY = ({"_orig_mod"}, {"module"}, {"_forward_module", "_original_module"})
_FAMILIES = {"Dropout": ("Dropout", "DropoutNd")}
_MOST_LISTED = 12


def find_in_object(address: Address, root: object) -> list[Slot]:
    """Return the slots that an address matches inside an object.

    Raises:
        TargetError: Nothing matches; the message lists what exists, near misses first.
    """
    if address.group is not None:
        raise TargetError(
            f"{address.text}: brackets select an optimizer's parameter groups, but {address.root!r} is a {type(root).__name__}"
        )
    slots = _by_class(address, root) if address.owner is not None else _by_path(address, root)
    unique: dict[Hashable, Slot] = {}
    for slot in slots:
        unique.setdefault(slot.place, slot)
    if not unique:
        raise TargetError(
            f"{address.text}: matches nothing in {type(unwrapped(root)).__name__}{_what_exists(address, root)}"
        )
    for slot in unique.values():
        slot.read()
    return list(unique.values())


def unwrapped(value: Any) -> Any:
    """Return the module inside wrappers such as a compiled, a data parallel or Fabric's module."""
    while _is_wrapper(value):
        value = next(value._modules[name] for name in _WRAPPERS if name in value._modules)
    return value


def _is_wrapper(value: Any) -> bool:
    return isinstance(value, nn.Module) and any(set(value._modules) == only for only in _WRAPPED_ONLY)


def _by_class(address: Address, root: object) -> Iterator[Slot]:
    for prefix, start in _walk(root, address.path, address.root):
        if isinstance(start, nn.Module):
            for label, module in _modules(start, prefix, set()):
                if _is_a(module, address.owner or ""):
                    yield from _slot(module, address.attribute, label)


def _modules(start: nn.Module, prefix: str, seen: set[int]) -> Iterator[tuple[str, nn.Module]]:
    """Yield a module and all below it, each once, labelled as if there were no wrappers."""
    if id(start) in seen:
        return
    seen.add(id(start))
    yield prefix, start
    wrapper = _is_wrapper(start)
    for name, child in start.named_children():
        yield from _modules(child, prefix if wrapper else f"{prefix}.{name}", seen)


def _is_a(module: nn.Module, name: str) -> bool:
    wanted = _FAMILIES.get(name, (name,))
    return any(kind.__name__.lstrip("_") in wanted for kind in type(module).__mro__)


def _by_path(address: Address, root: object) -> Iterator[Slot]:
    if not address.path:
        raise TargetError(
            f"{address.text}: name the value to set, as in '{address.root}.p', or bind a pair (getter, setter)"
        )
    for prefix, owner in _walk(root, address.path[:-1], address.root):
        yield from _slot(owner, address.path[-1:], prefix)


def _slot(owner: Any, attribute: Sequence[str], prefix: str) -> Iterator[Slot]:
    """Yield the slot of an attribute path below `owner`, if it is there."""
    *through, name = attribute
    for segment in through:
        found = _child(owner, segment)
        if found is None:
            return
        owner, prefix = found, f"{prefix}.{segment}"
    label = f"{prefix}.{name}"
    if isinstance(owner, MutableMapping) and name in owner:
        yield ItemSlot(label, owner, name)
    elif isinstance(owner, MutableSequence) and name.isdigit() and int(name) < len(owner):
        yield ItemSlot(label, owner, int(name))
    else:
        while _is_wrapper(owner) and not _owns(owner, name):
            owner = next(owner._modules[inner] for inner in _WRAPPERS if inner in owner._modules)
        if _has(owner, name):
            yield AttributeSlot(label, owner, name)


def _owns(module: nn.Module, name: str) -> bool:
    """Return whether a wrapper has an attribute itself; many pass on what they do not have."""
    return name in module.__dict__ or name in module._buffers or hasattr(type(module), name)


def _has(owner: Any, name: str) -> bool:
    try:
        return hasattr(owner, name)
    except Exception:  # a property of the user's object may raise anything; then it is no value to set
        return False


def _child(owner: Any, segment: str) -> Any:
    """Return what `segment` names inside `owner`, looking through wrappers; None where there is nothing."""
    for candidate in (unwrapped(owner), owner):
        if isinstance(candidate, Mapping):
            if segment in candidate:
                return candidate[segment]
        elif isinstance(candidate, Sequence) and not isinstance(candidate, str):
            if segment.isdigit() and int(segment) < len(candidate):
                return candidate[int(segment)]
        elif isinstance(candidate, nn.Module) and segment in candidate._modules:
            return candidate._modules[segment]
        elif _has(candidate, segment):
            return getattr(candidate, segment)
    return owner if segment in _WRAPPERS else None


def _children(owner: Any) -> Iterator[tuple[str, Any]]:
    owner = unwrapped(owner)
    if isinstance(owner, nn.Module):
        yield from owner.named_children()
    elif isinstance(owner, Mapping):
        yield from ((str(key), value) for key, value in owner.items())
    elif isinstance(owner, list | tuple):
        yield from ((str(place), value) for place, value in enumerate(owner))
    else:
        yield from ((name, value) for name, value in _attributes(owner).items() if not name.startswith("_"))


def _attributes(owner: object) -> dict[str, Any]:
    """Return what an object holds in its dictionary and its slots."""
    declared = [kind.__dict__.get("__slots__", ()) for kind in type(owner).__mro__]
    slots = [name for names in declared for name in ((names,) if isinstance(names, str) else names)]
    return {name: getattr(owner, name) for name in slots if hasattr(owner, name)} | getattr(owner, "__dict__", {})


def _walk(start: Any, path: Sequence[str], prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield (label, object) for everything that a path of segments leads to."""
    if not path:
        yield prefix, start
        return
    segment, rest = path[0], path[1:]
    if segment == "*":
        for name, child in _children(start):
            yield from _walk(child, rest, f"{prefix}.{name}")
    elif segment == "**":
        for label, below in _below(start, prefix, set()):
            yield from _walk(below, rest, label)
    else:
        child = _child(start, segment)
        if isinstance(child, Optimizer):
            raise TargetError(
                f"{prefix}.{segment}: is an optimizer, which exchanges what it holds; give it a name of its own, as in bind({segment}=...)"
            )
        if child is not None:
            yield from _walk(child, rest, prefix if child is start else f"{prefix}.{segment}")


def _below(start: Any, prefix: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Yield `start` and everything below it, each object once."""
    if id(start) in seen or isinstance(start, str | int | float | Tensor | Optimizer | type | FunctionType):
        return
    seen.add(id(start))
    yield prefix, start
    for name, child in _children(start):
        yield from _below(child, f"{prefix}.{name}", seen)


def _what_exists(address: Address, root: object) -> str:
    """Return what could have been meant: numbers of every class of module, or of the object, near misses first."""
    root = unwrapped(root)
    if isinstance(root, nn.Module):
        exists = {
            f"{address.root}:{type(module).__name__}.{name}" for module in root.modules() for name in _numbers(module)
        }
    else:
        places = dict(_walk(root, address.path[:-1], address.root)) or {address.root: root}
        exists = {f"{label}.{name}" for label, place in places.items() for name in _numbers(unwrapped(place))}
    if not exists:
        return "; it has no number to drive"
    wanted = [(address.owner or "").lower(), address.key.lower()]
    ranked = sorted(exists, key=lambda text: (-_nearness(text.lower(), wanted), text))
    return "; there are " + ", ".join(ranked[:_MOST_LISTED]) + (", ..." if len(ranked) > _MOST_LISTED else "")


def _nearness(text: str, wanted: list[str]) -> float:
    contained = sum(len(word) > 2 and word in text for word in wanted)
    return contained + SequenceMatcher(None, text, ".".join(wanted)).ratio()


def _numbers(owner: object) -> list[str]:
    """Return the names of the plain numbers and one-element tensors of an object; counts of a module, such as in_features, are left out."""
    if isinstance(owner, nn.Module):
        named = {**owner.__dict__, **owner._buffers}
        return [name for name, value in named.items() if _is_shown(name, value) and not isinstance(value, int)]
    return [name for name, value in _children(owner) if _is_shown(name, value)]


def _is_shown(name: str, value: object) -> bool:
    return not name.startswith("_") and is_number(value)
