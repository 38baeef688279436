"""Hold the models of one workflow with what they have learned from, and predict with them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from rose import portable
from rose.errors import ConfigurationError
from rose.loop.saved.directory import SavedWorkflow
from rose.loop.saved.frames import curves_of, frame_of
from rose.loop.saved.prediction import Asked, Labelled, Prediction
from rose.scoring.calibration.quantiles import check_level


class Surrogate(dict[str, Any]):
    """Hold a history, as a dict, and as attributes the models, what they have learned from, and what predicts.

    Attributes:
        indices: the labelled candidates, by their places in the pool, in the order they were labelled; int64 `[L]`.
    """

    def __init__(self, workflow: str, kept: SavedWorkflow | None = None) -> None:
        super().__init__(workflow=workflow, stop_reason=None, error=None, iterations=[])
        self._kept = SavedWorkflow(workflow) if kept is None else kept
        self.indices = np.asarray(self._kept.indices, dtype=np.int64)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (type(self), portable.dumps((dict(self.items()), self.__dict__)))

    @cached_property
    def models(self) -> dict[str, Any]:
        """Return the last ensemble by model name; of a run directory, it is read at the first call."""
        return {name: result.load() for name, result in self._kept.models.items()}

    @property
    def labels(self) -> Any:
        """Return the labels of `indices`: an array `[L, ...]` where they are of one kind and shape, else a list."""
        return None if self._kept.labels is None else self._kept.labels.load()

    @property
    def curves(self) -> dict[str, np.ndarray]:
        """Return the history as arrays, float64 `[iterations]`, NaN where there is no value.

        `labels` is how many there were; `metric` (the stop criterion's), `uncertainty` and, each by its name, what was
        measured on the hold-out.
        """
        return curves_of(self["iterations"])

    def predict(
        self,
        X: Any,
        level: float | None = None,
        *,
        calibration: tuple[Any, Any] | None = None,
        pool: Any = None,
        by_class: bool = False,
    ) -> Prediction:
        """Predict with the last ensemble, in this process: mean, uncertainty, classes, and per output.

        With a `level` also intervals (`lower`, `upper`) or label sets (`sets`, `label_sets`) that hold the truth of
        that share of samples (split conformal prediction), as the hold-out tells it after the last iteration. That is
        so of samples that are drawn as those of the hold-out were.

        Args:
            X: samples as the prediction function takes them, `[n, ...]`.
            level: as 0.9; None: no intervals.
            calibration: other samples and their labels instead of the hold-out, `(X, y)`, from which no model has
                learned, drawn as those to be predicted are; the labels that the workflow chose are no such samples.
            pool: the pool's candidates, where there is no hold-out: the models, which must be estimators with
                `fit(X, y)`, are refitted ten times by folds of what was labelled (CV+). That was chosen, and is no
                sample of the pool: it is weighted by how much likelier it is there. An infinite end, or a set of all
                classes, says that nothing like the sample was labelled.
            by_class: whether the level holds of each class by itself, not only of all samples.

        Raises:
            ConfigurationError: if this workflow trained no ensemble, or predicts by a command; or of intervals, if
                nothing tells how far off predictions are, or by too few samples for the level.
        """
        if self._kept.predictor is None or not self._kept.models:
            why = self._kept.unkept or "its models are files of yours, or it ended before one was trained"
            raise ConfigurationError(f"workflow {self['workflow']!r} holds no ensemble to predict with ({why})")
        if calibration is not None and not (isinstance(calibration, tuple) and len(calibration) == 2):
            raise ConfigurationError("calibration must be a pair (X, y): samples and their labels")
        asked = None if level is None else Asked(check_level(level), calibration, self._labelled(pool), by_class)
        prediction: Prediction = self._kept.predictor.load()(self.models, X, asked)
        return prediction

    def _labelled(self, pool: Any) -> Labelled | None:
        return None if pool is None else Labelled(pool, self.indices, self.labels)

    def to_frame(self) -> Any:
        """Return the history as a pandas DataFrame, a row an iteration.

        Raises:
            MissingPackageError: if pandas is not installed.
        """
        return frame_of({self["workflow"]: self["iterations"]})


def _unpickled(kind: type[Surrogate], data: bytes) -> Surrogate:
    items, attributes = portable.loads(data)
    made = kind.__new__(kind)
    made.update(items)
    made.__dict__.update(attributes)
    return made
