"""Describe configurations and estimators by what they hold, so that resuming with others is noticed."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from typing import Any

from rose.errors import NoIdentityError
from rose.identity import value_digest
from rose.identity.code import code_digest
from rose.identity.digest import class_name
from rose.stages.config import LearnerConfig, setting, stage_fields
from rose.stages.kinds import KINDS
from rose.store import Run

_log = logging.getLogger("rose")


async def identifier_of(run: Run) -> str | None:
    """Return what tells a run from all others, also when it is resumed elsewhere; None: it cannot be resumed."""
    if run.temporary:
        return None
    known = await run.journal.meta("identifier")
    if known is None:
        known = uuid.uuid4().hex
        await run.journal.note("identifier", known)
    return str(known)


def describe_config(config: LearnerConfig, iteration: int, labelling: bool = False) -> str:
    """Return a digest of what a workflow's configuration says in one iteration; how tasks are run may change.

    With `labelling`, only of the stages whose results are labels.
    """
    stages = {}
    names = stage_fields(config)
    for name in [name for name in names if KINDS[name].label] if labelling else names:
        found = config.get_task_config(name, iteration)
        if found is not None and (found.args or found.kwargs):
            stages[name] = [_lenient(found.args, f"{name}: args"), _lenient(found.kwargs, f"{name}: kwargs")]
    general = [] if labelling else [name for name in type(config).model_fields if name not in names]
    others = {name: setting(config, name, iteration) for name in general}
    settings = {name: _lenient(value, name) for name, value in others.items() if value is not None}
    return value_digest([stages, settings], "configuration").hex()


def configured_digest(value: Any, where: str) -> bytes:
    """Return what identifies a configured value by its content; functions in it are known by what they do.

    Raises:
        NoIdentityError: if it holds what has no canonical form; `where` is what the message calls it.
    """
    return value_digest(value, where, code_digest)


def describe_call(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """Return a digest of a call's arguments; what in them has no identity is known by its class."""
    told = [_lenient(args, "args"), _lenient(dict(kwargs), "kwargs")]
    return value_digest(told, "call").hex()


def check_configured(config: LearnerConfig, where: str, strict: bool) -> None:
    """Look for configured values that nothing identifies, in the iterations that are named and the first.

    Args:
        config: a workflow's configuration.
        where: what messages call the workflow.
        strict: whether labels are found by what the simulation is configured with.

    Raises:
        NoIdentityError: if the simulation has one, where `strict`. Of others it is said in the log.
    """
    for name in stage_fields(config):
        said = getattr(config, name)
        for iteration in sorted({0, *said} if isinstance(said, dict) else {0}):
            found = config.get_task_config(name, iteration)
            if found is None:
                continue
            values = {f"kwargs[{key!r}]": value for key, value in found.kwargs.items()} | {"args": found.args}
            for argument, value in values.items():
                try:
                    configured_digest(value, f"{where}{name}: {argument}")
                except NoIdentityError as error:
                    if strict and KINDS[name].label:
                        raise
                    _log.warning("changes of this will not be noticed: %s", error)


def describe_estimator(estimator: Any) -> str:
    """Describe an estimator with its parameters, also those of estimators in it: numbers, texts, digests of all else.

    >>> from sklearn.linear_model import Ridge
    >>> describe_estimator(Ridge(alpha=2.0, copy_X=True)).startswith("Ridge(alpha=2.0, copy_X=True, fit_intercept=")
    True
    """
    try:
        parameters = sorted(estimator.get_params(deep=True).items())
    except Exception:  # it tells of none
        return f"{class_name(type(estimator))} {_lenient(estimator, 'models()').hex()}"
    shown = [f"{name}={_parameter(value, name)}" for name, value in parameters]
    return f"{class_name(type(estimator))}({', '.join(shown)})"


def _parameter(value: Any, name: str) -> str:
    if value is None or type(value) in (bool, str):
        return repr(value) if len(repr(value)) <= 100 else _lenient(value, name).hex()
    if isinstance(value, (int, float)):
        return repr(float(value)) if abs(value) < 2**53 or value != value else str(value)
    if hasattr(value, "get_params"):  # its parameters are listed, too
        return class_name(type(value))
    return _lenient(value, name).hex()


def _lenient(value: Any, where: str) -> bytes:
    """Return a digest as `configured_digest` does; what in it has no identity is known by its class."""
    try:
        return configured_digest(value, where)
    except NoIdentityError:
        parts: Any = class_name(type(value))
        if isinstance(value, Mapping):
            parts = {str(key): _lenient(one, f"{where}[{key!r}]") for key, one in value.items()}
        elif isinstance(value, (list, tuple)):
            parts = [_lenient(one, f"{where}[{place}]") for place, one in enumerate(value)]
        return configured_digest(parts, where)
