"""What differs between two configurations of one run, in words that say what to change back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from typing import Any

from ostinato.core.plan import Plan
from ostinato.state import document_difference
from ostinato.training.config import RunConfig

__all__ = ["plan_difference", "table_difference", "tables"]

_TABLES = ("data", "model", "optimizer", "loss", "train", "augment", "workers")
_FREE = {"workers", "checkpoint_every"}  # keys of [train] that change nothing of what a run computes


def tables(config: RunConfig, *, free: bool = False) -> dict[str, Any]:
    """Return what a configuration says beside its plan, as a JSON document; with `free` also what results do not depend on.

    >>> tables(RunConfig())["data"], "workers" in tables(RunConfig())["train"]
    ({'name': 'digits'}, False)
    """
    document = config.to_document()
    kept = {name: document[name] for name in _TABLES if name in document}
    if not free:
        kept["train"] = {key: value for key, value in kept["train"].items() if key not in _FREE}
    plain: dict[str, Any] = json.loads(json.dumps(kept, default=str))
    return plain


def table_difference(
    before: Mapping[str, Any], after: Mapping[str, Any], *, but: Set[tuple[str, str]] = frozenset()
) -> str:
    """Return the first key, `but` for these, in which two results of `tables` differ; empty where they are the same.

    >>> table_difference(tables(RunConfig()), tables(RunConfig().replace({"train.seed": 1})))
    '[train] seed was 0, is 1'
    """
    for table in _TABLES:
        for key in {**before.get(table, {}), **after.get(table, {})}:
            was, now = (side.get(table, {}).get(key) for side in (before, after))
            if was != now and (table, key) not in but:
                words = ["absent" if value is None else repr(value) for value in (was, now)]
                return f"[{table}] {key} was {words[0]}, is {words[1]}"
    return ""


def plan_difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return in what fields two plans' documents differ; empty where they mean the same."""
    plans = Plan.from_document(before), Plan.from_document(after)
    return "" if plans[0].digest == plans[1].digest else document_difference(*(plan.to_document() for plan in plans))
