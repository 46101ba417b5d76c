"""One study's answer as plain data: what ``ostinato study list`` tells and the page of evidence is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ostinato.errors import StateError
from ostinato.evaluation import Decision
from ostinato.studies.frame.folder import EvidenceFolder
from ostinato.studies.frame.judging import Judgement, judge
from ostinato.studies.frame.spec import Profile
from ostinato.studies.frame.study import Study

__all__ = ["Summary", "factor_of", "in_unit", "summarise", "unit_of"]

_RETURNS = ("shortfall", "shortfall_mid", "shortfall_end", "shortfall_easiest", "shortfall_hardest")
"""What is missing to the highest return of an episode."""

_DECIMALS = {"nll_gap": 5, "auc": 4, "loss_auc": 4, "rmia_auc": 4, **dict.fromkeys(_RETURNS, 1)}
_SHARES = (
    "error", "area", "share_to_target", "validation_error", "ece", "disagreement", "trough_error", "peak_error", "cycle_error",
    "trapped", "far", "miss", "balanced_error", "last_cycle_mean", "average_precision", "tpr", "new_error", "forgotten",
    "junk", "runaway",
)  # fmt: skip
_IN_SPREADS = ("regret", "trough_regret")
"""Counted in interquartile ranges of the scores among which was chosen."""
_IN_BEST = ("energy_gap", "best_energy_gap")
"""Counted in the lowest energy that is known."""

_NATS = ("nll", "jsd", "reverse_kl")
"""Beginnings of the names of what is counted in nats."""

_DECADES = ("gap", "gap_excess", "gap_cycle", "gap_peak", "gap_time", "quadratic", "quadratic_noisy")
"""Differences of decimal logarithms."""


@dataclass(frozen=True)
class Summary:
    """A study and what its records say.

    Attributes:
        study: The study.
        folder: Where its evidence lies.
        judgements: One a regime, the headline first.
        outdated: Why there can be no verdict although there are records; empty otherwise.
    """

    study: Study
    folder: EvidenceFolder
    judgements: tuple[Judgement, ...]
    outdated: str

    @property
    def headline(self) -> Judgement | None:
        """The judgement of the first regime."""
        return self.judgements[0] if self.judgements else None

    @property
    def verdict(self) -> str:
        """``supported``, ``not supported``, ``inconclusive``, or ``not run`` while a cell of the headline is missing."""
        headline = self.headline
        return headline.verdict.verdict if headline is not None and headline.verdict is not None else "not run"

    @property
    def primary(self) -> Decision | None:
        """The decision of the primary contrast; None while there is none."""
        headline = self.headline
        return None if headline is None or headline.verdict is None else headline.verdict.primary

    def to_document(self) -> dict[str, Any]:
        """Return a line of ``ostinato study list --json``."""
        spec, primary = self.study.spec, self.primary
        return {
            "name": spec.name,
            "claim": spec.claim,
            "repeats": spec.repeats or None,
            "verdict": self.verdict,
            "effect": None if primary is None else primary.effect,
            "interval": None if primary is None else primary.interval.to_document(),
            "seeds": 0 if primary is None else primary.n,
            "profile": self.folder.profile,
            "regimes": {judgement.regime.name: _verdict_of(judgement) for judgement in self.judgements},
        }


def _verdict_of(judgement: Judgement) -> Mapping[str, Any] | None:
    return None if judgement.verdict is None else judgement.verdict.to_document()


def summarise(study: Study, root: Path, profile: Profile = "full", *, images: bool = False) -> Summary:
    """Judge what is there of a study, as `judge` does.

    Raises:
        StorageError: Its files are damaged or of another version.
    """
    folder = EvidenceFolder(root, study.spec, profile)
    records = folder.records()
    try:
        judgements = tuple(judge(study.spec, regime, records, profile, images=images) for regime in study.spec.regimes)
    except StateError as error:
        return Summary(study, folder, (), str(error))
    return Summary(study, folder, judgements, "")


def in_unit(metric: str, value: float, *, signed: bool = True) -> str:
    """Return a number as it is read: shares in percentage points, regrets and gaps in percent, everything else in its own unit.

    >>> in_unit("error", 0.0123), in_unit("nll", -0.5), in_unit("nll_gap", 0.00021), in_unit("regret", 0.1)
    ('+1.23', '-0.500', '+0.00021', '+10.00')
    """
    sign, factor = "+" if signed else "", factor_of(metric)
    return f"{factor * value:{sign}.{_DECIMALS.get(metric, 3) if factor == 1 else 2}f}"


def factor_of(metric: str) -> int:
    """Return what a number is multiplied by before it is read: 100 for shares, regrets and gaps, else 1."""
    return 100 if metric in (*_SHARES, *_IN_SPREADS, *_IN_BEST) else 1


def unit_of(metric: str) -> str:
    """Return the unit that `in_unit` writes in; empty where there is none."""
    if metric in _IN_SPREADS:
        return "% IQR"
    if metric in _DECADES:
        return "decades"
    if metric in _IN_BEST:
        return "% of E*"
    if metric in _RETURNS:
        return "of return"
    if metric == "missed":
        return "modes"
    return "points" if metric in _SHARES else "nat" if metric.startswith(_NATS) else ""
