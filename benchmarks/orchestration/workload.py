"""The program that is measured: one case, run by our interpreter or by that of ROSE 0.3.0.

    python workload.py '{"system": "ours", "case": "noop", ...}' records.jsonl

ROSE's API is ours, so both run these very lines; only the engine is made differently (`open_engine`). Every record is
one line of JSON, written when it happens: what a run that is killed had reached is not lost. Tasks are `async def`
because ROSE accepts nothing else.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from rose.metrics import MODEL_ACCURACY, PREDICTIVE_ENTROPY
from rose.uq.uq_active_learner import ParallelUQLearner

Record = Callable[..., None]


# --- the two engines -----------------------------------------------------------------------------------------------


async def open_engine(system: str, workers: int, pool: str) -> Any:
    """An engine with so many workers; `pool` is "processes", "threads", or "flow": processes of a WorkflowEngine, on
    which ROSE always is."""
    if system == "ours" and pool != "flow":
        from rose import LocalEngine, ThreadEngine

        return LocalEngine(workers) if pool == "processes" else ThreadEngine(workers)
    from radical.asyncflow import WorkflowEngine
    from rhapsody.backends import ConcurrentExecutionBackend

    executor: Executor = ThreadPoolExecutor(workers) if pool == "threads" else ProcessPoolExecutor(workers)
    return await WorkflowEngine.create(await ConcurrentExecutionBackend(executor))


# --- tasks ---------------------------------------------------------------------------------------------------------


async def noop(*args: Any, **kwargs: Any) -> int:
    """A task without work."""
    return 1


async def uncertain(*args: Any, **kwargs: Any) -> float:
    """An uncertainty that never stops a workflow."""
    return 1.0


async def inaccurate(*args: Any, **kwargs: Any) -> float:
    """An accuracy that never stops a workflow."""
    return 0.5


async def sleep_as_configured(*args: Any, **kwargs: Any) -> int:
    """A simulation that takes `ms` milliseconds."""
    time.sleep(kwargs["ms"] / 1000)  # noqa: ASYNC251 - a task occupies its worker, as work does
    return 1


async def sleep_as_named(*args: Any, **kwargs: Any) -> int:
    """A training that takes the milliseconds that its model's name says."""
    time.sleep(int(kwargs["--model_name"]) / 1000)  # noqa: ASYNC251
    return 1


async def leave_a_line(*args: Any, **kwargs: Any) -> int:
    """A simulation that counts itself: one line in the file `count`."""
    with open(kwargs["count"], "a") as file:  # noqa: ASYNC230
        file.write("1\n")
    return 1


def count_file() -> Path:
    """Where simulations count themselves: in the directory that this run was given."""
    return Path("count").absolute()


def lines(path: Path) -> list[str]:
    """The lines of a file."""
    return path.read_text().splitlines()


def register(learner: Any, simulation: Any = noop, training: Any = noop) -> None:
    """Register all stages as functions; those not given do nothing, and nothing ever stops early."""
    learner.simulation_task(as_executable=False)(simulation)
    learner.training_task(as_executable=False)(training)
    learner.prediction_task(as_executable=False)(noop)
    learner.active_learn_task(as_executable=False)(noop)
    learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=1, threshold=0.0, as_executable=False)(uncertain)
    learner.as_stop_criterion(MODEL_ACCURACY, threshold=2.0, as_executable=False)(inaccurate)


# --- cases ---------------------------------------------------------------------------------------------------------


async def iterate(
    learner: Any, names: list[str], models: list[str], rounds: int, record: Record, memory: bool = False, **options: Any
) -> None:
    """Run all workflows; record the time each time as many states have come as there are workflows: one iteration's
    worth of work, also where some workflows are ahead of others. The driver's `memory` too, where that is looked at:
    reading it takes as long as a task."""
    driver, states, started = psutil.Process(), 0, time.perf_counter()
    async for _ in learner.start(learner_names=names, model_names=models, max_iter=rounds, **options):
        states += 1
        if states % len(names) == 0:
            rss = {"rss": driver.memory_info().rss} if memory else {}
            record(seconds=time.perf_counter() - started, **rss)
    record(total_seconds=time.perf_counter() - started)


def config(**simulation: Any) -> Any:
    """A configuration of the simulation alone."""
    from rose.learner import TaskConfig
    from rose.uq import UQLearnerConfig

    return UQLearnerConfig(simulation=TaskConfig(kwargs=simulation))


async def case_noop(engine: Any, record: Record, n: int, rounds: int) -> None:
    """n workflows of n models with n predictions each, nothing to do in any task."""
    learner = ParallelUQLearner(engine)
    register(learner)
    names, models = [f"learner-{i}" for i in range(n)], [f"model-{i}" for i in range(n)]
    await iterate(learner, names, models, rounds, record, memory=True, num_predictions=n)


