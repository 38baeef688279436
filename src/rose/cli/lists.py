"""Run the `rose` commands that list what programs can be made of: metrics, acquisitions, engines."""

from __future__ import annotations

import argparse
import json
import math
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rose.cli._arguments import add_command, add_json

if TYPE_CHECKING:
    from rose.cli._arguments import Commands
    from rose.errors import RoseError

_CRITERIA = "Stop criteria, as_stop_criterion(NAME, threshold=...); any other name wants an operator"


def add_list_commands(commands: Commands) -> None:
    """Add the commands to the parser."""
    metrics = add_command(
        commands,
        "metrics",
        _metrics,
        "list the metrics: of uncertainty, and of stop criteria",
        "List the metrics that candidates are scored by, then those that a stop criterion may name.",
        ("", "--task classification", "--json"),
    )
    metrics.add_argument("--task", choices=("classification", "regression"), help="only those for this task type")
    metrics.add_argument("--markdown", action="store_true", help="as a table for documents")
    add_json(metrics)
    acquisitions = add_command(
        commands,
        "acquisitions",
        _acquisitions,
        "list the ways to choose a batch",
        "List the ways to choose a batch, and what each needs.",
        ("", "--json"),
    )
    add_json(acquisitions)
    engines = add_command(
        commands,
        "engines",
        _engines,
        "list where tasks can run, or try it out",
        "List the engines, what is installed of them and what they can do; or try one out.",
        ("", "--check local", "--check tcp://10.0.0.1:8786", "--json"),
        {1: "--check: the engine does not do what it says, or there is none; what was wrong is printed"},
    )
    engines.add_argument(
        "--check", metavar="NAME", help="run a few real tasks on this engine (or at a Dask scheduler's tcp://...)"
    )
    add_json(engines)


def _metrics(arguments: argparse.Namespace) -> int:
    from rose.scoring import METRICS, describe, metrics

    if arguments.markdown:
        print(f"{describe(arguments.task)}\n\n{_CRITERIA}:\n")
        print("| metric | stops when | measured by |\n|---|---|---|")
        for name, operator, measured in _criteria(arguments.task):
            print(f"| {name} | value {operator} threshold | {measured} |")
        return 0
    listed = metrics(arguments.task)
    if arguments.json:
        plain = ("name", "task", "direction", "min_samples", "summary", "formula", "reference")
        rows = [
            {name: getattr(metric, name) for name in plain}
            | {"aliases": list(metric.aliases), "needs": sorted(metric.needs), "takes": sorted(metric.takes)}
            | {"range": [end if math.isfinite(end) else None for end in metric.range]}
            for metric in listed
        ]
        criteria = [
            dict(zip(("name", "operator", "measured_by"), one, strict=True)) for one in _criteria(arguments.task)
        ]
        return _as_json({"uncertainty": rows, "criteria": criteria}, METRICS.broken())
    for metric in listed:
        names = ", ".join((metric.name, *metric.aliases))
        print(f"{names}  ({metric.task}; {metric.direction} is more uncertain)")
        _wrapped(metric.summary)
        _wrapped(". ".join(filter(None, (metric.formula, metric.reference and f" [{metric.reference}]"))))
    _not_listed(METRICS.broken())
    print(f"\n{_CRITERIA}:")
    for name, operator, measured in _criteria(arguments.task):
        print(f"{name:40}value {operator:2} threshold  ({measured})")
    return 0


def _criteria(task: str | None) -> Iterator[tuple[str, str, str]]:
    """Yield the metrics of stop criteria: the name, the operator, and what measures them."""
    from rose.metrics import LEARNING_METRICS
    from rose.pool.judging.holdout import CLASSIFICATION, REGRESSION

    of_task = {None: (*CLASSIFICATION, *REGRESSION), "classification": CLASSIFICATION, "regression": REGRESSION}[task]
    for name in of_task:
        yield name, LEARNING_METRICS[name], "the pool's hold-out, or your function"
    for name, operator in LEARNING_METRICS.items():
        if name not in (*CLASSIFICATION, *REGRESSION):
            yield name, operator, "your function"


def _acquisitions(arguments: argparse.Namespace) -> int:
    from rose.acquisition import ACQUISITIONS, acquisitions, get_acquisition

    listed = list(map(get_acquisition, acquisitions()))
    if arguments.json:
        plain = ("name", "task", "min_samples", "stochastic", "summary", "reference")
        rows = [
            {name: getattr(method, name) for name in plain}
            | {name: list(getattr(method, name)) for name in ("aliases", "needs", "uses")}
            for method in listed
        ]
        return _as_json(rows, ACQUISITIONS.broken())
    for method in listed:
        names = ", ".join((method.name, *method.aliases))
        few = f"mc_preds ({method.min_samples} or more)" if method.min_samples > 1 else "mc_preds"
        needs = " and ".join(need.replace("|", " or ") for need in method.needs).replace("mc_preds", few)
        task = "" if method.task == "any" else f"{method.task}; "
        print(f"{names}  ({task}needs {needs or 'nothing'})")
        _wrapped(method.summary + (f"  [{method.reference}]" if method.reference else ""))
    _not_listed(ACQUISITIONS.broken())
    return 0


def _engines(arguments: argparse.Namespace) -> int:
    from rose.cli._engines import check_engine, engine_rows, list_engines
    from rose.engine.registry import ENGINES

    if arguments.check is not None:
        return check_engine(arguments.check, arguments.json)
    if arguments.json:
        return _as_json(engine_rows(), ENGINES.broken())
    list_engines()
    return 0


def _as_json(rows: object, broken: Sequence[RoseError]) -> int:
    print(json.dumps(rows, indent=1))
    for error in broken:
        print(f"not listed: {error}", file=sys.stderr)
    return 0


def _not_listed(errors: Sequence[RoseError]) -> None:
    for error in errors:
        print(f"not listed: {error}")


def _wrapped(text: str) -> None:
    print(textwrap.fill(text, width=100, initial_indent="    ", subsequent_indent="    "))
