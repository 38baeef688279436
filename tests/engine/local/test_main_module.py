"""A script without a guard, as a program of its own: it is run once, and what is large in it is shipped once."""

from __future__ import annotations

from typing import Any


def test_a_script_is_run_once_and_its_large_arrays_are_shipped_once(driver: Any) -> None:
    code = """
        import asyncio, functools, logging, multiprocessing
        from pathlib import Path
        import numpy as np
        from rose.engine import LocalEngine, Task, TaskKey

        logging.basicConfig(level=logging.INFO, format="%(message)s")
        table = np.ones(500_000)
        print("the script runs", flush=True)

        def square(x):
            return x * x

        def spawned():
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                return pool.map(square, [3])

        def looked_up(index, other=None):
            return float(table[index])

        def holding(array):
            return lambda index: float(array[index])

        async def main():
            async with LocalEngine(1) as engine:
                async def run(call, *args):
                    return await engine.run(Task(TaskKey("w", 0, "s"), call, args))

                print(await run(spawned))
                found = [await run(looked_up, index) for index in range(5)]
                array = np.zeros(500_000)
                found += [await run(holding(array), 1), float(await run(functools.partial(np.take, array), 2))]
                found += [await run(looked_up, 1, {"kwargs": array})]
                sizes = [path.stat().st_size for path in Path(engine.private_folder()).glob("**/*.npy")]
                print(found, [size // 1_000_000 for size in sizes])
                array[1] = table[3] = 5.0
                print(await run(holding(array), 1), await run(looked_up, 3))

        asyncio.run(main())
    """
    with driver.running(code, "-W", "error") as process:
        output, _ = process.communicate(timeout=60)
    lines = output.splitlines()
    assert lines.count("the script runs") == 1, output
    assert "[9]" in lines
    assert f"{[1.0] * 5 + [0.0, 0.0, 1.0]} [4, 4]" in lines
    assert "5.0 5.0" in lines
    shipped = [line for line in lines if line.startswith("shipping")]
    once = ["shipping global `table` (4 MB) once; every task reads it"]
    once += ["shipping an array [500000] (4 MB) once; every task reads it"]
    assert shipped[:2] == once, output
    assert len(shipped) == 4, "each once more, after it was changed"
