"""Decide when a pool's workflow knows enough."""
