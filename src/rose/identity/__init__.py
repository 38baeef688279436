"""Identify a value by its content, in every process, on every platform, and for every supported Python."""

from rose.identity.values import Functions, value_digest

__all__ = ["Functions", "value_digest"]
