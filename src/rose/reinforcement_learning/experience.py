"""Offer ROSE's import path of experiences; a script that only wants these imports no learner."""

from rose.dataflow.bank import Experience, ExperienceBank, create_experience

__all__ = ["Experience", "ExperienceBank", "create_experience"]
