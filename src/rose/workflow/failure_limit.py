"""How many simulations of a workflow may fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rose.store import Dropped
from rose.workflow.stages import Stage


class FailureLimit:
    """How many of a workflow's simulations may fail before it stops.

    By `max_failed_simulations`: a count, or a share of those that were asked for. Without it, it stops when as many in
    a row have failed as it asks for in a round, and at least `IN_A_ROW`; and always when the first batch gave no label.
    """

    IN_A_ROW = 10

    def __init__(self) -> None:
        self._asked = self._failed = self._in_a_row = 0

    def exceeded(self, labels: Sequence[Any], stage: Stage, query_size: int) -> bool:
        """Count another batch; whether that is too much."""
        for label in labels:
            failed = isinstance(label, Dropped)
            self._asked += 1
            self._failed += failed
            self._in_a_row = self._in_a_row + 1 if failed else 0
        if self._failed == self._asked:
            return True
        limit = stage.max_failed_simulations
        if limit is None:
            return self._in_a_row >= max(query_size, self.IN_A_ROW)
        return self._failed > (limit if isinstance(limit, int) else limit * self._asked)
