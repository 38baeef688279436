"""Find what is wrong with rules of `stop_when` before the first simulation."""

from __future__ import annotations

from rose.errors import ConfigurationError
from rose.pool.pool import Pool
from rose.pool.stopping.rules import Certified, Patience, Worth
from rose.stages.stage import Registered


def ends_runs(rule: object) -> bool:
    """Return whether a rule may end a workflow by itself."""
    return not isinstance(rule, Patience)


def check_rules(registered: Registered, pool: Pool, budget: int | None, task: str | None) -> None:
    """Check that the rules of workflows have what they need.

    Args:
        registered: what these workflows have.
        pool: the candidates.
        budget: the most labels a workflow may have; None: as many as there are.
        task: "classification" or "regression"; None: not known yet.

    Raises:
        ConfigurationError: if they have not.
    """
    for rule in registered.stop_rules:
        if isinstance(rule, Certified):
            _check_certified(rule, len(pool), len(pool.initial), budget, task)
        elif isinstance(rule, Worth) and pool.holdout is None and registered.criterion is None:
            raise ConfigurationError(
                "stop_when(cost_per_label=): nothing measures the error that a label is to lessen: give the pool a "
                "hold-out, Pool(X, holdout=(X_test, y_test)), or register a stop criterion"
            )


def _check_certified(rule: Certified, size: int, initial: int, budget: int | None, task: str | None) -> None:
    if task == "regression" and rule.error is None:
        raise ConfigurationError(
            f"stop_when(share={rule.share:g}): the models predict values; say how far one may be off, error="
        )
    least = rule.fewest if rule.audit is None else rule.audit
    what = f"an audit of {least} candidates" if rule.audit is not None else f"an audit, which takes {least} at least,"
    if initial + least > size:
        raise ConfigurationError(
            f"stop_when: {what} is more than the pool has beside its {initial} initial candidates: it has {size} in "
            "all; ask for a smaller share or less confidence, or give it more candidates"
        )
    if budget is not None and initial + rule.fewest > budget:
        raise ConfigurationError(
            f"stop_when: budget={budget} labels can never pay for the {initial} initial candidates and an audit, which "
            f"takes {rule.fewest} at least (share={rule.share:g}, confidence={rule.confidence:g})"
        )
