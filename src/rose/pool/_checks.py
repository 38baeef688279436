"""Find what is wrong with a pool's workflow before its first simulation, and with its first labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rose.arrays import as_array
from rose.errors import ConfigurationError, PoolError
from rose.pool.ensemble.columns import kind_of, task_of_labels
from rose.pool.scoring_rule import Scoring
from rose.pool.selection import spreads_by_features

_REDUCE = "say how its scores become one: uncertainty_quantification(..., reduction='mean', 'max', 'sum' or 'norm')"


@dataclass(frozen=True)
class Ensembles:
    """Hold what is known of the ensembles of a run before they are trained.

    Attributes:
        models, passes: how many models there are, and how often each predicts.
        task: "classification" or "regression"; None: not known.
        variances: whether members tell their own variances; None: not known.
        features: whether there are features, the user's or candidates that serve as such.
        own: whether the candidates themselves are coordinates.
        classes: the labels of the columns of predictions, where they are declared.
        estimators: whether members are estimators, which learn labels as they are.
        zeros: whether one of them is known to give classes a probability of exactly 0.
        widths: whether all of them can learn labels that are numbers, and labels that are vectors.
        members: how many predictions one pass of all models gives, where models are ensembles; None: as many as models.
    """

    models: int
    passes: int
    task: str | None
    variances: bool | None
    features: bool
    own: bool
    classes: Sequence[Any] | None
    estimators: bool
    zeros: bool
    widths: tuple[bool, bool] = (True, True)
    members: int | None = None

    @property
    def samples(self) -> int:
        """Return how many predictions there are of each candidate."""
        return (self.models if self.members is None else self.members) * self.passes


def check_scoring(where: str, scoring: Scoring, known: Ensembles, asks_the_user: bool) -> None:
    """Check that a workflow's metric and its way of choosing can work with such ensembles.

    Args:
        where: how messages begin.
        scoring: the workflow's rule.
        known: what is known of its ensembles.
        asks_the_user: whether a function of the user's chooses.

    Raises:
        ConfigurationError: if they cannot, with what would.
    """
    metric = scoring.metric
    if metric is not None and scoring.rule.stage is None:
        if known.task is not None and not metric.serves(known.task):
            raise ConfigurationError(f"{where}{metric.name} is a {metric.task} metric, but the models do {known.task}")
        if "variances" in metric.needs and known.variances is False:
            raise ConfigurationError(
                f"{where}{metric.name} needs the members' own variances: use estimators with `return_std` (Gaussian "
                "processes, BayesianRidge), or a prediction_task that returns (mean, variance)"
            )
        least = metric.smallest(known.variances is not False, scoring.task or "regression")
        if known.samples < least:
            raise ConfigurationError(
                f"{where}{metric.name} measures disagreement and needs {least} predictions of each candidate, but "
                f"{known.models} model x {known.passes} pass gives {known.samples}; add models, or raise "
                "num_predictions for stochastic ones"
            )
    if not asks_the_user:
        method = scoring.method
        near = known.features or (known.own and known.samples == 1 and spreads_by_features(method))
        there = {"scores", "mc_preds", "features"} if near else {"scores", "mc_preds"}
        objection = method.objection(scoring.task, known.samples, there)
        infinite = metric is not None and "cross_entropy" in metric.uses  # of members that exclude each other's classes
        if infinite and known.zeros and scoring.rule.stage is None and not method.ranks_only:
            raise ConfigurationError(
                f"{where}{scoring.rule.metric_name} is infinite where a member gives a class the probability 0, as "
                f"trees and nearest neighbours do, and {method.name!r} asks how large scores are: use "
                "mutual_information, or acquisition='top_k'"
            )
        if objection is not None:
            hint = "; a pool is given features by Pool(X, features=...)" if "features" in objection else ""
            raise ConfigurationError(f"{where}{objection}{hint}")


class LabelCheck:
    """Refuse labels that what learns or judges cannot work with, at the first of them.

    Args:
        scorings: the workflows' rules, by name.
        known: what is known of their ensembles.
        y_test: the labels of the hold-out, if there is one.
    """

    def __init__(self, scorings: Mapping[str, Scoring], known: Ensembles, y_test: np.ndarray | None) -> None:
        self._scorings = scorings
        self._known = known
        self._y_test = y_test
        self._first: tuple[str, Any] | None = None  # the first label, in words, and what others have to be

    def holdout(self) -> None:
        """Check the labels of the hold-out.

        Raises:
            PoolError: if they are none that these workflows can be judged by.
        """
        if self._y_test is None:
            return
        told, classes = task_of_labels(self._y_test), self._known.classes
        strange = [] if classes is None else [label for label in self._y_test.ravel().tolist() if label not in classes]
        if strange:
            raise PoolError(
                f"holdout: its label {_short(strange[0])} is none of the declared classes, {_short(classes)}"
            )
        for workflow, scoring in self._scorings.items():
            if None not in (told, scoring.task) and told != scoring.task:
                raise PoolError(
                    f"holdout: its labels, such as {_short(self._y_test[0])}, are for {told}, but workflow "
                    f"{workflow!r} does {scoring.task} (by its metric, {scoring.rule.metric_name}, or its models)"
                )
            if self._needs_reduction(scoring) and np.ndim(self._y_test) > 1:
                raise PoolError(
                    f"holdout: its labels are vectors of {self._y_test.shape[1:]}, and workflow {workflow!r} scores by "
                    f"{scoring.rule.metric_name}: {_REDUCE}"
                )

    def __call__(self, label: Any, candidate: int | None) -> None:
        """Check one candidate's label, or one that is of no candidate (None).

        Raises:
            PoolError: if the estimators cannot learn it beside the others, or it could never equal one of the hold-out.
        """
        if not self._known.estimators:
            return
        of = "an extra sample" if candidate is None else f"candidate {candidate}"
        what = f"the label of {of}, {_short(label)},"
        self._check_kind(what, label)
        told = task_of_labels(np.asarray([label]))
        if told is not None and told != self._known.task:
            raise PoolError(f"{what} is for {told}, but the models do {self._known.task}")
        tested = None if self._y_test is None or self._known.task == "regression" else self._y_test.flat[0]
        if tested is not None and kind_of(label) != kind_of(tested):
            raise PoolError(
                f"{what} and those of the hold-out, such as {_short(tested)}, are never equal: a {kind_of(label)} and "
                f"a {kind_of(tested)}; label both alike"
            )
        for workflow, scoring in self._scorings.items():
            if self._needs_reduction(scoring) and np.size(label) > 1:
                raise PoolError(
                    f"{what} is a vector, and workflow {workflow!r} scores by {scoring.rule.metric_name}: {_REDUCE}"
                )

    def _check_kind(self, what: str, label: Any) -> None:
        """Check that it is a class or a value, and of the kind and shape of the first label."""
        try:
            array = as_array(label, "label")
            kinds = "fiub" if self._known.task == "regression" else "fiubUS"
            fits = array.dtype.kind in kinds and (self._known.task == "regression" or array.size == 1)
        except ConfigurationError:
            fits = False
        if not fits:
            wanted = "numbers" if self._known.task == "regression" else "numbers or texts, one a sample"
            raise PoolError(f"{what} is nothing that these models learn: {self._known.task} wants {wanted}")
        numbers, vectors = self._known.widths
        if not (numbers if array.ndim == 0 else vectors or array.size == 1):
            wanted = "vectors" if array.ndim == 0 else "one number a sample"
            raise PoolError(f"{what} is nothing that these models learn: one of them wants {wanted}")
        kind = array.dtype.kind if array.dtype.kind in "US" else "number", array.shape if array.size > 1 else ()
        first = self._first = self._first or (what, kind)
        if kind != first[1]:
            raise PoolError(
                f"{what} is of another kind or shape than {first[0].rstrip(',')}: labels are texts, or numbers, or "
                "arrays of one shape, and never some of each"
            )

    def _needs_reduction(self, scoring: Scoring) -> bool:
        by_metric = scoring.rule.stage is None and scoring.metric is not None and scoring.rule.reduction is None
        return by_metric and scoring.task == "regression"


def check_query_sizes(where: str, sizes: Sequence[int], size: int, initial: int) -> None:
    """Check that a pool of `size` candidates, `initial` of them labelled at the start, can give what rounds ask for.

    Raises:
        ConfigurationError: if a query size is more than it has.
    """
    largest = max(sizes)
    if largest > max(size - initial, 1):
        raise ConfigurationError(
            f"{where}query_size={largest} is more than the pool has to choose from: {size} candidates, {initial} of "
            "them labelled at the start"
        )


def _short(label: Any, width: int = 60) -> str:
    text = repr(label.item() if isinstance(label, np.generic) else label)
    return text if len(text) <= width else text[: width - 3] + "..."