async def case_simulations(engine: Any, record: Record, ms: int, rounds: int) -> None:
    """One workflow of one model whose simulations alone take time."""
    learner = ParallelUQLearner(engine)
    register(learner, simulation=sleep_as_configured)
    await iterate(learner, ["one"], ["model"], rounds, record, learner_configs={"one": config(ms=ms)})


async def case_members(engine: Any, record: Record, ms: int, members: list[int], rounds: int) -> None:
    """One workflow whose members train for so many milliseconds each, after a simulation of `ms`."""
    learner = ParallelUQLearner(engine)
    register(learner, simulation=sleep_as_configured, training=sleep_as_named)
    models = [str(member) for member in members]
    await iterate(learner, ["one"], models, rounds, record, learner_configs={"one": config(ms=ms)})


async def case_count(engine: Any, record: Record, workflows: int, members: int, rounds: int) -> None:
    """How many simulations run."""
    learner, names, count = ParallelUQLearner(engine), [f"learner-{i}" for i in range(workflows)], count_file()
    register(learner, simulation=leave_a_line)
    configs = {name: config(count=str(count)) for name in names}
    models = [f"model-{i}" for i in range(members)]
    await iterate(learner, names, models, rounds, record, learner_configs=configs)
    record(executed=len(lines(count)))


async def case_pool(engine: Any, record: Record, workflows: int, members: int, rounds: int) -> None:
    """How many simulations run where workflows of different metrics share a pool (ours only)."""
    import numpy as np

    from rose import Pool

    count = count_file()
    learner = ParallelUQLearner(engine, pool=Pool(np.linspace(0, 1, 200).reshape(-1, 1), initial=20, seed=0))

    @learner.simulation_task(as_executable=False)
    def simulate(x: Any) -> int:
        with open(count, "a") as file:
            file.write(f"{float(x[0])!r}\n")
        time.sleep(0.02)
        return int(x[0] > 0.5)

    @learner.training_task(as_executable=False)
    def train(X: Any, y: Any, seed: int) -> float:
        half = np.random.default_rng(seed).random(len(y)) < 0.5
        return float(np.mean(X[half & (y == 1)].min(initial=1.0) + X[half & (y == 0)].max(initial=0.0)) / 2)

    @learner.prediction_task(as_executable=False)
    def predict(model: float, X: Any) -> Any:
        p = 1 / (1 + np.exp(-40 * (np.asarray(X)[:, 0] - model)))
        return np.stack([1 - p, p], axis=1)

    learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=5)
    metrics = ["predictive_entropy", "mutual_information", "margin"]
    named = {f"workflow-{i}": metrics[i % len(metrics)] for i in range(workflows)}
    results = await learner.teach(workflows=named, model_names=[f"model-{i}" for i in range(members)], max_iter=rounds)
    simulated = lines(count)
    wanted = sum(result["iterations"][-1]["labels"] for result in results.values())
    record(executed=len(simulated), distinct=len(set(simulated)), wanted=wanted)


async def case_commands(engine: Any, record: Record, system: str, count: int, seconds: float) -> None:
    """So many shell commands, given to the engine at once."""

    async def command(*args: Any, **kwargs: Any) -> str:
        return f"sleep {seconds}"

    if system == "ours":
        submit: Callable[[], Awaitable[Any]] = ParallelUQLearner(engine).utility_task(command)
    else:  # its learners run utility tasks in the driver
        submit = engine.executable_task(command)
    watch = asyncio.create_task(watch_for("sleep"))
    started = time.perf_counter()
    await asyncio.gather(*(submit() for _ in range(count)))
    seconds_taken = time.perf_counter() - started
    watch.cancel()
    record(total_seconds=seconds_taken, at_once=max(await watch))


async def watch_for(program: str) -> list[int]:
    """Until cancelled, count how many descendants of this process are running a program."""
    driver, counts = psutil.Process(), [0]
    try:
        while True:
            counts.append(sum(_is_running(child, program) for child in driver.children(recursive=True)))
            await asyncio.sleep(0.1)
    except asyncio.CancelledError:
        return counts


def _is_running(process: psutil.Process, program: str) -> bool:
    try:
        return process.name() == program and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


CASES: dict[str, Callable[..., Awaitable[None]]] = {
    "noop": case_noop,
    "simulations": case_simulations,
    "members": case_members,
    "count": case_count,
    "pool": case_pool,
    "commands": case_commands,
}


async def main(arguments: dict[str, Any], records: Path) -> None:
    """Run one case; `arguments` are `system`, `case`, `workers`, `pool`, and the case's own."""
    system, case = arguments.pop("system"), arguments.pop("case")
    engine = await open_engine(system, arguments.pop("workers"), arguments.pop("pool"))

    with records.open("a", buffering=1) as file:

        def record(**what: Any) -> None:
            file.write(json.dumps(what) + "\n")

        if case == "commands":
            arguments["system"] = system
        await CASES[case](engine, record, **arguments)
        record(complete=True)
    await (engine.close() if hasattr(engine, "close") else engine.shutdown())


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1]), Path(sys.argv[2])))
