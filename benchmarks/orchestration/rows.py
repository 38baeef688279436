"""The rows of the table: what is asked of both systems, and what is made of what they recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

from measure import OURS, ROSE, Bench, Measurement

WORKERS = 2
MB = 1e6
FLAT = 1.0  # MB: what the driver may grow by over all iterations and still count as flat (the allocator's own steps)
HOP = 10.0  # ms
SIMULATION, MEMBERS = 50, [20, 50, 100, 400]  # ms


@dataclass(frozen=True)
class Row:
    """One line of the table. `ratio` is ours over ROSE's; None where one of them was not measured or has no time.

    `met` is None where the bar needs ROSE's figure and there is none.
    """

    what: str
    ours: str
    rose: str
    ratio: float | None
    bar: str
    reached: str
    met: bool | None
    notes: tuple[str, ...] = ()


Figure = Callable[[Measurement], float]


def came_to_end(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Those that were not cut off and did not fail."""
    return [measurement for measurement in measurements if measurement.why_not is None]


def best(measurements: Sequence[Measurement], figure: Figure) -> float | None:
    """The smallest figure of those that came to their end: what noise only ever adds to."""
    figures = [figure(measurement) for measurement in came_to_end(measurements)]
    return min(figures) if figures else None


def why_not(measurements: Sequence[Measurement]) -> str:
    """Why there is no figure."""
    return next(measurement.why_not for measurement in measurements if measurement.why_not is not None)


def shown(measurements: Sequence[Measurement], figure: Figure, text: str) -> str:
    """The best figure in words, or why there is none."""
    smallest = best(measurements, figure)
    return why_not(measurements) if smallest is None else text.format(smallest)


def every(measured: Mapping[str, list[Measurement]], figure: Figure, text: str) -> str:
    """The figures of every run of each system, in the order they were measured."""
    runs = {s: ", ".join(text.format(figure(m)) for m in came_to_end(ms)) or "-" for s, ms in measured.items()}
    return f"ours {runs[OURS]}; ROSE {runs[ROSE]}"


def over(ours: float | None, rose: float | None) -> float | None:
    """Ours over ROSE's, where both were measured."""
    return None if ours is None or rose is None else ours / rose


def per_iteration(measurement: Measurement) -> float:
    """Seconds per iteration in steady state: all but the first, which starts the workers."""
    return mean(measurement.intervals)


def first(measurement: Measurement) -> float:
    """Seconds of the first iteration, in which the engine and its workers start."""
    return float(measurement.iterations[0]["seconds"])


def timing_notes(measured: Mapping[str, list[Measurement]]) -> tuple[str, ...]:
    """Every run's figure, and what was not counted."""
    return (
        f"seconds per iteration of each run: {every(measured, per_iteration, '{:.3f}')}",
        f"not counted: the first iteration, with the start of the workers: {every(measured, first, '{:.2f} s')}",
    )


# --- 8 x 8 x 8 and 16 x 16 x 16 --------------------------------------------------------------------------------------


def noop_rows(bench: Bench, n: int) -> list[Row]:
    """n workflows of n models with n predictions, without work; for 16 the driver's memory, too."""
    rounds = 10 if not bench.quick else 5 if n == 8 else 3
    repeats = 1 if bench.quick else 3 if n == 8 else 2
    measured = bench.interleave({"case": "noop", "n": n, "rounds": rounds}, repeats, limit=300)
    row = _quarter(f"no-op iteration, {n} x {n} x {n} functions, {rounds} iterations", measured)
    return [row] if n == 8 else [row, _memory(rounds, measured)]


def thread_rows(bench: Bench) -> list[Row]:
    """The same with threads, where ROSE was not done with 10 iterations in 900 s: two, in limited time."""
    limit, rounds = (20 if bench.quick else 60), 2
    runs = bench.interleave({"case": "noop", "n": 16, "rounds": rounds, "pool": "threads"}, 1, limit)
    measured = {system: [run.up_to(rounds) for run in made] for system, made in runs.items()}
    row = _quarter(f"16 x 16 x 16 in threads, {rounds} iterations, at most {limit} s", measured)
    unfinished, ended = measured[ROSE][0], measured[OURS][0].why_not is None
    if not unfinished.timed_out:
        return [row]
    rose = f"{unfinished.why_not}: {len(unfinished.iterations)} of {rounds} iterations"
    return [replace(row, rose=rose, bar="comes to its end", reached="yes" if ended else "no", met=ended)]


