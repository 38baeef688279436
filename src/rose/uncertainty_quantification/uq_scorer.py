"""Offer ROSE's import path for the scorer."""

from rose.scoring import UQ_REGISTRY, UQScorer, register_uq

__all__ = ["UQ_REGISTRY", "UQScorer", "register_uq"]
