"""Run the `rose` command."""

from __future__ import annotations

import argparse
import io
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence

from rose import __version__
from rose.cli.compare import add_compare_command
from rose.cli.orders import add_order_commands
from rose.cli.page import add_page_command
from rose.cli.programs import add_program_commands
from rose.cli.runs import add_run_commands
from rose.errors import RoseError

_CRITERIA = "Stop criteria, as_stop_criterion(NAME, threshold=...); any other name wants an operator"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a locale has no letters for is written out
            stream.reconfigure(errors="backslashreplace")
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return 2
    try:
        code = arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (RoseError, OSError) as error:
        from rose.watch.terminal import clean

        print(clean(f"rose: {error}"), file=sys.stderr)
        return 1
    return code or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rose",
        description="ROSE: uncertainty-driven active learning. This command runs programs, looks at runs and tidies "
        "up after them, and tells what they can be made of.",
    )
    parser.add_argument("--version", action="version", version=f"rose-uq {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", title="commands")
    add_program_commands(commands)
    add_run_commands(commands)
    add_order_commands(commands)
    add_compare_command(commands)
    add_page_command(commands)
    metrics = commands.add_parser(
        "metrics",
        help="list the metrics: of uncertainty, and of stop criteria",
        description="List the metrics that candidates are scored by, then those that a stop criterion may name.",
    )
    metrics.add_argument("--task", choices=("classification", "regression"), help="only those for this task type")
    metrics.add_argument("--markdown", action="store_true", help="as a table for documents")
    metrics.set_defaults(run=_metrics)
    acquisitions = commands.add_parser(
        "acquisitions", help="list the ways to choose a batch", description="List the ways to choose a batch."
    )
    acquisitions.set_defaults(run=_acquisitions)
    engines = commands.add_parser(
        "engines", help="list where tasks can run, or try it out", description="List the engines, or try one out."
    )
    engines.add_argument(
        "--check", metavar="NAME", help="run a few real tasks on this engine (or at a Dask scheduler's tcp://...)"
    )
    engines.set_defaults(run=_engines)
    return parser


def _metrics(arguments: argparse.Namespace) -> None:
    from rose.scoring import METRICS, describe, metrics

    if arguments.markdown:
        print(f"{describe(arguments.task)}\n\n{_CRITERIA}:\n")
        print("| metric | stops when | measured by |\n|---|---|---|")
        for name, operator, measured in _criteria(arguments.task):
            print(f"| {name} | value {operator} threshold | {measured} |")
        return
    for metric in metrics(arguments.task):
        names = ", ".join((metric.name, *metric.aliases))
        print(f"{names}  ({metric.task}; {metric.direction} is more uncertain)")
        _wrapped(metric.summary)
        _wrapped(". ".join(filter(None, (metric.formula, metric.reference and f" [{metric.reference}]"))))
    _not_listed(METRICS.broken())
    print(f"\n{_CRITERIA}:")
    for name, operator, measured in _criteria(arguments.task):
        print(f"{name:40}value {operator:2} threshold  ({measured})")


def _criteria(task: str | None) -> Iterator[tuple[str, str, str]]:
    """Yield the metrics of stop criteria: the name, the operator, and what measures them."""
    from rose.metrics import LEARNING_METRICS
    from rose.pool.holdout import CLASSIFICATION, REGRESSION

    of_task = {None: (*CLASSIFICATION, *REGRESSION), "classification": CLASSIFICATION, "regression": REGRESSION}[task]
    for name in of_task:
        yield name, LEARNING_METRICS[name], "the pool's hold-out, or your function"
    for name, operator in LEARNING_METRICS.items():
        if name not in (*CLASSIFICATION, *REGRESSION):
            yield name, operator, "your function"


def _acquisitions(arguments: argparse.Namespace) -> None:
    from rose.acquisition import ACQUISITIONS, acquisitions, get_acquisition

    for method in map(get_acquisition, acquisitions()):
        names = ", ".join((method.name, *method.aliases))
        few = f"mc_preds ({method.min_samples} or more)" if method.min_samples > 1 else "mc_preds"
        needs = " and ".join(need.replace("|", " or ") for need in method.needs).replace("mc_preds", few)
        task = "" if method.task == "any" else f"{method.task}; "
        print(f"{names}  ({task}needs {needs or 'nothing'})")
        _wrapped(method.summary + (f"  [{method.reference}]" if method.reference else ""))
    _not_listed(ACQUISITIONS.broken())


def _engines(arguments: argparse.Namespace) -> int:
    from rose.cli.engines import check_engine, list_engines

    if arguments.check is not None:
        return check_engine(arguments.check)
    list_engines()
    return 0


def _not_listed(errors: Sequence[RoseError]) -> None:
    for error in errors:
        print(f"not listed: {error}")


def _wrapped(text: str) -> None:
    print(textwrap.fill(text, width=100, initial_indent="    ", subsequent_indent="    "))