def _quarter(what: str, measured: Mapping[str, list[Measurement]]) -> Row:
    ratio = over(best(measured[OURS], per_iteration), best(measured[ROSE], per_iteration))
    return Row(
        what=what,
        ours=shown(measured[OURS], per_iteration, "{:.3f} s each"),
        rose=shown(measured[ROSE], per_iteration, "{:.3f} s each"),
        ratio=ratio,
        bar="<= 0.25 of ROSE's",
        reached="-" if ratio is None else f"{ratio:.3f}",
        met=None if ratio is None else ratio <= 0.25,
        notes=timing_notes(measured),
    )


def _memory(rounds: int, measured: Mapping[str, list[Measurement]]) -> Row:
    def growth(measurement: Measurement) -> float:
        return (measurement.iterations[-1]["rss"] - measurement.iterations[1]["rss"]) / MB

    def text(runs: Sequence[Measurement]) -> str:
        ended = came_to_end(runs)
        if not ended:
            return why_not(runs)
        worst = max(ended, key=growth)
        return f"{growth(worst):+.1f} MB, from {worst.iterations[1]['rss'] / MB:.0f} MB"

    grown = [growth(run) for run in came_to_end(measured[OURS])]
    return Row(
        what=f"16 x 16 x 16: growth of the driver's memory from iteration 2 to {rounds}",
        ours=text(measured[OURS]),
        rose=text(measured[ROSE]),
        ratio=None,
        bar=f"flat: <= {FLAT:g} MB",
        reached=f"{max(grown):+.1f} MB" if grown else "-",
        met=bool(grown) and max(grown) <= FLAT,
    )


# --- work against the clock ------------------------------------------------------------------------------------------


def simulation_rows(bench: Bench) -> list[Row]:
    """One workflow whose simulations of 20 ms are all the work there is."""
    case = {"case": "simulations", "ms": 20}
    return [_against_the_clock(bench, "iterations of 20 ms simulations", case, least=0.020, bar=1.2, than="the work")]


def flow_rows(bench: Bench) -> list[Row]:
    """The same with both systems on a WorkflowEngine: what a hop from one task to the next costs there."""
    ms, hops = 20, 6  # simulation, training, prediction, uncertainty, active_learn, criterion
    counted, repeats = (3, 1) if bench.quick else (10, 3)
    measured = bench.interleave(
        {"case": "simulations", "ms": ms, "pool": "flow", "rounds": counted + 1}, repeats, limit=300
    )

    def per_hop(measurement: Measurement) -> float:
        return per_iteration(measurement) * 1000 / hops - ms / hops

    ours, rose = best(measured[OURS], per_hop), best(measured[ROSE], per_hop)
    return [
        Row(
            what=f"{counted} iterations of {ms} ms simulations on a WorkflowEngine: a hop",
            ours=shown(measured[OURS], per_hop, "{:.1f} ms"),
            rose=shown(measured[ROSE], per_hop, "{:.1f} ms"),
            ratio=over(ours, rose),
            bar=f"<= {HOP:g} ms",
            reached="-" if ours is None else f"{ours:.1f} ms",
            met=ours is not None and ours <= HOP,
            notes=timing_notes(measured),
        )
    ]


def member_rows(bench: Bench) -> list[Row]:
    """One workflow of four unequal members on two workers."""
    work = SIMULATION + sum(MEMBERS)
    least = max(SIMULATION + max(MEMBERS), work / WORKERS) / 1000
    case = {"case": "members", "ms": SIMULATION, "members": MEMBERS}
    what = f"rounds of 4 members of {', '.join(map(str, MEMBERS))} ms, {SIMULATION} ms simulations"
    row = _against_the_clock(bench, what, case, least, bar=1.1, than="the lower bound", work=work / 1000)
    return [row]


