"""Finding a plan: search over its fields, safe against phase locking, on Optuna; and the range test of any target, which leaves no trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ostinato.search.domains import Choice, Range
from ostinato.search.objective import Objective
from ostinato.search.space import Space
from ostinato.search.sweeps import RangeTest, Suggestion, range_test, untouched

if TYPE_CHECKING:
    from ostinato.search.pruning import MatchedPhasePruner, follow
    from ostinato.search.running import Search, optimize, resume

__all__ = [
    "Choice",
    "MatchedPhasePruner",
    "Objective",
    "Range",
    "RangeTest",
    "Search",
    "Space",
    "Suggestion",
    "follow",
    "optimize",
    "range_test",
    "resume",
    "untouched",
]

_NEED_OPTUNA = {
    "MatchedPhasePruner": "ostinato.search.pruning",
    "follow": "ostinato.search.pruning",
    "Search": "ostinato.search.running",
    "optimize": "ostinato.search.running",
    "resume": "ostinato.search.running",
}


def __getattr__(name: str) -> Any:
    if name not in _NEED_OPTUNA:
        raise AttributeError(f"module 'ostinato.search' has no attribute {name!r}")
    from importlib import import_module

    try:
        import optuna  # noqa: F401 - to say in words that it is missing
    except ImportError:
        from ostinato.errors import ConfigError

        raise ConfigError("search: Optuna is not installed; type: pip install 'ostinato[search]'") from None
    value = getattr(import_module(_NEED_OPTUNA[name]), name)
    globals()[name] = value
    return value
