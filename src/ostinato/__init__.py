"""One clock for every hyperparameter, snapshots at every cycle's end, and an honest answer to "did cycling help?".

Importing this package loads no torch; what needs torch is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ostinato import errors, schedules
from ostinato._version import __version__
from ostinato.core.bindings import Binding, mirror, wave
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan
from ostinato.core.registry import schedule
from ostinato.core.resolved import ResolvedPlan
from ostinato.schedules import Schedule, one_cycle

if TYPE_CHECKING:
    from ostinato import augment, controls, data, evaluation, nn, population, search
    from ostinato._data.shared import SharedValue
    from ostinato.balance import balanced
    from ostinato.ensembles import SnapshotEnsemble
    from ostinato.mixed_precision import was_stepped
    from ostinato.nn.groups import parameter_groups
    from ostinato.scheduler import Scheduler
    from ostinato.search import range_test

__all__ = [
    "Binding",
    "Cycle",
    "Plan",
    "ResolvedPlan",
    "Schedule",
    "Scheduler",
    "SharedValue",
    "SnapshotEnsemble",
    "__version__",
    "augment",
    "balanced",
    "controls",
    "data",
    "errors",
    "evaluation",
    "mirror",
    "nn",
    "one_cycle",
    "parameter_groups",
    "population",
    "range_test",
    "schedule",
    "schedules",
    "search",
    "was_stepped",
    "wave",
]

_LAZY = {
    "balanced": "ostinato.balance",
    "Scheduler": "ostinato.scheduler",
    "SharedValue": "ostinato._data.shared",
    "SnapshotEnsemble": "ostinato.ensembles",
    "parameter_groups": "ostinato.nn.groups",
    "range_test": "ostinato.search",
    "was_stepped": "ostinato.mixed_precision",
}
_LAZY_MODULES = ("augment", "controls", "data", "evaluation", "nn", "population", "search")


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        return import_module(f"ostinato.{name}")
    if name in _LAZY:
        value = getattr(import_module(_LAZY[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'ostinato' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
