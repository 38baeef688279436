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
            return await store.get(keys, simulate, batch)

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
                await store.get([b"a"], simulate)

        await asyncio.gather(ask(), ask())
        await ask()
        assert len(runs) == 1

    asyncio.run(main())


def test_an_execution_goes_on_while_anyone_waits_and_ends_with_the_last():
    async def main():
        store, ends = LabelStore(), []

        async def simulate(positions):
            try:
                await asyncio.sleep(0.1)
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise
            ends.append("done")
            return ["label"]

        first = asyncio.create_task(store.get([b"a"], simulate))
        second = asyncio.create_task(store.get([b"a"], simulate))
        await asyncio.sleep(0.01)
        first.cancel()
        assert await second == ["label"]
        assert ends == ["done"]

        alone = asyncio.create_task(store.get([b"b"], simulate))
        await asyncio.sleep(0.01)
        alone.cancel()
        again = asyncio.create_task(store.get([b"b"], simulate))
        with pytest.raises(asyncio.CancelledError):
            await alone
        assert await again == ["label"], "who asks after it was abandoned gets a new execution"
        assert ends == ["done", "cancelled", "done"]

        left = asyncio.create_task(store.get([b"c"], simulate))
        await asyncio.sleep(0.01)
        await store.close()
        with pytest.raises(asyncio.CancelledError):
            await left
        assert ends[-1] == "cancelled"

    asyncio.run(main())


def test_what_is_paid_for_is_recorded_though_no_one_waits():
    async def main():
        store, events, recorded = LabelStore(), [], asyncio.Event()

        async def record():
            await recorded.wait()
            events.append("recorded")

        async def simulate(positions):
            events.append("simulated")
            await store.record(b"a", record())
            return ["label"]

        first = asyncio.create_task(store.get([b"a"], simulate))
        await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.wait([first])
        second = asyncio.create_task(store.get([b"a"], simulate))
        await asyncio.sleep(0.01)
        recorded.set()
        assert await second == ["label"]
        assert events == ["simulated", "recorded"]

        recorded.clear()
        asyncio.get_running_loop().call_later(0.01, recorded.set)
        third = asyncio.create_task(store.get([b"b"], lambda positions: simulate_b()))

        async def simulate_b():
            await store.record(b"b", record())
            return ["label"]

        await asyncio.sleep(0)
        await asyncio.sleep(0)
        third.cancel()
        await asyncio.wait([third])
        await store.close()
        assert events[2:] == ["recorded"], "closing waits for what is being recorded"

    asyncio.run(main())


def test_the_wrong_number_of_labels_is_an_error():
    async def simulate(positions):
        return []

    async def main():
        with pytest.raises(ValueError, match="0 labels for 1 samples"):
            await LabelStore().get([b"a"], simulate)

    asyncio.run(main())
