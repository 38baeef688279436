"""Describe a run's pool as it is when it is begun, so that resuming with another one is noticed."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from rose.loop.changes import AS_BEGUN, Unsaid
from rose.pool.pool import Pool
from rose.pool.start import RANDOM

_SAMPLED = 1000  # candidates that are looked at to recognise a pool


def describe_pool(pool: Pool) -> dict[str, str]:
    """Describe a pool: a digest of its size and up to 1,000 candidates; its `initial`, start, seed and `extra`."""
    return {
        "pool": _digest(len(pool), pool.digests(sampled(pool))),
        "Pool(seed=)": str(pool.seed),
        "Pool(initial=)": describe_initial(pool),
        "Pool(start=)": pool.start if pool.says_start else Unsaid(pool.start, before=RANDOM),
        "Pool(extra=)": "none" if pool.extra is None else pool.extra.digest(),
    }


def sampled(pool: Pool) -> list[int]:
    """Return the candidates that are looked at to recognise a pool."""
    indices: list[int] = np.unique(np.linspace(0, len(pool) - 1, _SAMPLED).astype(int)).tolist()
    return indices


def describe_initial(pool: Pool) -> str:
    """Say what a pool's `initial` is, whatever labels are given beside it; without it, they decide."""
    return AS_BEGUN if pool.asked is None and pool.known else _digest(pool.drawn().tolist())


_DIGEST_LETTERS = 32


def _digest(*parts: Any) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=_DIGEST_LETTERS // 2).hexdigest()
