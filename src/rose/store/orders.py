"""Place what people order a driver to do while it runs: by any process, obeyed or refused by the driver.

    order = place(run_dir, Set(settings={"query_size": 20}), who="ada")
    placed = answered(run_dir, order)        # None until the driver has answered, within a second

The driver's side is `Run.on_orders` and `Run.answer`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import json
import math
import socket
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rose.errors import ConfigurationError, near_miss
from rose.paths import expanded
from rose.store.database.failures import explained
from rose.store.database.schema import open_for_writing, reading
from rose.store.database.sql import read_orders, write
from rose.store.database.transaction import exclusive
from rose.store.files.paths import DATABASE
from rose.store.records import OrderRecord

PLACED, OBEYED, REFUSED = "placed", "done", "refused"
SETTINGS = ("query_size", "threshold", "budget", "max_iter")


@dataclass(frozen=True)
class Stop:
    """End a workflow, or (None) the run."""

    kind: ClassVar[str] = "stop"
    workflow: str | None = None


@dataclass(frozen=True)
class Set:
    """Give a workflow, or (None) all, other settings from the next iteration on: names of `SETTINGS`, and numbers.

    What is recorded already stays: in a run that is being resumed, that is the first iteration that has not begun.

    Raises:
        ConfigurationError: if there are none, or one is not known, or no finite number.
    """

    kind: ClassVar[str] = "set"
    settings: Mapping[str, float | int]
    workflow: str | None = None

    def __post_init__(self) -> None:
        if not self.settings:
            raise ConfigurationError(f"nothing to set: name one of {', '.join(SETTINGS)}")
        for name, value in self.settings.items():
            if name not in SETTINGS:
                raise ConfigurationError(f"{name!r} cannot be set while a run goes on; {near_miss(name, SETTINGS)}")
            try:
                if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                    raise ConfigurationError(f"{name}={value!r} must be a finite number")
            except OverflowError:
                raise ConfigurationError(f"{name} is larger than any number that can be compared with it") from None


@dataclass(frozen=True)
class Withdraw:
    """Do without the label of a candidate that is being simulated, or waits for it."""

    kind: ClassVar[str] = "withdraw"
    workflow: str
    candidate: int


@dataclass(frozen=True)
class Label:
    """Take this for the label of a candidate: `value` is plain JSON (a number, a text, lists of them)."""

    kind: ClassVar[str] = "label"
    candidate: int
    value: Any
    workflow: str | None = None


Order = Stop | Set | Withdraw | Label
_KINDS: dict[str, type[Stop | Set | Withdraw | Label]] = {one.kind: one for one in (Stop, Set, Withdraw, Label)}


@dataclass(frozen=True)
class PlacedOrder:
    """Hold an order, and what became of it. Times are Unix times in seconds.

    Attributes:
        id: its number in the run.
        time: when it was placed.
        who: by whom.
        kind: what it is (stop, set, withdraw, label).
        order: the order itself; None: this version knows no such order.
        state: placed, done or refused.
        answered: when the driver answered.
        answer: what it said.
    """

    id: int
    time: float
    who: str
    kind: str
    order: Order | None
    state: str
    answered: float | None
    answer: str | None


def place(run_dir: str | Path, order: Order, who: str | None = None) -> int:
    """Leave an order for the driver of a run, which learns of it within a second; the next one does where none lives.

    Args:
        run_dir: the run directory.
        order: what to do.
        who: who wants it; None: the user of this process, at this machine.

    Returns:
        The order's number, for `answered`.

    Raises:
        ConfigurationError: if the order cannot be written as JSON.
        RunDirectoryError, CorruptRunError: if it is no run, or damaged.
        OSError: if it cannot be written.
    """
    directory = expanded(run_dir, "run_dir")
    fields = dataclasses.asdict(order)
    workflow = fields.pop("workflow")
    try:
        body = json.dumps(fields, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{order!r} cannot be written as JSON: {error}") from error
    with reading(directory):  # there has to be a run
        pass
    with (
        closing(open_for_writing(directory, durable=True)) as connection,
        explained(directory / DATABASE),
        exclusive(connection),
    ):
        row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'orders'").fetchone()
        number = 1 + (int(row[0]) if row else 0)
        record = OrderRecord(number, time.time(), who or _user(), order.kind, workflow, body, PLACED, None, None)
        write(connection, [record])
    return number


def waiting(run_dir: str | Path) -> list[PlacedOrder]:
    """Return the orders that no driver has answered, in the order in which they were placed."""
    with reading(expanded(run_dir, "run_dir")) as connection:
        return [placed_order(record) for record in read_orders(connection, 0, PLACED)]


def answered(run_dir: str | Path, order: int) -> PlacedOrder | None:
    """Return an order that was answered; None: it was not, or there is none of that number."""
    with reading(expanded(run_dir, "run_dir")) as connection:
        record = next(read_orders(connection, order - 1), None)
    return None if record is None or record.seq != order or record.state == PLACED else placed_order(record)


def placed_order(record: OrderRecord) -> PlacedOrder:
    """Return the order that a record holds."""
    kind, order = _KINDS.get(record.kind), None
    if kind is not None:
        said = {**json.loads(record.body), "workflow": record.workflow}
        known = {field.name for field in dataclasses.fields(kind)}
        with contextlib.suppress(ConfigurationError, TypeError):  # another version's
            order = kind(**{name: value for name, value in said.items() if name in known})
    seq, placed, who, name, _, _, state, when, answer = record
    return PlacedOrder(seq, placed, who, name, order, state, when, answer)


def _user() -> str:
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a user id without a name
        name = "somebody"
    return f"{name}@{socket.gethostname()}"
