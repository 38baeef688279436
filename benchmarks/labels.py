"""How many labels does each way of choosing them save? Run through the learner itself, as a user would.

    python benchmarks/labels.py [--seeds 5] [--tasks digits friedman hartmann] [--methods "top-k BALD" ...] [--out DIR]

Prints a table for each task and saves the learning curves as `labels.png`. See `labels_protocol.py` for the tasks.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
from numpy.typing import NDArray

import labels_protocol
from labels_protocol import Problem
from rose import ParallelUQLearner, Pool, UQLearnerConfig
from rose.acquisition import SaturatedBatchWarning
from rose.metrics import MODEL_ACCURACY, ROOT_MEAN_SQUARED_ERROR_RMSE

cloudpickle.register_pickle_by_value(labels_protocol)  # worker processes cannot import from this directory
# Five members can tell at most log 5 nats, two or three labels' worth: that BatchBALD is out of its depth is the result
warnings.simplefilter("ignore", SaturatedBatchWarning)

MEMBERS = [f"mlp{index}" for index in range(5)]
FIRST, STEP, LAST = 20, 10, 300
TASKS = {
    "digits": labels_protocol.digits,
    "friedman": partial(labels_protocol.regression, labels_protocol.friedman, 10),
    "hartmann": partial(labels_protocol.regression, labels_protocol.hartmann, 6),
}
# name in the table: (metric, acquisition)
METHODS = {
    "digits": {
        "random": ("predictive_entropy", "random"),
        "top-k margin": ("margin", "top_k"),
        "top-k entropy": ("predictive_entropy", "top_k"),
        "top-k BALD": ("mutual_information", "top_k"),
        "diverse margin": ("margin", "diverse"),
        "diverse entropy": ("predictive_entropy", "diverse"),
        "diverse BALD": ("mutual_information", "diverse"),
        "facility margin": ("margin", "facility_location"),
        "facility entropy": ("predictive_entropy", "facility_location"),
        "facility BALD": ("mutual_information", "facility_location"),
        "power BALD": ("mutual_information", "power"),
        "BatchBALD": ("mutual_information", "batchbald"),
        "BADGE": ("mutual_information", "badge"),
        "k-center": ("mutual_information", "kcenter"),
        "LCMD": ("mutual_information", "lcmd"),
        "MaxDet": ("mutual_information", "maxdet"),
    },
    "regression": {
        "random": ("predictive_variance", "random"),
        "top-k variance": ("predictive_variance", "top_k"),
        "power variance": ("predictive_variance", "power"),
        "diverse variance": ("predictive_variance", "diverse"),
        "diverse std": ("standard_deviation", "diverse"),
        "facility variance": ("predictive_variance", "facility_location"),
        "facility std": ("standard_deviation", "facility_location"),
        "LCMD": ("predictive_variance", "lcmd"),
        "MaxDet": ("predictive_variance", "maxdet"),
    },
}
Curves = dict[str, NDArray[np.float64]]  # method: [seeds, rounds]


def methods_of(task: str) -> dict[str, tuple[str, str]]:
    return METHODS["digits" if task == "digits" else "regression"]


def learn(task: str, methods: list[str], seed: int) -> dict[str, list[float]]:
    """Accuracy (or RMSE) on the hold-out by round, for each method: all of them workflows of one learner."""
    problem: Problem = TASKS[task](seed)
    classify = task == "digits"
    pool = Pool(problem.X, initial=FIRST, seed=seed, holdout=(problem.X_test, problem.y_test), features=problem.X)
    learner = ParallelUQLearner(pool=pool)

    @learner.simulation_task(as_executable=False)
    def simulate(index: int) -> Any:
        return problem.y[index]

    learner.training_task(as_executable=False)(
        labels_protocol.train_classifier if classify else labels_protocol.train_regressor
    )
    learner.prediction_task(as_executable=False)(
        labels_protocol.predict_classes if classify else labels_protocol.predict_values
    )
    learner.uncertainty_quantification("predictive_entropy" if classify else "predictive_variance", query_size=STEP)
    if classify:
        learner.as_stop_criterion(MODEL_ACCURACY, threshold=2.0)  # never met: all rounds are run
    else:
        learner.as_stop_criterion(ROOT_MEAN_SQUARED_ERROR_RMSE, threshold=-1.0)
    configs = {}
    for name in methods:
        metric, acquisition = methods_of(task)[name]
        configs[name] = UQLearnerConfig(uq_metric_name=metric, acquisition=acquisition)
    results = learner.run(workflows=configs, model_names=MEMBERS, max_iter=(LAST - FIRST) // STEP + 1)
    return {name: [round["metric"] for round in results[name].iterations] for name in methods}


def table(task: str, curves: Curves) -> str:
    """One line for each method, best first."""
    labels = FIRST + STEP * np.arange(next(iter(curves.values())).shape[1])
    mean = {name: curve.mean(axis=1) for name, curve in curves.items()}
    lines = []
    if task == "digits":
        lines.append(f"{task:<18} AUC    ± s.e.  labels to 95 %: median (seeds)")
        for name in sorted(mean, key=lambda m: -mean[m].mean()):
            reached = [
                next((int(n) for n, a in zip(labels, run, strict=True) if a >= 0.95), 999) for run in curves[name]
            ]
            every = " ".join("never" if n == 999 else str(n) for n in reached)
            middle = f"{np.median(reached):5.0f}" if np.median(reached) < 999 else "never"
            lines.append(f"{name:<18} {mean[name].mean():.4f} {error(mean[name]):.4f}  {middle} ({every})")
        return "\n".join(lines)
    lines.append(f"{task:<18} mean RMSE  of random's  seeds below random  at {labels[-1]} labels")
    for name in sorted(mean, key=lambda m: mean[m].mean()):
        ratio = mean[name] / mean["random"] if "random" in mean else np.full(len(mean[name]), np.nan)
        lines.append(
            f"{name:<18} {mean[name].mean():9.4f}  {ratio.mean():.3f} ± {error(ratio):.3f}"
            f"  {(ratio < 1).sum():8d} of {len(ratio)}      {curves[name][:, -1].mean():8.4f}"
        )
    return "\n".join(lines)


def error(values: NDArray[np.float64]) -> float:
    """The standard error of the mean."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


