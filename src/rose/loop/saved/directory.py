"""Write results as a directory, and read it again: `surrogate.json`, and arrays and models as a run keeps them.

It is written beside its place, synced, and renamed: under its name it is whole.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from rose.errors import ConfigurationError, CorruptRunError, MissingDefinitionError, RunDirectoryError
from rose.paths import expanded
from rose.portable import PYTHON
from rose.store import Result, given, later
from rose.store.files.fsync import sync_directory, sync_tree
from rose.store.files.objects import ObjectStore

FORMAT = 1  # of a directory of saved results
MANIFEST = "surrogate.json"
_OBJECTS = "objects"
# Packages whose models are pickles that their other versions may read otherwise, by the names of their modules.
_PACKAGES = {
    "sklearn": "scikit-learn", "torch": "torch", "jax": "jax", "xgboost": "xgboost", "lightgbm": "lightgbm",
    "catboost": "catboost",
}  # fmt: skip

_log = logging.getLogger("rose")


@dataclass(frozen=True)
class SavedWorkflow:
    """Hold what is kept of one workflow: its history in plain JSON, all else unread.

    Attributes:
        name, stop_reason, error, iterations: as in `WorkflowResult`.
        metric_name, metric_threshold: the stop criterion's; None: there is none, or it is not known.
        models: by name.
        indices, labels: the labelled candidates, int64 `[L]`, and their labels.
        predictor: what predicts with the models; None: nothing does, for the reason `unkept`, if there is one.
        versions: of Python and packages, when models and predictor were made.
        settings: how it was configured, in plain JSON; nothing where it was saved by an older ROSE.
    """

    name: str
    stop_reason: str | None = None
    error: str | None = None
    iterations: Sequence[dict[str, Any]] = ()
    metric_name: str | None = None
    metric_threshold: float | None = None
    models: Mapping[str, Result] = field(default_factory=dict)
    indices: Any = ()
    labels: Result | None = None
    predictor: Result | None = None
    unkept: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


@functools.cache
def versions_here() -> Mapping[str, str]:
    """Return the versions of Python, of ROSE, and of the packages whose models may depend on them."""
    found = {"Python": PYTHON}
    for package in ("rose-uq", *_PACKAGES.values()):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def write_saved(path: str | os.PathLike[str], workflows: Sequence[SavedWorkflow]) -> Path:
    """Write results as a directory, atomically; results that were saved there before are replaced.

    Raises:
        ConfigurationError: if something else is there.
        UnpicklableError: if a model cannot be pickled, naming it.
        OSError: if the disk refuses.
    """
    place = expanded(path, "path").resolve()  # what a link leads to is replaced, not the link
    if os.path.lexists(place) and not (place / MANIFEST).is_file() and not _is_empty(place):
        raise ConfigurationError(f"{str(place)!r} exists, and holds no saved results: give another path, or remove it")
    place.parent.mkdir(parents=True, exist_ok=True)
    aside = place.with_name(f".{place.name}-{uuid.uuid4().hex}")
    aside.mkdir()
    try:
        objects = ObjectStore(aside / _OBJECTS, durable=False)  # synced once, all together
        manifest = {"format": FORMAT, "workflows": [_to_plain(one, objects) for one in workflows]}
        (aside / MANIFEST).write_text(json.dumps(manifest, indent=1))
        sync_tree(aside)
        _put(aside, place)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    sync_directory(place.parent)
    return place


def _is_empty(place: Path) -> bool:
    return place.is_dir() and not any(place.iterdir())


def _put(aside: Path, place: Path) -> None:
    """Rename what is whole to its place; what was there is removed."""
    if not (place / MANIFEST).is_file():
        os.rename(aside, place)  # an empty directory is replaced
        return
    old = place.with_name(f".{place.name}-{uuid.uuid4().hex}")
    os.rename(place, old)
    try:
        os.rename(aside, place)
    except BaseException:
        os.rename(old, place)
        raise
    shutil.rmtree(old)


def _to_plain(one: SavedWorkflow, objects: ObjectStore) -> dict[str, Any]:
    def stored(result: Result | None, what: str) -> str | None:
        if result is None:
            return None
        with _about(f"{what} of workflow {one.name!r} cannot be saved"):
            return result.copied_to(objects)

    return {
        "name": one.name,
        "stop_reason": one.stop_reason,
        "error": one.error,
        "iterations": list(one.iterations),
        "metric_name": one.metric_name,
        "metric_threshold": one.metric_threshold,
        "models": {name: stored(model, f"model {name!r}") for name, model in one.models.items()},
        "indices": stored(given(np.asarray(one.indices, dtype=np.int64)), "the candidates"),
        "labels": stored(one.labels, "a label"),
        "predictor": stored(one.predictor, "the prediction function"),
        "unkept": one.unkept,
        "versions": dict(one.versions),
        "settings": dict(one.settings),
    }


@contextlib.contextmanager
def _about(text: str) -> Iterator[None]:
    """Say what an error is about that says nothing of it; what ROSE raises says it."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise ConfigurationError(f"{text}: {type(error).__name__}: {error}") from error


