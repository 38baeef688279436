"""Admission: capacity, order and fairness, against all the sequences that Hypothesis can think of."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rose.engine import Capacity, Resources, Task, TaskKey
from rose.engine.slots import SlotRequest, Slots

CAPACITY = Capacity(cpus=4, gpus=2, memory=100)
PLAIN = Resources()


def request(workflow: str, resources: Resources, started: list[SlotRequest], index: int = 0) -> SlotRequest:
    return SlotRequest(Task(TaskKey(workflow, 0, "s", index=index), len, resources=resources), started.append)


class SlotsMachine(RuleBasedStateMachine):
    """Submit, withdraw, finish, send ahead, take over and take back, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.slots = Slots(CAPACITY)
        self.running: list[SlotRequest] = []  # hold resources; `start` appends
        self.early: list[SlotRequest] = []
        self.waiting: list[SlotRequest] = []  # in the order of submission
        self.count = 0

    def settle(self) -> None:
        self.waiting = [each for each in self.waiting if each not in self.running and each not in self.early]

    @rule(
        workflow=st.sampled_from("abc"),
        cpus=st.integers(1, 4),
        gpus=st.sampled_from([0, 0, 0, 1, 2]),
        memory=st.sampled_from([None, None, 60]),
    )
    def submit(self, workflow: str, cpus: int, gpus: int, memory: int | None) -> None:
        self.count += 1
        new = request(workflow, Resources(cpus, gpus, memory), self.running, self.count)
        self.waiting.append(new)
        self.slots.submit(new)
        self.settle()

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        ended = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        if ended.plain and self.early:
            successor = self.early.pop(0)
            self.slots.take_over(ended, successor)
            self.running.append(successor)
        else:
            self.slots.release(ended)
        self.settle()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        gone = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        self.slots.withdraw(gone)
        self.settle()

    @rule()
    def send_ahead(self) -> None:
        if self.slots.has_waiting and not self.slots.free_cpus and any(each.plain for each in self.running):
            ahead = self.slots.next_early()
            if ahead is not None:
                assert ahead.plain
                self.early.append(ahead)
                self.settle()

    @precondition(lambda self: self.early)
    @rule()
    def take_back(self) -> None:
        back, self.early = self.early, []
        for each in reversed(back):
            self.slots.requeue(each)
        self.waiting = back + self.waiting
        self.slots.fill()
        self.settle()

    @invariant()
    def capacity_is_kept_and_counted(self) -> None:
        used = [each.task.resources for each in self.running]
        assert sum(each.cpus for each in used) + self.slots.free_cpus == CAPACITY.cpus
        assert self.slots.free_cpus >= 0
        assert sum(each.memory or 0 for each in used) <= 100
        gpus = [number for each in self.running for number in each.gpu_ids]
        assert len(gpus) == len(set(gpus)) == sum(each.gpus for each in used)
        assert set(gpus) <= {0, 1}

    @invariant()
    def a_workflow_is_served_in_order(self) -> None:
        # No waiting request is older than one of its workflow that was granted: except what was taken back.
        for workflow in "abc":
            indexes = [each.task.key.index for each in self.waiting if each.task.key.workflow == workflow]
            assert indexes == sorted(indexes)

    @invariant()
    def nothing_waits_that_could_run(self) -> None:
        if not self.running and not self.early:
            assert not self.waiting
        assert self.slots.has_waiting == bool(self.waiting)


TestSlots = SlotsMachine.TestCase
TestSlots.settings = settings(stateful_step_count=40)


def test_the_workflow_that_occupies_least_is_next() -> None:
    slots, started = Slots(Capacity(4)), list[SlotRequest]()
    for _ in range(10):
        slots.submit(request("many", PLAIN, started))
    for _ in range(2):
        slots.submit(request("few", PLAIN, started))
    for _ in range(2):
        slots.release(started.pop(0))
    assert [each.task.key.workflow for each in started] == ["many", "many", "few", "few"]


def test_equals_take_turns() -> None:
    slots, started = Slots(Capacity(1)), list[SlotRequest]()
    for workflow in "aaabbbccc":
        slots.submit(request(workflow, PLAIN, started))
    for _ in range(8):
        slots.release(started[-1])
    assert "".join(each.task.key.workflow for each in started) == "abcabcabc"


def test_a_large_task_is_not_starved_by_small_ones() -> None:
    slots, started = Slots(Capacity(2)), list[SlotRequest]()
    for _ in range(2):
        slots.submit(request("small", PLAIN, started))
    large = request("large", Resources(cpus=2), started)
    slots.submit(large)
    for _ in range(5):
        slots.submit(request("small", PLAIN, started))
    slots.release(started[0])
    assert large not in started
    slots.release(started[1])
    assert started[2:] == [large]


def test_who_waits_for_a_gpu_holds_up_nobody_else() -> None:
    slots, started = Slots(Capacity(4, gpus=1)), list[SlotRequest]()
    for _ in range(2):
        slots.submit(request("gpu", Resources(gpus=1), started))
    slots.submit(request("cpu", PLAIN, started))
    assert [each.task.key.workflow for each in started] == ["gpu", "cpu"]


def test_withdrawing_what_kept_others_waiting_lets_them_go() -> None:
    slots, started = Slots(Capacity(2)), list[SlotRequest]()
    slots.submit(request("a", PLAIN, started))
    large = request("large", Resources(cpus=2), started)
    slots.submit(large)
    slots.submit(request("b", PLAIN, started))
    assert len(started) == 1
    slots.withdraw(large)
    assert [each.task.key.workflow for each in started] == ["a", "b"]
