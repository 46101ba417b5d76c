"""The rule for a verdict: supported, not supported or inconclusive, against one comparator and against all that are required.

Effects are oriented so that positive is as claimed. With d the mean difference, [L, U] its 95 % interval and m the margin:

- supported: L > 0 and d >= m;
- not supported: U < m, which includes harm;
- inconclusive: the rest, with the n that would decide it.

Where the claim is only that nothing is lost (`no_worse`, a non-inferiority condition: Piaggio et al., JAMA 308, 2012), supported is L > -m, not
supported U < -m.

Against several comparators the rule is intersection-union: supported needs all, one "not supported" is enough, and no correction for their number
is due (Berger 1982).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import ArrayLike

from ostinato.errors import DataError
from ostinato.evaluation._resampling import Seed, spread_of
from ostinato.evaluation.power import n_to_decide
from ostinato.evaluation.statistics import (
    RESAMPLES,
    Interval,
    paired_t,
    sample,
    studentised_bootstrap,
    studentised_bootstrap_unpaired,
    welch_t,
)

__all__ = ["Answer", "Decision", "Verdict", "conclude", "decide", "decide_unpaired", "judge", "told_needed"]

Answer = Literal["supported", "not supported", "inconclusive"]

_IN_REACH = 10_000
"""More replicates than anybody will run."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the differences against one comparator say.

    Attributes:
        verdict: ``"supported"``, ``"not supported"`` or ``"inconclusive"``.
        effect: Mean difference d.
        interval: Its interval.
        margin: Smallest effect that counts.
        n: Pairs; without pairs, the smaller arm.
        n_needed: Where it is inconclusive, the n with which a study of this effect and spread would be decided in 80 % of cases; None where it
            is decided, or no n below 100,000 would do (the effect is as large as the margin).
        p: Two-sided p value of the t test against 0, for secondary arms; the verdict does not use it.
        no_worse: Whether all that was asked is that the effect is not below -margin.
    """

    verdict: Answer
    effect: float
    interval: Interval
    margin: float
    n: int
    n_needed: int | None
    p: float
    no_worse: bool = False

    @property
    def sentence(self) -> str:
        """The decision in one plain sentence."""
        level = f"{100 * self.interval.level:g} %"
        seen = f"effect {self.effect:.3g} ({level} interval {self.interval}, n = {self.n})"
        if self.no_worse:
            return self._no_worse_sentence(seen)
        if self.verdict == "supported":
            return f"Supported: {seen} reaches the margin of {self.margin:.3g}, and its interval lies above 0."
        if self.verdict == "not supported":
            harm = " It is harm: the interval lies below 0." if self.interval.high < 0 else ""
            return f"Not supported: {seen} stays below the margin of {self.margin:.3g}.{harm}"
        more = told_needed(self.n_needed)
        return f"Inconclusive: {seen} neither reaches the margin of {self.margin:.3g} nor rules it out; {more}."

    def _no_worse_sentence(self, seen: str) -> str:
        least = f"-{self.margin:.3g}"
        if self.verdict == "supported":
            return f"Supported: {seen} is no worse than {least}."
        if self.verdict == "not supported":
            return f"Not supported: {seen} is worse than {least}."
        return f"Inconclusive: {seen} may be worse than {least}; {told_needed(self.n_needed)}."

    def to_document(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "verdict": self.verdict,
            **({"no_worse": True} if self.no_worse else {}),
            "effect": self.effect,
            "interval": self.interval.to_document(),
            "level": self.interval.level,
            "margin": self.margin,
            "n": self.n,
            "n_needed": self.n_needed,
            "p": self.p,
            "sentence": self.sentence,
        }


def told_needed(n: int | None, what: str = "pairs") -> str:
    """Return what `n_needed` says in words.

    >>> told_needed(63), told_needed(None, "seeds")
    ('about 63 pairs would decide it', 'no number of seeds is likely to decide it')
    >>> told_needed(82_198, "seeds")
    'the effect is too close to where the rule divides for a number of seeds in reach to decide it (about 82,198)'
    """
    if n is None:
        return f"no number of {what} is likely to decide it"
    if n > _IN_REACH:
        return f"the effect is too close to where the rule divides for a number of {what} in reach to decide it (about {n:,})"
    return f"about {n:,} {what} would decide it"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the primary comparator and all required ones say together.

    Attributes:
        verdict: ``"supported"`` needs all of them; ``"not supported"`` any; else ``"inconclusive"``.
        primary: Against the primary comparator: the headline's effect.
        required: Against each required control.
        n_needed: The largest n that a comparator still needs; None where the claim is decided or one cannot be.
    """

    verdict: Answer
    primary: Decision
    required: Mapping[str, Decision] = field(default_factory=dict)
    n_needed: int | None = None

    def naming(self, verdict: Answer) -> list[str]:
        """Return which comparators say so; the primary one is called ``"the primary comparator"``."""
        every = {"the primary comparator": self.primary, **self.required}
        return [name for name, decision in every.items() if decision.verdict == verdict]

    @property
    def sentence(self) -> str:
        """The verdict in one plain sentence."""
        seen = f"effect {self.primary.effect:.3g} ({100 * self.primary.interval.level:g} % interval {self.primary.interval}, n = {self.primary.n})"
        if self.verdict == "supported":
            against = " and ".join(["the primary comparator", *self.required])
            return f"Supported: {seen}, and at least the margin against {against}."
        if self.verdict == "not supported":
            return f"Not supported: {seen}; an effect of the margin is ruled out against {' and '.join(self.naming('not supported'))}."
        open_ones = " and ".join(self.naming("inconclusive"))
        return f"Inconclusive: {seen}; undecided against {open_ones}; {told_needed(self.n_needed)}."

    def to_document(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "verdict": self.verdict,
            "sentence": self.sentence,
            "n_needed": self.n_needed,
            "primary": self.primary.to_document(),
            "required": {name: decision.to_document() for name, decision in self.required.items()},
        }


