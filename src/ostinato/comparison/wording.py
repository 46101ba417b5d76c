"""The verdict in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ostinato.comparison.endpoints import Endpoint
from ostinato.evaluation import Decision, Verdict
from ostinato.evaluation.decisions import told_needed

__all__ = ["against", "literal", "notes", "sentence"]

_NAMES = {
    "sorted": "its sorted twin, the same values without cycles",
    "cosine": "one cosine decay of the same mean rate",
    "linear": "one linear decay of the same mean rate",
    "constant": "a constant rate of the same mean",
    "tuned_constant": "the best constant rate",
    "shuffled": "the same values in random order",
    "in_phase": "the same values in phase with the rate",
    "phase_shuffled": "the same values at random phases",
    "shifted": "the same values with one of them half a cycle later",
    "matched_decay": "the same mean of the weight decay held constant",
    "matched_product": "the same dose of weight decay held constant",
}


def against(label: str) -> str:
    """Return what a control is called in a sentence.

    >>> against("cosine (one model)")
    'the last model of one cosine decay of the same mean rate'
    """
    name = label.removesuffix(" (one model)")
    words = _NAMES.get(name, name)
    return words if name == label else f"the last model of {words}"


def sentence(endpoint: Endpoint, verdict: Verdict, primary: str, *, cycles: int) -> str:
    """Return the verdict: whether cycling helped, by how much against what, and what would decide it if nothing does.

    Args:
        endpoint: What decides.
        verdict: The conclusion.
        primary: Name of the primary comparator.
        cycles: Of the plan; one without cycles is spoken of as the plan.
    """
    subject = "Cycling" if cycles else "The plan"
    every = {primary: verdict.primary, **verdict.required}
    if verdict.verdict == "supported":
        weakest = min(every, key=lambda label: every[label].effect)
        also = (
            f"; it also beats {_listed([against(label) for label in every if label != weakest])}"
            if len(every) > 1
            else ""
        )
        return f"{subject} helped: {_finding(endpoint, weakest, every[weakest])}{also}."
    deciding = [label for label, decision in every.items() if decision.verdict == verdict.verdict]
    if verdict.verdict == "not supported":
        label = deciding[0]
        decision = every[label]
        if decision.interval.high < 0:
            return f"{subject} did harm: {_finding(endpoint, label, decision)}."
        return f"{subject} did not help: {_finding(endpoint, label, decision)}, which rules out a gain of {endpoint.amount(decision.margin)}."
    label = max(deciding, key=lambda name: every[name].n_needed or 10**9)
    decision = every[label]
    more = told_needed(decision.n_needed, "seeds")
    return f"Not decided: {_finding(endpoint, label, decision)}, which neither shows nor rules out a gain of {endpoint.amount(decision.margin)}; {more}."


def _finding(endpoint: Endpoint, label: str, decision: Decision) -> str:
    """Return the difference with its interval: "the plan's test error is 0.31 percentage points lower than ..."."""
    low, high = decision.interval.low, decision.interval.high
    side = "lower" if decision.effect >= 0 else "higher"
    ends = sorted((low, high) if side == "lower" else (-low, -high))
    span = f"{100 * decision.interval.level:g} % interval {endpoint.number(ends[0])} to {endpoint.number(ends[1])}"
    return f"the plan's {endpoint.words} is {endpoint.amount(decision.effect)} {side} than that of {against(label)} ({span}, {decision.n} seeds)"


def literal(endpoint: Endpoint, decisions: Sequence[tuple[str, Decision]]) -> str:
    """Return what constant rates say, empty without them: the comparison that is often published, and that flatters the plan."""
    if not decisions:
        return ""
    label, decision = min(decisions, key=lambda item: item[1].effect)  # the better of two constant rates
    return f"Literal comparison ({decision.verdict}): {_finding(endpoint, label, decision)}; a constant rate ends hot, which costs it accuracy by itself."


def notes(
    endpoint: Endpoint,
    margin: float,
    told: Mapping[str, Any],
    *,
    looks: Sequence[int],
    diverged: Mapping[str, int],
    primary: str,
) -> Iterator[str]:
    """Yield what one should know about the numbers."""
    if sum(diverged.values()):
        which = ", ".join(f"{count} of {name}" for name, count in diverged.items() if count)
        yield f"Diverged runs ({which}) count with the worst score that any run was observed at."
    if primary in ("constant", "tuned_constant"):
        yield "A constant rate is no fair comparator for cycling: add the controls sorted and cosine."
    if len(looks) > 1:
        yield f"Judged before with {_listed([str(look) for look in looks[:-1]])} seeds: looking again makes a chance finding likelier than the interval says."
    examples = int(told["data"]["test"])
    if endpoint.family == "error" and 2 / examples > margin:
        yield f"The test data has {examples:,} examples, each worth {endpoint.number(1 / examples)} points of error: NLL or more test data would tell smaller differences apart."


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
