"""A surrogate of a simulation: with what amplitude does a damped oscillator swing that is driven at some frequency?

The simulation integrates the equation of motion until the swing is steady. Two workflows train the same ensemble of
networks, one simulating where its members disagree, one at random. The amplitude has a closed form too: it is used
to check what was learned, and nowhere else. Run it with `python examples/surrogate.py --out demo`.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rose import ParallelUQLearner, Pool, Results, UQLearnerConfig
from rose.metrics import PREDICTIVE_VARIANCE, ROOT_MEAN_SQUARED_ERROR_RMSE
from rose.watch import progress

# natural frequency, damping ratio, driving frequency
LOWEST = np.array([0.8, 0.05, 0.2])
HIGHEST = np.array([1.6, 0.40, 3.0])
THRESHOLD = 0.03


def samples(count: int, seed: int) -> np.ndarray:
    """Oscillators drawn uniformly, `[count, 3]`."""
    return np.random.default_rng(seed).uniform(LOWEST, HIGHEST, (count, 3))


def simulate(x: np.ndarray) -> float:
    """The steady amplitude of x'' + 2 damping natural x' + natural^2 x = cos(driving t), from rest."""
    from scipy.integrate import solve_ivp

    natural, damping, driving = x

    def motion(t: float, state: np.ndarray) -> tuple[float, float]:
        position, velocity = state
        return velocity, np.cos(driving * t) - 2 * damping * natural * velocity - natural**2 * position

    end = 14 / (damping * natural)  # what the start set swinging has fallen to a millionth
    solution = solve_ivp(motion, (0, end), (0.0, 0.0), method="DOP853", rtol=1e-6, atol=1e-9)
    if not solution.success:
        raise RuntimeError(f"the integration failed for {x}: {solution.message}")
    position, velocity = solution.y[:, -1]
    return float(np.hypot(position, velocity / driving))


def closed_form(X: np.ndarray) -> np.ndarray:
    """The same amplitude from the textbook, `[n]`: only to check with."""
    natural, damping, driving = X.T
    return 1 / np.hypot(natural**2 - driving**2, 2 * damping * natural * driving)


def learn(max_iter: int, seed: int) -> Results:
    """Run both workflows over 3,000 candidates; simulations that both ask for are run once."""
    X_test = samples(1000, seed=1_000_000 + seed)
    pool = Pool(samples(3000, seed), initial=40, seed=seed, holdout=(X_test, closed_form(X_test)))
    learner = ParallelUQLearner(pool=pool, acquisition="lcmd")
    learner.simulation_task(as_executable=False)(simulate)

    network = MLPRegressor(hidden_layer_sizes=(32, 32), activation="tanh", solver="lbfgs", alpha=1e-3, max_iter=5000)
    network.set_params(max_fun=100_000)
    learner.models(**{f"network_{i}": make_pipeline(StandardScaler(), network) for i in range(5)})
    learner.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=20)
    learner.as_stop_criterion(ROOT_MEAN_SQUARED_ERROR_RMSE, threshold=THRESHOLD)

    workflows = {"uncertain": UQLearnerConfig(), "random": UQLearnerConfig(acquisition="random")}
    with progress(learner):
        return learner.run(workflows=workflows, max_iter=max_iter)


def table(results: Results) -> str:
    """The error on the hold-out against the number of simulations."""
    curves = {name: {i["labels"]: i["metric"] for i in result.iterations} for name, result in results.items()}
    lines = ["RMSE after   " + "  ".join(f"{name:>9}" for name in curves)]
    for count in sorted({labels for curve in curves.values() for labels in curve}):
        cells = (f"{curve[count]:9.3f}" if count in curve else " " * 9 for curve in curves.values())
        lines.append(f"{count:3d} runs     " + "  ".join(cells))
    return "\n".join(lines)


