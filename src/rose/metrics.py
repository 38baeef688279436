"""Name metrics as ROSE spells them, and compare a learning metric with a stop criterion's threshold.

The uncertainty metrics' own declarations (direction, task type, range, formula) stand in `rose.scoring`; here are
only the names that programs import, and the operators of the metrics that are *not* uncertainty scores.
"""

from __future__ import annotations

import math
import operator as _operator
from collections.abc import Callable
from enum import Enum
from typing import Any

from rose.errors import ConfigurationError

# Uncertainty metrics (declared in rose.scoring)
CUSTOM_UQ = "custom_uq"
PREDICTIVE_ENTROPY = "predictive_entropy"
MUTUAL_INFORMATION = "mutual_information"
VARIATION_RATIO = "variation_ratio"
MARGIN = "margin"
PREDICTIVE_VARIANCE = "predictive_variance"
PREDICTIVE_INTERVAL_WIDTH = "predictive_interval_width"
NEGATIVE_LOG_LIKELIHOOD = "negative_log_likelihood"
TOTAL_UNCERTAINTY = "total_uncertainty"

# Learning metrics
MODEL_ACCURACY = "model_accuracy"
QUERY_EFFICIENCY = "query_efficiency"
LABELING_COST = "labeling_cost"
DIVERSITY_OF_SELECTED_SAMPLES = "diversity_of_selected_samples"
UNCERTAINTY = "uncertainty"
QUERY_REDUCTION = "query_reduction"
AREA_UNDER_LEARNING_CURVE_AUC = "area_under_learning_curve_auc"
EXPECTED_MODEL_IMPROVEMENT_EMI = "expected_model_improvement_emi"
SAMPLING_BIAS = "sampling_bias"
PREDICTION_CONFIDENCE = "prediction_confidence"
CLASS_DISTRIBUTION_SHIFT = "class_distribution_shift"
CUMULATIVE_ERROR_REDUCTION = "cumulative_error_reduction"
QUERY_SELECTION_STRATEGY_PERFORMANCE = "query_selection_strategy_performance"
NUMBER_OF_ITERATIONS = "number_of_iterations"
F1_SCORE = "f1_score"
PRECISION = "precision"
RECALL = "recall"
INFORMATION_GAIN = "information_gain"
TIME_TO_CONVERGENCE = "time_to_convergence"
MODEL_COMPLEXITY = "model_complexity"
DATA_LABELING_REDUNDANCY = "data_labeling_redundancy"
GENERALIZATION_ERROR = "generalization_error"
LEARNING_RATE = "learning_rate"
TRAINING_TIME = "training_time"
CONFIDENCE_INTERVAL_WIDTH = "confidence_interval_width"
OVERFITTING = "overfitting"
ACTIVE_LEARNING_EFFICIENCY = "active_learning_efficiency"
EXPLORATION_VS_EXPLOITATION = "exploration_vs_exploitation"
MEAN_SQUARED_ERROR_MSE = "mean_squared_error_mse"
ROOT_MEAN_SQUARED_ERROR_RMSE = "root_mean_squared_error_rmse"
MEAN_ABSOLUTE_ERROR_MAE = "mean_absolute_error_mae"
R2_SCORE = "r2_score"

# Comparison operators
LESS_THAN_THRESHOLD = "<"
GREATER_THAN_THRESHOLD = ">"
EQUAL_TO_THRESHOLD = "="
LESS_THAN_OR_EQUAL_TO_THRESHOLD = "<="
GREATER_THAN_OR_EQUAL_TO_THRESHOLD = ">="

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": _operator.lt,
    ">": _operator.gt,
    "=": _operator.eq,
    "==": _operator.eq,
    "<=": _operator.le,
    ">=": _operator.ge,
}

