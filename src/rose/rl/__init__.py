"""Offer `rose.reinforcement_learning` by its short name: the same modules."""

from rose._aliases import alias
from rose.reinforcement_learning import *  # noqa: F403 - for type checkers

alias(__name__, "rose.reinforcement_learning")
