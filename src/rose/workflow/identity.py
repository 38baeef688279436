"""What a run was begun with, so that resuming it with something else is noticed.

A function is known by its source, without comments and layout, its defaults, and the plain values that it closes over.
What it calls is not looked at: a change there is the user's to judge.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import logging
import textwrap
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from rose.errors import ChangedRunError, NoIdentityError
from rose.identity import value_digest
from rose.identity.digest import class_name
from rose.store import Run
from rose.workflow.config import LearnerConfig, setting, stage_fields
from rose.workflow.former_text import plain_text
from rose.workflow.pool import Pool
from rose.workflow.stages import Stage

_log = logging.getLogger("rose")

AS_BEGUN = "as the labels given say"  # of a setting that a resumed run does not name: it keeps what it was begun with
_SAMPLED = 1000  # candidates that are looked at to recognise a pool


def describe_function(func: Any) -> str:
    """A digest of what a function does, as far as its own text tells.

    >>> def simulate(x):
    ...     return x**2  # expensive
    >>> describe_function(simulate) == describe_function(simulate)
    True
    """
    if isinstance(func, functools.partial):
        return _digest(describe_function(func.func), _plain(func.args), _plain(func.keywords))
    if not hasattr(func, "__code__"):
        inner = getattr(func, "__func__", None) or vars(type(func)).get("__call__")
        if hasattr(inner, "__code__"):
            return describe_function(inner)
        return _digest(getattr(func, "__module__", ""), getattr(func, "__qualname__", type(func).__qualname__))
    closed = inspect.getclosurevars(func).nonlocals if func.__closure__ else {}
    return _digest(_source(func), _plain(func.__defaults__), _plain(func.__kwdefaults__), _plain(closed))


def describe_stage(stage: Stage) -> str:
    """A digest of what decides a stage's results; how it is run (resources, policies) may change."""
    collect = describe_function(stage.collect) if callable(stage.collect) else stage.collect
    columns = (stage.classes, stage.normalise) if stage.classes is not None or stage.normalise else ()
    return _digest(describe_function(stage.func), stage.as_executable, stage.batch, collect, *columns)


def describe_config(config: LearnerConfig, iteration: int) -> str:
    """A digest of what a workflow's configuration says in one iteration; how tasks are run may change."""
    stages = {}
    names = stage_fields(type(config))
    for name in names:
        found = config.get_task_config(name, iteration)
        if found is not None and (found.args or found.kwargs):
            stages[name] = [_lenient(found.args, f"{name}: args"), _lenient(found.kwargs, f"{name}: kwargs")]
    others = {name: setting(config, name, iteration) for name in type(config).model_fields if name not in names}
    settings = {name: _lenient(value, name) for name, value in others.items() if value is not None}
    return value_digest([stages, settings], "configuration").hex()


def configured_digest(value: Any, where: str) -> bytes:
    """Return what identifies a configured value by its content; functions in it are known by what they do.

    Raises:
        NoIdentityError: if it holds what has no canonical form; `where` is what the message calls it.
    """
    return value_digest(value, where, _of_function)


def check_configured(config: LearnerConfig, where: str, strict: bool) -> None:
    """Look for configured values that nothing identifies, in the iterations that are named and the first.

    Args:
        config: a workflow's configuration.
        where: what messages call the workflow.
        strict: whether labels are found by what the simulation is configured with.

    Raises:
        NoIdentityError: if the simulation has one, where `strict`. Of others it is said in the log.
    """
    for name in stage_fields(type(config)):
        given = getattr(config, name)
        for iteration in sorted({0, *given} if isinstance(given, dict) else {0}):
            found = config.get_task_config(name, iteration)
            if found is None:
                continue
            said = {f"kwargs[{key!r}]": value for key, value in found.kwargs.items()} | {"args": found.args}
            for argument, value in said.items():
                try:
                    configured_digest(value, f"{where}{name}: {argument}")
                except NoIdentityError as error:
                    if strict and name == "simulation":
                        raise
                    _log.warning("changes of this will not be noticed: %s", error)


def describe_pool(pool: Pool) -> dict[str, str]:
    """A pool's parts: a digest of its size and up to 1,000 candidates, `initial` as it is said, the seed, `extra`."""
    return {
        "pool": _digest(len(pool), pool.digests(sampled(pool))),
        "Pool(seed=)": str(pool.seed),
        "Pool(initial=)": describe_initial(pool),
        "Pool(extra=)": "none" if pool.extra is None else pool.extra.digest(),
    }


