"""Make the tracker that a program names."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from rose.errors import MissingPackageError, UnknownNameError
from rose.learners.tracking import TRACKERS
from rose.spec.schema import Program

# Built-in trackers that take arguments, which their registered makers do not hand on.
_CLASSES = {"mlflow": "MLflowTracker", "clearml": "ClearMLTracker", "tensorboard": "TensorBoardTracker"}
# How trackers call the two things that a file says of them.
_EXPERIMENT, _RUN = ("experiment", "experiment_name", "project_name"), ("run_name", "task_name")


def tracker_of(config: Program) -> Any | None:
    """Return the tracker that a program names, made with the experiment and the run's name as far as it takes them.

    Raises:
        UnknownNameError: if there is none of that name.
        MissingPackageError: if what it needs is not installed.
    """
    said = config.tracking
    if said.backend == "none":
        return None
    where = config.at("tracking", "backend")
    try:
        make = TRACKERS.get(said.backend)
        if said.backend in _CLASSES:
            make = getattr(importlib.import_module(f"rose.integrations.{said.backend}_tracker"), _CLASSES[said.backend])
        return make(**_named(make, said.experiment, said.run_name))
    except UnknownNameError as error:
        raise UnknownNameError(f"{where}: {error}") from None
    except ImportError as error:
        raise MissingPackageError(f"{where}: {error}") from error


def _named(make: Any, experiment: str, run_name: str | None) -> dict[str, str]:
    """Return the arguments for the two names; a run's name that is needed and not said is the experiment's."""
    found = {}
    for name, one in inspect.signature(make).parameters.items():
        if name in _EXPERIMENT:
            found[name] = experiment
        elif name in _RUN and (run_name is not None or one.default is one.empty):
            found[name] = experiment if run_name is None else run_name
    return found
