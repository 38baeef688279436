"""Digest arrays of every kind: structured, masked, of objects, sparse, and other libraries'."""

from __future__ import annotations

import array as arrays
from typing import Any

import numpy as np

from rose.arrays import as_array
from rose.errors import RoseError
from rose.identity._atoms import number
from rose.identity.digest import node, plain_array
from rose.identity.walk import Walk

_LIBRARIES = ("torch", "jax", "jaxlib", "cupy")


def is_array(value: Any) -> bool:
    """Return whether it is an array of NumPy's, a scalar with fields or of objects, or the standard library's array."""
    return isinstance(value, (np.ndarray, np.generic, arrays.array))


def is_tensor(value: Any) -> bool:
    """Return whether it is an array of torch, JAX or CuPy."""
    return hasattr(value, "dtype") and any(c.__module__.partition(".")[0] in _LIBRARIES for c in type(value).__mro__)


def is_sparse(value: Any) -> bool:
    """Return whether it is a sparse matrix as scipy has them."""
    return hasattr(value, "nnz") and hasattr(value, "tocoo")


def encode_array(walk: Walk, value: Any) -> bytes:
    """Return the digest of an array; of structured ones each field counts, and no padding."""
    if isinstance(value, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(value)
        data = np.array(value.data)
        data[mask] = np.zeros((), data.dtype)
        return node("masked", walk.child(data, ".data") + walk.child(np.asarray(mask), ".mask"))
    array = np.asarray(value)
    kind = array.dtype.kind
    if array.dtype.names is not None:
        fields = [walk.child(name, "") + walk.child(array[name], f"[{name!r}]") for name in array.dtype.names]
        return node("structured", walk.digest(array.shape) + b"".join(fields))
    if kind in "OT" or array.dtype.hasobject:
        return node("objects", walk.digest(array.shape) + walk.sequence(array.ravel().tolist()))
    if kind == "f" and array.dtype.itemsize > 8:  # long doubles: platforms have them in several sizes, with padding
        return node("long", walk.digest(array.shape) + b"".join(number(one) for one in array.ravel()))
    if kind == "c" and array.dtype.itemsize > 16:
        return node("long", encode_array(walk, array.real) + encode_array(walk, array.imag))
    return plain_array(array)


def encode_tensor(walk: Walk, value: Any) -> bytes:
    """Return the digest of another library's array: of what it is as NumPy's, wherever it lies."""
    try:
        return encode_array(walk, as_array(value, "it"))
    except RoseError as error:
        walk.refuse(value, str(error))


def encode_sparse(walk: Walk, value: Any) -> bytes:
    """Return the digest of a sparse matrix: of its elements that are not 0, whatever its format."""
    found = value.tocoo(copy=True)
    found.sum_duplicates()
    coordinates = np.stack(
        [np.asarray(axis, dtype=np.int64) for axis in getattr(found, "coords", (found.row, found.col))]
    )
    kept = found.data != 0
    coordinates, data = coordinates[:, kept], found.data[kept]
    order = np.lexsort(coordinates[::-1])
    shape = walk.digest(tuple(found.shape))
    return node("sparse", shape + plain_array(coordinates[:, order]) + encode_array(walk, data[order]))
