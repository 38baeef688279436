"""Test what a task gives back: its result, a named error, large and shared values."""

from __future__ import annotations

import asyncio
import sys
import threading

import numpy as np

from rose.engine import Capabilities, Capacity, Engine, Task, TaskKey
from rose.errors import ConfigurationError, TaskFailedError, UnpicklableError
from rose.testing import tasks
from rose.testing.engines.suite import EngineTests, fails, task, with_engine


class ResultsContract(EngineTests):
    """Hold a part of `EngineContract`."""

    # --- results and errors ----------------------------------------------------------------------------------------

    @with_engine()
    async def test_returns_what_the_function_returns(self, engine: Engine) -> None:
        assert isinstance(engine, Engine)
        assert isinstance(engine.capabilities, Capabilities)
        assert engine.capacity() == Capacity(cpus=2, gpus=engine.capacity().gpus, memory=engine.capacity().memory)
        assert await engine.run(task(tasks.add, 1, second=2)) == 3
        assert await engine.run(task(tasks.add_later, [1], second=[2])) == [1, 2]
        text = "x" * 3_000_000
        assert await engine.run(task(tasks.add, text, second="y")) == text + "y"

        class Local:
            value = 3

        assert isinstance(await engine.run(task(Local)), Local)

    @with_engine()
    async def test_lambdas_and_closures_are_seen_as_they_are_now(self, engine: Engine) -> None:
        offset = 10
        results = await asyncio.gather(*[engine.run(task(lambda x: x + offset, x)) for x in range(50)])
        assert results == list(range(10, 60))

        def shifted(x: int) -> int:
            return x + offset

        assert await engine.run(task(shifted, 1)) == 11
        offset = 20
        assert await engine.run(task(shifted, 1)) == 21

    @with_engine()
    async def test_an_exception_is_the_cause_of_a_named_error(self, engine: Engine) -> None:
        failing = task(tasks.fail, ValueError, "no convergence", name="training")
        error = await fails(engine.run(failing), TaskFailedError, "ValueError: no convergence")
        assert error.key == "workflow/0/training"
        assert type(error.__cause__) is ValueError
        await fails(engine.run(task(sys.exit, 3)), TaskFailedError, "SystemExit: 3")
        for kind, words in ((tasks.Moody, ["rain", "rain"]), (tasks.Stubborn, ["rain"])):  # which cannot travel
            error = await fails(engine.run(task(tasks.fail, kind, *words)), TaskFailedError, f"{kind.__name__}: .*rain")
            assert "rain" in str(error.__cause__)
        assert await engine.run(task(tasks.add, 1)) == 1

    @with_engine(needs="isolates_memory")
    async def test_what_cannot_travel_is_named(self, engine: Engine) -> None:
        lock = threading.Lock()
        for call, args, kwargs, named in (
            (tasks.add, (1,), {"second": {"tool": lock}}, r"argument 'second'\['tool'\] \(a lock\)"),
            (tasks.add, (lock,), {}, "argument 0"),
            (lambda: lock, (), {}, r"the function .*'lock'"),
            (lambda: {"tool": threading.Lock()}, (), {}, r"the result\['tool'\] \(a lock\)"),
        ):
            running = engine.run(Task(TaskKey("workflow", 0, "training"), call, args, kwargs))
            assert (await fails(running, UnpicklableError, named)).key == "workflow/0/training"

    @with_engine(needs="isolates_memory")
    async def test_a_task_changes_copies_and_the_driver_may_change_a_result(self, engine: Engine) -> None:
        values, array = [1, 2], np.ones(300_000)
        assert await engine.run(task(tasks.change, values)) == [1, 2, 99]
        assert values == [1, 2]
        result = await engine.run(task(lambda x: x.__iadd__(1), array))
        assert (result == 2).all()
        assert (array == 1).all()
        result += 1
        assert (result == 3).all()

    # --- large values ----------------------------------------------------------------------------------------------

    @with_engine()
    async def test_arrays_travel_unchanged(self, engine: Engine) -> None:
        for array in (
            np.arange(500_000, dtype=np.float32).reshape(1_000, 500),
            np.asfortranarray(np.arange(500_000.0).reshape(1_000, 500)),
            np.arange(1_000_000)[::2],
            np.zeros((0, 5)),
            np.array(7.5),
            np.array([{"a": 1}, None], dtype=object),
            np.zeros(100_000, dtype=[("x", "f8"), ("n", "i4")]),
        ):
            back = await engine.run(task(lambda values: values["it"], {"it": array}))
            assert type(back) is np.ndarray
            assert back.dtype == array.dtype
            np.testing.assert_array_equal(back, array)

    @with_engine()
    async def test_shares_an_array_until_it_is_released(self, engine: Engine) -> None:
        for array in (np.arange(300_000.0), np.arange(3.0)):
            ref = await engine.share(array)
            np.testing.assert_array_equal(ref.load(), array)
            sums = await asyncio.gather(*[engine.run(task(np.sum, ref)) for _ in range(10)])
            assert sums == [array.sum()] * 10
            assert await engine.run(task(tasks.is_writeable, ref)) is False
            assert not ref.load().flags.writeable
            await engine.release(ref)
            await fails(engine.run(task(np.sum, ref)), ConfigurationError, "released")
            await fails(engine.release(ref), ConfigurationError, "released")
        assert await engine.run(task(tasks.add, 1)) == 1

    @with_engine()
    async def test_shares_objects_also_inside_lists_and_dicts(self, engine: Engine) -> None:
        refs = [await engine.share(tasks.Model(np.full(100_000, value))) for value in (1.0, 2.0)]
        expected = [100_000.0, 200_000.0]
        assert refs[0].load().predict() == expected[0]
        for _ in range(3):
            assert await engine.run(task(tasks.predictions, refs)) == expected
            named = dict(zip("ab", refs, strict=True))
            assert await engine.run(task(tasks.predictions, models=named)) == dict(zip("ab", expected, strict=True))
