"""Offer ROSE's import path for reinforcement learning: names from other modules, imported when first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rose.dataflow.bank import Experience, ExperienceBank, create_experience
    from rose.learners.reinforcement import (
        ParallelExperience,
        ParallelReinforcementLearner,
        ReinforcementLearner,
        SequentialReinforcementLearner,
    )

_LEARNERS = "rose.learners.reinforcement"
_PLACES = {
    "Experience": "rose.dataflow.bank",
    "ExperienceBank": "rose.dataflow.bank",
    "ParallelExperience": _LEARNERS,
    "ParallelReinforcementLearner": _LEARNERS,
    "ReinforcementLearner": _LEARNERS,
    "SequentialReinforcementLearner": _LEARNERS,
    "create_experience": "rose.dataflow.bank",
}

__all__ = [
    "Experience",
    "ExperienceBank",
    "ParallelExperience",
    "ParallelReinforcementLearner",
    "ReinforcementLearner",
    "SequentialReinforcementLearner",
    "create_experience",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    if name in ("experience", "reinforcement_learner"):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
