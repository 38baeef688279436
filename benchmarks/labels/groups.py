"""Learn one problem with one seed, by each method: what `compare.py` runs, through the learner, as a user would."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import judged_intervals
import networks
import numpy as np

from rose import ParallelUQLearner, Pool, UQLearnerConfig
from rose.acquisition import get_acquisition, register_acquisition
from rose.benchmarks import Problem, load
from rose.engine import ThreadEngine
from rose.metrics import MODEL_ACCURACY, ROOT_MEAN_SQUARED_ERROR_RMSE
from rose.surrogates import GaussianProcess, MLPs, Trees
from rose.surrogates.process_classifier import ProcessClassifier

FIRST, STEP, LAST = 20, 20, 100
CANDIDATES = 1000
ROUNDS = list(range(FIRST, LAST + 1, STEP))
FEW = 2  # seeds of what is dear
SAME_DESIGN = (40, 100)  # labels at which the surrogates are compared
Record = dict[str, Any]  # what is kept of a method: its name, labels, quality by round and what it cost


@register_acquisition("before", needs=("scores", "mc_preds"), uses=("pending",), stochastic=True)
def before(problem: Any) -> Any:
    """The default until there were coordinates: uncertain and spread out, by the predictions alone."""
    return get_acquisition("diverse").select(replace(problem, features=None))


def standardised(X: np.ndarray) -> np.ndarray:
    scale = X.std(axis=0)
    return np.asarray((X - X.mean(axis=0)) / np.where(scale > 0, scale, 1.0))


def pool_of(problem: Problem, seed: int, start: str | None, initial: Any = FIRST, **options: Any) -> Pool:
    if start is not None:
        options["start"] = start
    return Pool(problem.X, initial=initial, seed=seed, holdout=problem.holdout, **options)


def members(task: str) -> dict[str, Any]:
    network = networks.Classifier if task == "classification" else networks.Regressor
    return {f"mlp{at}": network() for at in range(5)}


def learn(
    problem: Problem,
    pool: Pool,
    workflows: Mapping[str, UQLearnerConfig],
    models: Mapping[str, Any] | None,
    rounds: int = len(ROUNDS),
) -> tuple[list[Record], Any]:
    """Run the workflows, which share models and labels, and return what is kept of each, and the results."""
    began = time.process_time()
    learner = ParallelUQLearner(ThreadEngine(1), pool=pool)
    learner.simulation_task(as_executable=False)(lambda index: problem.simulate(index))
    learner.models(**(models or {}))
    classify = problem.task == "classification"
    learner.uncertainty_quantification(query_size=STEP)
    if classify:
        learner.as_stop_criterion(MODEL_ACCURACY, threshold=2.0)  # never met: all rounds are run
    else:
        learner.as_stop_criterion(ROOT_MEAN_SQUARED_ERROR_RMSE, threshold=-1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = learner.run(workflows=dict(workflows), max_iter=rounds)
    seconds = (time.process_time() - began) / len(workflows)
    return [_record(name, results[name].iterations, seconds) for name in workflows], results


def _record(name: str, iterations: Sequence[Mapping[str, Any]], seconds: float) -> Record:
    found: Record = {"method": name, "labels": [one["labels"] for one in iterations]}
    found["quality"] = [one["metric"] for one in iterations]
    found["log_loss"] = [one.get("holdout", {}).get("log_loss") for one in iterations]
    return found | {"seconds": round(seconds, 3)}


def _joined(parts: Sequence[Record]) -> Record:
    """Make one curve of runs of one round each."""
    found: Record = {key: [one[key][0] for one in parts] for key in ("labels", "quality", "log_loss")}
    return {"method": parts[0]["method"], **found, "seconds": round(sum(one["seconds"] for one in parts), 3)}


def default(problem: Problem, seed: int) -> Iterator[Record]:
    """Nothing said but the batch."""
    records, results = learn(problem, pool_of(problem, seed, None), {"default": UQLearnerConfig()}, None)
    yield from records
    yield from judged_intervals.judged(problem, results["default"], crossed=False)


def crossed(problem: Problem, seed: int) -> Iterator[Record]:
    """Intervals of the default from its labels alone, which refits its models ten times."""
    _, results = learn(problem, pool_of(problem, seed, None), {"default": UQLearnerConfig()}, None)
    yield from judged_intervals.judged(problem, results["default"], crossed=True)


def plain(problem: Problem, seed: int) -> Iterator[Record]:
    """No model chooses: at random, and of simulators k-center on the inputs; both from a random start."""
    pool = pool_of(problem, seed, "random", features=standardised(problem.X))
    methods = {"random": "random"}
    if problem.task == "regression":
        methods["k-center"] = "kcenter"
    yield from learn(problem, pool, {name: UQLearnerConfig(acquisition=one) for name, one in methods.items()}, None)[0]


def before_auto(problem: Problem, seed: int) -> Iterator[Record]:
    """The default before: five networks, a random start, spread by the predictions."""
    config = UQLearnerConfig(acquisition="before", uq_metric_name="total_uncertainty")
    yield from learn(problem, pool_of(problem, seed, "random"), {"before": config}, members(problem.task))[0]


def design(X: np.ndarray, n: int, seed: int) -> np.ndarray:
    """The candidates nearest to a Latin hypercube of `n` points in their ranks: of 20, the one spread most."""
    from scipy.spatial.distance import pdist
    from scipy.stats import rankdata
    from scipy.stats.qmc import LatinHypercube

    ranks = np.column_stack([rankdata(column) for column in X.T]) / (len(X) + 1)
    drawn = [LatinHypercube(X.shape[1], rng=np.random.default_rng([seed, n, at])).random(n) for at in range(20)]
    points = max(drawn, key=lambda one: float(pdist(one).min()))
    free, chosen = np.ones(len(X), dtype=bool), []
    for point in points:
        far = np.where(free, ((ranks - point) ** 2).sum(axis=1), np.inf)
        chosen.append(int(far.argmin()))
        free[chosen[-1]] = False
    return np.array(chosen)


def latin(problem: Problem, seed: int) -> Iterator[Record]:
    """A Latin hypercube of each size: what is done without active learning, all at once."""
    parts = []
    for n in ROUNDS:
        pool = pool_of(problem, seed, None, design(problem.X, n, seed))
        parts += learn(problem, pool, {"lhs": UQLearnerConfig()}, None, rounds=1)[0]
    yield _joined(parts)


def same_design(problem: Problem, seed: int) -> Iterator[Record]:
    """`Auto` and each surrogate by itself on the same random designs."""
    process = GaussianProcess() if problem.task == "regression" else ProcessClassifier()
    order = np.random.default_rng([seed, 7]).permutation(len(problem.X))
    made: dict[str, Any] = {"Auto": None, "process": {"process": process}}
    made |= {"trees": {"trees": Trees(task=problem.task)}, "networks": {"networks": MLPs(task=problem.task)}}
    for name, models in made.items():
        parts = []
        for n in SAME_DESIGN:
            n = min(n, len(order) - STEP)  # as many are asked for after it
            pool = pool_of(problem, seed, None, order[:n])
            parts += learn(problem, pool, {f"design: {name}": UQLearnerConfig()}, models, rounds=1)[0]
        yield _joined(parts)


def peers(problem: Problem, seed: int) -> Iterator[Record]:
    """The methods of scikit-activeml and bmdal_reg, in our loop; one that fails says so."""
    import peers_methods

    peers_methods.Y["y"] = problem.y
    for method in peers_methods.METHODS[problem.task]:
        pool = pool_of(problem, seed, "random", features=standardised(problem.X))
        try:
            yield from learn(problem, pool, {method: UQLearnerConfig(acquisition=method)}, None)[0]
        except Exception as error:
            yield {"method": method, "failed": f"{type(error).__name__}: {error}"[:200]}


# what is run, in how many seeds at most, and of which task
GROUPS: dict[str, tuple[Any, int, str | None]] = {
    "default": (default, 10, None),
    "plain": (plain, 10, None),
    "latin": (latin, 6, "regression"),
    "before": (before_auto, 10, "regression"),
    "peers": (peers, FEW, None),
    "same_design": (same_design, FEW, None),
    "crossed": (crossed, 1, None),
}


def run(name: str, seed: int, group: str) -> list[Record]:
    """Run one group of methods on a problem."""
    problem = load(name, seed, CANDIDATES)
    return [{"problem": name, "seed": seed, "group": group, **one} for one in GROUPS[group][0](problem, seed)]
