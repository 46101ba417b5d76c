"""Metrics and their calibration, statistics and the rule for a verdict, and evaluation that knows the phase of the cycle."""

from __future__ import annotations

from ostinato.evaluation.anytime import area_under_error
from ostinato.evaluation.classes import ClassReport, class_report
from ostinato.evaluation.decisions import Decision, Verdict, conclude, decide, decide_unpaired, judge
from ostinato.evaluation.metrics import (
    CalibrationCurve,
    average_precision,
    balanced_error,
    brier,
    calibration_curve,
    disagreement,
    ece,
    error,
    nll,
    summarise,
)
from ostinato.evaluation.phase_report import PhaseReport, by_phase
from ostinato.evaluation.phases import Sampling, examine, phases_seen
from ostinato.evaluation.power import chance_of_verdict, n_to_decide
from ostinato.evaluation.scaling import at_temperature, nll_at_temperature, temperature
from ostinato.evaluation.statistics import (
    Interval,
    TTest,
    holm,
    paired_t,
    studentised_bootstrap,
    studentised_bootstrap_unpaired,
    welch_t,
)
from ostinato.evaluation.timings import (
    at_ends,
    at_peaks,
    at_phases,
    at_troughs,
    coprime,
    every,
    jittered,
    low_discrepancy,
)
from ostinato.evaluation.two_way import two_way_bootstrap

__all__ = [
    "CalibrationCurve",
    "ClassReport",
    "Decision",
    "Interval",
    "PhaseReport",
    "Sampling",
    "TTest",
    "Verdict",
    "area_under_error",
    "at_ends",
    "at_peaks",
    "at_phases",
    "at_temperature",
    "at_troughs",
    "average_precision",
    "balanced_error",
    "brier",
    "by_phase",
    "calibration_curve",
    "chance_of_verdict",
    "class_report",
    "conclude",
    "coprime",
    "decide",
    "decide_unpaired",
    "disagreement",
    "ece",
    "error",
    "every",
    "examine",
    "holm",
    "jittered",
    "judge",
    "low_discrepancy",
    "n_to_decide",
    "nll",
    "nll_at_temperature",
    "paired_t",
    "phases_seen",
    "studentised_bootstrap",
    "studentised_bootstrap_unpaired",
    "summarise",
    "temperature",
    "two_way_bootstrap",
    "welch_t",
]
