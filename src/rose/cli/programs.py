"""Run the `rose` commands that run programs: `run`, of files and of scripts, and ROSE's `setup`, which is not ours."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose.cli._arguments import FAILED, INTERRUPTED, USAGE, add_command, as_path, positive
from rose.errors import ConfigurationError, near_miss

if TYPE_CHECKING:
    from rose.cli._arguments import Commands
    from rose.engine import Engine
    from rose.learners.base import Learner
    from rose.loop.state import Results

_OURS = ("local", "threads")
_BAD_ENDS = ("simulations_failed", "not_a_number", "error")

EXAMPLES = (
    "digits.yaml                        a program that is a file, see docs/spec.md",
    "digits.yaml --run-dir runs/digits  kept; the same command goes on where it was ended",
    "learn.py --out demo                a Python program, as `python learn.py --out demo`, with its progress",
)
_CODES = {
    0: "all workflows ended for a good reason",
    FAILED: "the program is wrong or is not there, or a workflow failed",
    USAGE: "wrong usage, or what is not ours",
}


def add_program_commands(commands: Commands) -> None:
    """Add the commands to the parser."""
    run = add_command(
        commands,
        "run",
        _run,
        "run a program: a YAML file, or a Python script",
        "Run a program and show its progress. A script's exit code is its own.",
        EXAMPLES,
        _CODES,
    )
    run.add_argument("file", metavar="FILE", help="a YAML file, or a script that ends in .py")
    run.add_argument("arguments", metavar="ARGUMENTS", nargs=argparse.REMAINDER, help="a script's own arguments")
    _add_options(run)
    setup = add_command(
        commands,
        "setup",
        _not_ours,
        "(ROSE's: set up remote execution; not ours)",
        "ROSE sets up execution by RADICAL's services with this, which is not ours: it says what to do instead.",
        ("",),
        {0: "", FAILED: "", USAGE: "always", INTERRUPTED: ""},
    )
    setup.add_argument("--wait-timeout", metavar="S", help=argparse.SUPPRESS)


def _add_options(parser: argparse.ArgumentParser) -> None:
    options = parser.add_argument_group("options of YAML files")
    options.add_argument("--local", action="store_true", help="run it here; that is so anyway")
    options.add_argument("--remote", action="store_true", help="not ours: says what to do instead")
    options.add_argument(
        "--backend",
        metavar="NAME",
        help="where tasks run: local (default), threads, the tcp://... of a Dask scheduler, an engine that `rose "
        "engines` lists because a package brings it, or a back end of RHAPSODY's: concurrent, dask, dragon, ...",
    )
    options.add_argument("--workers", type=positive, metavar="N", help="how many tasks run at a time")
    options.add_argument("--run-dir", type=as_path, metavar="DIR", help="where the run is kept, and resumed from")
    options.add_argument(
        "--accept-changes",
        metavar="HOW",
        choices=("keep", "resimulate"),
        help="go on with a run although the program has changed: keep what is recorded, or resimulate",
    )
    options.add_argument("--new", action="store_true", help="begin another run beside one that is in DIR")
    options.add_argument("--json", action="store_true", help="print the results for programs")


def _not_ours(_arguments: argparse.Namespace) -> int:
    from rose.spec.workflow import NOT_REMOTE

    print(f"rose: {NOT_REMOTE}", file=sys.stderr)
    return USAGE


def _run(arguments: argparse.Namespace) -> int:
    rest = argparse.ArgumentParser(prog="rose run FILE")
    _add_options(rest)
    if arguments.file.endswith(".py"):
        if {name: getattr(arguments, name) for name in vars(rest.parse_args([]))} != vars(rest.parse_args([])):
            rest.error("these are options of YAML files; a script's own arguments come after its name")
        return _run_script(arguments.file, arguments.arguments)
    rest.parse_args(arguments.arguments, arguments)
    if arguments.remote:
        return _not_ours(arguments)
    return _run_file(arguments)


# --- files -----------------------------------------------------------------------------------------------------------


def _run_file(arguments: argparse.Namespace) -> int:
    from rose.loop.synchronous import run_synchronously

    sys.path.append(os.getcwd())
    try:
        learner, results = run_synchronously(lambda: _learned(arguments))
    except KeyboardInterrupt:
        print("rose: interrupted", file=sys.stderr)
        return INTERRUPTED
    print(_json(learner, results) if arguments.json else _text(learner, results))
    return int(any(result["stop_reason"] in _BAD_ENDS for result in results.values()))


async def _learned(arguments: argparse.Namespace) -> tuple[Learner[Any], Results]:
    from rose.spec.builder import LearnerBuilder, read_program
    from rose.watch import progress

    program = read_program(arguments.file)
    async with _opened(arguments.backend, arguments.workers or program.workers) as engine:
        accept = {None: False, "keep": True}.get(arguments.accept_changes, arguments.accept_changes)
        resume = "new" if arguments.new else True
        builder = LearnerBuilder(program, engine, run_dir=arguments.run_dir, resume=resume, accept_changes=accept)
        learner = builder.build()
        with progress(learner):
            async for _ in learner.start(**builder.arguments()):
                pass
        return learner, learner.learner_results


@asynccontextmanager
async def _opened(backend: str | None, workers: int | None) -> AsyncIterator[Engine]:
    """Open what `--backend` names, with so many workers (None: as many as it has itself)."""
    from rose.engine import LocalEngine, ThreadEngine, as_engine
    from rose.engine.registry import ENGINES

    name = backend or "local"
    if name in _OURS or "://" in name:
        kinds = {"local": LocalEngine, "threads": ThreadEngine}
        engine = kinds[name](workers) if name in kinds else as_engine(name)
        try:
            yield engine
        finally:
            await engine.close()
        return
    built_in = ("dask", "asyncflow", "executor")  # which are given as objects
    if name not in built_in and name in ENGINES.names():
        async with ENGINES.get(name).open() as opened:
            yield opened
        return
    engine = as_engine(await _rhapsody(name, workers))
    try:
        yield engine
    finally:
        await engine.close()


async def _rhapsody(name: str, workers: int | None) -> Any:
    """Return a WorkflowEngine on a back end of RHAPSODY's."""
    from concurrent.futures import ProcessPoolExecutor

    try:
        from radical.asyncflow import WorkflowEngine
        from rhapsody.backends import discover_backends, get_backend
    except ImportError as error:
        raise ConfigurationError(
            f"--backend {name}: it needs rhapsody-py and radical.asyncflow, which are not installed ({error}); "
            f"without them there is {', '.join(_OURS)}"
        ) from error
    known = discover_backends()
    if name not in known:
        raise ConfigurationError(f"--backend {name}: there is none of that name; {near_miss(name, (*_OURS, *known))}")
    pools = [ProcessPoolExecutor(workers)] if name == "concurrent" and workers else []
    try:
        return await WorkflowEngine.create(await get_backend(name, *pools))
    except Exception as error:
        raise ConfigurationError(
            f"--backend {name} cannot be used here ({type(error).__name__}: {error}); --backend local needs nothing"
        ) from error


