"""How the first version of ROSE knew candidates, simulations and configurations: by bytes of pickles, and by types.

Runs that it began are recorded so. They go on: what they hold is found by what it was known by, and what is new is
recorded under what it is known by now. Nothing here is used for a run that was begun since.
"""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rose.arrays import as_array
from rose.errors import PoolError
from rose.workflow.config import LearnerConfig, setting, stage_fields
from rose.workflow.former_text import digest_of_text, plain_text
from rose.workflow.frames import frame_digests, is_frame, pickled_cell


def is_same(X: Any) -> bool:
    """Whether candidates are known as they were: those in arrays of plain numbers or texts are."""
    if not isinstance(X, np.ndarray) or isinstance(X, np.ma.MaskedArray):
        return False
    kind = X.dtype
    long = kind.itemsize > {"f": 8, "c": 16}.get(kind.kind, kind.itemsize)
    return kind.kind in "biufcSUmM" and not long and kind == kind.newbyteorder("<")


def former_digest(candidate: Any) -> bytes | None:
    """Return what identified a candidate by its content; None: nothing did."""
    hasher = hashlib.blake2b(digest_size=16)
    if type(candidate).__module__.partition(".")[0] in ("torch", "jax", "jaxlib", "cupy"):
        candidate = as_array(candidate, "a candidate")
    if isinstance(candidate, (np.ndarray, np.generic)) and not candidate.dtype.hasobject:
        hasher.update(f"{candidate.dtype.str}{candidate.shape}".encode())
        hasher.update(np.ascontiguousarray(candidate).tobytes())
        return hasher.digest()
    try:
        hasher.update(pickle.dumps(candidate, protocol=5))
    except Exception:  # the former version refused it
        return None
    return hasher.digest()


def former_digests(X: Any, indices: Sequence[int]) -> Iterator[bytes | None]:
    """Return what identified these candidates, in order."""
    if is_frame(X):
        try:
            yield from list(frame_digests(X.iloc[list(indices)], pickled_cell))
        except PoolError:
            yield from [None] * len(indices)
    else:
        yield from (former_digest(X[index]) for index in indices)


def former_config(config: LearnerConfig, iteration: int) -> str:
    """Return what a workflow's configuration was known by, where objects are their types."""
    stages = {}
    names = stage_fields(type(config))
    for name in names:
        found = config.get_task_config(name, iteration)
        if found is not None and (found.args or found.kwargs):
            stages[name] = (plain_text(found.args), plain_text(found.kwargs))
    others = {name: setting(config, name, iteration) for name in type(config).model_fields if name not in names}
    return digest_of_text(stages, {name: value for name, value in others.items() if value is not None})


def former_estimator(estimator: Any) -> str:
    """Return what an estimator was known by: its text, in which long parameters are cut short."""
    return re.sub(r" at 0x[0-9A-Fa-f]+", "", repr(estimator))


def former_content(digest: bytes, key: bytes, context: Mapping[str, Any], configured: Mapping[str, Any]) -> bytes:
    """Return what a sample was known by; nothing if it could not be."""
    hasher = hashlib.blake2b(digest, digest_size=16, key=key)
    if context or configured:
        try:
            hasher.update(pickle.dumps((list(context.items()), sorted(configured.items())), protocol=5))
        except Exception:  # the former version refused it, and has recorded nothing with it
            return b""
    return hasher.digest()


def is_plain(value: Any) -> bool:
    """Whether its pickle is the same in every process."""
    if hasattr(value, "iloc"):  # a row of a table
        return is_plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    if isinstance(value, dict):
        return all(is_plain(one) for pair in value.items() for one in pair)
    if isinstance(value, np.ndarray):
        return not value.dtype.hasobject
    return value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic))
