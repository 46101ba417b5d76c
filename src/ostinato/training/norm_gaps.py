"""The batch-norm gap of a run at its peaks and snapshots, on a few training examples."""

from __future__ import annotations

import math
from itertools import islice
from typing import Any

from ostinato.core.clock import Tick
from ostinato.ensembles import norm_gap
from ostinato.ensembles.recalibration import norm_layers
from ostinato.errors import DataError
from ostinato.training.batches import seeded
from ostinato.training.session import Session, in_order

__all__ = ["NormGaps"]

_EXAMPLES = 256
_CYCLES = 10
_SHORT = {"gap": "gap", "mean_distance": "mean", "variance_distance": "variance"}


class NormGaps:
    """Measures the gap on the first examples of the training data, in batches of the size that trains.

    Of a run of many cycles about ten are measured, evenly, the last among them. It measures nothing where the model has no batch norm, where a run
    of several processes would have to wait for one of them, where there are too few examples for a batch, and where outputs are not finite.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._batches: list[Any] | None = None
        self._cycles = len(session.scheduler.resolved.cycles)
        self._stride = math.ceil(self._cycles / _CYCLES)
        self._wanted = bool(norm_layers(session.model)) and session.fabric.world_size == 1

    def after(self, tick: Tick) -> dict[str, float] | None:
        """Return gap and distances after an update that was a cycle's peak or end; None otherwise."""
        if not self._wanted or not (tick.peak or tick.cycle_end) or (self._cycles - 1 - tick.cycle) % self._stride:
            return None
        if self._batches is None:
            self._batches = self._drawn()
        if not self._batches:
            return None
        session = self._session
        try:
            with session.evaluating():
                found = norm_gap(session.model, self._batches)
        except DataError:  # outputs that are not finite: the loop's next loss says so, with the step
            return None
        return {short: getattr(found, name) for name, short in _SHORT.items()}

    def _drawn(self) -> list[Any]:
        """Return the batches, the same for a run that was resumed: transforms draw from the seed."""
        session, size = self._session, self._session.config.train.batch_size
        most = max(1, _EXAMPLES // size)
        with seeded(session.config.train.seed):
            batches = list(islice(in_order(session.data.train, min(size, _EXAMPLES)), most))
        return [session.prepared(*batch) for batch in batches if len(batch[1]) > 1]
