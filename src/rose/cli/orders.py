"""Run the `rose` commands that tell a run that goes on what to do: stop, set, label, withdraw."""

from __future__ import annotations

import argparse
import json
import re
import time
from typing import TYPE_CHECKING

from rose.cli._arguments import FAILED, add_command, add_json, as_path, as_text, index
from rose.errors import ConfigurationError

if TYPE_CHECKING:
    from rose.cli._arguments import Commands
    from rose.store import Order

WAITED = 10.0  # seconds for the driver's answer, which comes within one unless its machine is very busy
_CODES = {0: "the driver did it", FAILED: "it was refused, no driver lives, or none has answered"}


def add_order_commands(commands: Commands) -> None:
    """Add the commands to the parser."""
    stop = add_command(
        commands,
        "stop",
        _stop,
        "stop a run, or one workflow of it",
        "Have the driver of a run end it, or one of its workflows, as learner.stop() does: what runs is cancelled, "
        "what is recorded stays, and the same program goes on with it.",
        ("runs/digits", "runs/digits bald"),
        _CODES,
    )
    _add_run(stop)
    stop.add_argument("workflow", type=as_text, metavar="WORKFLOW", nargs="?", help="one workflow (default: the run)")
    change = add_command(
        commands,
        "set",
        _set,
        "change a setting of a run that goes on",
        "Have the driver of a run go on with other settings from the next iteration on: query_size, threshold, budget, "
        "max_iter.",
        ("runs/digits query_size=20", "runs/digits threshold=0.95 max_iter=50 --workflow bald"),
        _CODES,
    )
    _add_run(change)
    change.add_argument("settings", type=_setting, metavar="NAME=VALUE", nargs="+", help="e.g. query_size=20")
    change.add_argument("--workflow", type=as_text, metavar="NAME", help="of one workflow (default: of all)")
    label = add_command(
        commands,
        "label",
        _label,
        "give the label of a candidate that is being simulated",
        "Have the driver of a run take this for the label of a candidate that is being simulated, or waits for it: the "
        "simulation is stopped, and the run goes on.",
        ("runs/digits 17 3", "runs/digits 17 '[0.25, -1e-3]' --workflow bald", "runs/digits 17 cat"),
        _CODES,
    )
    label._negative_number_matcher = re.compile(r"-\.?\d")  # so that -1e-3 is a value, as it is from Python 3.14 on
    _add_run(label)
    _add_candidate(label)
    label.add_argument("value", type=as_text, metavar="VALUE", help="JSON (a number, a list of them), or a text")
    label.add_argument("--workflow", type=as_text, metavar="NAME", help="for one workflow (default: for all)")
    withdraw = add_command(
        commands,
        "withdraw",
        _withdraw,
        "do without the label of a candidate",
        "Have a workflow of a run do without the label of a candidate that is being simulated, or waits for it.",
        ("runs/digits 17 --workflow bald",),
        _CODES,
    )
    _add_run(withdraw)
    _add_candidate(withdraw)
    withdraw.add_argument("--workflow", type=as_text, metavar="NAME", required=True, help="which has asked for it")


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=as_path, metavar="RUN", help="a run directory that a driver writes")
    add_json(parser)


def _add_candidate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("candidate", type=index, metavar="CANDIDATE", help="its index in the pool")


def _setting(text: str) -> tuple[str, int | float]:
    name, equals, value = text.partition("=")
    try:
        return name.strip(), int(value)
    except ValueError:
        try:
            return name.strip(), float(value)
        except ValueError:
            what = f"{value!r} is no number" if equals else "there is no ="
            raise argparse.ArgumentTypeError(f"{text!r} must be NAME=VALUE, like query_size=20: {what}") from None


def _stop(arguments: argparse.Namespace) -> int:
    from rose.store import Stop

    return _place(arguments, Stop(arguments.workflow))


def _set(arguments: argparse.Namespace) -> int:
    from rose.store import Set

    names = [name for name, _ in arguments.settings]
    if len(set(names)) < len(names):
        raise ConfigurationError(f"a setting is given twice: {', '.join(names)}")
    return _place(arguments, Set(dict(arguments.settings), arguments.workflow))


def _label(arguments: argparse.Namespace) -> int:
    from rose.store import Label

    try:
        value = json.loads(arguments.value)
    except ValueError:
        value = arguments.value
    return _place(arguments, Label(arguments.candidate, value, arguments.workflow))


def _withdraw(arguments: argparse.Namespace) -> int:
    from rose.store import Withdraw

    return _place(arguments, Withdraw(arguments.workflow, arguments.candidate))


def _place(arguments: argparse.Namespace, order: Order) -> int:
    """Place an order, and print the driver's answer."""
    from rose.store import OrderObeyed, OrderRefused, RunReader, place

    with RunReader(arguments.directory) as reader:
        changes = reader.since(reader.now())
        if not changes.drivers or not changes.drivers[-1].alive:
            why = f"no driver is alive in {str(arguments.directory)!r}: nobody would obey"
            return _say(arguments, None, None, why)
        number, deadline = place(arguments.directory, order), time.monotonic() + WAITED
        while True:
            for _, event in changes.events:
                if isinstance(event, (OrderObeyed, OrderRefused)) and event.order == number:
                    return _say(arguments, number, "done" if isinstance(event, OrderObeyed) else "refused", event.text)
            ended = changes.drivers[-1].ended is not None  # perhaps by this order, with its answer
            if ended or time.monotonic() > deadline:
                break
            time.sleep(0.1)
            changes = reader.since(changes.cursor)
    why = "the driver has ended without an answer" if ended else f"no answer for {WAITED:g} s"
    return _say(arguments, number, "placed", f"{why}: the order (number {number}) stays, until a driver answers it")


def _say(arguments: argparse.Namespace, number: int | None, state: str | None, text: str) -> int:
    """Print what came of an order, with its number and state where it has them; returns the exit code."""
    from rose.watch.terminal import clean

    if arguments.json:
        print(json.dumps({"order": number, "state": state, "text": text}))
    else:
        print(clean(f"{state}: {text}" if state in ("done", "refused") else text))
    return 0 if state == "done" else FAILED
