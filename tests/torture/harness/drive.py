"""One driver of a run, in a process of its own: runs a scenario, and writes down what was acknowledged and run.

Everything that looks into ROSE or kills it is put on here, from outside: the code under test knows nothing of it.
"""

from __future__ import annotations

import asyncio
import faulthandler
import functools
import hashlib
import itertools
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from rose.engine import LocalEngine, ThreadEngine
from rose.engine.base import BaseEngine
from rose.errors import RunFailedError
from rose.store import Run, lease
from rose.store.database import schema

from . import boundaries, faults, history
from .scenarios import LEDGER, Scenario, build, note

ENGINES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "threads": lambda job: ThreadEngine(2),
    "local": lambda job: LocalEngine(2, temp_dir=job.get("temp_dir")),
}


def drive(job: dict[str, Any]) -> None:
    """Run one job to its end, and write what came of it to the file `job["result"]`.

    A job is plain JSON: `scenario`, `run_dir`, `ledger`, `result`, and if wanted `engine`, `learner` and `arguments`
    (more of them), `temp_dir` (the engine's), `leave` (how to leave the loop over the states), `hold` (how many
    simulations may begin), `lease` (its times), `busy` (seconds to wait for another's lock), `network` (whether to take
    the file system for one), `boundary` (where to kill or stop this process), `fault` (what the disk does: a call's
    number and a mode) and `trace` (below where to note what is written, and in which file). Without a scenario, the
    history of `history.play` is played.
    """
    note("driver", os.getpid())
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    faulthandler.register(signal.SIGUSR1)  # for `zygote.Driver.story`
    _watch("trace" in job, job.get("hold"))
    if job.get("lease"):
        for name, value in job["lease"].items():
            setattr(lease, name, value)
    if job.get("busy"):
        schema._BUSY = job["busy"]
    if job.get("network"):
        schema.is_network = lambda directory: True
    if job.get("boundary"):
        boundaries.arm(*job["boundary"])
    if job.get("fault"):
        faults.arm(job["run_dir"], *job["fault"])
    if job.get("trace"):
        faults.trace(*job["trace"])
    outcome = _outcome(job)
    if job.get("fault"):
        outcome["calls"] = faults.calls()
        faults.arm("", 0, "count")
        if job.get("again"):
            note("driver", os.getpid())
            outcome["again"] = _outcome(job)
    Path(job["result"]).write_text(json.dumps(outcome))


def _outcome(job: dict[str, Any]) -> dict[str, Any]:
    run_dir = Path(job["run_dir"])
    try:
        if "scenario" not in job:
            asyncio.run(history.play(run_dir, lambda key: note("ran", key)))
            return {"results": {}}
        engine = ENGINES[job.get("engine", "threads")](job)
        scenario = Scenario(**job["scenario"])
        learner, arguments = build(scenario, engine, run_dir=run_dir, **job.get("learner", {}))
        if job.get("leave"):
            asyncio.run(_leave(learner, arguments, job["leave"]))
            return {"results": {}}
        return {"results": describe(learner.run(**{**arguments, **job.get("arguments", {})}), scenario)}
    except Exception as error:
        return failure(error)


async def _leave(learner: Any, arguments: dict[str, Any], how: str) -> None:
    """Leave the loop over the states after the first, by `break` or an exception."""
    async for _ in learner.start(**arguments):
        if how == "break":
            break
        raise ArithmeticError("in the user's loop")
    await learner.shutdown()


def describe(results: Any, scenario: Scenario) -> dict[str, Any]:
    """What must be the same however often a run was interrupted: history, labelled sets, and what the models say."""
    found = {}
    for name, result in results.items():
        found[name] = json.loads(json.dumps(result))
        if scenario.kind == "script":
            phases = sys.modules["__main__"].Phase
            found[name]["labels"] = [int(label is phases.LIQUID) for label in result.labels]
            assert {type(label) for label in result.labels} == {phases}
        if scenario.kind != "dataflow":
            found[name]["indices"] = result.indices.tolist()
        if scenario.kind == "pool":
            found[name]["labels"] = _digest(np.asarray(result.labels))
            if not scenario.commands and result.models:
                found[name]["prediction"] = _digest(result.predict(np.zeros((3, 2))).mean)
    return found


def failure(error: BaseException) -> dict[str, Any]:
    """An error, by the names of all its classes, and those of its cause or the workflows that failed."""
    causes = list(error.errors.values()) if isinstance(error, RunFailedError) else [error.__cause__]
    kinds = [kind.__name__ for kind in type(error).__mro__]
    return {
        "error": kinds,
        "causes": [[kind.__name__ for kind in type(cause).__mro__] for cause in causes],
        "text": str(error),
        "traceback": "".join(traceback.format_exception(error)),
    }


def _digest(array: np.ndarray) -> str:
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=8).hexdigest()


# What may come early is used by what comes after all of its kind: not by another model's training or passes.
_AFTER = {"simulation": 0, "training": 1, "prediction": 1, "uncertainty": 2, "active_learn": 3, "criterion": 4}


def _watch(trace: bool, hold: int | None) -> None:
    """Note which tasks are run, and whose records were acknowledged: whoever waited for one may use it now. Of the
    simulations, the first `hold` begin, and the others wait for ever.

    A result that came early is acknowledged by the next wait for all that was given before it; or by its use, if a task
    that comes after it begins sooner.
    """
    early: dict[str, tuple[str, tuple[int, int]]] = {}  # by key: its workflow, and its place there
    done = Run.done

    def acknowledge(key: str) -> None:
        note("acknowledged", key)
        if trace:
            faults.mark(key)

    def place(key: str) -> tuple[str, tuple[int, int]]:
        workflow, iteration, stage = key.split("/")[:3]
        return workflow, (int(iteration), _AFTER.get(stage, 0))

    def settle(keys: Iterable[str]) -> None:
        for key in keys:
            if early.pop(key, None) is not None:
                acknowledge(key)

    run_task, begun = BaseEngine.run, itertools.count(1)

    async def run(self: Any, task: Any, on_start: Any = None) -> Any:
        if hold is not None and task.key.stage == "simulation" and next(begun) > hold:
            await asyncio.Event().wait()
        workflow, now = place(str(task.key))
        settle([key for key, (its_own, then) in early.items() if its_own == workflow and then < now])
        note("ran", task.key)
        return await run_task(self, task, on_start)

    BaseEngine.run = run  # type: ignore[method-assign]
    for name in ("done", "labelled", "dropped"):
        original = getattr(Run, name)

        @functools.wraps(original)
        async def acknowledged(self: Any, running: Any, *args: Any, _original: Any = original, **kwargs: Any) -> Any:
            result = await _original(self, running, *args, **kwargs)
            if _original is done and len(args) == 3 and args[2]:
                early[running.key] = place(running.key)
            else:
                acknowledge(running.key)
            return result

        setattr(Run, name, acknowledged)
    round_done, flushed = Run.round_done, Run.flushed

    async def round_acknowledged(self: Any, event: Any, *args: Any) -> None:
        before = list(early)
        await round_done(self, event, *args)
        settle(before)
        acknowledge(f"{event.workflow}/{event.iteration}/round")

    async def all_acknowledged(self: Any, *files: Any) -> None:
        before = list(early)
        await flushed(self, *files)
        settle(before)

    Run.round_done = round_acknowledged  # type: ignore[method-assign]
    Run.flushed = all_acknowledged  # type: ignore[method-assign]


def main(job: dict[str, Any]) -> None:
    """The whole life of a driver's process."""
    os.environ[LEDGER] = job["ledger"]
    asyncio.set_event_loop_policy(None)
    drive(job)
