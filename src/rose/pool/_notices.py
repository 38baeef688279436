"""Say once, of data that say nothing, that the workflow goes on by the seed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from rose.errors import TaskError

_log = logging.getLogger("rose")


class Notices:
    """Log each kind of notice once for a workflow."""

    def __init__(self, workflow: str) -> None:
        self._workflow = workflow
        self._said: set[str] = set()

    def one_class(self, labels: int, only: Any) -> None:
        """Say that all labels so far are of one class, so that nothing tells candidates apart."""
        self._say(
            "one class",
            f"all {labels} labels so far are of one class, {only!r}: candidates are drawn by the seed until there are "
            "two (a larger `initial=` would hold more)",
        )

    def untrained(self, error: TaskError) -> None:
        """Say that members could not be trained on one class."""
        self._say("untrained", f"no ensemble could be trained on one class, which is passed over: {error}")

    def alike(self) -> None:
        """Say that members which all predict the same were asked what they differ in."""
        self._say(
            "alike",
            "all members predict alike: their disagreement says nothing, and batches are drawn by the seed. Give "
            "members that differ: models of other kinds or settings; estimators that draw (subsample=, max_features=, "
            "BaggingClassifier(...)); or a metric that one model can have, such as predictive_entropy or margin",
        )

    def strangers(self, label: Any, classes: Sequence[Any]) -> None:
        """Say that the hold-out has none of the classes that the models know."""
        self._say(
            "strangers",
            f"none of the hold-out's labels, such as {label!r}, is a class that the models know, such as "
            f"{classes[0]!r}: what is measured there says nothing until they meet",
        )

    def told(self, message: str) -> None:
        """Pass on what an acquisition method has to say, unless it is what has been said of the scores already."""
        if not self._said & {"alike", "level"}:
            self._say("acquisition", message)

    def level(self, metric: str, score: float) -> None:
        """Say that all candidates have the same score."""
        self._say(
            "level",
            f"all candidates have the same {metric}, {score:g}: the score says nothing, and batches are drawn by the "
            "seed; choose another metric, or members that differ",
        )

    def _say(self, kind: str, message: str) -> None:
        if kind not in self._said:
            self._said.add(kind)
            _log.warning("workflow %r: %s", self._workflow, message)
