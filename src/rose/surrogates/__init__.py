"""Learn from few labels: surrogates that know how sure they are, as scikit-learn estimators.

    learner.models()                                  # Auto: weighs the others by what they say of labels left out
    learner.models(gp=GaussianProcess())
    learner.models(forest=Trees(), nets=MLPs())

Each is an ensemble by itself: `predict_members(X)` gives the predictions of all its members, which a learner takes for
predictions of as many models.
"""

from rose.surrogates.auto import Auto
from rose.surrogates.gaussian_process import GaussianProcess
from rose.surrogates.mlps import MLPs
from rose.surrogates.trees import Trees

__all__ = ["Auto", "GaussianProcess", "MLPs", "Trees"]