def judge(effect: float, interval: Interval, margin: float, *, no_worse: bool = False) -> Answer:
    """Return the verdict of the rule; with `no_worse`, of the rule that only asks for an effect not below -margin.

    Raises:
        DataError: The margin is negative or not finite, or the effect or interval is not a number.

    >>> judge(0.3, Interval(0.1, 0.5), 0.2), judge(0.05, Interval(-0.05, 0.15), 0.2), judge(0.1, Interval(-0.1, 0.3), 0.2)
    ('supported', 'not supported', 'inconclusive')
    >>> judge(0.0, Interval(-0.1, 0.1), 0.2), judge(0.0, Interval(-0.1, 0.1), 0.2, no_worse=True)
    ('not supported', 'supported')
    """
    if not math.isfinite(margin) or margin < 0.0:
        raise DataError(f"margin: got {margin!r}, expected a finite number >= 0, in the unit of the effect")
    if any(math.isnan(value) for value in (effect, interval.low, interval.high)):
        raise DataError(f"effect: got {effect!r} with the interval {interval}, expected numbers")
    if no_worse:
        return "supported" if interval.low > -margin else "not supported" if interval.high < -margin else "inconclusive"
    if interval.low > 0.0 and effect >= margin:
        return "supported"
    return "not supported" if interval.high < margin else "inconclusive"


def decide(
    differences: ArrayLike,
    margin: float,
    *,
    no_worse: bool = False,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: Seed = 0,
) -> Decision:
    """Decide from paired differences, one a seed, positive as claimed.

    Args:
        differences: (n,), comparator minus claimed for a loss or an error.
        margin: Smallest effect that counts, >= 0.
        no_worse: Ask only that the effect is not below -margin.
        level: Of the interval.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        DataError: There are fewer than two differences, one is not finite, or the margin cannot be.

    >>> decision = decide([0.31, 0.42, 0.25, 0.38, 0.29, 0.44, 0.35, 0.27, 0.33, 0.40, 0.36, 0.30], 0.2)
    >>> decision.verdict, round(decision.effect, 3)
    ('supported', 0.342)
    >>> print(decide([0.1, -0.2, 0.3, 0.4, -0.1, 0.2], 0.2).sentence)
    Inconclusive: effect 0.117 (95 % interval -0.219 to 0.356, n = 6) neither reaches the margin of 0.2 nor rules it out; about 63 pairs would decide it.
    """
    values = sample(differences, "differences")
    interval = studentised_bootstrap(values, level=level, resamples=resamples, seed=seed)
    deviation = float(spread_of(values[None])[1][0])
    p = paired_t(values, level=level).p
    return _decision(float(values.mean()), interval, margin, (len(values), deviation), p, no_worse=no_worse)


def decide_unpaired(
    first: ArrayLike,
    second: ArrayLike,
    margin: float,
    *,
    no_worse: bool = False,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: Seed = 0,
) -> Decision:
    """Decide from two arms without pairs; the effect is mean(first) - mean(second), so that an error's comparator comes first.

    >>> decide_unpaired([3.0, 4.0, 5.0, 4.5], [1.0, 2.0, 1.5, 2.5, 2.0], margin=1.0).verdict
    'supported'
    """
    arms = sample(first, "first"), sample(second, "second")
    interval = studentised_bootstrap_unpaired(*arms, level=level, resamples=resamples, seed=seed)
    deviation = math.hypot(*(float(spread_of(arm[None])[1][0]) for arm in arms))
    effect = float(arms[0].mean() - arms[1].mean())
    n = min(len(arm) for arm in arms)
    return _decision(effect, interval, margin, (n, deviation), welch_t(*arms, level=level).p, no_worse=no_worse)


def _decision(
    effect: float, interval: Interval, margin: float, spread: tuple[int, float], p: float, *, no_worse: bool
) -> Decision:
    verdict, (n, deviation) = judge(effect, interval, margin, no_worse=no_worse), spread
    needed = None
    if verdict == "inconclusive" and deviation > 0.0:
        asked = (
            (0.0, effect + margin) if no_worse else (margin, effect)
        )  # "no worse" is the rule without a margin, moved
        needed = n_to_decide(deviation, asked[0], effect=asked[1], level=interval.level)
        needed = None if needed is None else max(needed, n + 1)
    return Decision(verdict, effect, interval, float(margin), n, needed, p, no_worse)


def conclude(primary: Decision, required: Mapping[str, Decision] | None = None) -> Verdict:
    """Join the decisions against the primary comparator and every required control: the intersection-union rule.

    Args:
        primary: Against the comparator that the claim names.
        required: By name, against the controls that the claim has to beat too.

    >>> fine = decide([0.3, 0.5, 0.4, 0.6, 0.5, 0.4], 0.2)
    >>> none = decide([0.0, 0.1, -0.1, 0.0, 0.1, 0.0], 0.2)
    >>> conclude(fine).verdict, conclude(fine, {"sorted": none}).verdict
    ('supported', 'not supported')
    """
    others = dict(required or {})
    every = [primary, *others.values()]
    answers = [decision.verdict for decision in every]
    if "not supported" in answers:
        return Verdict("not supported", primary, others)
    if all(answer == "supported" for answer in answers):
        return Verdict("supported", primary, others)
    needed = [decision.n_needed for decision in every if decision.verdict == "inconclusive"]
    known = [n for n in needed if n is not None]
    return Verdict("inconclusive", primary, others, max(known) if len(known) == len(needed) else None)
