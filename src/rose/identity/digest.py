"""Make digests: of a tag and bytes, of arrays, and of the names of classes and functions."""

from __future__ import annotations

import hashlib
import sys
from typing import Any

import numpy as np

DIGEST_BYTES = 16


def node(tag: str, content: bytes = b"") -> bytes:
    """Return the digest of bytes (a text, or digests one after the other) under a tag that says what they are.

    >>> node("text", b"a") == node("bytes", b"a"), len(node("none"))
    (False, 16)
    """
    return hashlib.blake2b(tag.encode() + b"\0" + content, digest_size=DIGEST_BYTES).digest()


def digest_of(*parts: str) -> str:
    """Return 32 hexadecimal letters that stand for some texts, in order."""
    hasher = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        hasher.update(len(data).to_bytes(8, "big") + data)
    return hasher.hexdigest()


def text(value: str) -> bytes:
    """Return the digest of a text."""
    return node("text", value.encode(errors="surrogatepass"))


def plain_array(array: np.ndarray) -> bytes:
    """Return the digest of an array without objects: its dtype, shape, and elements in C order, little-endian.

    The first version of ROSE knew candidates by this digest, and its runs still do: it does not change.

    >>> a = np.arange(6.0).reshape(2, 3)
    >>> plain_array(a) == plain_array(np.asfortranarray(a)) == plain_array(a.astype(">f8"))
    True
    """
    kind = array.dtype
    if kind.kind in "biuf" and kind.str[0] != ">":  # most are so
        hasher = hashlib.blake2b(f"{kind.str}{array.shape}".encode(), digest_size=DIGEST_BYTES)
        hasher.update(np.ascontiguousarray(array).data)
        return hasher.digest()
    array = np.asarray(array, dtype=kind.newbyteorder("<"), order="C")  # which leaves single bytes as they are
    own = kind.kind == "V" and kind.type is not np.void  # of ml_dtypes, say: their `str` is their size
    name = kind.name if own else array.dtype.str
    hasher = hashlib.blake2b(f"{name}{array.shape}".encode(), digest_size=DIGEST_BYTES)
    if array.nbytes:
        hasher.update(array.reshape(-1).view(np.uint8).data)
    return hasher.digest()


def class_name(cls: type) -> str:
    """Return the name of a class within its module; one that a function has made is called by its own name.

    Modules are left out: they are renamed by libraries, and `__main__` is another module when it is imported.
    """
    return cls.__qualname__.rpartition("<locals>.")[2]


def reference(value: Any, name: str = "") -> bytes:
    """Return the digest of what is known by its name: a function or a class, with the installed package it is from.

    One's own modules do not count: a class is the same in a script and when that script is imported.

    >>> reference(dict) == reference(dict, "dict"), reference(np.sin) == reference(np.cos)
    (True, False)
    """
    module = str(getattr(value, "__module__", None) or type(value).__module__).partition(".")[0]
    name = name or str(getattr(value, "__qualname__", None) or getattr(value, "__name__", ""))
    package = module.lstrip("_") if module != "builtins" and _is_installed(module) else ""
    return node("reference", f"{package}:{name}".encode())


def _is_installed(package: str) -> bool:
    if package in ("__main__", "__mp_main__"):
        return False
    file = getattr(sys.modules.get(package), "__file__", None)
    return package in sys.stdlib_module_names or file is None or "-packages" in file
