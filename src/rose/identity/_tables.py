"""Digest tables and columns with names (pandas'): their values, whatever keeps them."""

from __future__ import annotations

from typing import Any

import numpy as np

from rose.identity.digest import class_name, node, plain_array
from rose.identity.walk import Walk

_OWN = ("Series", "DataFrame", "Index", "ExtensionArray")


def is_table(value: Any) -> bool:
    """Return whether it is a DataFrame, a Series, an Index or an array of pandas', or derived from one."""
    return any(_is_pandas(c) and c.__name__ in _OWN for c in type(value).__mro__)


def encode_table(walk: Walk, value: Any) -> bytes:
    """Return the digest of a table: the names and values of its columns, in their order, and its index."""
    foreign = b"" if _is_pandas(type(value)) else class_name(type(value)).encode()
    if hasattr(value, "columns"):
        columns = [_column(walk, value.iloc[:, place], f"[{place}]") for place in range(value.shape[1])]
        parts = [_column(walk, value.columns, ".columns"), _column(walk, value.index, ".index"), *columns]
    elif hasattr(value, "iloc"):
        parts = [_column(walk, value, ""), _column(walk, value.index, ".index"), walk.child(value.name, ".name")]
    else:
        parts = [_column(walk, value, "")]
    return node("table", node("class", foreign) + b"".join(parts))


def _is_pandas(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "pandas"


def _column(walk: Walk, values: Any, step: str) -> bytes:
    """Digest a column by its dtype and elements if they are plain numbers, else one by one: pandas' versions differ."""
    names = getattr(values, "names", None)
    named = node("names") if names is None else walk.child(list(names), f"{step}.names")
    kind = values.dtype
    if isinstance(kind, np.dtype) and kind.kind in "biufc":
        return node("column", named + plain_array(np.asarray(values)))
    categories = getattr(kind, "categories", None)
    if categories is not None:
        known = walk.child([categories.tolist(), bool(kind.ordered)], f"{step}.categories")
        return node("categories", named + known + _elements(walk, values, step))
    return node("column", named + _elements(walk, values, step))


def _elements(walk: Walk, values: Any, step: str) -> bytes:
    if getattr(values, "nlevels", 1) > 1:
        return walk.child(values.tolist(), step)
    missing = np.asarray(values.isna(), dtype=bool)
    plain = [None if absent else one for one, absent in zip(values.tolist(), missing.tolist(), strict=True)]
    return walk.child(plain, step)
