"""Metrics of predictions, of their calibration, and of how members of an ensemble differ."""

from __future__ import annotations

from ostinato.evaluation.metrics import (
    CalibrationCurve,
    brier,
    calibration_curve,
    disagreement,
    ece,
    error,
    nll,
    summarise,
)

__all__ = ["CalibrationCurve", "brier", "calibration_curve", "disagreement", "ece", "error", "nll", "summarise"]
