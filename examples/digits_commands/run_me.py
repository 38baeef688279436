"""ROSE's own style: every stage is a command line, and what the stages hand on are files of yours.

Two workflows on handwritten digits, one asking by entropy, one by mutual information (BALD). Every task is a process
that imports what it needs anew, some 90 of them, so that most of the time (11 s in all on two cores) goes to imports;
`digits_pool.py` does more rounds in the same time.

    python examples/digits_commands/run_me.py --out runs/digits_commands
"""

import argparse
import asyncio
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from rose.learner import TaskConfig
from rose.metrics import MODEL_ACCURACY, MUTUAL_INFORMATION, PREDICTIVE_ENTROPY
from rose.uq import UQLearnerConfig
from rose.uq.uq_active_learner import ParallelUQLearner

MODELS = ["narrow", "wide"]
NUM_PREDICTION = 2
INITIAL = 20
METRICS = {"UQ_learner1": PREDICTIVE_ENTROPY, "UQ_learner2": MUTUAL_INFORMATION}

code_path = f"{shlex.quote(sys.executable)} {shlex.quote(str(Path(__file__).resolve().parent))}"


def make_learner(query_size: int) -> ParallelUQLearner:
    """The stages. Each function returns the command line to run; the configuration's kwargs arrive by name."""
    learner = ParallelUQLearner()

    @learner.simulation_task()
    async def simulation(*args, **kwargs):
        initial = f"--initial {kwargs['--initial']}" if "--initial" in kwargs else ""
        return f"{code_path}/simulation.py --folder {kwargs['--folder']} {initial}"

    @learner.training_task()
    async def training(*args, **kwargs):
        return f"{code_path}/training.py --folder {kwargs['--folder']} --model_name {kwargs['--model_name']}"

    @learner.prediction_task()
    async def prediction(*args, **kwargs):
        model, number = kwargs["--model_name"], kwargs["--iteration"]  # of the pass: 0, 1, ...
        return f"{code_path}/predict.py --folder {kwargs['--folder']} --model_name {model} --iteration {number}"

    @learner.uncertainty_quantification(uq_metric_name=PREDICTIVE_ENTROPY, threshold=0.05, query_size=query_size)
    async def check_uq(*args, **kwargs):
        metric = kwargs["--metric"]
        return f"{code_path}/check_uq.py --folder {kwargs['--folder']} --metric {metric} --query_size {query_size}"

    @learner.active_learn_task()
    async def active_learn(*args, **kwargs):
        return f"{code_path}/active_learn.py --folder {kwargs['--folder']} --query_size {query_size}"

    @learner.as_stop_criterion(metric_name=MODEL_ACCURACY, threshold=0.95)
    async def check_accuracy(*args, **kwargs):
        return f"{code_path}/check_accuracy.py --folder {kwargs['--folder']} --model_name {kwargs['--model_name']}"

    return learner


def configure(folder: Path, metric: str) -> UQLearnerConfig:
    """One workflow: its folder, its metric, and a first simulation that differs from the later ones."""
    where = {"--folder": shlex.quote(str(folder))}
    stage = TaskConfig(kwargs=where)
    return UQLearnerConfig(
        simulation={0: TaskConfig(kwargs={**where, "--initial": INITIAL}), -1: stage},
        training=stage,
        prediction=stage,
        uncertainty=TaskConfig(kwargs={**where, "--metric": metric}),
        active_learn=stage,
        criterion=stage,
    )


async def learn(out: Path, iterations: int, query_size: int) -> dict[str, Any]:
    """Run both workflows to their ends."""
    learner = make_learner(query_size)
    results = await learner.teach(
        learner_names=list(METRICS),
        model_names=MODELS,
        learner_configs={name: configure(out / name, metric) for name, metric in METRICS.items()},
        max_iter=iterations,
        num_predictions=NUM_PREDICTION,
    )
    await learner.shutdown()
    return results


def table(results: dict[str, Any], query_size: int) -> str:
    """Mean accuracy of the models on the hold-out, and the uncertainty of what was selected, round by round."""
    lines = ["workflow     labels  accuracy  uncertainty"]
    for name, result in results.items():
        for i in result["iterations"]:
            labels = INITIAL + i["iteration"] * query_size
            lines.append(f"{name:11s}  {labels:6d}  {i['metric']:8.3f}  {i['uncertainty']:11.3f}")
    return "\n".join(lines)


def main() -> None:
    """Learn, and write down what was learned."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/digits_commands"), help="where all files go")
    parser.add_argument("--iterations", type=int, default=4, help="rounds of each workflow (default: 4)")
    parser.add_argument("--query-size", type=int, default=10, help="labels a round (default: 10)")
    options = parser.parse_args()

    options.out.mkdir(parents=True, exist_ok=True)
    results = asyncio.run(learn(options.out, options.iterations, options.query_size))
    path = options.out / "results.json"
    with path.open("w") as f:
        json.dump(results, f, indent=4)
    print(table(results, options.query_size))
    print(f"results: {path}")


if __name__ == "__main__":
    main()
