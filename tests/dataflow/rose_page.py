"""The blocks of ROSE's page on uncertainty as one program: `python rose_page.py`, in a directory with its scripts."""

import asyncio
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from radical.asyncflow import LocalExecutionBackend, WorkflowEngine

from rose import TaskConfig
from rose.metrics import MODEL_ACCURACY, PREDICTIVE_ENTROPY
from rose.uq.uq_active_learner import ParallelUQLearner
from rose.uq.uq_learner import UQLearnerConfig

PIPELINES = ["UQ_learner1", "UQ_learner2"]
MODELS = ["MC_Dropout_CNN", "MC_Dropout_MLP"]
ITERATIONS = 2
NUM_PREDICTION = 2


async def main():
    asyncflow = await WorkflowEngine.create(await LocalExecutionBackend(ProcessPoolExecutor(2)))
    learner = ParallelUQLearner(asyncflow)
    code_path = f"{sys.executable} {os.getcwd()}"

    @learner.simulation_task()
    async def simulation(*args, **kwargs):
        return f"{code_path}/simulation.py --learner_name {kwargs['--learner_name']}"

    @learner.training_task()
    async def training(*args, **kwargs):
        return f"{code_path}/training.py --model_name {kwargs['--model_name']}"

    @learner.prediction_task()
    async def prediction(*args):
        return f"{code_path}/predict.py"

    @learner.uncertainty_quantification(uq_metric_name=PREDICTIVE_ENTROPY, threshold=1.0, query_size=10)
    async def check_uq(*args):
        return f"{code_path}/check_uq.py"

    @learner.active_learn_task()
    async def active_learn(*args):
        return f"{code_path}/active_learn.py"

    @learner.as_stop_criterion(metric_name=MODEL_ACCURACY, threshold=0.99)
    async def check_accuracy(*args):
        return f"{code_path}/check_accuracy.py"

    learner_configs = {
        name: UQLearnerConfig(simulation=TaskConfig(kwargs={"--learner_name": name})) for name in PIPELINES
    }
    results = await learner.start(
        learner_names=PIPELINES,
        model_names=MODELS,
        learner_configs=learner_configs,
        max_iter=ITERATIONS,
        num_predictions=NUM_PREDICTION,
    )
    print("Progress is done with Final Results:")
    print(results)
    with open(Path(os.getcwd(), "UQ_training_results.json"), "w") as f:  # noqa: ASYNC230 - as the page has it
        json.dump(results, f, indent=4)
    await learner.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
