"""Settle ties: among equals the seed draws, not the order in which a pool happens to lie (sorted by class, say)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rose.acquisition._check import Seed, as_generator
from rose.arrays import as_array
from rose.errors import ConfigurationError

Keys = NDArray[np.uint64]


def tie_keys(seed: Seed, ids: ArrayLike) -> Keys:
    """Return a key for each candidate, of which the smaller goes first among equals; distinct ids have distinct keys.

    A key depends on the seed and the id alone: a pool that is seen part by part settles its ties as one seen whole.
    `acquire(seed=seed, ids=ids)` goes by these keys. A Generator is drawn from, once.

    Args:
        seed: an int, `numpy.random.SeedSequence` or `Generator`.
        ids: `[n]` whole numbers that tell candidates apart.

    Returns:
        uint64 keys `[n]`: splitmix64 (Steele, Lea & Flood 2014) of the ids, started by the seed.

    Raises:
        ConfigurationError: if the seed is no seed, or the ids are no whole numbers.

    >>> part, whole = tie_keys(3, [8, 9]), tie_keys(3, np.arange(10))
    >>> bool((part == whole[8:]).all())
    True
    """
    numbers = as_array(ids, "ids")
    if numbers.size == 0:
        numbers = np.empty(0, dtype=np.int64)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise ConfigurationError(
            f"ids must be whole numbers that tell candidates apart, [N], not {numbers.dtype} of shape {numbers.shape}"
        )
    salt = as_generator(seed).integers(2**64, dtype=np.uint64)
    z = numbers.astype(np.uint64)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z += salt
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def candidate_keys(seed: Seed, size: int, ids: ArrayLike | None) -> Keys:
    """Return the `tie_keys` of the candidates of a pool, by their positions where they have no ids.

    Raises:
        ConfigurationError: as `tie_keys` does, and if two candidates have one id.
    """
    if ids is None:
        return tie_keys(seed, np.arange(size))
    keys = tie_keys(seed, ids)
    order = np.argsort(keys, kind="stable")
    twice = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
    if len(twice):
        first, second = order[twice[0] : twice[0] + 2]
        raise ConfigurationError(f"ids must tell candidates apart; those of {first} and {second} are the same")
    return keys


def drawn_order(keys: Keys, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the positions at which `mask [N]` is true, by their keys, the smallest first."""
    at = np.flatnonzero(mask)
    few = keys if len(at) == len(keys) else keys[at]
    # Sorting numbers is twice as fast as sorting positions by them: put the position into a key's last bits
    low = np.uint64((1 << max(1, len(at) - 1).bit_length()) - 1)
    packed = few & ~low
    packed |= np.arange(len(at), dtype=np.uint64)
    packed.sort()
    if len(at) > 1 and ((packed[1:] ^ packed[:-1]) <= low).any():
        return np.asarray(at[np.argsort(few)], dtype=np.int64)
    packed &= low
    return np.asarray(at[packed.view(np.int64)], dtype=np.int64)
