"""What the records of study ``restart-shapes`` say beside the verdict."""

from __future__ import annotations

import numpy as np

from ostinato.studies.frame.telling import Records

__all__ = ["remarks"]


def remarks(records: Records) -> list[str]:
    """Return sentences for one regime: how much seeds differ under each arm, and who met the target when."""
    errors: dict[str, list[float]] = {}
    shares: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        if record["status"] == "done":
            found = record["metrics"]
            errors.setdefault(record["arm"], []).append(found["error"])
            shares.setdefault(record["arm"], []).append((found["share_to_target"], found["reached_target"]))
    lines = []
    if errors:
        spread = ", ".join(
            f"{arm} {100 * np.std(values, ddof=1):.2f}" for arm, values in errors.items() if len(values) > 1
        )
        lines.append(f"Standard deviation of the error over seeds, in points: {spread}.")
        met = ", ".join(
            f"{arm} {np.mean([share for share, _ in values]):.0%} ({sum(done for _, done in values):.0f} of {len(values)})"
            for arm, values in shares.items()
        )
        lines.append(
            f"Mean share of the run until the target error was first met, 100 % where it never was (runs that met it): {met}."
        )
    return lines
