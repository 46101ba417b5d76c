"""What the records of study ``replay-phase`` say beside the verdict."""

from __future__ import annotations

from ostinato.studies.frame.telling import Records, finished, grouped, mean
from ostinato.studies.replay_phase.spec import SPEC

__all__ = ["remarks", "table"]

_TOLD = ("high", "random", "low", "uniform")


def remarks(records: Records) -> list[str]:
    """Return sentences for one regime: where on the last cycle is read, whether that decides, and what was chosen."""
    by_arm = grouped(finished(records))
    if set(SPEC.arms) - by_arm.keys():
        return []
    levels = {
        name: ", ".join(f"{arm} {mean(by_arm[arm], f'{name}_error'):.2%}" for arm in _TOLD)
        for name in ("trough", "cycle", "peak")
    }
    lines = [
        f"Average error on 200 test images a task, last cycle: at its trough, where training ends, {levels['trough']}; mean over the cycle {levels['cycle']}; at its peak {levels['peak']}."
    ]
    gains = {name: mean(by_arm["random"], f"{name}_error") - mean(by_arm["high"], f"{name}_error") for name in levels}
    margin = SPEC.primary.margin
    if gains["trough"] >= margin > gains["cycle"]:
        lines.append(
            f"The gain of high over random is {100 * gains['trough']:+.2f} points at the trough and {100 * gains['cycle']:+.2f} over the cycle: it holds only because training stops at a trough."
        )
    peaks = ", ".join(f"{arm} {by_arm[arm][0]['settings']['peak']:g}" for arm in ("high", "tuned", "decay", "gdumb"))
    lines.append(f"Chosen peaks: {peaks}; all other arms have that of high.")
    return lines


def table(records: Records) -> list[str]:
    """Return a table of what replay costs and keeps; empty while an arm has no record."""
    by_arm = grouped(finished(records))
    if set(SPEC.arms) - by_arm.keys():
        return []
    lines = [
        "Error in %: average after the last task, of a task just learnt (but the first), and what was forgotten of the tasks but the last, in points. Updates with replay, and their summed rate:\n",
        "| arm | average | new task | forgotten | with replay | summed rate |",
        "|---|---|---|---|---|---|",
    ]
    for arm in SPEC.arms:
        shares = " | ".join(_share(by_arm[arm], name) for name in ("error", "new_error", "forgotten"))
        own = by_arm[arm]
        lines.append(f"| {arm} | {shares} | {mean(own, 'replays'):.0f} | {mean(own, 'replay_rate'):.2f} |")
    return [*lines, ""]


def _share(records: Records, metric: str) -> str:
    return f"{100 * mean(records, metric):.2f}" if metric in records[0]["metrics"] else ""