# The learning metrics that stop a workflow by falling, those that stop it by rising above, and by reaching.
_FALLING = (
    LABELING_COST, UNCERTAINTY, SAMPLING_BIAS, CLASS_DISTRIBUTION_SHIFT, NUMBER_OF_ITERATIONS, TIME_TO_CONVERGENCE,
    MODEL_COMPLEXITY, DATA_LABELING_REDUNDANCY, GENERALIZATION_ERROR, LEARNING_RATE, TRAINING_TIME,
    CONFIDENCE_INTERVAL_WIDTH, OVERFITTING, MEAN_SQUARED_ERROR_MSE, ROOT_MEAN_SQUARED_ERROR_RMSE,
    MEAN_ABSOLUTE_ERROR_MAE,
)  # fmt: skip
_RISING = (
    QUERY_EFFICIENCY, DIVERSITY_OF_SELECTED_SAMPLES, QUERY_REDUCTION, AREA_UNDER_LEARNING_CURVE_AUC,
    EXPECTED_MODEL_IMPROVEMENT_EMI, PREDICTION_CONFIDENCE, CUMULATIVE_ERROR_REDUCTION,
    QUERY_SELECTION_STRATEGY_PERFORMANCE, F1_SCORE, PRECISION, RECALL, INFORMATION_GAIN,
    ACTIVE_LEARNING_EFFICIENCY, EXPLORATION_VS_EXPLOITATION, R2_SCORE,
)  # fmt: skip

_UNCERTAINTY = (
    CUSTOM_UQ, PREDICTIVE_ENTROPY, MUTUAL_INFORMATION, VARIATION_RATIO, MARGIN, PREDICTIVE_VARIANCE,
    PREDICTIVE_INTERVAL_WIDTH, NEGATIVE_LOG_LIKELIHOOD, TOTAL_UNCERTAINTY,
)  # fmt: skip

LEARNING_METRICS: dict[str, str] = {
    **dict.fromkeys(_FALLING, LESS_THAN_THRESHOLD),
    **dict.fromkeys(_RISING, GREATER_THAN_THRESHOLD),
    MODEL_ACCURACY: GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
}


_OPERATORS: dict[str, str] = {
    **dict.fromkeys(_UNCERTAINTY, LESS_THAN_THRESHOLD),
    MARGIN: GREATER_THAN_THRESHOLD,  # small is uncertain
    **LEARNING_METRICS,
}


class _Metrics:
    """Tell, of all metrics, which are known and how they stop a workflow."""

    @classmethod
    def is_supported_metric(cls, metric: str) -> bool:
        """Tell whether a metric is known."""
        return metric in _OPERATORS

    @classmethod
    def get_operator(cls, metric: str) -> str | None:
        """Return a metric's operator; None if it is not known."""
        return _OPERATORS.get(metric)


# All constants above, by name: LearningMetrics.MODEL_ACCURACY.value, and LearningMetrics.OPERATORS.value
_CONSTANTS = {name: value for name, value in globals().items() if name.isupper() and isinstance(value, str)}
_MEMBERS = [*_CONSTANTS.items(), ("OPERATORS", _OPERATORS)]
LearningMetrics: Any = Enum("LearningMetrics", _MEMBERS, type=_Metrics, module=__name__)  # type: ignore[misc]


def check_operator(operator: str, argument: str = "operator") -> str:
    """Return `operator` if it is a comparison.

    Raises:
        ConfigurationError: if it is none of `<  >  =  ==  <=  >=`.
    """
    if operator not in _COMPARE:
        raise ConfigurationError(f"{argument}={operator!r} is no comparison; use one of {'  '.join(_COMPARE)}")
    return operator


def compare(value: float, operator: str, threshold: float) -> bool:
    """Tell whether `value operator threshold` holds; NaN on either side is never met.

    >>> compare(0.96, ">=", 0.95)
    True
    """
    if math.isnan(value) or math.isnan(threshold):
        return False
    return _COMPARE[operator](value, threshold)


# What `from rose.metrics import *` brings, and `rose` offers, too.
__all__ = ["LearningMetrics", "check_operator", "compare", *_CONSTANTS]
