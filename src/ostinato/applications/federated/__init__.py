"""Federations whose clients keep one clock, each at its own phase.

A client's phase comes from its identity (`Phases`) and its place on the clock from the number of the round (`LocalRound`), so that
whoever drops out, or is started again, comes back in step. `merge` joins what the clients send back, for unequal progress too.
`partitions` says who holds what, and `simulate` runs whole federations within one process. `flower` is the same on Flower's message interface.
`PeriodicAveraging` does without a server: the processes of `torch.distributed` average their models every so many updates.
"""

from __future__ import annotations

from ostinato.applications.federated import partitions
from ostinato.applications.federated.averaging import PeriodicAveraging
from ostinato.applications.federated.drawing import batches_of
from ostinato.applications.federated.local import LocalRound
from ostinato.applications.federated.merging import merge
from ostinato.applications.federated.phases import Phases
from ostinato.applications.federated.simulation import Federation, SimulationResult, simulate

__all__ = [
    "Federation", "LocalRound", "PeriodicAveraging", "Phases", "SimulationResult", "batches_of", "merge", "partitions", "simulate",
]  # fmt: skip
