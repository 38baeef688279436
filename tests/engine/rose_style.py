"""A program as ROSE's users write it: `python rose_style.py BACKEND [functions]`, in an empty directory."""

import asyncio
import json
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from radical.asyncflow import LocalExecutionBackend, WorkflowEngine

from rose import TaskConfig
from rose.metrics import MODEL_ACCURACY, PREDICTIVE_ENTROPY
from rose.uq.uq_active_learner import ParallelUQLearner
from rose.uq.uq_learner import UQLearnerConfig

PIPELINES = ["UQ1", "UQ2"]
MODELS = ["CNN", "MLP"]


async def make_backend(name):
    if name == "processes":
        return await LocalExecutionBackend(ProcessPoolExecutor(2))
    if name == "threads":
        return await LocalExecutionBackend(ThreadPoolExecutor(2))
    from rhapsody.backends import ConcurrentExecutionBackend

    return await ConcurrentExecutionBackend(ProcessPoolExecutor(2))


def write_down(results):
    Path("UQ_training_results.json").write_text(json.dumps(results, indent=4))


def note(kind, learner):
    with open(f"{learner}.log", "a") as f:
        f.write(kind + "\n")


def register_executables(learner):
    def line(kind, kwargs, prints=""):
        return f"echo {kind} >> {kwargs['--learner_name']}.log; echo {prints}"

    @learner.simulation_task()
    async def simulation(*args, **kwargs):
        return line("simulation", kwargs)

    @learner.training_task()
    async def training(*args, **kwargs):
        return line(f"training-{kwargs['--model_name']}", kwargs)

    @learner.prediction_task()
    async def prediction(*args, **kwargs):
        return line(f"prediction-{kwargs['--model_name']}-{kwargs['--iteration']}", kwargs)

    @learner.active_learn_task()
    async def active_learn(*args, **kwargs):
        return line("active_learn", kwargs)

    @learner.as_stop_criterion(metric_name=MODEL_ACCURACY, threshold=0.9)
    async def check_accuracy(*args, **kwargs):
        return line("criterion", kwargs, "0.5")

    @learner.uncertainty_quantification(uq_metric_name=PREDICTIVE_ENTROPY, threshold=0.1, query_size=1)
    async def check_uq(*args, **kwargs):
        return line("uncertainty", kwargs, "1.5")


def register_functions(learner):
    @learner.simulation_task(as_executable=False)
    async def simulation(*args, **kwargs):
        note("simulation", kwargs["--learner_name"])
        return 1

    @learner.training_task(as_executable=False)
    async def training(simulated, *args, **kwargs):
        note(f"training-{kwargs['--model_name']}", kwargs["--learner_name"])
        return simulated + 1

    @learner.prediction_task(as_executable=False)
    async def prediction(trained, *args, **kwargs):
        await asyncio.sleep(0.01)
        note(f"prediction-{kwargs['--model_name']}-{kwargs['--iteration']}", kwargs["--learner_name"])
        return trained + 1

    @learner.active_learn_task(as_executable=False)
    async def active_learn(uncertainty, *args, **kwargs):
        note("active_learn", kwargs["--learner_name"])
        return uncertainty

    @learner.as_stop_criterion(metric_name=MODEL_ACCURACY, threshold=0.9, as_executable=False)
    async def check_accuracy(*args, **kwargs):
        note("criterion", kwargs["--learner_name"])
        return 0.5

    @learner.uncertainty_quantification(
        uq_metric_name=PREDICTIVE_ENTROPY, threshold=0.1, query_size=1, as_executable=False
    )
    async def check_uq(predictions, *args, **kwargs):
        assert predictions == [[3, 3], [3, 3]], predictions
        note("uncertainty", kwargs["--learner_name"])
        return 1.5


async def uq_learner():
    engine = await make_backend(sys.argv[1])
    asyncflow = await WorkflowEngine.create(engine)
    learner = ParallelUQLearner(asyncflow)
    (register_functions if "functions" in sys.argv else register_executables)(learner)

    configs = {}
    for pipeline in PIPELINES:
        stage = TaskConfig(kwargs={"--learner_name": pipeline})
        configs[pipeline] = UQLearnerConfig(
            simulation=stage,
            training=stage,
            prediction=stage,
            uncertainty=stage,
            criterion=stage,
            active_learn=stage,
        )

    final_states = {}
    async for state in learner.start(
        learner_names=PIPELINES, model_names=MODELS, learner_configs=configs, max_iter=2, num_predictions=2
    ):
        print(f"Learner {state.learner_id}, iteration {state.iteration}: {state.metric_value}")
        final_states[state.learner_id] = state

    results = {lid: s.to_dict() for lid, s in final_states.items()}
    write_down(results)
    await learner.shutdown()


if __name__ == "__main__":
    asyncio.run(uq_learner())
