"""Run the `rose` commands that look at runs and tidy them: status, watch, runs, task, labels, retry, gc."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose.cli._arguments import FAILED, add_command, add_json, as_path, as_text, index, positive
from rose.errors import ConfigurationError

if TYPE_CHECKING:
    from rose.cli._arguments import Commands

_RUN = "a run directory"
_STANDS = {
    0: "it is running or has finished, all of its workflows for a good reason",
    FAILED: "there is no run, or it is damaged",
    3: "it ended otherwise, or a workflow of it could not go on",
}


def add_run_commands(commands: Commands) -> None:
    """Add the commands to the parser."""
    status = add_command(
        commands,
        "status",
        _status,
        "how a run stands",
        "Say how a run stands: its workflows, what runs and what waits, what failed, and where the time went.",
        ("runs/digits", "runs/digits --watch", "runs/digits --json"),
        _STANDS,
    )
    status.add_argument("directory", type=as_path, metavar="RUN", help=_RUN)
    status.add_argument("--watch", action="store_true", help="keep it up to date until the run ends, as `rose watch`")
    add_json(status)
    watch = add_command(
        commands,
        "watch",
        _watch,
        "how a run stands, kept up to date",
        "Show how a run stands, kept up to date in place, until it ends; in a pipe, a line for each change. Ctrl-C "
        "leaves at once; the run goes on.",
        ("runs/digits", "runs/digits > digits.log", "runs/digits --json | jq .labels"),
        {**_STANDS, 0: "it has finished, all of its workflows for a good reason"},
    )
    watch.add_argument("directory", type=as_path, metavar="RUN", help=_RUN)
    watch.add_argument("--json", action="store_true", help="for programs: a line for each change")
    runs = add_command(
        commands,
        "runs",
        _runs,
        "list the runs below a directory",
        "List the runs below a directory, the latest first.",
        ("", "/project/runs --json"),
    )
    runs.add_argument(
        "directory", type=as_path, metavar="DIR", nargs="?", default=Path("."), help="where to look (default: here)"
    )
    add_json(runs)
    task = add_command(
        commands,
        "task",
        _task,
        "show a task: its times, traceback, stdout and stderr",
        "Show one task; without KEY, list those that failed.",
        ("runs/digits", "runs/digits bald/3/training/mlp", "runs/digits bald/3/ --all --json"),
        {FAILED: "there is no such run or task, or it is damaged"},
    )
    task.add_argument("directory", type=as_path, metavar="RUN", help=_RUN)
    task.add_argument("key", type=as_text, metavar="KEY", nargs="?", help="a task's key, e.g. bald/3/training/mlp")
    task.add_argument("--all", action="store_true", help="list all tasks, or those whose keys begin with KEY")
    add_json(task)
    _add_tidying_commands(commands)


def _add_tidying_commands(commands: Commands) -> None:
    labels = add_command(
        commands,
        "labels",
        _labels,
        "write a run's labels to a file",
        "Write all labels of a run to a file, which Pool(X, labels=FILE) takes; or print them as JSON.",
        ("runs/digits --to digits.csv", "runs/digits --to digits.npz", "runs/digits --json"),
    )
    labels.add_argument("directory", type=as_path, metavar="RUN", help=_RUN)
    where = labels.add_mutually_exclusive_group(required=True)
    where.add_argument("--to", type=as_path, metavar="FILE", help="a .npz, .csv or .parquet file")
    add_json(where)
    retry = add_command(
        commands,
        "retry",
        _retry,
        "try dropped candidates again",
        "Have candidates whose simulations failed, and were dropped, tried again when the run is resumed: in the next "
        "round of each workflow that asked for them. What was decided without them stays.",
        ("runs/digits --dry-run", "runs/digits 17 23"),
    )
    retry.add_argument("directory", type=as_path, metavar="RUN", help="a run directory that no driver writes")
    retry.add_argument(
        "candidates",
        type=index,
        metavar="INDEX",
        nargs="*",
        help="indices in the pool (default: all dropped ones)",
    )
    retry.add_argument("--dry-run", action="store_true", help="only say which")
    add_json(retry)
    gc = add_command(
        commands,
        "gc",
        _gc,
        "remove what a run does not need any more",
        "Remove what crashes left, and the models of earlier rounds. All labels stay, and what resuming needs.",
        ("runs/digits --dry-run", "runs/digits --models 3 --output"),
    )
    gc.add_argument("directory", type=as_path, metavar="RUN", help="a run directory that no driver writes")
    gc.add_argument(
        "--models", type=positive, metavar="N", default=1, help="keep the models of the last N rounds (default: 1)"
    )
    gc.add_argument("--output", action="store_true", help="also remove what tasks that are done have printed")
    gc.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    add_json(gc)


def _watch(arguments: argparse.Namespace) -> int:
    from rose.watch.live import watch

    return watch(arguments.directory, arguments.json)


def _status(arguments: argparse.Namespace) -> int:
    if arguments.watch:
        return _watch(arguments)
    from rose.watch.status import exit_code, look, status_text
    from rose.watch.summary import to_dict

    summary, worth = look(arguments.directory)
    told = to_dict(summary) | {"worth": [one.to_dict() for one in worth]}
    print(json.dumps(told, indent=1) if arguments.json else status_text(summary, worth=worth))
    return exit_code(summary)


def _runs(arguments: argparse.Namespace) -> int:
    from rose.watch.runs import find_runs, runs_json, runs_text
    from rose.watch.terminal import clean

    runs, whole = find_runs(arguments.directory)
    if arguments.json:
        print(json.dumps(runs_json(runs), indent=1))
    else:
        print(runs_text(runs) if runs else clean(f"no runs in {str(arguments.directory)!r}"))
    if not whole:
        print("not all directories were searched, there are too many: name a smaller part", file=sys.stderr)
    return 0


def _task(arguments: argparse.Namespace) -> int:
    from rose.watch.task import list_tasks, task_json, task_text, tasks_json, tasks_text, view_task

    run, key = arguments.directory, arguments.key
    if key is None or arguments.all:
        records = list_tasks(run, "" if key is None else key, everything=arguments.all)
        if arguments.json:
            print(json.dumps(tasks_json(records), indent=1))
        elif records:
            print(tasks_text(records))
        else:
            print("no task has been recorded" if arguments.all else "no task has failed (--all lists all)")
        return 0
    view = view_task(run, key)
    print(json.dumps(task_json(view), indent=1) if arguments.json else task_text(view))
    return 0


def _labels(arguments: argparse.Namespace) -> int:
    from rose.store import labels_of_run, write_labels
    from rose.watch.terminal import clean

    table = labels_of_run(arguments.directory, every=True)
    if arguments.json:
        columns = {
            "candidate": table.candidates,
            "label": table.labels,
            "task": table.keys,
            "simulation": table.simulations,
            "x": table.X,
        }
        told = {name: column for name, column in columns.items() if column is not None}
        rows = [dict(zip(told, row, strict=True)) for row in zip(*told.values(), strict=True)]
        print(json.dumps(rows, indent=1, default=_listed))
        return 0
    if not len(table):
        raise ConfigurationError(f"the run in {str(arguments.directory)!r} has labelled nothing (yet)")
    write_labels(table, arguments.to)
    candidates = "" if table.X is not None else ", without the candidates, which are too large to be in the run"
    earlier = "" if table.simulations is None else "; those of earlier simulations have a lower number in `simulation`"
    print(clean(f"{len(table)} labels written to {arguments.to}{candidates}{earlier}"))
    return 0


def _listed(value: Any) -> Any:
    """Return an array, or a number of NumPy's, in plain JSON; anything else as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _retry(arguments: argparse.Namespace) -> int:
    from rose.store import retry
    from rose.watch.terminal import clean

    found = retry(arguments.directory, arguments.candidates or None, dry_run=arguments.dry_run)
    if arguments.json:
        print(json.dumps([one._asdict() for one in found], indent=1))
        return 0
    for one in found:
        print(clean(f"candidate {one.candidate}  {one.task}: {one.error}"))
    verb = "would be" if arguments.dry_run else "will be"
    when = " when the run is resumed" if found else ""
    print(f"{len(found)} dropped candidates {verb} tried again{when}")
    return 0


def _gc(arguments: argparse.Namespace) -> int:
    from rose.store.garbage import collect_garbage
    from rose.watch.terminal import size

    found = collect_garbage(arguments.directory, arguments.models, arguments.output, arguments.dry_run)
    if arguments.json:
        print(json.dumps(dataclasses.asdict(found), indent=1))
        return 0
    what = f"{found.models} models of earlier rounds, {found.leftovers} leftovers"
    if arguments.output:
        what += f", the output of {found.outputs} tasks"
    print(f"{'would free' if arguments.dry_run else 'freed'} {size(found.bytes)}: {what}")
    return 0
