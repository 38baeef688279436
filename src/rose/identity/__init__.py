"""Identify a value by its content, in every process, on every platform, and for every supported Python."""

from rose.identity.values import value_digest
from rose.identity.walk import Functions

__all__ = ["Functions", "value_digest"]
