"""Say when a pool's workflow knows enough: the rules that a learner is told by `stop_when`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rose.errors import ConfigurationError
from rose.loop.checks import check_count
from rose.pool.stopping._bounds import fewest

_CURVE_PATIENCE = 2  # iterations in which another label must not be worth its cost, where the user does not say
_STABLE_PATIENCE = 3


@dataclass(frozen=True)
class Certified:
    """Stop when an audit shows that a share of the pool's candidates is predicted well enough.

    Attributes:
        error: how far a value may be off, one for all outputs or one each; None: classes, which have to be right.
        share: of the pool's candidates, that are predicted so well at least.
        confidence: with which that is true of a run which has stopped.
        audit: the most labels that may be spent on it; None: as many as it may need.
    """

    error: tuple[float, ...] | None
    share: float
    confidence: float
    audit: int | None = None

    @property
    def fewest(self) -> int:
        """Return how many audit labels it takes if all of them are predicted well enough at the first look."""
        return fewest(1.0 - self.share, 1.0 - self.confidence)

    def __str__(self) -> str:
        off = "right" if self.error is None else f"within {', '.join(map('{:g}'.format, self.error))}"
        most = "" if self.audit is None else f", audit={self.audit}"
        return f"{self.share:g} of the pool {off}, confidence={self.confidence:g}{most}"


@dataclass(frozen=True)
class Stable:
    """Stop when predictions over the pool have moved by less than `movement` in `patience` iterations running."""

    movement: float
    patience: int = _STABLE_PATIENCE

    def __str__(self) -> str:
        return f"stable={self.movement:g}, patience={self.patience}"


@dataclass(frozen=True)
class Worth:
    """Stop when what another label is expected to gain is worth less than it costs, `patience` iterations running.

    Attributes:
        cost: of a label.
        value: of one unit less of the error that is measured.
        patience: how many iterations running.
    """

    cost: float
    value: float
    patience: int = _CURVE_PATIENCE

    def __str__(self) -> str:
        return f"cost_per_label={self.cost:g}, value={self.value:g}, patience={self.patience}"


@dataclass(frozen=True)
class Patience:
    """Let the thresholds (uncertainty, stop criterion) end a workflow only when they hold so often running."""

    patience: int

    def __str__(self) -> str:
        return f"thresholds: patience={self.patience}"


Rule = Certified | Stable | Worth | Patience


class StopRules:
    """Hold the rules by which a learner's workflows end, beside thresholds and limits."""

    def __init__(self) -> None:
        self.stop_rules: tuple[Rule, ...] = ()

    def stop_when(
        self,
        *,
        error: float | Sequence[float] | None = None,
        share: float | None = None,
        confidence: float | None = None,
        audit: int | None = None,
        stable: float | None = None,
        cost_per_label: float | None = None,
        value: float | None = None,
        patience: int | None = None,
    ) -> None:
        """Say when a workflow over a pool knows enough; each call adds a rule, and the first that holds ends it.

        One call says one of these:

        `error=0.05, share=0.9, confidence=0.95`: the certified stop. Candidates drawn at random are simulated beside
        those that are chosen, and never learned from (the audit, at most `audit` of them; they count as labels). The
        workflow ends when they show, with this confidence, that at least this share of the pool's candidates is
        predicted within the error (of vectors: every output; a sequence has one error an output). Classes are to be
        predicted right: `share=0.9` is enough.

        `stable=0.01, patience=3`: predictions over the pool move by less than this in so many iterations running; of
        classes 1 - Cohen's kappa of two successive ensembles, of values the root mean square over the spread of y.

        `cost_per_label=1.0, value=200.0`: by the learning curve so far, what another label is expected to take off the
        error is worth less than the label costs. The error is the hold-out's (root mean square; of classes, the share
        that is wrong), or else what the stop criterion measures; one unit of it is worth `value`.

        `patience=3` alone: the thresholds of the uncertainty and the stop criterion have to hold so often running.

        Raises:
            ConfigurationError: if it says none of these, or several; or a number cannot be.

        Example:
            learner.stop_when(error=0.05, share=0.9, confidence=0.95)
            learner.stop_when(stable=0.01, patience=3)
        """
        certified = {"error": error, "share": share, "confidence": confidence, "audit": audit}
        told = [name for name, one in certified.items() if one is not None]
        kinds = {
            "error= or share=": bool(told),
            "stable=": stable is not None,
            "cost_per_label=": cost_per_label is not None or value is not None,
        }
        said = [name for name, one in kinds.items() if one]
        if len(said) > 1:
            raise ConfigurationError(f"stop_when: {' and '.join(said)} are different rules; call it once for each")
        rule: Rule
        if told:
            if patience is not None:
                raise ConfigurationError("stop_when: a certified stop needs no patience=; it holds when it is found")
            rule = _certified(error, share, confidence, audit)
        elif stable is not None:
            rule = Stable(_positive(stable, "stable"), _patience(patience, _STABLE_PATIENCE))
        elif kinds["cost_per_label="]:
            if cost_per_label is None or value is None:
                raise ConfigurationError(
                    "stop_when: cost_per_label= and value= go together: what a label costs, and what one unit less of "
                    "the error is worth"
                )
            cost, worth = _positive(cost_per_label, "cost_per_label"), _positive(value, "value")
            rule = Worth(cost, worth, _patience(patience, _CURVE_PATIENCE))
        elif patience is not None:
            rule = Patience(_patience(patience, 1))
        else:
            raise ConfigurationError(
                "stop_when() says nothing: give error=, share= and confidence=; or stable=; or cost_per_label= and "
                "value=; or patience= for the thresholds"
            )
        others = tuple(one for one in self.stop_rules if type(one) is not type(rule))
        self.stop_rules = (*others, rule)


def _certified(error: Any, share: Any, confidence: Any, audit: Any) -> Certified:
    share, confidence = 0.9 if share is None else share, 0.95 if confidence is None else confidence
    for name, one in (("share", share), ("confidence", confidence)):
        if isinstance(one, bool) or not isinstance(one, (int, float)) or not 0.0 < one < 1.0:
            hint = "; an audit cannot show that all are" if name == "share" and one == 1 else ""
            raise ConfigurationError(f"stop_when: {name}={one!r} must be a number between 0 and 1{hint}")
    errors = None if error is None else tuple(_positive(one, "error") for one in np.atleast_1d(error).tolist())
    if errors == ():
        raise ConfigurationError(f"stop_when: error={error!r} holds nothing")
    rule = Certified(errors, float(share), float(confidence), None)
    if audit is None:
        return rule
    check_count(audit, "stop_when: audit", 1)
    if audit < rule.fewest:
        raise ConfigurationError(
            f"stop_when: audit={audit} labels can never show it: a share of {share:g} with confidence {confidence:g} "
            f"takes {rule.fewest} at least"
        )
    return Certified(errors, float(share), float(confidence), audit)


def _positive(number: Any, name: str) -> float:
    try:
        found = math.nan if isinstance(number, (bool, str)) else float(number)
    except (TypeError, ValueError):
        found = math.nan
    if not 0.0 < found < math.inf:
        raise ConfigurationError(f"stop_when: {name}={number!r} must be a positive number")
    return found


def _patience(patience: int | None, default: int) -> int:
    return default if patience is None else check_count(patience, "stop_when: patience", 1)
