"""Run the `rose` commands that tell a run that goes on what to do: stop, set."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from rose.cli._arguments import add_command, as_path, as_text
from rose.errors import ConfigurationError

if TYPE_CHECKING:
    from rose.cli._arguments import Commands
    from rose.store import Order

WAITED = 10.0  # seconds for the driver's answer, which comes within one unless its machine is very busy


def add_order_commands(commands: Commands) -> None:
    """Add the commands to the parser."""
    stop = add_command(
        commands,
        "stop",
        _stop,
        "stop a run, or one workflow of it",
        "Have the driver of a run end it, or one of its workflows, as learner.stop() does: what runs is cancelled, "
        "what is recorded stays, and the same program goes on with it. Exit code 1: refused, or no driver lives.",
    )
    stop.add_argument("directory", type=as_path, metavar="RUN", help="a run directory that a driver writes")
    stop.add_argument("workflow", type=as_text, metavar="WORKFLOW", nargs="?", help="one workflow (default: the run)")
    change = add_command(
        commands,
        "set",
        _set,
        "change a setting of a run that goes on",
        "Have the driver of a run go on with other settings from the next iteration on: query_size, threshold, budget, "
        "max_iter. Exit code 1: it was refused, or no driver lives.",
    )
    change.add_argument("directory", type=as_path, metavar="RUN", help="a run directory that a driver writes")
    change.add_argument("settings", type=_setting, metavar="NAME=VALUE", nargs="+", help="e.g. query_size=20")
    change.add_argument("--workflow", type=as_text, metavar="NAME", help="of one workflow (default: of all)")


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


def _place(arguments: argparse.Namespace, order: Order) -> int:
    """Place an order, and print the driver's answer."""
    from rose.store import OrderObeyed, OrderRefused, RunReader, place
    from rose.watch.terminal import clean

    with RunReader(arguments.directory) as reader:
        changes = reader.since(reader.now())
        if not changes.drivers or not changes.drivers[-1].alive:
            print(clean(f"no driver is alive in {str(arguments.directory)!r}: nobody would obey"))
            return 1
        number, deadline = place(arguments.directory, order), time.monotonic() + WAITED
        while True:
            for _, event in changes.events:
                if isinstance(event, (OrderObeyed, OrderRefused)) and event.order == number:
                    obeyed = isinstance(event, OrderObeyed)
                    print(clean(f"{'done' if obeyed else 'refused'}: {event.text}"))
                    return 0 if obeyed else 1
            ended = changes.drivers[-1].ended is not None  # perhaps by this order, with its answer
            if ended or time.monotonic() > deadline:
                break
            time.sleep(0.1)
            changes = reader.since(changes.cursor)
    why = "the driver has ended without an answer" if ended else f"no answer for {WAITED:g} s"
    print(f"{why}: the order (number {number}) stays, until a driver answers it")
    return 1
