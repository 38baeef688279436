"""Which worker a task goes to: `Placement` alone, without any Dask."""

from __future__ import annotations

from typing import Any

import pytest

from rose.engine import Capacity, Resources, Task, TaskKey
from rose.engine.dask.placement import AHEAD, Place, PlacedRequest, Placement
from rose.errors import CapacityError


class Bench:
    """Placement, and where each request was started."""

    def __init__(self, *has: Capacity) -> None:
        self.places = Placement()
        self.of = [Place(each) for each in has]
        self.where: dict[str, int] = {}
        for place in self.of:
            self.places.add(place)

    def ask(self, name: str, workflow: str = "w", stage: str = "s", **wanted: Any) -> PlacedRequest:
        request = PlacedRequest(
            Task(TaskKey(workflow, 0, stage), name.lower, resources=Resources(**wanted)), self.start
        )
        self.names[id(request)] = name
        self.places.submit(request)
        return request

    def start(self, request: PlacedRequest) -> None:
        assert request.place is not None
        self.where[self.names[id(request)]] = self.of.index(request.place)

    names: dict[int, str] = {}  # noqa: RUF012


def test_tasks_spread_over_the_workers() -> None:
    bench = Bench(Capacity(2), Capacity(2))
    for name in "abcd":
        bench.ask(name)
    assert sorted(bench.where.values()) == [0, 0, 1, 1]
    bench.ask("e")
    assert "e" not in bench.where


def test_a_large_task_waits_for_one_worker_and_the_others_go_on() -> None:
    bench = Bench(Capacity(2), Capacity(2))
    small = [bench.ask(name) for name in "abcd"]
    bench.ask("large", workflow="large", cpus=2)
    behind = bench.ask("behind")
    on = [[each for each in small if bench.where[bench.names[id(each)]] == number] for number in (0, 1)]
    bench.places.release(on[0][0])  # one cpu of worker 0: it is kept for the large one
    assert not {"large", "behind"} & set(bench.where)
    bench.places.release(on[1][0])
    assert bench.where["behind"] == 1
    bench.places.release(behind)
    assert "large" not in bench.where
    bench.places.release(on[0][1])
    assert bench.where["large"] == 0


def test_gpus_are_left_to_those_who_want_them() -> None:
    bench = Bench(Capacity(2, gpus=1), Capacity(1))
    bench.ask("plain")
    bench.ask("on a gpu", gpus=1)
    bench.ask("another", workflow="v", gpus=1)
    bench.ask("last")
    assert bench.where == {"plain": 1, "on a gpu": 0, "last": 0}


def test_memory_is_counted_by_worker() -> None:
    bench = Bench(Capacity(4, memory=100), Capacity(4, memory=50))
    bench.ask("a", memory=80)
    bench.ask("b", memory=40)
    waits = bench.ask("c", memory=40)
    assert bench.where == {"a": 0, "b": 1}
    bench.places.withdraw(waits)
    bench.ask("d")
    assert "d" in bench.where


def test_what_no_one_worker_has_is_refused() -> None:
    known = [Capacity(8, gpus=0, memory=100), Capacity(2, gpus=1, memory=200)]
    places, key = Placement(), TaskKey("w", 0, "s")
    for wanted in (Resources(cpus=8, memory=100), Resources(gpus=1, memory=200)):
        places.check_fits(Task(key, len, resources=wanted), known)
    with pytest.raises(
        CapacityError, match=r"w/0/s asks for 9 cpus \(the engine has 8\) and 2 gpus \(the engine has 1\)"
    ):
        places.check_fits(Task(key, len, resources=Resources(cpus=9, gpus=2)), known)
    with pytest.raises(CapacityError, match="which no one worker has together"):
        places.check_fits(Task(key, len, resources=Resources(cpus=8, gpus=1)), known)
    places.check_fits(Task(key, len, resources=Resources(cpus=99)), [])  # no worker yet: who knows


def test_only_short_tasks_are_sent_ahead_and_not_without_end() -> None:
    bench = Bench(Capacity(1))
    bench.places.release(bench.ask("first"))
    bench.places.lasted(Task(TaskKey("w", 0, "s"), "x".lower), 0.001)
    for number in range(3 * AHEAD):
        bench.ask(f"short {number}")
    assert len(bench.where) == 1 + 1 + AHEAD
    bench.ask("unknown", workflow="other", stage="other")
    assert "unknown" not in bench.where
    bench.places.remove(bench.of[0])
    assert not bench.places.members
