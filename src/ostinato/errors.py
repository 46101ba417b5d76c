"""Every error and warning of Ostinato, in one tree.

    OstinatoError
    ├── PlanError             a plan, schedule, cycle or duration that cannot be
    │   └── DomainError       a scheduled value outside what its target accepts
    ├── TargetError           an address that matches nothing, is not a number, or is driven twice
    ├── StateError            saved state that does not belong to this plan or these objects
    ├── StorageError          a file that is torn, altered, missing, or cannot be written
    ├── ConfigError           a run's configuration or command line
    ├── DataError             a data set that is missing, damaged or not understood
    ├── NonFiniteError        a loss or gradient that is not a number; nothing was updated
    ├── RunInterruptedError   a run was asked to stop; it can be resumed
    └── FollowedError         the process that leads a run of several stopped, and says why

    OstinatoWarning
    ├── TruncatedCycleWarning the run ends inside a cycle
    ├── PastTotalWarning      more steps than the plan has
    ├── ForeignWriteWarning   somebody else changed a scheduled value
    ├── PopulationFallbackWarning  members cannot be trained at once and are trained one by one
    ├── RecompileWarning      a scheduled value makes a compiled function compile again
    ├── PhaseLockWarning      evaluations see too few phases of a cycle
    ├── SingleModelWarning    one model made of an ensemble is worse than its last member, or was not measured
    └── DamagedSnapshotWarning  a snapshot was refused, the rest is used

Each message is one line: what arrived, where, and what to type instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "ConfigError",
    "DamagedSnapshotWarning",
    "DataError",
    "DomainError",
    "FollowedError",
    "ForeignWriteWarning",
    "NonFiniteError",
    "OstinatoError",
    "OstinatoWarning",
    "PastTotalWarning",
    "PhaseLockWarning",
    "PlanError",
    "PopulationFallbackWarning",
    "RecompileWarning",
    "RunInterruptedError",
    "SingleModelWarning",
    "StateError",
    "StorageError",
    "TargetError",
    "TruncatedCycleWarning",
    "suggest",
]


class OstinatoError(Exception):
    """Base of every error that Ostinato raises on purpose."""


class PlanError(OstinatoError, ValueError):
    """A plan, schedule, cycle or duration that cannot be."""


class DomainError(PlanError):
    """A scheduled value lies outside what its target accepts."""


class TargetError(OstinatoError, LookupError):
    """An address matches nothing, names something that is not a number, or is driven twice."""


class StateError(OstinatoError):
    """Saved state does not belong to this plan or to these objects."""


class StorageError(OstinatoError, OSError):
    """A file is torn, altered or missing, or cannot be written."""


class ConfigError(OstinatoError, ValueError):
    """A run's configuration or command line cannot be used."""


class DataError(OstinatoError, ValueError):
    """A data set is missing, damaged or not understood."""


class NonFiniteError(OstinatoError, ArithmeticError):
    """A loss or gradient is not finite; the update was not made."""


class RunInterruptedError(OstinatoError):
    """A run was asked to stop; a checkpoint was written and it can be resumed."""


class FollowedError(OstinatoError):
    """The process that leads a run of several has stopped and says why; this one only follows."""


class OstinatoWarning(UserWarning):
    """Base of every warning that Ostinato gives."""


class TruncatedCycleWarning(OstinatoWarning):
    """The run ends inside a cycle, so that its last cycle yields no snapshot."""


class PastTotalWarning(OstinatoWarning):
    """More steps were taken than the plan has; the last value holds."""


class ForeignWriteWarning(OstinatoWarning):
    """Somebody else changed a value that a plan drives."""


class PhaseLockWarning(OstinatoWarning):
    """Evaluations see too few phases of a cycle for their mean to stand for the whole of it."""


class RecompileWarning(OstinatoWarning):
    """A scheduled value makes a compiled function compile again whenever it changes; the message names the fix."""


class SingleModelWarning(OstinatoWarning):
    """One model made of an ensemble is worse than the ensemble's last member, or was not measured against it."""


class PopulationFallbackWarning(OstinatoWarning):
    """The members of a population cannot be trained at once; they are trained one by one."""


class DamagedSnapshotWarning(OstinatoWarning):
    """A snapshot was refused because its file is torn or altered; the rest is used."""


def suggest(word: str, known: Iterable[str], *, most: int = 3) -> str:
    """Return ``"; did you mean 'a' or 'b'?"``, or the known words if none is near.

    >>> suggest("cosin", ["cosine", "sine", "square"], most=1)
    "; did you mean 'cosine'?"
    >>> suggest("xyz", ["low", "high"])
    '; known: high, low'
    """
    words = sorted(known)
    near = get_close_matches(word, words, n=most, cutoff=0.6)
    if near:
        return "; did you mean " + " or ".join(repr(name) for name in near) + "?"
    return "; known: " + ", ".join(words) if words else ""
