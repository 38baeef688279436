"""Two workflows race on handwritten digits: which 10 images should be labelled next, by entropy or by BALD?

Each trains an ensemble of MLPs and forests, scores the unlabelled images, and asks for the labels of those it is most
uncertain about. Run it with `make demo`, or `python examples/digits_pool.py --out demo`.
"""

import argparse
import time
from pathlib import Path

from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from rose import ParallelUQLearner, Pool, Results
from rose.metrics import MODEL_ACCURACY, MUTUAL_INFORMATION, PREDICTIVE_ENTROPY
from rose.watch import progress


def learn(max_iter: int) -> Results:
    """Run both workflows on the 1,797 images that scikit-learn ships."""
    images, digits = load_digits(return_X_y=True)
    split = train_test_split(images / 16.0, digits, test_size=0.3, stratify=digits, random_state=0)
    X, X_test, labels, y_test = split

    learner = ParallelUQLearner(pool=Pool(X, initial=20, seed=0, holdout=(X_test, y_test)))

    @learner.simulation_task(as_executable=False)
    def simulate(index):  # here a look-up; in your program hours of computing, or a person at a microscope
        return labels[index]

    learner.models(
        mlp_a=MLPClassifier((64,), max_iter=1000),
        mlp_b=MLPClassifier((64,), max_iter=1000),
        forest_a=RandomForestClassifier(50),
        forest_b=RandomForestClassifier(50, max_features=None),
    )
    learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=10)
    learner.as_stop_criterion(MODEL_ACCURACY, threshold=0.95)

    with progress(learner):
        return learner.run(workflows={"entropy": PREDICTIVE_ENTROPY, "bald": MUTUAL_INFORMATION}, max_iter=max_iter)


def table(results: Results) -> str:
    """Accuracy on the hold-out against the number of labels."""
    curves = {name: {i["labels"]: i["metric"] for i in result.iterations} for name, result in results.items()}
    lines = ["labels  " + "  ".join(f"{name:>8}" for name in curves)]
    for count in sorted({labels for curve in curves.values() for labels in curve}):
        cells = (f"{curve[count]:8.3f}" if count in curve else " " * 8 for curve in curves.values())
        lines.append(f"{count:6d}  " + "  ".join(cells))
    return "\n".join(lines)


def picture(results: Results, path: Path) -> None:
    """The same as learning curves."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, result in results.items():
        axes.plot([i["labels"] for i in result.iterations], [i["metric"] for i in result.iterations], "o-", label=name)
    axes.axhline(0.95, color="grey", linestyle="--", linewidth=1)
    axes.annotate("stop criterion: 95 %", (20, 0.95), ha="left", va="bottom", color="grey")
    axes.set(
        xlabel="labelled images", ylabel="accuracy on 540 held-out images", title="Digits: labels chosen by uncertainty"
    )
    axes.legend(loc="lower right", title="workflow")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Learn, and show what was learned."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="directory of the picture (default: demo)")
    parser.add_argument("--max-iter", type=int, default=20, help="the most rounds (default: 20)")
    arguments = parser.parse_args()

    start = time.monotonic()
    results = learn(arguments.max_iter)
    print(table(results))
    for name, result in results.items():
        print(f"{name}: {result.stop_reason} with {len(result.indices)} labels of 1257")
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "digits.png"
    picture(results, path)
    print(f"picture: {path}   ({time.monotonic() - start:.0f} s)")


if __name__ == "__main__":
    main()
