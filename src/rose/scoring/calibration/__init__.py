"""Measure whether the uncertainty is any good; `temperature` and `conformal` beside the measures make it better."""

from rose.scoring.calibration.measures import (
    BrierDecomposition,
    ReliabilityCurve,
    RiskCoverageCurve,
    brier_decomposition,
    classified,
    coverage,
    error_correlation,
    expected_calibration_error,
    miscalibration_area,
    reliability_curve,
    risk_coverage_curve,
    sharpness,
)

__all__ = [
    "BrierDecomposition",
    "ReliabilityCurve",
    "RiskCoverageCurve",
    "brier_decomposition",
    "classified",
    "coverage",
    "error_correlation",
    "expected_calibration_error",
    "miscalibration_area",
    "reliability_curve",
    "risk_coverage_curve",
    "sharpness",
]
