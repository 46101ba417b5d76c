"""Members in memory: their tensors, ready to be put in place of the model's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ostinato.ensembles.prediction import call_with, member_state
from ostinato.ensembles.store import Member, SnapshotStore

__all__ = ["Held", "State"]

State = dict[str, Tensor]


class Held:
    """The members of a store that were used, one copy of the weights each, and their recalibrated statistics.

    Attributes:
        recalibrations: how often statistics were given.
    """

    def __init__(self, model: nn.Module, store: SnapshotStore) -> None:
        self._model = model
        self._store = store
        self._states: dict[str, State] = {}
        self._recalibrated: dict[str, State] = {}
        self._witness: tuple[dict[str, nn.Parameter | None], str] | None = None  # a parameter, for the device
        self.recalibrations = 0

    def state(self, member: Member) -> State | None:
        """Return a member's tensors by the model's places; None where its file cannot be used any more."""
        digest = member.file.sha256
        if digest not in self._states:
            tensors = self._store.load(member)
            if tensors is None:
                return None
            self._states[digest] = member_state(self._model, tensors, member.file.name)
        return {**self._states[digest], **self._recalibrated.get(digest, {})}

    def caller(self, state: State) -> Callable[..., Any]:
        """Return what is called like the model and runs it with these tensors."""

        def call(*args: Any, **kwargs: Any) -> Any:
            return call_with(self._model, state, args, kwargs)

        return call

    def recalibrate(self, buffers: Mapping[str, State]) -> None:
        """Give members, each named by its file's SHA-256, other statistics from now on."""
        self.recalibrations += 1
        self._recalibrated.update(buffers)

    def keep(self, members: tuple[Member, ...]) -> None:
        """Free what belongs to no one of these."""
        listed = {member.file.sha256 for member in members}
        for held in (self._states, self._recalibrated):
            for digest in set(held) - listed:
                del held[digest]

    def release(self) -> None:
        """Free the weights; statistics stay."""
        self._states.clear()

    def device(self) -> torch.device:
        """Return where the model is now."""
        if self._witness is None or self._witness[0].get(self._witness[1]) is None:
            self._witness = next(
                (
                    (module._parameters, name)
                    for module in self._model.modules()
                    for name, parameter in module._parameters.items()
                    if parameter is not None
                ),
                None,
            )
        parameter = None if self._witness is None else self._witness[0].get(self._witness[1])
        return torch.device("cpu") if parameter is None else parameter.device
