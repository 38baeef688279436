"""The label store: each distinct sample once, whoever asks, whenever."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rose.store import LabelStore

REQUESTS = st.lists(st.lists(st.sampled_from([b"a", b"b", b"c", b"d"]), max_size=6), min_size=1, max_size=5)


@given(REQUESTS, st.integers(1, 3), st.data())
def test_each_distinct_sample_is_simulated_once(requests, batch, data):
    """Requests that overlap in any way and arrive in any order get their labels, from one execution a sample."""
    pauses = data.draw(st.lists(st.integers(0, 3), min_size=len(requests), max_size=len(requests)))

    async def main():
        store, ran, sizes = LabelStore(), Counter(), []

        async def ask(keys, pause):
            async def simulate(positions):
                sizes.append(len(positions))
                ran.update(keys[p] for p in positions)
                for _ in range(pause):
                    await asyncio.sleep(0)
                return [keys[p] * 2 for p in positions]

            for _ in range(pause):
                await asyncio.sleep(0)
            return [await one.label() for one in store.ask(keys, simulate, batch)]

        labels = await asyncio.gather(*map(ask, requests, pauses))
        assert labels == [[key * 2 for key in keys] for keys in requests]
        assert ran == Counter({key for keys in requests for key in keys})
        assert all(1 <= size <= batch for size in sizes)
        await store.close()

    asyncio.run(main())


def test_a_failure_reaches_everyone_and_is_not_tried_again():
    async def main():
        store, runs = LabelStore(), []

        async def simulate(positions):
            runs.append(positions)
            await asyncio.sleep(0)
            raise OSError("disk")

        async def ask():
            with pytest.raises(OSError, match="disk"):
                await store.ask([b"a"], simulate)[0].label()

        await asyncio.gather(ask(), ask())
        await ask()
        assert len(runs) == 1

    asyncio.run(main())


def test_an_execution_goes_on_until_all_who_asked_have_let_go():
    async def main():
        store, ends, ending = LabelStore(), [], asyncio.Event()

        async def simulate(positions):
            try:
                await ending.wait()
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise
            ends.append("done")
            return ["label"]

        (first,), (second,) = store.ask([b"a"], simulate), store.ask([b"a"], simulate)
        waiting = asyncio.create_task(first.label())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        first.let_go()
        first.let_go()
        assert not second.task.cancelling(), "who waits no more, and who lets go twice, takes nothing from the others"
        (alone,) = store.ask([b"b"], simulate)
        await asyncio.sleep(0)
        alone.let_go()
        (again,) = store.ask([b"b"], simulate)
        ending.set()
        assert await second.label() == await again.label() == "label"
        assert sorted(ends) == ["cancelled", "done", "done"], "who asks after it was abandoned gets a new execution"
        ending.clear()
        (left,) = store.ask([b"c"], simulate)
        await asyncio.sleep(0)
        await store.close()
        with pytest.raises(asyncio.CancelledError):
            await left.label()
        assert ends[-1] == "cancelled"

    asyncio.run(main())


def test_what_is_paid_for_is_recorded_though_all_let_go():
    async def main():
        store, events, recorded, simulated = LabelStore(), [], asyncio.Event(), asyncio.Event()

        async def record():
            simulated.set()
            await recorded.wait()
            events.append("recorded")

        async def simulate(positions):
            await store.record(b"a", record())
            return ["label"]

        (first,) = store.ask([b"a"], simulate)
        await simulated.wait()
        first.let_go()
        (second,) = store.ask([b"a"], simulate)
        recorded.set()
        assert await second.label() == "label"
        assert events == ["recorded"]

        async def simulate_b(positions):
            await store.record(b"b", record())
            return ["label"]

        recorded.clear()
        simulated.clear()
        (third,) = store.ask([b"b"], simulate_b)
        await simulated.wait()
        third.let_go()
        asyncio.get_running_loop().call_soon(recorded.set)
        await store.close()
        assert events == ["recorded", "recorded"], "closing waits for what is being recorded"

    asyncio.run(main())


def test_the_wrong_number_of_labels_is_an_error():
    async def simulate(positions):
        return []

    async def main():
        with pytest.raises(ValueError, match="0 labels for 1 samples"):
            await LabelStore().ask([b"a"], simulate)[0].label()

    asyncio.run(main())


def test_a_label_that_is_given_is_recorded_once_and_ends_the_simulation():
    async def main():
        store, ends, recorded = LabelStore(), [], asyncio.Event()

        async def simulate(positions):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ends.append("cancelled")
                await asyncio.sleep(0)
                ends.append("cleaned up")
                raise

        async def record():
            await recorded.wait()
            ends.append("recorded")

        asked = store.ask([b"a", b"a"], simulate)
        await asyncio.sleep(0)
        giving = [asyncio.ensure_future(store.give(b"a", label, record)) for label in (7.0, 7.0, 8.0)]
        for _ in range(9):
            await asyncio.sleep(0)
        assert not asked[0].task.done(), "it is used before it is on disk"
        asked[0].let_go()
        recorded.set()
        assert await asyncio.gather(*giving) == [True, True, False]
        assert await asked[1].label() == 7.0
        assert sorted(ends) == ["cancelled", "cleaned up", "recorded"]
        await store.close()

    asyncio.run(main())
