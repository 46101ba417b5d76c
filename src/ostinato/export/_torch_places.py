"""The parts of an exported PyTorch script that find and write values, as text; only those that it uses are written into it."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["PLACES", "needs"]

PLACES: Mapping[str, str] = {
    "fill": '''\
def fill(tensor, value):
    """Fill a tensor in place; it keeps its identity."""
    with torch.no_grad():
        tensor.fill_(value)
''',
    "GroupPlace": '''\
class GroupPlace:
    """A key of a parameter group, or one element of the tuple that is there."""

    def __init__(self, optimizer, index, key, element):
        self.optimizer, self.index = optimizer, index
        self.key, self.element = key, element

    def held(self):
        value = self.optimizer.param_groups[self.index][self.key]
        return value if self.element is None else value[self.element]

    def read(self):
        return float(self.held())

    def put(self, value):
        group = self.optimizer.param_groups[self.index]
        held = self.held()
        if isinstance(held, torch.Tensor):
            fill(held, value)
        elif self.element is None:
            group[self.key] = value
        else:
            values = list(group[self.key])
            values[self.element] = value
            group[self.key] = tuple(values)
''',
    "group_places": '''\
def group_places(optimizer, key, element=None, chosen=None, decaying=False):
    """Return the places of a key in an optimizer's parameter groups.

    `chosen` selects groups; `decaying` leaves out those where it is 0, as for biases.
    """
    places = []
    for index, group in enumerate(optimizer.param_groups):
        own, part = key, element
        if own == "momentum" and own not in group and "betas" in group:
            own, part = "betas", 0  # the Adam family's momentum
        if own in group and (chosen is None or chosen(index, group)):
            places.append(GroupPlace(optimizer, index, own, part))
    if decaying:
        return [place for place in places if place.read() != 0.0]
    return places
''',
    "unwrapped": '''\
def unwrapped(owner):
    """Return the module inside wrappers such as a compiled or a data parallel one."""
    while isinstance(owner, torch.nn.Module):
        names = [name for name, _ in owner.named_children()]
        if names not in (["_orig_mod"], ["module"]):
            break
        owner = getattr(owner, names[0])
    return owner
''',
    "child": '''\
def child(owner, name):
    """Return what an object holds under a name."""
    if isinstance(owner, dict):
        return owner[name]
    if isinstance(owner, (list, tuple)):
        return owner[int(name)]
    return getattr(owner if hasattr(owner, name) else unwrapped(owner), name)
''',
    "below": '''\
def below(owner, path):
    """Return what a path leads to; `*` is any child module, `**` any number of them."""
    if not path:
        return [owner]
    segment, rest = path[0], path[1:]
    if segment in ("*", "**"):
        found = below(owner, rest) if segment == "**" else []
        inner = unwrapped(owner)
        for part in inner.children() if isinstance(inner, torch.nn.Module) else ():
            found += below(part, rest if segment == "*" else path)
        return found
    try:
        return below(child(owner, segment), rest)
    except (AttributeError, LookupError, ValueError):
        return []
''',
    "AttributePlace": '''\
class AttributePlace:
    """An attribute of an object, or an item of a dictionary or list."""

    def __init__(self, owner, name):
        self.owner = owner if hasattr(owner, name) else unwrapped(owner)
        self.name = name

    def read(self):
        return float(child(self.owner, self.name))

    def put(self, value):
        held = child(self.owner, self.name)
        if isinstance(held, torch.Tensor):
            fill(held, value)
        elif isinstance(self.owner, dict):
            self.owner[self.name] = value
        elif isinstance(self.owner, list):
            self.owner[int(self.name)] = value
        else:
            setattr(self.owner, self.name, value)
''',
    "attribute_places": '''\
def attribute_places(root, path):
    """Return the places of an attribute of an object, or of objects below it."""
    *through, name = path.split(".")
    owners = [owner for owner in below(root, through) if below(owner, [name])]
    return [AttributePlace(owner, name) for owner in owners]
''',
    "module_places": '''\
def module_places(root, kind, attribute, path=""):
    """Return the places of an attribute of every module of a class."""
    *through, name = attribute.split(".")
    places = {}
    for start in below(root, path.split(".") if path else []):
        for module in start.modules():
            names = {base.__name__.lstrip("_") for base in type(module).__mro__}
            if kind in names or (kind == "Dropout" and "DropoutNd" in names):
                for owner in below(module, through):
                    if below(owner, [name]):
                        places[id(owner)] = AttributePlace(owner, name)
    return list(places.values())
''',
}


def needs(text: str) -> list[str]:
    """Return the parts that a text calls, and those that they call, in a fixed order."""
    used: set[str] = set()
    while found := {name for name in PLACES if name not in used and re.search(rf"\b{name}\(", text)}:
        used |= found
        text = "".join(PLACES[name] for name in found)
    return [source for name, source in PLACES.items() if name in used]
