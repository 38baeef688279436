"""Offer `rose.uncertainty_quantification` by its short name: the same modules."""

from rose._aliases import alias
from rose.uncertainty_quantification import *  # noqa: F403 - for type checkers

alias(__name__, "rose.uncertainty_quantification")
