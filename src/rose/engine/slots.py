"""Decide who runs next: one pool of cpus, gpus and memory for functions and commands, fair between workflows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from rose.engine.protocol import Capacity, Resources, Task
from rose.errors import CapacityError, ConfigurationError


class SlotRequest:
    """Hold a task that waits for its resources, and then has them. `start` is called once, when they are granted."""

    __slots__ = ("early", "gpu_ids", "plain", "start", "task")

    def __init__(self, task: Task, start: Callable[[Any], None]) -> None:
        self.task = task
        self.start = start
        self.gpu_ids: tuple[int, ...] = ()  # which gpus were granted: numbers below Capacity.gpus
        self.early = False  # granted ahead of a free slot: it will take over the slot of the task before it
        resources = task.resources
        # One cpu and nothing else: only such a task may be granted early, and take over another such task's slot.
        self.plain = resources.cpus == 1 and resources.gpus == 0 and resources.memory is None


def check_meaning(task: Task) -> None:
    """Refuse what no engine could grant.

    Raises:
        ConfigurationError: resources or a timeout that mean nothing.
    """
    wanted = task.resources
    if wanted.cpus < 1 or wanted.gpus < 0 or (wanted.memory is not None and wanted.memory < 0):
        raise ConfigurationError(f"task {task.key}: a task needs at least 1 cpu and no negative amounts: {wanted}")
    if task.timeout is not None and not task.timeout > 0:
        raise ConfigurationError(f"task {task.key}: timeout must be positive seconds, got {task.timeout!r}")


class Slots:
    """Admit tasks, fairly between workflows, as far as the machine's cpus, gpus and memory go.

    First in, first out inside a workflow; between workflows the one that occupies least goes first, of equals the one
    that was served longest ago. A workflow's first task that needs more cpus than are free keeps the free ones waiting
    for it, so that small tasks cannot starve it. One that waits for a gpu or for memory holds up nobody but its own
    workflow.
    """

    def __init__(self, capacity: Capacity, gpu_names: Sequence[str] = ()) -> None:
        self.capacity = capacity
        self._gpu_names = gpu_names
        self.free_cpus = capacity.cpus
        self._free_memory = capacity.memory
        self._free_gpus = list(range(capacity.gpus))
        # Only workflows that wait. OrderedDict: any request can leave at once.
        self._queues: dict[str, OrderedDict[SlotRequest, None]] = {}
        self._occupied: dict[str, int] = {}  # cpus by workflow, early grants included
        self._served: dict[str, int] = {}  # by workflow that waits or occupies: the number of its last grant
        self._grants = 0
        self._filling = False

    @property
    def has_waiting(self) -> bool:
        """Return whether any task waits for resources."""
        return bool(self._queues)

    def visible_gpus(self, request: SlotRequest) -> str | None:
        """Return the granted gpus as CUDA_VISIBLE_DEVICES names them; None: there are none to be given."""
        return ",".join(self._gpu_names[number] for number in request.gpu_ids) if self._gpu_names else None

    def check(self, task: Task) -> None:
        """Refuse what can never be granted.

        Raises:
            CapacityError: more than the engine has in all.
            ConfigurationError: resources or a timeout that mean nothing.
        """
        check_meaning(task)
        wanted, have = task.resources, self.capacity
        too_much = [
            f"{amount} {what} (the engine has {limit})"
            for what, amount, limit in (("cpus", wanted.cpus, have.cpus), ("gpus", wanted.gpus, have.gpus))
            if amount > limit
        ]
        if wanted.memory is not None and have.memory is not None and wanted.memory > have.memory:
            too_much.append(f"{wanted.memory} bytes of memory (the engine has {have.memory})")
        if too_much:
            raise CapacityError(
                f"task {task.key} asks for {' and '.join(too_much)}: it could never run; "
                "ask for less or give the engine more"
            )

    def submit(self, request: SlotRequest) -> None:
        """Queue a request; it starts at once (before this returns) if its turn has come and its resources are free."""
        self._queues.setdefault(request.task.key.workflow, OrderedDict())[request] = None
        self.fill()

    def withdraw(self, request: SlotRequest) -> None:
        """Take a waiting request out of the queue; nothing happens if it does not wait."""
        workflow = request.task.key.workflow
        queue = self._queues.get(workflow)
        if queue is not None and request in queue:
            del queue[request]
            if not queue:
                del self._queues[workflow]
                if workflow not in self._occupied:
                    self._served.pop(workflow, None)
            self.fill()

    def release(self, request: SlotRequest) -> None:
        """Give back what a request held, and start whoever may use it."""
        self._free(request)
        self.fill()

    def requeue(self, request: SlotRequest) -> None:
        """Undo a grant: the request waits again, as the first of its workflow."""
        self._free(request)
        workflow = request.task.key.workflow
        queue = self._queues.setdefault(workflow, OrderedDict())
        queue[request] = None
        queue.move_to_end(request, last=False)

    def fill(self) -> None:
        """Start waiting requests while the next in turn fits."""
        if self._filling:  # a request that ends while it is being started comes back here
            return
        self._filling = True
        try:
            while self.free_cpus and (request := self._next()) is not None:
                if request.task.resources.cpus > self.free_cpus:
                    return
                self._take(request)
                request.start(request)
        finally:
            self._filling = False

    def next_early(self) -> SlotRequest | None:
        """Grant the next request ahead of time, if it is a plain one: it must then `take_over` a plain one's slot."""
        request = self._next()
        if request is None or not request.plain:
            return None
        request.early = True
        self._take(request)
        return request

    def take_over(self, ended: SlotRequest, successor: SlotRequest) -> None:
        """Have an early request go on in the slot of a plain one that ended."""
        self._unoccupy(ended)
        successor.early = False

    def _next(self) -> SlotRequest | None:
        best: SlotRequest | None = None
        least = (0, 0)
        for workflow, queue in self._queues.items():
            rank = (self._occupied.get(workflow, 0), self._served.get(workflow, 0))
            if best is None or rank < least:
                first = next(iter(queue))
                if self._has_devices(first.task.resources):
                    best, least = first, rank
        return best

    def _has_devices(self, wanted: Resources) -> bool:
        fits = self._free_memory is None or wanted.memory is None or wanted.memory <= self._free_memory
        return fits and wanted.gpus <= len(self._free_gpus)

    def _take(self, request: SlotRequest) -> None:
        workflow, wanted = request.task.key.workflow, request.task.resources
        queue = self._queues[workflow]
        queue.popitem(last=False)
        if not queue:
            del self._queues[workflow]
        self._grants += 1
        self._served[workflow] = self._grants
        self._occupied[workflow] = self._occupied.get(workflow, 0) + wanted.cpus
        if not request.early:
            self._hold(request)

    def _hold(self, request: SlotRequest) -> None:
        """Count what a request occupies as taken."""
        wanted = request.task.resources
        self.free_cpus -= wanted.cpus
        if wanted.gpus:
            request.gpu_ids = tuple(self._free_gpus[: wanted.gpus])
            del self._free_gpus[: wanted.gpus]
        if wanted.memory is not None and self._free_memory is not None:
            self._free_memory -= wanted.memory

    def _free(self, request: SlotRequest) -> None:
        self._unoccupy(request)
        if request.early:
            request.early = False
        else:
            self._let_go(request)

    def _let_go(self, request: SlotRequest) -> None:
        """Count what a request occupied as free."""
        wanted = request.task.resources
        self.free_cpus += wanted.cpus
        self._free_gpus.extend(request.gpu_ids)
        self._free_gpus.sort()
        request.gpu_ids = ()
        if wanted.memory is not None and self._free_memory is not None:
            self._free_memory += wanted.memory

    def _unoccupy(self, request: SlotRequest) -> None:
        workflow = request.task.key.workflow
        left = self._occupied[workflow] - request.task.resources.cpus
        if left:
            self._occupied[workflow] = left
        else:
            del self._occupied[workflow]
            if workflow not in self._queues:
                del self._served[workflow]
