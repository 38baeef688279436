"""Compare a run's functions with those it was begun with, say what happens where they differ; note what drives it."""

from __future__ import annotations

import logging
import platform
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from rose.engine import Engine
from rose.errors import ChangedRunError, ConfigurationError
from rose.identity.code import code_of_values, reach
from rose.identity.digest import digest_of
from rose.identity.files import describe_dependencies
from rose.identity.parts import (
    Part,
    Parts,
    differences,
    from_plain,
    incomparable,
    parts_digest,
    shown,
    to_plain,
)
from rose.loop.identity import describe_estimator
from rose.loop.protocol import RunRequest
from rose.stages.config import setting
from rose.stages.estimators import is_of_estimators
from rose.stages.kinds import KINDS, loop_kinds
from rose.stages.parsing import plain
from rose.stages.stage import Registered, Stage
from rose.store import Run, Simulations
from rose.store.recorded import OF_DRIVER

_LIBRARIES = (
    *("rose", "numpy", "scipy", "sklearn", "pandas", "torch", "jax", "tensorflow", "xgboost", "lightgbm", "catboost"),
    *("distributed", "radical.asyncflow", "ase"),
)
_SETTINGS = ("uq_metric_name", "query_size", "threshold", "acquisition", "seed")

AS_BEGUN = "as the labels given say"  # of a setting that a resumed run does not name: it keeps what it was begun with

_log = logging.getLogger("rose")


class Unsaid(str):
    """Hold what a setting is in a new run where the user does not name it: a resumed run keeps what it was begun with.

    `before` is what it was in runs that did not note it.
    """

    before: str

    def __new__(cls, now: str, before: str) -> Unsaid:
        """Return the setting's value in a new run."""
        made = super().__new__(cls, now)
        made.before = before
        return made


T = TypeVar("T")

AcceptChanges = bool | Literal["resimulate"]
Code = Mapping[str, Parts]  # by stage, as `named` calls it

_LISTED = 8  # differences of one stage that a message lists


def check_accept(accept: Any) -> AcceptChanges:
    """Return what a learner was told of changes.

    Raises:
        ConfigurationError: if it is none of the three.
    """
    if accept is True or accept is False or accept == "resimulate":
        return accept  # type: ignore[no-any-return]
    raise ConfigurationError(
        f"accept_changes={accept!r} must be True (go on, and keep all labels), False, or 'resimulate' (label anew what "
        "a changed simulation has labelled)"
    )


def describe_stage(stage: Stage) -> dict[str, Part]:
    """Return what decides a stage's results, each part by its name; how it is run (resources, policies) may change.

    Raises:
        ConfigurationError: if something that it depends on is missing.
    """
    parts = dict(reach(stage.func, shell=stage.as_executable))
    if callable(stage.collect):
        parts |= {f"collect: {name}": part for name, part in reach(stage.collect).items()}
    settings = {name: getattr(stage, name) for name in ("as_executable", "batch", "classes", "normalise")}
    if not callable(stage.collect):
        settings["collect"] = stage.collect
    for name, value in settings.items():
        parts[f"{name}="] = Part(digest_of(repr(value)), shown(value) or repr(value)[:60])
    return parts | describe_dependencies(stage.depends_on, stage.name)


async def check_identity(run: Run, identity: Mapping[str, str], code: Code, accept: AcceptChanges) -> None:
    """Check that a run is resumed with what it was begun with; what is new is noted.

    Args:
        run: the run.
        identity: what it is resumed with, by name.
        code: of those that are stages, their parts.
        accept: whether it may go on with changes, or start over where its simulation has changed.

    Raises:
        ChangedRunError: naming what differs, unless that is accepted; then it is recorded.
    """
    run.accepts_changes, run.relabels = bool(accept), accept == "resimulate"
    begun = await run.journal.meta("identity") or {}
    known = {name: from_plain(plain) for name, plain in (await run.journal.meta("code") or {}).items()}
    identity = {name: _as_begun(begun, name, now) for name, now in identity.items()}
    told = {}
    for name, now in identity.items():
        text = _changed(name, begun.get(name, now), now, known.get(name), code.get(name))
        if text is not None:
            told[name] = text
    if told and not accept:
        raise ChangedRunError(
            f"the run in {str(run.path)!r} was begun with other settings: "
            + "; ".join(told.values())
            + ". Give it what it had; or accept_changes=True to keep what is recorded and go on like this; "
            + ("or accept_changes='resimulate' to label anew; " if _labelling(told) else "")
            + "or resume='new' to start another run"
        )
    _tell_of_the_unknown(begun, known, code, run)
    if told:
        run.accept(list(told))
    labelling = _labelling(code)
    notes: dict[str, Any] = {
        "identity": {**begun, **identity},
        "code": {name: to_plain(parts) for name, parts in {**known, **code}.items() if identity.get(name) != "none"},
    }
    if labelling in told:
        before = parts_digest(known[labelling]) if labelling in known else begun[labelling]
        if accept == "resimulate":
            await _start_over(run, before, parts_digest(code[labelling]), notes)
            return
        await _accept_simulation(run, parts_digest(code[labelling]))
    for name, value in notes.items():
        if await run.journal.meta(name) != value:
            await run.journal.note(name, value)


