"""The snapshots of a model in a folder: taken, written, listed and forgotten."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, Self

from torch import nn

from ostinato.checks import is_whole
from ostinato.ensembles.background import BackgroundWriter, finish_with
from ostinato.ensembles.prediction import model_tensors, unwrap
from ostinato.ensembles.store import Member, SnapshotStore, finite_values
from ostinato.errors import StorageError

__all__ = ["Snapshots", "TickLike", "check_last"]


class TickLike(Protocol):
    """What `SnapshotEnsemble.capture` needs to know of a step."""

    @property
    def step(self) -> int:
        """The update just done, from 0."""

    @property
    def cycle(self) -> int:
        """The cycle that it belongs to."""

    @property
    def values(self) -> Mapping[str, float]:
        """The values that the update used."""


class Snapshots:
    """Snapshots of one model in a folder: what `ostinato.SnapshotEnsemble` predicts with, and its arguments."""

    def __init__(
        self,
        model: nn.Module,
        directory: str | os.PathLike[str],
        *,
        keep: int | None = None,
        background: bool = False,
    ) -> None:
        self._model = unwrap(model)
        self._store = SnapshotStore(directory, keep=keep)
        self._writer = BackgroundWriter(self._store) if background else None
        if self._writer is not None:
            finish_with(self, self._writer)

    @property
    def directory(self) -> Path:
        """The folder of the snapshots."""
        return self._store.directory

    @property
    def members(self) -> tuple[Member, ...]:
        """The usable snapshots, ascending by step; what is being written is waited for."""
        self._settle()
        return self._store.members

    def _settle(self) -> None:
        """Wait for the background writer; its errors stay for `flush`."""
        if self._writer is not None:
            self._writer.drain()

    def flush(self) -> None:
        """Wait until every capture is on disk and in the manifest; nothing to do without ``background``.

        Raises:
            StorageError: a snapshot was not saved since the last `capture`, `flush` or `close`; its step is named.
        """
        if self._writer is not None:
            self._writer.drain()
            self._forget_unlisted()
            self._writer.raise_errors()

    def close(self) -> None:
        """`flush`, and end the writing thread. The object can still be used; closing twice does nothing.

        Raises:
            StorageError: as `flush`.
        """
        if self._writer is not None:
            self._writer.stop()
            self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            self.close()
        except StorageError as failure:
            if error is None:
                raise
            error.add_note(str(failure))

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)

    def capture(self, tick: TickLike) -> Member:
        """Save the model as it is now, as the snapshot of ``tick.step``.

        The weights are complete on disk before the manifest names them. The same step again with the same bytes changes
        nothing. With ``keep``, the oldest snapshots are dropped, after the manifest has forgotten them.

        Args:
            tick: what ``scheduler.step()`` returned; capture where ``tick.cycle_end`` is true.

        Returns:
            The member. With ``background``, its ``file`` waits until it is written.

        Raises:
            StorageError: (with ``background``: also what befell an earlier capture; this one is queued nevertheless, and
                capturing it again changes nothing.) The step was captured with other weights (`rewind` first), the state_dict has something else
                than parameters and buffers, a tensor cannot be stored, or the disk refused. The snapshots that were
                there still are.
        """
        step, cycle = int(tick.step), int(tick.cycle)
        if step < 0:
            raise ValueError(f"tick.step is {step}; a snapshot belongs to an update that was done, counted from 0")
        tensors = model_tensors(self._model)
        if self._writer is None:
            member = self._store.add(step, cycle, tick.values, tensors)
            self._forget_unlisted()
            return member
        pending = self._writer.submit(step, cycle, finite_values(tick.values), tensors)
        self._writer.raise_errors()
        return pending

    def rewind(self, step: int) -> int:
        """Forget the snapshots of this step and later, before training is resumed at ``step``.

        Returns:
            How many were forgotten. Their files are removed after the manifest.
        """
        self._settle()
        count = self._store.rewind(step)
        self._forget_unlisted()
        return count

    def _forget_unlisted(self) -> None:
        """Free what is held in memory of members that are not listed any more."""

    def select(self, *, last: int | None = None) -> tuple[Member, ...]:
        """Return the last ``last`` snapshots (all where there are fewer, or for None), as Huang et al. average them."""
        check_last(last)
        return self.members if last is None else self.members[-last:]


def check_last(last: int | None) -> None:
    """Raise ValueError unless this is a number of members, or None for all."""
    if last is not None and not is_whole(last, 1):
        raise ValueError(f"last must be a whole number of at least 1, or None for all; got {last!r}")
