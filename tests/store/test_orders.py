"""What people order: any process places it, the driver learns of it, answers, and records that."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from rose.cli import main as rose
from rose.errors import ConfigurationError, RunDirectoryError
from rose.store import (
    Label,
    OrderObeyed,
    OrderRefused,
    PlacedOrder,
    Run,
    RunReader,
    Set,
    Stop,
    Withdraw,
    answered,
    place,
    waiting,
)

ORDERS = [Stop(), Set({"query_size": 20, "threshold": 0.5}, "w"), Withdraw("w", 7), Label(3, [1.0, "text"], "w")]


async def obeying(path: Path, *commands: Any) -> list[Any]:
    """Drive a run that refuses what is for workflow "x", while the commands are carried out in threads."""
    run = await Run.open(path)

    def obey(placed: PlacedOrder) -> None:
        run.answer(placed.id, getattr(placed.order, "workflow", None) != "x", f"{placed.kind} it is")

    run.on_orders(obey)
    try:
        return [await asyncio.to_thread(command) for command in commands]
    finally:
        await run.close()


def test_orders_are_told_of_and_answered(tmp_path: Path) -> None:
    path = tmp_path / "run"

    async def main() -> None:
        run = await Run.open(path)
        told: asyncio.Queue[PlacedOrder] = asyncio.Queue()
        run.on_orders(told.put_nowait)
        for number, order in enumerate(ORDERS, 1):
            assert await asyncio.to_thread(place, path, order, "ada") == number
            placed = await told.get()
            assert (placed.id, placed.who, placed.order, placed.state) == (number, "ada", order, "placed")
            assert answered(path, number) is None
        assert [one.id for one in waiting(path)] == [1, 2, 3, 4]
        run.answer(2, True, "from iteration 4 on")
        run.answer(3, False, "it is labelled already")
        await run.flushed()
        done, refused = answered(path, 2), answered(path, 3)
        assert done is not None
        assert refused is not None
        assert (done.state, done.answer, refused.state) == ("done", "from iteration 4 on", "refused")
        assert done.answered is not None
        assert done.answered >= done.time
        await run.close()

    asyncio.run(main())
    with RunReader(path) as reader:
        changes = reader.since()
    assert [event for _, event in changes.events] == [
        OrderObeyed(2, "ada", "set", "w", "from iteration 4 on"),
        OrderRefused(3, "ada", "withdraw", "w", "it is labelled already"),
    ]
    assert [one.order for one in changes.orders] == ORDERS
    assert [one.id for one in waiting(path)] == [1, 4]


def test_the_next_driver_obeys_but_does_not_stop(tmp_path: Path) -> None:
    path = tmp_path / "run"
    asyncio.run(obeying(path))
    stop, change = place(path, Stop("w")), place(path, Set({"budget": 9}))

    async def main() -> None:
        run = await Run.open(path)
        told: asyncio.Queue[PlacedOrder] = asyncio.Queue()
        run.on_orders(told.put_nowait)
        assert (await told.get()).id == change
        await run.flushed()
        refused = answered(path, stop)
        assert refused is not None
        assert refused.answer == "the driver that it was meant for had ended before it knew of it"
        await run.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "make",
    [
        lambda: Set({}),
        lambda: Set({"querysize": 3}),
        lambda: Set({"query_size": "three"}),  # type: ignore[dict-item]
        lambda: Set({"threshold": float("nan")}),
        lambda: Set({"threshold": float("-inf")}),
        lambda: Set({"threshold": 10**400}),
        lambda: place("run", Label(3, object())),
    ],
)
def test_orders_that_cannot_be(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError):
        make()
    with pytest.raises(RunDirectoryError, match="holds no run"):
        place(tmp_path, Stop())


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "run")
    commands = (["set", path, "query_size=20", "threshold=.5", "--workflow", "w"], ["stop", path, "x"], ["stop", path])
    codes = asyncio.run(obeying(tmp_path / "run", *[lambda words=words: rose(words) for words in commands]))
    out, err = capsys.readouterr()
    assert (codes, out.splitlines(), err) == (
        [0, 1, 0],
        ["done: set it is", "refused: stop it is", "done: stop it is"],
        "",
    )
    with sqlite3.connect(tmp_path / "run" / "journal.sqlite") as connection:
        (body,) = connection.execute("SELECT body FROM orders WHERE seq = 1").fetchone()
    connection.close()
    assert json.loads(body) == {"settings": {"query_size": 20, "threshold": 0.5}}
    commands = (
        ["label", path, "3", "-1e-3", "--json"],
        ["label", path, "4", "[0.5, -1]", "--workflow", "w"],
        ["label", path, "5", "a cat"],
        ["withdraw", path, "6", "--workflow", "x", "--json"],
    )
    codes = asyncio.run(obeying(tmp_path / "run", *[lambda words=words: rose(words) for words in commands]))
    first, *texts, last = capsys.readouterr()[0].splitlines()
    assert codes == [0, 0, 0, 1]
    assert json.loads(first) == {"order": 4, "state": "done", "text": "label it is"}
    assert texts == ["done: label it is"] * 2
    assert json.loads(last) == {"order": 7, "state": "refused", "text": "withdraw it is"}
    with RunReader(path) as reader:
        given = [one.order for one in reader.since().orders[3:]]
    assert given == [Label(3, -0.001), Label(4, [0.5, -1], "w"), Label(5, "a cat"), Withdraw("x", 6)]
    assert rose(["stop", path]) == 1
    assert "no driver is alive" in capsys.readouterr()[0]
    assert rose(["set", path, "querysize=3"]) == 1
    assert "did you mean 'query_size'?" in capsys.readouterr()[1]
    with pytest.raises(SystemExit):
        rose(["set", path, "query_size"])
    assert "'query_size' must be NAME=VALUE" in capsys.readouterr()[1]


def test_an_order_of_another_version_is_refused_and_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run"
    asyncio.run(obeying(path))
    with monkeypatch.context() as later:
        later.setattr("rose.store.orders.SETTINGS", ("colour",))
        strange = place(path, Set({"colour": 9}))
    change = place(path, Set({"budget": 9}))

    async def main() -> None:
        run = await Run.open(path)
        told: asyncio.Queue[PlacedOrder] = asyncio.Queue()
        run.on_orders(told.put_nowait)
        assert (await told.get()).id == change
        await run.flushed()
        refused = answered(path, strange)
        assert refused is not None
        assert refused.answer == "this version of ROSE knows no order 'set'"
        await run.close()

    asyncio.run(main())


@pytest.mark.parametrize("answers", [True, False])
def test_the_driver_ends_before_its_answer_is_read(
    answers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, closed = tmp_path / "run", threading.Event()

    def place_and_wait(*order: Any) -> int:
        number = place(*order)
        closed.wait()
        return number

    monkeypatch.setattr("rose.store.place", place_and_wait)

    async def main() -> int:
        run, told = await Run.open(path), asyncio.Event()

        def obey(placed: PlacedOrder) -> None:
            if answers:
                run.answer(placed.id, True, "the run ends")
            told.set()

        run.on_orders(obey)
        command = asyncio.ensure_future(asyncio.to_thread(rose, ["stop", str(path)]))
        await told.wait()
        await run.close()
        closed.set()
        return await command

    assert asyncio.run(main()) == (0 if answers else 1)
    assert capsys.readouterr().out.startswith("done: the run ends" if answers else "the driver has ended without an")