def check(results: Results) -> str:
    """How far each surrogate is from the closed form at 20,000 new points, and what one says of a resonance."""
    X = samples(20_000, seed=7)
    truth = closed_form(X)
    lines = [f"against the closed form at {len(X)} new points (amplitudes {truth.min():.2f} to {truth.max():.1f}):"]
    for name, result in results.items():
        mean, variance = result.predict(X)
        error = np.abs(mean - truth)
        rmse, within = np.sqrt(np.mean(error**2)), np.mean(error <= 2 * np.sqrt(variance))
        lines.append(
            f"  {name}: {result.stop_reason} with {len(result.indices)} simulations; RMSE {rmse:.3f}, "
            f"largest error {error.max():.2f}, within two standard deviations at {within:.0%} of them"
        )
    x = np.array([[1.2, 0.10, 1.2]])
    mean, variance = results["uncertain"].predict(x)
    lines.append(
        f"at one resonance (natural 1.2, damping 0.10): {mean[0]:.3f} +- {np.sqrt(variance[0]):.3f}, "
        f"closed form {closed_form(x)[0]:.3f}, simulated {simulate(x[0]):.3f}"
    )
    return "\n".join(lines)


def picture(results: Results, path: Path) -> None:
    """Learning curves, what was predicted against the closed form, and one resonance."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(13.5, 4.3), layout="constrained")
    for number, (name, result) in enumerate(results.items()):
        _curve(axes[0], result, name, f"C{number}")
        _scatter(axes[1], result, name, f"C{number}")
        _resonance(axes[2], result, name, f"C{number}")
    axes[0].axhline(THRESHOLD, color="grey", linestyle="--", linewidth=1)
    axes[0].set(xlabel="simulations", ylabel="RMSE on 1,000 held-out points", yscale="log", title="Learning curves")
    axes[0].set_yticks([0.02, 0.05, 0.1, 0.2, 0.5], ["0.02", "0.05", "0.1", "0.2", "0.5"])
    axes[0].minorticks_off()
    axes[0].text(0.02, THRESHOLD, "stop criterion", transform=axes[0].get_yaxis_transform(), va="bottom", color="grey")
    axes[1].set(xlabel="closed form", ylabel="surrogate", title="Amplitude at 2,000 new points")
    axes[1].axline((0, 0), slope=1, color="black", linewidth=1, zorder=0)
    axes[2].set(xlabel="driving frequency", ylabel="amplitude", title="Resonance at natural 1.2, damping 0.07")
    for one in axes:
        one.legend()
        one.grid(alpha=0.3)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _curve(axes, result, name: str, color: str) -> None:
    iterations = result.iterations
    axes.plot([i["labels"] for i in iterations], [i["metric"] for i in iterations], "o-", color=color, label=name)


def _scatter(axes, result, name: str, color: str) -> None:
    X = samples(2000, seed=8)
    order = 3 if name == "uncertain" else 2
    axes.plot(closed_form(X), result.predict(X).mean, ".", markersize=4, color=color, label=name, zorder=order)


def _resonance(axes, result, name: str, color: str) -> None:
    driving = np.linspace(0.2, 3.0, 300)
    X = np.column_stack([np.full_like(driving, 1.2), np.full_like(driving, 0.07), driving])
    if name == "uncertain":
        axes.plot(driving, closed_form(X), "--", color="black", linewidth=1.2, label="closed form", zorder=5)
    mean, variance = result.predict(X)
    axes.plot(driving, mean, color=color, label=name)
    spread = 2 * np.sqrt(variance)
    axes.fill_between(driving, mean - spread, mean + spread, color=color, alpha=0.2, linewidth=0)


def main() -> None:
    """Learn, and compare with the closed form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="directory of the picture (default: demo)")
    parser.add_argument("--max-iter", type=int, default=10, help="the most rounds (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the candidates and all that is random (default: 0)")
    arguments = parser.parse_args()

    start = time.monotonic()
    results = learn(arguments.max_iter, arguments.seed)
    print(table(results))
    print(check(results))
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "surrogate.png"
    picture(results, path)
    print(f"picture: {path}   ({time.monotonic() - start:.0f} s)")


if __name__ == "__main__":
    main()
