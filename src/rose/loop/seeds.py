"""Derive from a run's one seed the seed of every task, by the task's key."""

from __future__ import annotations

import hashlib

import numpy as np


def derive_seed(root: int, name: str) -> int:
    """Return a seed in [0, 2**32) for the task (or other thing) called `name`: the same on every replay and engine.

    >>> derive_seed(0, "bald/3/training/mlp") == derive_seed(0, "bald/3/training/mlp")
    True
    """
    words = np.frombuffer(hashlib.blake2b(name.encode(), digest_size=16).digest(), dtype="<u4")
    sequence = np.random.SeedSequence([root, *(int(word) for word in words)])
    return int(sequence.generate_state(1)[0])