def sampled(pool: Pool) -> list[int]:
    """Return the candidates that are looked at to recognise a pool."""
    indices: list[int] = np.unique(np.linspace(0, len(pool) - 1, _SAMPLED).astype(int)).tolist()
    return indices


def describe_initial(pool: Pool, drawn: bool = False) -> str:
    """Say what a pool's `initial` is, whatever labels are given beside it; without it, they decide (unless `drawn`)."""
    return AS_BEGUN if pool.asked is None and pool.known and not drawn else _digest(pool.drawn().tolist())


def describe_estimator(estimator: Any) -> str:
    """An estimator with its parameters, also those of estimators in it: numbers and texts, of others their digests.

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
    """As `configured_digest`; what has no identity is known by its class."""
    try:
        return configured_digest(value, where)
    except NoIdentityError:
        return configured_digest(plain_text(value), where)


def _of_function(value: Any) -> bytes | None:
    return bytes.fromhex(describe_function(value)) if isinstance(value, FunctionType) else None


async def check_identity(run: Run, identity: Mapping[str, str], accept: bool) -> None:
    """That a run is resumed with what it was begun with; what is new is noted.

    Raises:
        ChangedRunError: naming what differs, unless that is accepted; then it is recorded.
    """
    run.accepts_changes = accept
    begun = await run.journal.meta("identity") or {}
    identity = {name: begun.get(name, now) if now == AS_BEGUN else now for name, now in identity.items()}
    changed = {name: now for name, now in identity.items() if begun.get(name, now) != now}
    if changed and not accept:
        raise ChangedRunError(
            f"the run in {str(run.path)!r} was begun with other settings: "
            + "; ".join(f"{name} {_difference(begun[name], now)}" for name, now in changed.items())
            + ". Give it what it had; or accept_changes=True to keep what is recorded and go on like this; or "
            "resume='new' to start another run"
        )
    if changed:
        run.accept(list(changed))
    if begun != {**begun, **identity}:
        await run.journal.note("identity", {**begun, **identity})


async def simulation_identity(run: Run, stage: Stage) -> str:
    """What labels are known by, beside their candidates: the simulation as it was when the run was begun."""
    begun = await run.journal.meta("simulation")
    if begun is None:
        begun = describe_stage(stage)
        await run.journal.note("simulation", begun)
    return str(begun)


def _difference(before: str, now: str) -> str:
    digests = len(before) == len(now) == _DIGEST_LETTERS and " " not in before + now
    return "has changed" if digests else f"was {before}, and is {now}"


_DIGEST_LETTERS = 32


def _digest(*parts: Any) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=_DIGEST_LETTERS // 2).hexdigest()


def _source(func: Callable[..., Any]) -> str:
    try:
        return _text(ast.parse(textwrap.dedent(inspect.getsource(func))), func.__name__)
    except (OSError, TypeError, SyntaxError):  # typed at a prompt, or a lambda inside a larger expression
        return repr(_code(func.__code__))


def _text(tree: ast.Module, name: str) -> str:
    """The text of a function alone: without its decorators, which say how it is run, and its docstring."""
    first = tree.body[0]
    if isinstance(first, (ast.FunctionDef, ast.AsyncFunctionDef)):
        first.decorator_list = []
        if ast.get_docstring(first) is not None:
            first.body[0] = ast.Pass()
        return ast.unparse(first)
    lambdas = [node for node in ast.walk(tree) if isinstance(node, ast.Lambda)]
    return ast.unparse(lambdas[0] if name == "<lambda>" and len(lambdas) == 1 else tree)


def _code(code: CodeType) -> tuple[Any, ...]:
    constants = [_code(const) if isinstance(const, CodeType) else _plain(const) for const in code.co_consts]
    return code.co_code, constants, code.co_names


def _plain(value: Any) -> Any:
    """A value as far as its text is the same in every process: of other objects, their types."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return value.shape, str(value.dtype), hashlib.blake2b(value.tobytes(), digest_size=16).hexdigest()
    if isinstance(value, Mapping):
        return sorted((str(key), repr(_plain(entry))) for key, entry in value.items())
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, (set, frozenset)):
        return sorted(repr(_plain(entry)) for entry in value)
    if hasattr(value, "__code__"):
        return describe_function(value) if not getattr(value, "__closure__", None) else value.__qualname__
    return f"{type(value).__module__}.{type(value).__qualname__}"
