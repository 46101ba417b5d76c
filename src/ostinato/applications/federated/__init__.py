"""Federations whose clients keep one clock, each at its own phase.

A client's phase comes from its identity (`Phases`) and its place on the clock from the number of the round (`LocalRound`), so that
whoever drops out, or is started again, comes back in step. `merge` joins what the clients send back, for unequal progress too.
`PeriodicAveraging` does without a server: the processes of `torch.distributed` average their models every so many updates.
`flower` is the same on Flower's message interface.
"""

from __future__ import annotations

from ostinato.applications.federated.averaging import PeriodicAveraging
from ostinato.applications.federated.local import LocalRound
from ostinato.applications.federated.merging import merge
from ostinato.applications.federated.phases import Phases

__all__ = ["LocalRound", "PeriodicAveraging", "Phases", "merge"]
