"""Addresses: the text that says where a value lands.

============================  =================================================================
``optimizer.lr``              the key of every parameter group
``optimizer[0].lr``           one group by index; ``[head]`` by its ``name``, ``[head*]`` by pattern
``optimizer[lr>0.01].lr``     groups whose own key fulfils a comparison
``optimizer[*].weight_decay`` every group, also those whose weight decay is 0
``optimizer.betas.0``         an element of a tuple; ``momentum`` means it for the Adam family
``model:Dropout.p``           an attribute of every module of a class
``model.encoder.*:Linear.x``  the same below a path; ``*`` is one segment, ``**`` any number
``loss.label_smoothing``      an attribute by its path, on any object
``noise``                     a getter and a setter given as a pair
============================  =================================================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ostinato.errors import PlanError

__all__ = ["Address"]

_ROOT = r"(?P<root>[A-Za-z_]\w*)"
_GROUP = r"(?:\[(?P<group>[^\[\]]+)\])?"
_PATH = r"(?P<path>(?:\.(?:\*\*?|[^\s.:*\[\]]+))*)"
_CLASS = r"(?::(?P<owner>[A-Za-z_]\w*)(?P<attribute>(?:\.\w+)+))?"
_ADDRESS = re.compile(_ROOT + _GROUP + _PATH + _CLASS)
_NAME = re.compile(r"[\w./-]+")
_PATTERN = re.compile(r"[\w./*?-]*[*?][\w./*?-]*")


@dataclass(frozen=True, slots=True)
class Address:
    """An address, read.

    Attributes:
        text: As written.
        root: The keyword that `bind` was given the object under.
        group: What stands in brackets, or None.
        path: The segments between the root and ``:`` (or the end).
        owner: The class after ``:``, or None.
        attribute: What is to be set: the last segments.
    """

    text: str
    root: str
    group: str | None
    path: tuple[str, ...]
    owner: str | None
    attribute: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address.

        Raises:
            PlanError: The text does not follow the grammar.

        >>> Address.parse("model.encoder:Dropout.p").attribute
        ('p',)
        >>> Address.parse("optimizer[0].betas.0").path
        ('betas', '0')
        """
        match = _ADDRESS.fullmatch(text) if isinstance(text, str) and text.isprintable() else None
        if match is None:
            raise PlanError(
                f"target: got {text!r}, expected an address such as 'optimizer.lr', 'optimizer[0].lr', 'model:Dropout.p' or 'loss.label_smoothing'"
            )
        if text == "step":
            raise PlanError(
                "target: 'step' is the first column of every table; give the object another name, as in 'steps'"
            )
        path = tuple(match["path"].split(".")[1:])
        attribute = tuple(match["attribute"].split(".")[1:]) if match["owner"] else path
        if not match["owner"] and path and path[-1] in ("*", "**"):
            raise PlanError(f"target: {text!r} ends in {path[-1]!r}; name the value to set, as in '{text}.p'")
        if match["group"] is not None and (match["owner"] or not path):
            raise PlanError(
                f"target: {text!r} selects parameter groups; write the key after them, as in '{match['root']}[{match['group']}].lr'"
            )
        return cls(text, match["root"], match["group"], path, match["owner"], attribute)

    @property
    def key(self) -> str:
        """The last name: what kind of number this is."""
        return self.attribute[-1] if self.attribute else self.root

    @property
    def is_rate(self) -> bool:
        """Whether this is a learning rate, which the warm-up applies to."""
        return self.owner is None and self.key == "lr"

    def sibling(self, key: str) -> str:
        """Return the address of another key of the same groups."""
        group = "" if self.group is None else f"[{self.group}]"
        return f"{self.root}{group}.{key}"

    def covers(self, other: Address) -> bool:
        """Return whether this address selects every parameter group that `other` does, as far as the two texts tell.

        Without brackets and with ``[*]`` all groups are meant; a pattern covers the names that it matches; the same text covers itself.

        >>> decay = Address.parse("optimizer[head.0].weight_decay")
        >>> [Address.parse(f"optimizer{groups}.lr").covers(decay) for groups in ("", "[*]", "[head*]", "[head.0]", "[0]", "[lr>0.1]")]
        [True, True, True, True, False, False]
        """
        if self.root != other.root or self.owner is not None or other.owner is not None:
            return False
        if self.group in (None, "*", other.group):
            return True
        if self.group is None or other.group is None or not _NAME.fullmatch(other.group) or other.group.isdigit():
            return False
        return bool(_PATTERN.fullmatch(self.group)) and fnmatchcase(other.group, self.group)
