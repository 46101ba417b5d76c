"""What the records of study ``federated-phase`` say beside the verdict."""

from __future__ import annotations

from ostinato.studies.federated_phase.plans import ARMS
from ostinato.studies.frame.telling import Records, finished, grouped, mean

__all__ = ["remarks", "table"]


def remarks(records: Records) -> list[str]:
    """Return sentences for one regime: the chosen rates, and what synchronous less normalised is at a trough, over a cycle and after the cooldown."""
    done = grouped(finished(records))
    lines = []
    tuned = [arm for arm in ("normalised", "constant", "cosine", "synchronous-tuned") if arm in done]
    if tuned:
        told = ", ".join(f"{arm} {done[arm][0]['settings']['rate']:g}" for arm in tuned)
        lines.append(f"Chosen rates: {told}.")
    if {"synchronous", "normalised"} <= done.keys():
        gaps = [mean(done["synchronous"], name) - mean(done["normalised"], name) for name in _SCORED]
        lines.append(
            "Synchronous less normalised, in points of error on the images of the curves: "
            + ", ".join(f"{100 * gap:+.2f} {where}" for gap, where in zip(gaps, _SCORED.values(), strict=True))
            + "; where these disagree in sign, it is the time of scoring that decides, and not the phase."
        )
        lines.append(_time_of_scoring(*gaps))
    return lines


_SCORED = {
    "trough_error": "when the synchronous clients end their last cycle",
    "peak_error": "after its first round",
    "cycle_error": "on average over it",
}


def _time_of_scoring(trough: float, peak: float, cycle: float) -> str:
    """Return whether a claim holds only for where training stops."""
    if trough > 0 and cycle > 0:
        return "Before the cooldown, too, normalised is ahead wherever it is scored."
    if trough <= 0 and peak <= 0 and cycle <= 0:
        return "Before the cooldown normalised is behind wherever it is scored."
    return "Before the cooldown the answer depends on where in the cycle training stops: at a trough synchronous profits from its low rates."


def table(records: Records) -> list[str]:
    """Return a table of the course of every arm; empty while an arm has no record."""
    done = grouped(finished(records))
    if set(ARMS) - done.keys():
        return []
    head = [
        "Before the cooldown, on the images of the curves: error in % after the last round, after the first round of its cycle, and on average over the cycle;",
        "the share of all rounds until the target was met (1 where never); geometric means over the rounds of the clients' drift |w_i - w| and of the variance of",
        "what they send:\n",
        "| arm | rate | last round | first of the cycle | cycle | share to target | drift | variance |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return [*head, *(f"| {arm} | {_row(done[arm])} |" for arm in ARMS), ""]


def _row(records: Records) -> str:
    errors = [f"{100 * mean(records, name):.2f}" for name in _SCORED]
    ways = [f"{10 ** mean(records, name):.3g}" for name in ("log_drift", "log_spread")]
    rate = f"{records[0]['settings']['rate']:g}"
    return " | ".join([rate, *errors, f"{mean(records, 'share_to_target'):.2f}", *ways])
