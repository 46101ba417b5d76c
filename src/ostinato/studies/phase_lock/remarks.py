"""What the records of study ``phase-lock`` say beside the verdict."""

from __future__ import annotations

import numpy as np

from ostinato.studies.frame.telling import Records, grouped
from ostinato.studies.phase_lock.searching import EVALUATORS, SAMPLERS

__all__ = ["remarks", "table"]


def remarks(records: Records) -> list[str]:
    """Return sentences for one regime: how often each search chose the period that is one interval, and what range tests suggested."""
    by_arm = grouped(records)
    lines = []
    fixed = [arm for arm in ("grid-fixed", "grid-jittered", "random-fixed", "random-jittered") if arm in by_arm]
    if fixed:
        shares = ", ".join(f"{arm} {np.mean([r['curves']['chosen'][0] for r in by_arm[arm]]):.1%}" for arm in fixed)
        period = by_arm[fixed[0]][0]["curves"]["period"][0]
        lines.append(
            f"Share of the searches that chose the period of one interval, {period:g} steps, of which a fixed interval sees one phase: {shares}."
        )
        best = [(r["metrics"]["best"], r["metrics"]["trough_best"]) for r in by_arm[fixed[0]]]
        mean, trough = np.mean(best, axis=0)
        lines.append(f"The best true score of the bank is {mean:.4g} nat over the cycle, {trough:.4g} at the trough.")
    peaks = [r["metrics"]["peak"] for arm in ("range-test",) for r in by_arm.get(arm, []) if r["status"] == "done"]
    if peaks:
        lines.append(
            f"Range tests suggested peaks from {min(peaks):.3g} to {max(peaks):.3g}, median {np.median(peaks):.3g}."
        )
    return lines


def table(records: Records) -> list[str]:
    """Return a table of the mean regrets, sampler by evaluator; empty while an arm has no record."""
    by_arm = grouped(records)
    if any(f"{sampler}-{evaluator}" not in by_arm for sampler in SAMPLERS for evaluator in EVALUATORS):
        return []
    head = [
        "Mean regret in % of the interquartile range, against the true mean over the cycle / the true score at the last trough; in brackets the",
        "rank correlation with the former:\n",
        "| sampler | " + " | ".join(EVALUATORS) + " |",
        "|---|" + "---|" * len(EVALUATORS),
    ]
    rows = [
        f"| {sampler} | " + " | ".join(_told(by_arm[f"{sampler}-{evaluator}"]) for evaluator in EVALUATORS) + " |"
        for sampler in SAMPLERS
    ]
    return [*head, *rows, ""]


def _told(records: Records) -> str:
    found = {
        name: np.mean([record["metrics"][name] for record in records])
        for name in ("regret", "trough_regret", "rank_correlation")
    }
    return f"{100 * found['regret']:.1f} / {100 * found['trough_regret']:.1f} ({found['rank_correlation']:.2f})"
