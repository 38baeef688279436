"""Test what a task gives back: its result, a named error, large and shared values."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

import numpy as np
import pytest

from rose.engine import Capabilities, Capacity, Engine
from rose.errors import ConfigurationError, TaskFailedError, UnpicklableError
from rose.testing import tasks
from rose.testing.engines.suite import EngineTests, task, with_engine


class ResultsContract(EngineTests):
    """Hold a part of `EngineContract`."""

    # --- results and errors ----------------------------------------------------------------------------------------

    @with_engine()
    async def test_declares_what_it_is(self, engine: Engine) -> None:
        assert isinstance(engine, Engine)
        assert isinstance(engine.capabilities, Capabilities)
        assert engine.capacity() == Capacity(cpus=2, gpus=engine.capacity().gpus, memory=engine.capacity().memory)

    @with_engine()
    async def test_returns_what_the_function_returns(self, engine: Engine) -> None:
        assert await engine.run(task(tasks.add, 1, second=2)) == 3
        assert await engine.run(task(tasks.add_later, [1], second=[2])) == [1, 2]
        assert await engine.run(task(tasks.add, "a", second="b")) == "ab"

    @with_engine()
    async def test_runs_lambdas_and_closures(self, engine: Engine) -> None:
        offset = 10
        results = await asyncio.gather(*[engine.run(task(lambda x: x + offset, x)) for x in range(50)])
        assert results == list(range(10, 60))

    @with_engine()
    async def test_closures_are_seen_as_they_are_now(self, engine: Engine) -> None:
        offset = 10

        def shifted(x: int) -> int:
            return x + offset

        assert await engine.run(task(shifted, 1)) == 11
        offset = 20
        assert await engine.run(task(shifted, 1)) == 21

    @with_engine()
    async def test_returns_instances_of_local_classes(self, engine: Engine) -> None:
        class Local:
            value = 3

        assert isinstance(await engine.run(task(Local)), Local)

    @with_engine()
    async def test_an_exception_is_the_cause_of_a_named_error(self, engine: Engine) -> None:
        with pytest.raises(TaskFailedError, match="ValueError: no convergence") as caught:
            await engine.run(task(tasks.fail, ValueError, "no convergence", name="training"))
        assert caught.value.key == "workflow/0/training"
        assert type(caught.value.__cause__) is ValueError
        assert await engine.run(task(tasks.add, 1)) == 1

    @pytest.mark.parametrize("error", [tasks.Moody, tasks.Stubborn])
    @with_engine()
    async def test_an_exception_that_cannot_travel_is_reported(self, engine: Engine, error: type[Exception]) -> None:
        with pytest.raises(TaskFailedError, match=f"{error.__name__}: .*rain") as caught:
            await engine.run(task(tasks.fail, error, *["rain"] * (2 if error is tasks.Moody else 1)))
        assert "rain" in str(caught.value.__cause__)

    @with_engine()
    async def test_sys_exit_ends_the_task_only(self, engine: Engine) -> None:
        with pytest.raises(TaskFailedError, match="SystemExit: 3"):
            await engine.run(task(sys.exit, 3))
        assert await engine.run(task(tasks.add, 1)) == 1

    @with_engine(needs="isolates_memory")
    async def test_an_unpicklable_argument_is_named(self, engine: Engine) -> None:
        with pytest.raises(UnpicklableError, match=r"argument 'second'\['tool'\] \(a lock\)") as caught:
            await engine.run(task(tasks.add, 1, second={"tool": threading.Lock()}, name="training"))
        assert caught.value.key == "workflow/0/training"
        with pytest.raises(UnpicklableError, match="argument 0"):
            await engine.run(task(tasks.add, threading.Lock()))
        lock = threading.Lock()
        with pytest.raises(UnpicklableError, match=r"the function .*'lock'"):
            await engine.run(task(lambda: lock))

    @with_engine(needs="isolates_memory")
    async def test_an_unpicklable_result_is_named(self, engine: Engine) -> None:
        with pytest.raises(UnpicklableError, match=r"the result\['tool'\] \(a lock\)") as caught:
            await engine.run(task(lambda: {"tool": threading.Lock()}, name="training"))
        assert caught.value.key == "workflow/0/training"

    @with_engine(needs="isolates_memory")
    async def test_a_task_cannot_change_the_drivers_objects(self, engine: Engine) -> None:
        values = [1, 2]
        assert await engine.run(task(tasks.change, values)) == [1, 2, 99]
        assert values == [1, 2]

    # --- large values ----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "array",
        [
            np.arange(500_000, dtype=np.float32).reshape(1_000, 500),
            np.asfortranarray(np.arange(500_000.0).reshape(1_000, 500)),
            np.arange(1_000_000)[::2],
            np.zeros((0, 5)),
            np.array(7.5),
            np.array([{"a": 1}, None], dtype=object),
            np.zeros(100_000, dtype=[("x", "f8"), ("n", "i4")]),
        ],
        ids=["c-order", "f-order", "strided", "empty", "scalar", "objects", "structured"],
    )
    @with_engine()
    async def test_arrays_travel_unchanged(self, engine: Engine, array: Any) -> None:
        back = await engine.run(task(lambda values: values["it"], {"it": array}))
        assert type(back) is np.ndarray
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)

    @with_engine(needs="isolates_memory")
    async def test_a_task_may_change_its_own_array_and_the_driver_a_result(self, engine: Engine) -> None:
        array = np.ones(300_000)
        result = await engine.run(task(lambda x: x.__iadd__(1), array))
        assert (result == 2).all()
        assert (array == 1).all()
        result += 1
        assert (result == 3).all()

    @with_engine()
    async def test_a_long_text_travels(self, engine: Engine) -> None:
        text = "x" * 3_000_000
        assert await engine.run(task(tasks.add, text, second="y")) == text + "y"

    @with_engine()
    async def test_shares_an_array(self, engine: Engine) -> None:
        for array in (np.arange(300_000.0), np.arange(3.0)):
            ref = await engine.share(array)
            np.testing.assert_array_equal(ref.load(), array)
            sums = await asyncio.gather(*[engine.run(task(np.sum, ref)) for _ in range(10)])
            assert sums == [array.sum()] * 10
            assert await engine.run(task(tasks.is_writeable, ref)) is False
            assert not ref.load().flags.writeable
            await engine.release(ref)

    @with_engine()
    async def test_shares_objects_also_inside_lists_and_dicts(self, engine: Engine) -> None:
        refs = [await engine.share(tasks.Model(np.full(100_000, value))) for value in (1.0, 2.0)]
        expected = [100_000.0, 200_000.0]
        assert refs[0].load().predict() == expected[0]
        for _ in range(3):
            assert await engine.run(task(tasks.predictions, refs)) == expected
            named = dict(zip("ab", refs, strict=True))
            assert await engine.run(task(tasks.predictions, models=named)) == dict(zip("ab", expected, strict=True))

    @with_engine()
    async def test_a_released_ref_is_refused(self, engine: Engine) -> None:
        ref = await engine.share(np.arange(300_000.0))
        await engine.release(ref)
        with pytest.raises(ConfigurationError, match="released"):
            await engine.run(task(np.sum, ref))
        with pytest.raises(ConfigurationError, match="released"):
            await engine.release(ref)
        assert await engine.run(task(tasks.add, 1)) == 1