COLOURS = {
    "random": "black", "top_k": "tab:grey", "power": "tab:orange", "diverse": "tab:green",
    "facility_location": "tab:red", "lcmd": "tab:blue", "maxdet": "tab:purple", "kcenter": "tab:cyan",
    "badge": "tab:pink", "batchbald": "tab:brown",
}  # fmt: skip
DASHES = {
    "margin": "-", "predictive_entropy": "--", "mutual_information": ":",
    "standard_deviation": "-", "predictive_variance": "--",
}  # fmt: skip


def picture(curves: dict[str, Curves], path: Path) -> None:
    """Errors on the hold-out by labels, the mean over seeds: a panel for each task, in its legend the best first.

    The colour tells the acquisition, the dashes the metric (of those methods that look at one).
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(curves), figsize=(6.5 * len(curves), 6), layout="constrained", squeeze=False)
    for axes, (task, of_task) in zip(panels[0], curves.items(), strict=True):
        classify = task == "digits"
        means = {name: 1 - run.mean(axis=0) if classify else run.mean(axis=0) for name, run in of_task.items()}
        for name in sorted(means, key=lambda m: means[m].mean()):
            metric, acquisition = methods_of(task)[name]
            plain = acquisition not in ("top_k", "diverse", "facility_location")
            style = (0, (6, 2)) if name == "random" else "-" if plain else DASHES[metric]
            width = 2.5 if name == "random" else 1.5
            labels = FIRST + STEP * np.arange(len(means[name]))
            axes.plot(labels, means[name], label=name, color=COLOURS[acquisition], linestyle=style, linewidth=width)
        if classify:
            axes.axhline(0.05, color="grey", linewidth=0.8)
        axes.set(
            yscale="log",
            xlabel="labels",
            ylabel="error rate on the hold-out" if classify else "RMSE on the hold-out",
            title=f"{task}, mean of {len(next(iter(of_task.values())))} seeds",
        )
        axes.yaxis.set_minor_formatter("{x:.2g}")
        axes.yaxis.set_major_formatter("{x:.2g}")
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize=9, loc="upper right")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--methods", nargs="+", help="names from the table; all if not given")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    curves: dict[str, Curves] = {}
    for task in options.tasks:
        began = time.perf_counter()
        methods = [name for name in methods_of(task) if not options.methods or name in options.methods]
        runs = [learn(task, methods, options.first_seed + seed) for seed in range(options.seeds)]
        curves[task] = {name: np.array([run[name] for run in runs]) for name in methods}
        print(f"{table(task, curves[task])}\n({time.perf_counter() - began:.0f} s)\n", flush=True)
    (options.out / "labels.json").write_text(
        json.dumps({task: {name: c.tolist() for name, c in of.items()} for task, of in curves.items()})
    )
    picture(curves, options.out / "labels.png")
    print(f"learning curves: {options.out / 'labels.png'}")


if __name__ == "__main__":
    main()