def _text(learner: Learner[Any], results: Results) -> str:
    from rose.watch.terminal import clean

    lines = []
    for name, result in results.items():
        state, count = result.state, len(result["iterations"])
        metric = (
            "" if state is None or state.metric_value is None else f", {state.metric_name} {state.metric_value:.6g}"
        )
        lines.append(f"{name}: {result['stop_reason']} after {count} iteration{'s' * (count != 1)}{metric}")
    lines += [sentence for found in results.worth for sentence in found.sentences()]
    if learner.run_dir is not None:
        lines.append(f"recorded in {learner.run_dir}; `rose status {learner.run_dir}` looks at it")
    return clean("\n".join(lines))


def _json(learner: Learner[Any], results: Results) -> str:
    run_dir = None if learner.run_dir is None else str(learner.run_dir)
    worth = {"worth": [found.to_dict() for found in results.worth]} if results.worth else {}
    return json.dumps({"run_dir": run_dir, "workflows": results, **worth}, indent=1)


# --- scripts ---------------------------------------------------------------------------------------------------------


def _run_script(file: str, arguments: list[str]) -> int:
    """Run a Python program as `python FILE ...` does, in this process, and show what its learners do."""
    from importlib.machinery import SourceFileLoader
    from types import ModuleType

    from rose.watch import progress

    path = Path(file)
    source, name = path.read_bytes(), str(path.absolute())
    main = ModuleType("__main__")
    main.__file__, main.__loader__ = name, SourceFileLoader("__main__", name)
    main.__dict__["__builtins__"] = __builtins__
    sys.argv[:] = [file, *arguments]
    sys.path[0] = str(path.resolve().parent)
    sys.modules["__main__"] = main
    try:
        with progress():
            exec(compile(source, name, "exec", dont_inherit=True), main.__dict__)
    except Exception as error:
        own = error.__traceback__ and error.__traceback__.tb_next  # without this function's frame
        sys.excepthook(type(error), error.with_traceback(own), own)
        return 1
    return 0