def _as_begun(begun: Mapping[str, str], name: str, now: str) -> str:
    """Return what a setting is: as it was, where it is not named now."""
    if isinstance(now, Unsaid):
        return begun.get(name, now.before if begun else str(now))
    return begun.get(name, now) if now == AS_BEGUN else now


def _labelling(named: Iterable[str]) -> str:
    """Return which of these is the stage whose results are labels; "" where there is none."""
    return next((kind.task for kind in KINDS.values() if kind.label and kind.task in named), "")


async def simulation_identity(run: Run, code: Code) -> str:
    """Return what labels are known by, beside their candidates: the simulation as it was when its labels began."""
    begun = await run.journal.meta("simulation")
    if begun is None:
        begun = parts_digest(code[_labelling(code)])
        await run.journal.note("simulation", begun)
    return str(begun)


async def _start_over(run: Run, before: str, now: str, notes: Mapping[str, Any]) -> None:
    """Play all rounds again with another simulation. What it has labelled earlier is found again."""
    own = await run.journal.meta("simulation")
    if own is None:  # it was begun, and has labelled nothing
        for name, value in notes.items():
            await run.journal.note(name, value)
        return
    simulations = await run.journal.simulations() or Simulations([(own, [before])])
    taken = {identity for identity, _ in simulations.known}
    identity = now if now not in taken else digest_of(now, str(len(simulations.known)))
    await run.journal.start_over(simulations, now, identity, notes)
    _log.warning(
        "the simulation has changed: the run in %s starts over, and simulates what it has not labelled with it; "
        "earlier labels stay in it",
        run.path,
    )


async def _accept_simulation(run: Run, now: str) -> None:
    simulations = await run.journal.simulations()
    if simulations is not None:
        await run.journal.note("simulations", simulations.accepted(now).to_plain())


def _changed(name: str, begun: str, now: str, known: Parts | None, parts: Parts | None) -> str | None:
    """Say what has changed, in words; None where nothing has."""
    if parts is None or begun == "none":
        return None if begun == now else _plainly(name, begun, now)
    if known is None:  # noted by a version of ROSE that looked at the function's text alone
        return None
    found = differences(known, parts)
    if not found:
        return None
    more = f"; and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return f"{name} has changed: {'; '.join(found[:_LISTED])}{more}"


def _plainly(name: str, begun: str, now: str) -> str:
    digests = len(begun) == len(now) == len(digest_of()) and " " not in begun + now
    return f"{name} has changed" if digests else f"{name} was {begun}, and is {now}"


def _tell_of_the_unknown(begun: Mapping[str, str], known: Mapping[str, Parts], code: Code, run: Run) -> None:
    """Say what could not be compared."""
    older = [name for name in code if name not in known and begun.get(name, "none") != "none"]
    if older:
        _log.warning(
            "the run in %s was begun by an older version of ROSE: %s cannot be compared with what it was, and is taken "
            "as unchanged; changes from now on are noticed",
            run.path,
            ", ".join(older),
        )
    for name in code:
        unknown = incomparable(known.get(name, {}), code[name])
        if unknown:
            _log.warning(
                "%s: %s has no source, and cannot be compared with what it was under another version of Python",
                name,
                ", ".join(unknown),
            )


def code_of(request: RunRequest) -> Code:
    """Return the user's functions that a recorded run was begun with.

    They are by stage; those in which workflows differ, by workflow and stage.
    """
    return _merged(request, _code)