def read_saved(place: Path) -> list[SavedWorkflow]:
    """Read results that were saved as a directory; models and labels stay unread.

    Raises:
        RunDirectoryError: if they are of a newer format.
        CorruptRunError: if they are damaged.
    """
    try:
        manifest = json.loads((place / MANIFEST).read_text())
        if manifest["format"] > FORMAT:
            raise RunDirectoryError(
                f"{str(place)!r} is of format {manifest['format']}, which a newer ROSE has saved; this one reads "
                f"{FORMAT}: update rose-uq"
            )
        return [_from_plain(plain, place) for plain in manifest["workflows"]]
    except CorruptRunError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptRunError(f"{str(place / MANIFEST)!r} is damaged: {type(error).__name__}: {error}") from error


def _from_plain(plain: Mapping[str, Any], place: Path) -> SavedWorkflow:
    objects, workflow, versions = ObjectStore(place / _OBJECTS), plain["name"], plain["versions"]

    def unread(name: str | None, what: str, made_with: Mapping[str, str] = versions) -> Result | None:
        if name is None:
            return None
        whose = f"{what} of workflow {workflow!r} in {str(place)!r}"
        return checked(Result(objects, None, name, what=whose), whose, made_with)

    indices, labels = unread(plain["indices"], "the candidates", {}), unread(plain["labels"], "a label", {})
    models = {name: unread(file, f"model {name!r}") for name, file in plain["models"].items()}
    return SavedWorkflow(
        **{name: plain[name] for name in ("name", "stop_reason", "error", "iterations", "unkept", "versions")},
        metric_name=plain["metric_name"],
        metric_threshold=plain["metric_threshold"],
        models={name: model for name, model in models.items() if model is not None},
        indices=() if indices is None else indices.load(),
        labels=labels,
        predictor=unread(plain["predictor"], "the prediction function"),
        settings=plain.get("settings", {}),
    )


def checked(result: Result, what: str, versions: Mapping[str, str]) -> Result:
    """Return a result that says, when it is read, what is not here, and which other versions made it.

    Raises, when it is read:
        MissingDefinitionError: if it is of a class that cannot be imported here.
    """

    def read() -> Any:
        try:
            value = result.load()
        except CorruptRunError as error:
            missing = error.__cause__
            if not isinstance(missing, (ImportError, AttributeError)):
                raise
            raise MissingDefinitionError(
                f"{what} needs what cannot be imported here ({missing}): install the package it is of, in the version "
                "that made it, or put the folder of the module on PYTHONPATH"
            ) from missing
        _tell_of_versions(what, versions)
        return value

    return later(read, result)


_told: set[str] = set()


def _tell_of_versions(what: str, versions: Mapping[str, str]) -> None:
    """Say in the log, once, which other versions of what is used here have made it."""
    used = {"Python", *(package for module, package in _PACKAGES.items() if module in sys.modules)}
    now = versions_here()
    other = [
        f"{before if name == 'Python' else f'{name} {before}'} (here {now[name]})"
        for name, before in versions.items()
        if name in used and now.get(name, before) != before
    ]
    text = ", ".join(other)
    if other and text not in _told:
        _told.add(text)
        _log.warning("%s was made with %s: what it predicts may differ", what, text)
