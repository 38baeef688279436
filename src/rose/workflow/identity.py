"""What a run's pool and configurations were when it was begun, so that resuming it with others is noticed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from types import FunctionType
from typing import Any

import numpy as np

from rose.identity.reach import code_digest
from rose.workflow.config import LearnerConfig, setting, stage_fields
from rose.workflow.pool import Pool

AS_BEGUN = "as the labels given say"  # of a setting that a resumed run does not name: it keeps what it was begun with
_SAMPLED = 1000  # candidates that are looked at to recognise a pool


def describe_config(config: LearnerConfig, iteration: int) -> str:
    """A digest of what a workflow's configuration says in one iteration; how tasks are run may change."""
    stages = {}
    names = stage_fields(type(config))
    for name in names:
        found = config.get_task_config(name, iteration)
        if found is not None and (found.args or found.kwargs):
            stages[name] = (_plain(found.args), _plain(found.kwargs))
    others = {name: setting(config, name, iteration) for name in type(config).model_fields if name not in names}
    return _digest(stages, {name: value for name, value in others.items() if value is not None})


def describe_pool(pool: Pool) -> dict[str, str]:
    """A pool's parts: a digest of its size and up to 1,000 candidates, `initial` as it is said, the seed, `extra`."""
    sampled = np.unique(np.linspace(0, len(pool) - 1, _SAMPLED).astype(int)).tolist()
    return {
        "pool": _digest(len(pool), pool.digests(sampled)),
        "Pool(seed=)": str(pool.seed),
        "Pool(initial=)": describe_initial(pool),
        "Pool(extra=)": "none" if pool.extra is None else pool.extra.digest(),
    }


def describe_initial(pool: Pool, drawn: bool = False) -> str:
    """Say what a pool's `initial` is, whatever labels are given beside it; without it, they decide (unless `drawn`)."""
    return AS_BEGUN if pool.asked is None and pool.known and not drawn else _digest(pool.drawn().tolist())


def describe_estimator(estimator: Any) -> str:
    """An estimator with its parameters, as far as their texts are the same in every process."""
    return re.sub(r" at 0x[0-9A-Fa-f]+", "", repr(estimator))


_DIGEST_LETTERS = 32


def _digest(*parts: Any) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=_DIGEST_LETTERS // 2).hexdigest()


def _plain(value: Any) -> Any:
    """A value as far as its text is the same in every process: of other objects, their types."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return value.shape, str(value.dtype), hashlib.blake2b(value.tobytes(), digest_size=16).hexdigest()
    if isinstance(value, Mapping):
        return sorted((str(key), repr(_plain(entry))) for key, entry in value.items())
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, (set, frozenset)):
        return sorted(repr(_plain(entry)) for entry in value)
    if isinstance(value, FunctionType):
        return code_digest(value) or f"{value.__module__}.{value.__qualname__}"
    return f"{type(value).__module__}.{type(value).__qualname__}"
