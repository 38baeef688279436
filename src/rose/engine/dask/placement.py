"""Decide which worker of a cluster a task goes to, and when: it is on one, and none has more than it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from rose.engine.protocol import Capacity, Resources, Task
from rose.engine.slots import SlotRequest, Slots, check_meaning
from rose.errors import CapacityError

AHEAD = 16  # tasks that a worker is sent beyond its cpus, so that short ones do not wait for a round trip each
SHORT = 0.01  # seconds: ... which is done with those of stages whose tasks were that short


class Place:
    """Count one worker's resources: what it has, and what of that is free."""

    def __init__(self, has: Capacity) -> None:
        self.has = has
        self.free_cpus = has.cpus  # below 0: so many have been sent ahead
        self.free_gpus = has.gpus
        self.free_memory = has.memory

    def could_hold(self, wanted: Resources) -> bool:
        """Return whether this worker has all that is wanted, free or not."""
        memory = self.has.memory is None or wanted.memory is None or wanted.memory <= self.has.memory
        return wanted.cpus <= self.has.cpus and wanted.gpus <= self.has.gpus and memory

    def has_devices(self, wanted: Resources) -> bool:
        """Return whether the gpus and the memory are free."""
        memory = self.free_memory is None or wanted.memory is None or wanted.memory <= self.free_memory
        return memory and wanted.gpus <= self.free_gpus

    def occupy(self, wanted: Resources, sign: int) -> None:
        """Take what is wanted (`sign` 1), or give it back (-1)."""
        self.free_cpus -= sign * wanted.cpus
        self.free_gpus -= sign * wanted.gpus
        if self.free_memory is not None and wanted.memory is not None:
            self.free_memory -= sign * wanted.memory


class PlacedRequest(SlotRequest):
    """Hold what a waiting task asks for, and the place whose resources it was granted."""

    __slots__ = ("place",)

    def __init__(self, task: Task, start: Callable[[Any], None]) -> None:
        super().__init__(task, start)
        self.place: Place | None = None


class Placement(Slots):
    """Admit tasks to many workers, fair between workflows as `Slots` is.

    A workflow's first task that needs more cpus than any worker has free keeps one worker's free ones waiting for it;
    the other workers go on with the tasks behind.
    """

    def __init__(self) -> None:
        super().__init__(Capacity(0))
        self.members: dict[Place, None] = {}  # in a fixed order, so that what is kept for a request stays the same
        self._open: set[Place] = set()  # those with a free cpu
        self._seconds: dict[tuple[str, str], float] = {}  # how long the last task of a kind ran

    def add(self, place: Place) -> None:
        """Count in a worker that has joined."""
        self.members[place] = None
        self._sort_in(place)
        self.fill()

    def remove(self, place: Place) -> None:
        """Count out a worker that has gone, or takes nothing any more; what it held may be released later."""
        self.members.pop(place, None)
        self._open.discard(place)

    def check_fits(self, task: Task, known: list[Capacity]) -> None:
        """Refuse what none of the workers could ever hold; without workers nothing is known, so nothing refused.

        Raises:
            CapacityError: it wants more than any has.
            ConfigurationError: resources or a timeout that mean nothing.
        """
        check_meaning(task)
        wanted = task.resources
        if not known or any(Place(has).could_hold(wanted) for has in known):
            return
        memories = [has.memory for has in known if has.memory is not None]
        most = max(memories) if len(memories) == len(known) else None
        largest = Capacity(max(has.cpus for has in known), max(has.gpus for has in known), most)
        limit = "the limit is the largest worker's, for a task runs on one worker"
        try:
            Slots(largest).check(task)
        except CapacityError as error:
            raise CapacityError(f"{error}; {limit}") from None
        asks = f"{wanted}, which no one worker has together"
        raise CapacityError(f"task {task.key} asks for {asks}: it could never run; {limit}. Ask for less")

    def waiting(self, most: int) -> list[Task]:
        """Return tasks that wait, but no more than `most`."""
        requests = (request for queue in self._queues.values() for request in queue)
        return [request.task for request in islice(requests, most)]

    def lasted(self, task: Task, seconds: float) -> None:
        """Note how long a task ran."""
        self._seconds[_kind(task)] = seconds

    def is_short(self, request: SlotRequest) -> bool:
        """Return whether it is like one that ran for milliseconds, and asks for nothing but a cpu."""
        return request.plain and self._seconds.get(_kind(request.task), SHORT) < SHORT

    def fill(self) -> None:
        """Start waiting requests while any in turn fits anywhere."""
        if self._filling:
            return
        self._filling = True
        try:
            while self._queues and (request := self._next_placed()) is not None:
                self._take(request)
                request.start(request)
        finally:
            self._filling = False

    def _next_placed(self) -> PlacedRequest | None:
        kept: set[Place] = set()  # places whose free cpus wait for a large request
        for request in self._in_turn():
            wanted = request.task.resources
            request.place = self._best(wanted, kept) or self._ahead(request, kept)
            if request.place is not None:
                placed: PlacedRequest = request
                return placed
            if wanted.cpus > 1:
                emptying = [
                    place
                    for place in self.members
                    if place not in kept and place.could_hold(wanted) and place.has_devices(wanted)
                ]
                if emptying:
                    kept.add(max(emptying, key=lambda place: place.free_cpus))
        return None

    def _in_turn(self) -> Iterator[Any]:
        """Yield each workflow's first request; the workflow that occupies least first."""
        if len(self._queues) == 1:
            (queue,) = self._queues.values()
            yield next(iter(queue))
            return
        for name in sorted(self._queues, key=lambda name: (self._occupied.get(name, 0), self._served.get(name, 0))):
            yield next(iter(self._queues[name]))

    def _best(self, wanted: Resources, kept: set[Place]) -> Place | None:
        """Return the place with the most free cpus; gpus are left to those who want them."""
        best: Place | None = None
        most = (0, 0)
        for place in self._open:
            if wanted.cpus <= place.free_cpus and place not in kept and place.has_devices(wanted):
                rank = (-place.free_gpus if wanted.gpus == 0 else 0, place.free_cpus)
                if best is None or rank > most:
                    best, most = place, rank
        return best

    def _ahead(self, request: PlacedRequest, kept: set[Place]) -> Place | None:
        """Return where to send a short task ahead of a free cpu: the worker itself lets it wait."""
        if not self.is_short(request):
            return None
        others = (place for place in self.members if place not in kept)
        place = max(others, key=lambda place: place.free_cpus, default=None)
        return place if place is not None and place.free_cpus > -AHEAD else None

    def _hold(self, request: SlotRequest) -> None:
        self._occupy(request, 1)

    def _let_go(self, request: SlotRequest) -> None:
        self._occupy(request, -1)

    def _occupy(self, request: SlotRequest, sign: int) -> None:
        assert isinstance(request, PlacedRequest)
        assert request.place is not None
        request.place.occupy(request.task.resources, sign)
        self._sort_in(request.place)

    def _sort_in(self, place: Place) -> None:
        if place.free_cpus > 0 and place in self.members:
            self._open.add(place)
        else:
            self._open.discard(place)


def _kind(task: Task) -> tuple[str, str]:
    """Return what tasks that take about as long as each other have in common: their stage and function."""
    return task.key.stage, getattr(task.call, "__qualname__", "")
