"""Say what the learning curves mean: a table with intervals, one line for each promise, and a picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

Curves = dict[str, dict[str, dict[int, Any]]]  # problem: method: seed: record
LEVEL = 0.05


def gathered(records: Iterable[dict[str, Any]]) -> Curves:
    found: Curves = defaultdict(lambda: defaultdict(dict))
    for one in records:
        if "failed" not in one:
            found[one["problem"]][one["method"]][one["seed"]] = one
    return found


def paired(of: dict[str, dict[int, Any]], one: str, other: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Qualities `[seeds, rounds]` of two methods in the seeds that both have; None below two."""
    seeds = sorted(set(of.get(one, {})) & set(of.get(other, {})))
    if len(seeds) < 2:
        return None
    return tuple(np.array([of[m][seed]["quality"] for seed in seeds]) for m in (one, other))  # type: ignore[return-value]


def gain(task: str, mine: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How much worse than the other, by seed, in the mean of the rounds: log RMSE ratio, or points of accuracy lost."""
    if task == "regression":
        return np.asarray(np.log(mine.mean(axis=1) / other.mean(axis=1)))
    return np.asarray(100 * (other.mean(axis=1) - mine.mean(axis=1)))


def holm(p: dict[str, float]) -> dict[str, float]:
    """p-values corrected for how many there are, Holm 1979."""
    found, highest = {}, 0.0
    for at, (name, value) in enumerate(sorted(p.items(), key=lambda pair: pair[1])):
        highest = max(highest, min(1.0, (len(p) - at) * value))
        found[name] = highest
    return found


def p_value(worse: np.ndarray) -> float:
    """Of being worse, by the paired t test, one-sided."""
    if np.ptp(worse) == 0:
        return 1.0 if worse[0] <= 0 else 0.0
    return float(stats.ttest_1samp(worse, 0, alternative="greater").pvalue)


def needed(curve: np.ndarray, labels: list[int], level: float, higher: bool) -> float:
    """Labels at which a curve first reaches a level, between rounds by the line; infinite if it never does."""
    sign = 1 if higher else -1
    reached = np.flatnonzero(sign * curve >= sign * level - 1e-12)
    if not len(reached):
        return float("inf")
    at = int(reached[0])
    if at == 0:
        return float(labels[0])
    share = (level - curve[at - 1]) / (curve[at] - curve[at - 1])
    return float(labels[at - 1] + share * (labels[at] - labels[at - 1]))


def interval(values: Callable[[np.random.Generator | None], float]) -> str:
    """A statistic with its 95 % interval by the bootstrap; called without a generator it gives the statistic itself."""
    rng = np.random.default_rng(0)
    low, high = np.quantile([values(rng) for _ in range(400)], [0.025, 0.975], method="inverted_cdf")
    return f"{values(None):.3f} [{low:.3f}, {high:.3f}]".replace("inf", "never")


def draw(rng: np.random.Generator | None, n: int) -> np.ndarray:
    return np.arange(n) if rng is None else rng.integers(n, size=n)


class Judged:
    """Hold the curves and their tasks, and make the lines of the table."""

    def __init__(self, curves: Curves, tasks: dict[str, str]) -> None:
        self.curves, self.tasks = curves, tasks
        self.lines: list[tuple[str, str, str, str]] = []

    def names(self, task: str | None = None) -> list[str]:
        return [name for name in self.tasks if name in self.curves and task in (None, self.tasks[name])]

    def say(self, what: str, measured: str, bar: str, met: bool | None) -> None:
        self.lines.append((what, measured, bar, "-" if met is None else "met" if met else "MISSED"))

    def pairs(self, other: str, task: str | None = None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        found = {name: paired(self.curves[name], "default", other) for name in self.names(task)}
        return {name: pair for name, pair in found.items() if pair is not None}

    def worse(self, other: Callable[[str], str | None]) -> tuple[list[str], dict[str, np.ndarray]]:
        """Problems on which the default is significantly worse than the method named, and how much on each."""
        by = {}
        for name in self.names():
            against = other(name)
            pair = paired(self.curves[name], "default", against) if against else None
            if pair is not None:
                by[name] = gain(self.tasks[name], *pair)
        corrected = holm({name: p_value(one) for name, one in by.items()})
        return [name for name, p in corrected.items() if p < LEVEL], by

    def best(self, name: str, methods: Iterable[str]) -> str | None:
        """The method that is best over the rounds in the mean of its seeds."""
        there = [one for one in methods if len(self.curves[name].get(one, {})) > 1]
        if not there:
            return None
        sign = -1 if self.tasks[name] == "classification" else 1
        return min(there, key=lambda m: sign * np.mean([r["quality"] for r in self.curves[name][m].values()]))

    def labels_to(self, other: str, task: str | None) -> Callable[[np.random.Generator | None], float]:
        """The median over problems of the labels to the other's final quality, as a share of the other's labels."""
        pairs = self.pairs(other, task)

        def median(rng: np.random.Generator | None) -> float:
            return float(np.median([self.share(name, *pair, rng) for name, pair in pairs.items()]))

        return median

    def share(self, name: str, mine: np.ndarray, other: np.ndarray, rng: np.random.Generator | None = None) -> float:
        higher, labels = (
            self.tasks[name] == "classification",
            next(iter(self.curves[name]["default"].values()))["labels"],
        )
        at = draw(rng, len(mine))
        return needed(mine[at].mean(axis=0), labels, float(other[at].mean(axis=0)[-1]), higher) / labels[-1]

    def mean_of(self, by: dict[str, np.ndarray], after: Callable[[float], float] = float) -> str:
        def mean(rng: np.random.Generator | None) -> float:
            return after(float(np.mean([one[draw(rng, len(one))].mean() for one in by.values()])))

        return interval(mean)

    def against_random(self) -> None:
        worse, by = self.worse(lambda name: "random")
        if not by:
            return
        self.say("default against random: significantly worse on", ", ".join(worse) or "none", "none", not worse)
        median = self.labels_to("random", None)
        self.say("... labels to random's final quality, median", interval(median), "at most 0.60", median(None) <= 0.6)
        for task in ("regression", "classification"):
            if self.pairs("random", task):
                self.say(f"... of them {task}", interval(self.labels_to("random", task)), "", None)
        self._means(by)

    def _means(self, by: dict[str, np.ndarray]) -> None:
        for task, word in (("regression", "RMSE ratio"), ("classification", "points lost")):
            of = {name: one for name, one in by.items() if self.tasks[name] == task}
            if of:
                self.say(f"... {word}, mean", self.mean_of(of, np.exp if task == "regression" else float), "", None)

    def against_designs(self) -> None:
        of = {name: self.best(name, ("lhs", "k-center")) for name in self.names("regression")}
        worse, by = self.worse(lambda name: of.get(name))
        if not by:
            return
        self.say(
            "default against the better of LHS and k-center: worse on", ", ".join(worse) or "none", "none", not worse
        )
        ratio = float(np.exp(np.mean([one.mean() for one in by.values()])))
        self.say("... RMSE ratio, mean", self.mean_of(by, np.exp), "at most 0.95", ratio <= 0.95)

    def against_peers(self) -> None:
        theirs = {m for name in self.names() for m in self.curves[name] if m.startswith(("sk_", "bm_"))}
        _, by = self.worse(lambda name: self.best(name, theirs))
        for task, bar, most in (("regression", "1.02", np.log(1.02)), ("classification", "1 point", 1.0)):
            of = {name: one for name, one in by.items() if self.tasks[name] == task}
            if of:
                met = float(np.mean([one.mean() for one in of.values()])) <= most
                text = self.mean_of(of, np.exp if task == "regression" else float)
                self.say(f"default against the best peer of each problem, {task}", text, f"at most {bar}", met)

    def against_before(self) -> None:
        if self.pairs("before", "regression"):
            median = self.labels_to("before", "regression")
            text = interval(median)
            self.say("labels to the final RMSE of five networks, median", text, "at most 0.50", median(None) <= 0.5)

    def surrogates(self) -> None:
        """`Auto` over the best of its surrogates, by problem and labels: RMSE, or log loss."""
        ratios = {}
        for name in self.names():
            key = "quality" if self.tasks[name] == "regression" else "log_loss"
            of = {
                method.removeprefix("design: "): np.mean([one[key] for one in runs.values()], axis=0)
                for method, runs in self.curves[name].items()
                if method.startswith("design: ")
            }
            if "Auto" in of and len(of) > 1:
                best = np.min([one for method, one in of.items() if method != "Auto"], axis=0)
                for at, ratio in enumerate(np.maximum(of["Auto"], 1e-9) / np.maximum(best, 1e-9)):
                    ratios[f"{name} at round {at}"] = float(ratio)
        if ratios:
            mean = float(np.exp(np.mean(np.log(list(ratios.values())))))
            worst = max(ratios, key=lambda one: ratios[one])
            self.say("Auto over the best of its surrogates, geometric mean", f"{mean:.3f}", "at most 1.1", mean <= 1.1)
            self.say("... worst", f"{ratios[worst]:.3f} ({worst})", "at most 1.5", ratios[worst] <= 1.5)

    def intervals(self) -> None:
        """Coverage by problem, and the interval score over that of plain conformal prediction."""
        for kind in ("intervals", "intervals-cv"):
            found = {name: list(of[kind].values()) for name, of in self.curves.items() if kind in of}
            if not found:
                continue
            covered = {name: float(np.mean([one["coverage"] for one in runs])) for name, runs in found.items()}
            out = [f"{name} {one:.3f}" for name, one in covered.items() if not 0.88 <= one <= 0.93]
            text = f"mean {np.mean(list(covered.values())):.3f}; outside: {', '.join(out) or 'none'}"
            self.say(f"{kind}: coverage at 0.9, each problem", text, ".88 to .93 each", not out)
            over = [np.mean([one["score"] / one["plain"] for one in runs if "plain" in one]) for runs in found.values()
                    if any("plain" in one for one in runs)]  # fmt: skip
            if over:
                mean = float(np.exp(np.mean(np.log(over))))
                self.say(f"{kind}: interval score over plain conformal's", f"{mean:.3f}", "below 1", mean < 1)

    def judged(self) -> str:
        for part in (self.against_random, self.against_designs, self.against_peers, self.against_before,
                     self.surrogates, self.intervals):  # fmt: skip
            part()
        width = max((len(line[0]) for line in self.lines), default=0)
        return "\n".join(f"{what:<{width}}  {met:<6}  {text}  ({bar})" for what, text, bar, met in self.lines)

    def by_problem(self) -> str:
        """One line a problem: every method's RMSE over the rounds as a share of random's, or points above random's."""
        methods = sorted(
            {m for name in self.names() for m in self.curves[name] if not m.startswith(("design", "interv"))}
        )
        short = [m.replace("sk_", "s:").replace("bm_", "b:")[:9] for m in methods if m != "random"]
        lines = [f"{'':<14}seeds to-random " + " ".join(f"{one:>9}" for one in short)]
        for name in self.names():
            of = self.curves[name]
            pair = paired(of, "default", "random")
            share = "" if pair is None else f"{self.share(name, *pair):.2f}".replace("inf", "never")
            cells = []
            for method in (m for m in methods if m != "random"):
                pair = paired(of, method, "random")
                value = None if pair is None else gain(self.tasks[name], *pair).mean()
                ratio = self.tasks[name] == "regression"
                cells.append("" if value is None else f"{np.exp(value):.3f}" if ratio else f"{-value:+.2f}")
            lines.append(
                f"{name:<14}{len(of.get('default', {})):>5} {share:>9} " + " ".join(f"{one:>9}" for one in cells)
            )
        return "\n".join(lines)


COLOURS = {"default": "tab:red", "random": "black", "lhs": "tab:blue", "k-center": "tab:cyan", "before": "tab:grey"}


def picture(curves: Curves, tasks: dict[str, str], path: Path) -> None:
    """Errors by labels, the mean over seeds: a panel for each problem."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = [name for name in tasks if name in curves]
    rows = -(-len(names) // 5)
    figure, panels = plt.subplots(rows, 5, figsize=(16, 2.7 * rows), layout="constrained", squeeze=False)
    for axes, name in zip(panels.flat, names, strict=False):
        classify = tasks[name] == "classification"
        for method, colour in COLOURS.items():
            runs = list(curves[name].get(method, {}).values())
            if not runs:
                continue
            every = np.array([one["quality"] for one in runs])
            mean = (1 - every if classify else every).mean(axis=0)
            style = {"linewidth": 2.2 if method == "default" else 1.3, "zorder": 3 if method == "default" else 2}
            axes.plot(
                runs[0]["labels"], np.maximum(mean, 1e-3 if classify else 1e-12), color=colour, label=method, **style
            )
        axes.set(yscale="log", title=f"{name}: {'error rate' if classify else 'RMSE'}")
        axes.title.set_fontsize(10)
        axes.tick_params(labelsize=8, which="both")
        axes.grid(alpha=0.3, which="both")
    for axes in panels.flat[len(names) :]:
        axes.axis("off")
    handles = {
        label: line for axes in panels.flat for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5)
    figure.savefig(path, dpi=90)
    plt.close(figure)
