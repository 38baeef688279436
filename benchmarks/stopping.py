"""Measure the rules of `stop_when` on problems whose answers are known: `python benchmarks/stopping.py [--seeds 2]`.

The model is one Gaussian process or forest of scikit-learn's, which is quick; with `--auto` it is the default.

For each problem and seed one workflow runs to its budget; the errors of its last ensemble give the error that the
certified stop is asked for (of classes, the share). Then a workflow runs with that rule. In both, a stop criterion that
knows all labels and never ends anything says what an oracle sees in each iteration. It prints, of all problems:

- certified stop: how many stops have a true statement, and their labels, audit included, over those of the oracle,
  which stops when the statement is first true;
- stability rule: how many stops are early (an error above 1.5 times the last one), and how many are useful (not early,
  and before the budget is spent).
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.preprocessing import StandardScaler

from rose import Pool, SeqUQLearner, ThreadEngine
from rose.benchmarks import Problem, load, problems
from rose.surrogates import Auto

INITIAL, QUERY, SHARE, CONFIDENCE = 20, 10, 0.9, 0.95
STABLE, PATIENCE, LEVEL = 0.02, 3, 1.15


def learner_of(problem: Problem, seed: int, bad: Any, auto: bool) -> SeqUQLearner:
    """Return a learner whose stop criterion is what `bad` makes of the predictions of all candidates."""
    scale = StandardScaler().fit(problem.X)
    X = scale.transform(problem.X)
    learner = SeqUQLearner(ThreadEngine(1), pool=Pool(X, initial=INITIAL, seed=seed))
    learner.simulation_task(as_executable=False)(lambda index: problem.simulate(index))
    if auto:
        learner.models(m=Auto(task=problem.task))
    elif problem.task == "regression":
        kernel = ConstantKernel(1.0) * Matern(np.ones(X.shape[1]), (0.05, 1e3), nu=2.5) + WhiteKernel(1e-3, (1e-9, 1.0))
        learner.models(m=GaussianProcessRegressor(kernel, normalize_y=True, random_state=0))
    else:
        learner.models(m=RandomForestClassifier(100))
    learner.uncertainty_quantification(query_size=QUERY)

    @learner.as_stop_criterion("truth", threshold=-1.0, operator="<", as_executable=False)
    def truth(model: Any) -> float:
        return float(bad(model.predict(X)))

    return learner


def one(name: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """Return what happened in the two workflows of one problem with one seed."""
    problem = load(name, seed=seed)
    values = problem.task == "regression"
    budget = min(given.budget, len(problem.X) // 2)

    def error(predicted: Any) -> float:
        off = predicted - problem.y if values else predicted != problem.y
        return float(np.sqrt(np.mean(np.square(off.astype(float)))))

    learner = learner_of(problem, seed, error, given.auto)
    learner.stop_when(stable=STABLE, patience=10**6)
    whole = learner.run(budget=budget)
    predicted = whole.models["m"].predict(StandardScaler().fit_transform(problem.X))
    found: dict[str, Any] = {"name": name, "seed": seed, "task": problem.task}
    found |= stability(whole.iterations, values)
    if values:
        within, share = float(np.quantile(np.abs(predicted - problem.y), given.final)), SHARE
    else:
        within, share = 1.0, round(1.0 - float(np.clip(3.0 * np.mean(predicted != problem.y), 0.1, 0.4)), 2)

    def bad(predicted: Any) -> float:
        return float(np.mean(np.abs(predicted - problem.y) > within if values else predicted != problem.y))

    learner = learner_of(problem, seed, bad, given.auto)
    learner.stop_when(error=within if values else None, share=share, confidence=CONFIDENCE)
    result = learner.run(budget=2 * budget)
    true = [one["metric"] <= 1.0 - share for one in result.iterations]
    reached = [INITIAL + QUERY * place for place, holds in enumerate(true) if holds]
    found |= {"certified": result.stop_reason == "certified", "true": true[-1]}
    found |= {"labels": result.iterations[-1]["labels"]}
    return found | {"oracle": reached[0] if reached else None, "share": share}


def stability(iterations: list[dict[str, Any]], values: bool) -> dict[str, Any]:
    """Return when the rule would have stopped, by what it measured, and whether that was early or useful."""
    errors = np.array([one["metric"] for one in iterations]) ** (1 if values else 2)
    final, streak = max(float(np.median(errors[-3:])), 0.0 if values else 0.005), 0
    for place, one in enumerate(iterations[:-1]):
        told = one.get("stopping") or {}
        streak = streak + 1 if told.get("movement", np.inf) < STABLE else 0
        if streak >= PATIENCE and (told.get("error_falls_by") or np.inf) <= LEVEL:
            early = bool(errors[place] > 1.5 * final)
            return {"early": early, "useful": not early, "stable_at": one["labels"] / iterations[-1]["labels"]}
    return {"early": False, "useful": False, "stable_at": 1.0}


def rows(found: list[dict[str, Any]]) -> str:
    """Return the table."""
    stops = [one for one in found if one["certified"]]
    ratios = [one["labels"] / one["oracle"] for one in stops if one["oracle"]]
    true = np.mean([one["true"] for one in stops]) if stops else float("nan")
    late = [one["labels"] / one["oracle"] for one in stops if one["oracle"] and one["oracle"] >= 60]
    early, useful = (np.mean([one[name] for one in found]) for name in ("early", "useful"))
    at = np.median([one["stable_at"] for one in found])
    return (
        f"certified stop: {len(stops)} of {len(found)} stopped, {true:.1%} of their statements true, labels "
        f"{np.median(ratios) if ratios else float('nan'):.2f}x of the oracle's (median; where the oracle needs 60 or "
        f"more: {np.median(late) if late else float('nan'):.2f}x)\n"
        f"stability rule: {early:.1%} early, {useful:.1%} useful, at {at:.0%} of the labels (median)"
    )


def main() -> None:
    """Run what is not in the file yet, and print the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--final", type=float, default=0.98, help="which quantile of the last errors is asked for")
    parser.add_argument("--auto", action="store_true", help="with the default's model, which takes longer")
    parser.add_argument("--budget", type=int, default=200, help="labels at most")
    parser.add_argument("--out", type=Path, default=Path("stopping.jsonl"))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    found = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    done = {(one["name"], one["seed"]) for one in found}
    for seed in range(given.first, given.first + given.seeds):
        for name in problems():
            if (name, seed) in done or len(load(name, seed=seed).X) < 200:
                continue
            found.append(one(name, seed, given))
            with given.out.open("a") as file:
                file.write(json.dumps(found[-1]) + "\n")
            print(found[-1], flush=True)
    print(rows(found))


if __name__ == "__main__":
    main()