def _against_the_clock(
    bench: Bench, what: str, case: Mapping[str, Any], least: float, bar: float, than: str, work: float | None = None
) -> Row:
    """`least` is the least time that a round can take, `work` how many seconds of work it holds, in seconds."""
    counted, repeats = (3, 1) if bench.quick else (10, 3)
    measured = bench.interleave({**case, "rounds": counted + 1}, repeats, limit=300)

    def wall(measurement: Measurement) -> float:
        return sum(measurement.intervals)

    def text(system: str) -> str:
        seconds = best(measured[system], wall)
        if seconds is None:
            return why_not(measured[system])
        busy = "" if work is None else f", {counted * work / seconds / WORKERS:.0%} busy"
        return f"{seconds:.3f} s = {seconds / counted / least:.2f}x{busy}"

    ours, rose = best(measured[OURS], wall), best(measured[ROSE], wall)
    factor = None if ours is None else ours / counted / least
    return Row(
        what=f"{counted} {what}",
        ours=text(OURS),
        rose=text(ROSE),
        ratio=over(ours, rose),
        bar=f"<= {bar}x {than} ({counted} x {least * 1000:g} ms)",
        reached="-" if factor is None else f"{factor:.3f}x",
        met=factor is not None and factor <= bar,
        notes=timing_notes(measured),
    )


# --- counting simulations --------------------------------------------------------------------------------------------


def count_rows(bench: Bench) -> list[Row]:
    """How many simulations 3 workflows of 5 rounds and 4 members run: one per round and workflow, fewer with a pool."""
    shape = {"workflows": 3, "members": 4, "rounds": 5}
    measured = bench.interleave({"case": "count", **shape}, 1, limit=120)
    counts = {system: _executed(runs[0]) for system, runs in measured.items()}
    plain = Row(
        what="simulations, 3 workflows x 5 rounds x 4 members",
        ours=counts[OURS],
        rose=counts[ROSE],
        ratio=None,
        bar="15",
        reached=counts[OURS],
        met=counts[OURS] == "15",
    )
    return [plain, _pool_row(bench.measure(OURS, {"case": "pool", **shape}, limit=120))]


def _executed(measurement: Measurement) -> str:
    return measurement.why_not or str(measurement.value("executed"))


def _pool_row(pool: Measurement) -> Row:
    what, bar = "the same with a pool of 200: 20 labels, then 5 a round", "each distinct sample once"
    rose = "has no pool; its learners share nothing"
    if pool.why_not is not None:
        return Row(what, pool.why_not, rose, None, bar, "-", False)
    executed, distinct, wanted = (pool.value(name) for name in ("executed", "distinct", "wanted"))
    ours = f"{executed} simulations for {wanted} labels"
    return Row(what, ours, rose, None, bar, f"{executed} of {distinct} distinct", executed == distinct < wanted)


# --- commands --------------------------------------------------------------------------------------------------------


def command_rows(bench: Bench) -> list[Row]:
    """Shell commands, given at once: no more may run than there are workers."""
    count, seconds = (8 if bench.quick else 40), 0.5
    measured = bench.interleave({"case": "commands", "count": count, "seconds": seconds}, 1, limit=120)
    least = count * seconds / WORKERS

    def text(measurement: Measurement) -> str:
        if measurement.why_not is not None:
            return measurement.why_not
        return f"{measurement.value('total_seconds'):.2f} s, {measurement.value('at_once')} at once"

    ours = measured[OURS][0]
    return [
        Row(
            what=f"shell commands `sleep {seconds}` x {count} on {WORKERS} workers",
            ours=text(ours),
            rose=text(measured[ROSE][0]),
            ratio=None,
            bar=f"bounded: {WORKERS} at once, so {least:g} s and <= {1.1 * least:g} s",
            reached=text(ours),
            met=ours.why_not is None
            and ours.value("at_once") <= WORKERS
            and least <= ours.value("total_seconds") <= 1.1 * least,
        )
    ]


ROWS: tuple[Callable[[Bench], list[Row]], ...] = (
    lambda bench: noop_rows(bench, 8),
    lambda bench: noop_rows(bench, 16),
    thread_rows,
    simulation_rows,
    flow_rows,
    member_rows,
    count_rows,
    command_rows,
)