def identity_of(request: RunRequest, code: Code) -> dict[str, str]:
    """Return what a recorded run was begun with: on resume, what is named here has to be the same."""
    named = _merged(request, _settings) | {name: parts_digest(parts) for name, parts in code.items()}
    named["model_names"] = ", ".join(request.model_names)
    named["num_predictions"] = str(request.num_predictions)
    return named


def _merged(request: RunRequest, describe: Callable[[Registered], Mapping[str, T]]) -> dict[str, T]:
    """Return what describes the stages of all workflows, by name; where they differ, by workflow and name."""
    described = {name: one for names, stages in request.by_stages() for one in [describe(stages)] for name in names}
    merged: dict[str, T] = {}
    for name in dict.fromkeys(name for one in described.values() for name in one):
        first, *others = (one.get(name) for one in described.values())
        if first is not None and all(other == first for other in others):
            merged[name] = first
        else:
            merged |= {f"workflow {own!r}: {name}": one[name] for own, one in described.items() if name in one}
    return merged


def _code(registered: Registered) -> dict[str, Parts]:
    own = [stage for stage in registered.all_stages().values() if not is_of_estimators(stage)]
    code: dict[str, Parts] = {stage.row.task: describe_stage(stage) for stage in own}
    for name, estimator in registered.estimators.items():
        classes = code_of_values([estimator, *getattr(estimator, "get_params", dict)().values()])
        code |= {f"code of model {name!r}": classes} if classes else {}
    return code


def _settings(registered: Registered) -> dict[str, str]:
    """Return the settings of what is registered, by name; functions that are not there are "none"."""
    named = {"uncertainty_quantification": "none", "stop criterion": "none"}
    named |= {kind.task: "none" for kind in loop_kinds().values()}
    for name, estimator in registered.estimators.items():
        named[f"model {name!r}"] = describe_estimator(estimator)
    rule, criterion = registered.rule, registered.criterion
    if rule is not None:
        named["uncertainty_quantification"] = (
            f"{rule.metric_name}, query_size={rule.query_size}, threshold={rule.threshold}, reduction={rule.reduction}"
            + (f", operator={rule.operator}" if rule.operator else "")
        )
    if criterion is not None:
        named["stop criterion"] = f"{criterion.metric_name} {criterion.operator} {criterion.threshold}"
    if registered.stop_rules:
        named["stop_when"] = "; ".join(map(str, registered.stop_rules))
    return named


async def note_provenance(run: Run, request: RunRequest, learner: str, engine: Engine) -> None:
    """Note what drives a run from now on; a temporary one is read by nobody."""
    if not run.temporary:
        told = provenance(request) | {"learner": learner, "engine": type(engine).__name__}
        told["workers"] = engine.capacity().cpus
        await run.journal.note(f"{OF_DRIVER}{run.journal.epoch}", told)


def provenance(request: RunRequest) -> dict[str, Any]:
    """Return how this program was called and with which versions, and what was asked for, in plain JSON."""
    return {
        "command": shlex.join(sys.orig_argv),
        "directory": str(Path.cwd()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: _version(name) for name in _LIBRARIES if name in sys.modules},
        "models": list(request.model_names),
        "predictions of each model": request.num_predictions,
        "limits": {name: value for name, value in vars(request.limits).items() if value},
        "workflows": {name: settings_of(request, name) for name in request.names},
        **request.noted,
    }


def _version(name: str) -> str:
    return str(getattr(sys.modules[name], "__version__", "unknown"))


def settings_of(request: RunRequest, name: str) -> dict[str, Any]:
    """Return the settings of a workflow: its own, else what all of them have."""
    registered, config = request.stages[name], request.configs[name]
    told: dict[str, Any] = {one: setting(config, one, 0) for one in _SETTINGS}
    rule, criterion = registered.rule, registered.criterion
    if rule is not None:
        common = {"uq_metric_name": rule.metric_name, "query_size": rule.query_size, "threshold": rule.threshold}
        told |= {one: value for one, value in common.items() if told[one] is None}
    if criterion is not None:
        told["criterion"] = f"{criterion.metric_name} {criterion.operator} {criterion.threshold}"
    control = request.controls.get(name)
    if control is not None:
        told |= {"acquisition": control.kind, "control_of": list(control.of)}
    if registered.stop_rules:
        told["stop_when"] = "; ".join(map(str, registered.stop_rules))
    return {one: plain(value) for one, value in told.items() if value is not None}
