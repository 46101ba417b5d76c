"""Buffers: the few old examples that are kept, whatever comes; saved and loaded to the bit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ostinato.checks import is_whole
from ostinato.errors import ConfigError, DataError, StateError

__all__ = ["Buffer", "ClassBalanced", "Reservoir"]

_KEEP, _PICK = 5, 6  # streams of the seed


class Buffer(ABC):
    """At most `size` examples out of all that were offered, one after another.

    What is kept depends on the seed and on what was offered, never on what was drawn, nor on how many were offered at once. `state_dict` and
    `load_state_dict` keep everything, the random states included: plain values and tensors, which `ostinato.storage.pack` takes without pickle.

    Args:
        size: Examples at most.
        seed: Of what is kept and of what is drawn.

    Raises:
        ConfigError: `size` is no whole number of at least 1.
    """

    def __init__(self, size: int, *, seed: int = 0) -> None:
        if not is_whole(size, 1):
            raise ConfigError(
                f"size: got {size!r}, expected a whole number >= 1; to train without replay pass no buffer"
            )
        self.size, self.seed = size, seed
        self.seen = 0
        self._held = 0
        self._inputs: Tensor | None = None
        self._targets = torch.zeros(size, dtype=torch.int64)
        self._keep, self._pick = (np.random.default_rng((stream, seed)) for stream in (_KEEP, _PICK))

    def __len__(self) -> int:
        """Return how many examples are held."""
        return self._held

    @property
    def inputs(self) -> Tensor:
        """What is held, (len, ...)."""
        return torch.empty(0) if self._inputs is None else self._inputs[: self._held]

    @property
    def targets(self) -> Tensor:
        """Its classes, int64 (len,)."""
        return self._targets[: self._held]

    def add(self, inputs: Tensor, targets: Tensor) -> None:
        """Offer examples, (n, ...) and their classes (n,), in this order.

        Raises:
            DataError: They are not as many of each, or of another shape than those before.
        """
        if len(inputs) != len(targets):
            raise DataError(f"buffer: got {len(inputs)} inputs and {len(targets)} targets, expected as many of each")
        if self._inputs is None:
            self._inputs = inputs.new_zeros((self.size, *inputs.shape[1:]))
        if inputs.shape[1:] != self._inputs.shape[1:]:
            raise DataError(
                f"buffer: got inputs of shape {tuple(inputs.shape[1:])}, expected {tuple(self._inputs.shape[1:])}"
            )
        for place, label in enumerate(targets.tolist()):
            self.seen += 1
            slot = self._slot(label)
            if slot is not None:
                self._inputs[slot], self._targets[slot] = inputs[place], label
                self._held = max(self._held, slot + 1)

    @abstractmethod
    def _slot(self, label: int) -> int | None:
        """Return where the example that was just counted goes; None where it is not kept."""

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Return `count` of the examples held, without repetition where there are as many, else with.

        Raises:
            StateError: The buffer is empty.
        """
        if not self._held or self._inputs is None:
            raise StateError("buffer: is empty, nothing can be drawn; offer examples first")
        if count <= self._held:
            chosen = self._pick.permutation(self._held)[:count]
        else:
            chosen = self._pick.integers(self._held, size=count)
        places = torch.from_numpy(chosen)
        return self._inputs[places], self._targets[places]

    def state_dict(self) -> dict[str, Any]:
        """Return everything, as copies."""
        return {
            "kind": type(self).__name__,
            "size": self.size,
            "seen": self.seen,
            "inputs": None if self._inputs is None else self.inputs.clone(),
            "targets": self.targets.clone(),
            "keep": self._keep.bit_generator.state,
            "pick": self._pick.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            StateError: It is of another kind or size of buffer.
        """
        for name, own in (("kind", type(self).__name__), ("size", self.size)):
            if state[name] != own:
                raise StateError(f"buffer: {name} was {state[name]!r}, is {own!r}; make the buffer as it was made then")
        self.seen, self._held = int(state["seen"]), len(state["targets"])
        saved = state["inputs"]
        self._inputs = None if saved is None else saved.new_zeros((self.size, *saved.shape[1:]))
        if self._inputs is not None:
            self._inputs[: self._held] = saved
        self._targets[: self._held] = state["targets"]
        self._keep.bit_generator.state, self._pick.bit_generator.state = state["keep"], state["pick"]


class Reservoir(Buffer):
    """A uniform sample of everything that was offered: the n-th example is kept with probability size / n, in the place of a random one.

    Source: J. Vitter, Random Sampling with a Reservoir, ACM Transactions on Mathematical Software 11, 1985, algorithm R.

    >>> buffer = Reservoir(3, seed=0)
    >>> buffer.add(torch.arange(100), torch.zeros(100, dtype=torch.int64))
    >>> len(buffer), buffer.seen
    (3, 100)
    """

    def _slot(self, label: int) -> int | None:
        if self._held < self.size:
            return self._held
        place = int(self._keep.integers(self.seen))
        return place if place < self.size else None


class ClassBalanced(Buffer):
    """As equal numbers of every class as came: a new example of a smaller class takes the place of one of a largest class.

    A class that was ever among the largest is full: its own examples are sampled as by a reservoir, the n-th of them with probability
    (held of it) / n.

    Source: A. Chrysakis, M.-F. Moens, Online Continual Learning from Imbalanced Data, ICML 2020, algorithm 1.

    >>> buffer = ClassBalanced(4, seed=0)
    >>> buffer.add(torch.arange(102), torch.cat([torch.zeros(100), torch.ones(2)]).long())
    >>> buffer.targets.bincount().tolist()
    [2, 2]
    """

    def __init__(self, size: int, *, seed: int = 0) -> None:
        super().__init__(size, seed=seed)
        self._came: Counter[int] = Counter()
        self._full: set[int] = set()

    def _slot(self, label: int) -> int | None:
        self._came[label] += 1
        if self._held < self.size:
            return self._held
        counts = Counter(self.targets.tolist())
        most = max(counts.values())
        largest = {known for known, count in counts.items() if count == most}
        self._full |= largest
        if label not in self._full:
            return self._place_of(largest)
        if self._keep.random() * self._came[label] < counts[label]:
            return self._place_of({label})
        return None

    def _place_of(self, labels: set[int]) -> int:
        places = np.flatnonzero(np.isin(self.targets.numpy(), sorted(labels)))
        return int(places[self._keep.integers(len(places))])

    def state_dict(self) -> dict[str, Any]:
        """Return everything, as copies."""
        return {**super().state_dict(), "came": dict(self._came), "full": sorted(self._full)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            StateError: It is of another kind or size of buffer.
        """
        super().load_state_dict(state)
        self._came, self._full = Counter(state["came"]), set(state["full"])
