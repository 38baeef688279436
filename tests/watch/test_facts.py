"""What is said of a run: kept up to date by what is new, and true."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from rose.store import (
    DONE,
    DriverStarted,
    IterationDone,
    Run,
    RunReader,
    Sample,
    TaskRecord,
    TaskRetried,
    WorkflowStopped,
)
from rose.watch.facts import Facts
from rose.watch.facts import time as times
from rose.watch.facts.curves import Curve, labels_to_reach
from rose.watch.facts.plain import to_plain
from rose.watch.facts.repeats import drawn, repeats
from rose.watch.facts.selection import gallery
from rose.watch.facts.tasks import TaskTable
from rose.watch.fragments.links import Links
from rose.watch.fragments.tasks import MOST, tasks_section
from rose.watch.report import page


def done(key: str, queued: float, began: float, ended: float, worker: str = "a:1", state: str = DONE) -> TaskRecord:
    return TaskRecord(key, state, 1, queued, began, ended, worker)


def table(*records: TaskRecord) -> TaskTable:
    made = TaskTable()
    made.add(records, ["w", "w/b"])
    return made


def test_workers_are_threads_of_a_process_and_those_of_one_driver():
    two = table(done("w/0/simulation/0", 0, 0, 9), done("w/0/simulation/1", 0, 1, 10))
    found = times.time_of(two, 10.0, 0.0, 2, driven=[(0.0, 10.0)], slots=2)
    assert (found.workers, found.busy, found.gantt.lanes) == (2, 0.9, ["a:1", "a:1 (2)"])
    resumed = table(done("w/0/simulation/0", 0, 0, 10), done("w/1/simulation/0", 20, 20, 25, "b:1"))
    found = times.time_of(resumed, 20.0, 0.0, 2, driven=[(0.0, 10.0), (20.0, 30.0)], slots=1)
    assert (found.workers, found.busy) == (1, 0.75)


def test_critical_path():
    found = times.time_of(
        table(
            done("w/0/simulation/0", 0, 1, 11),
            done("w/0/simulation/1", 0, 1, 5, "b:1"),
            done("w/0/training/m", 12, 12, 32),
            done("w/0/training/n", 12, 12, 20, "b:1"),
            done("w/0/prediction/m/0", 32, 34, 36),
            done("w/b/0/simulation/0", 0, 0, 3),
        ),
        worked=36.0,
        begun=0.0,
        simulation_labels=3,
    )
    assert found.path is not None
    assert [step.key for step in sorted(found.path.longest, key=lambda one: one.role)] == [
        "w/0/prediction/m/0",
        "w/0/simulation/0",
        "w/0/training/m",
    ]
    assert found.path.by_role == {"simulate": 10, "train": 20, "predict": 2, "wait": 3, "driver": 1}
    assert found.path.seconds == 36
    assert found.workers == 2
    assert found.busy == pytest.approx((10 + 4 + 20 + 8 + 2 + 3) / (2 * 36))
    assert found.cost_per_label == pytest.approx(17 / 3)


def test_a_chart_of_many_tasks_says_the_same_as_of_few(monkeypatch):
    rng = np.random.default_rng(0)
    records, at = [], [0.0, 0.0]
    for n in range(300):
        worker, seconds = n % 2, float(rng.exponential(3))
        stage = "training/m" if n // 2 % 3 else "simulation/0"
        records.append(done(f"w/{n}/{stage}", at[worker], at[worker], at[worker] + seconds, f"{worker}:1"))
        at[worker] += seconds + (2.0 if n % 7 == 0 else 0.0)

    def spent() -> dict[tuple[int, str], float]:
        gantt = times.time_of(table(*records), max(at), 0.0, 1).gantt
        assert gantt is not None
        found: dict[tuple[int, str], float] = {}
        for bar in gantt.bars:
            found[bar.lane, bar.role] = found.get((bar.lane, bar.role), 0.0) + bar.end - bar.start
        return found

    exact = spent()
    monkeypatch.setattr(times, "EXACT", 10)
    assert spent() == pytest.approx(exact, rel=0.15)


def test_of_a_large_run_the_tasks_are_shown_that_numbers_lead_to():
    many = table(*(done(f"w/{n // 5}/training/{n % 5}", n, n, n + 1 + n % 5) for n in range(2000)))
    links = Links()
    for n in range(0, 400, 2):
        links.iteration("w", n)
    links.task("w/7/training/0")
    html = str(tasks_section(many, 0.0, links, "run"))
    assert html.count("<tr") <= MOST + 1
    assert all(f'id="{anchor}"' in html for anchor in (*links.iterations.values(), *links.tasks.values()))
    assert "w/398/training/4" in html, "the longest of its iteration"


def test_curves_of_repeats():
    def curve(name: str, values: list[float]) -> Curve:
        made = Curve(name)
        for i, value in enumerate(values):
            made.add(IterationDone(name, i, labels=10 * i, metric_name="rmse", metric_value=value), i, 0.0)
        return made

    curves = [curve("a-1", [3.0, 2.0, 1.0]), curve("a-2", [5.0, 2.0]), curve("b-1", [1.0])]
    settings = {name: {"acquisition": name[0], "seed": int(name[-1])} for name in ("a-1", "a-2", "b-1")}
    groups = repeats(curves, settings)
    assert {name: len(of_one) for name, of_one in groups.items()} == {"a": 2, "b-1": 1}
    assert len(repeats(curves, {})) == 3
    a, b = drawn(groups, ["rmse"])
    assert a.values["rmse"].tolist() == [4.0, 2.0]
    assert a.low["rmse"].tolist() == [3.0, 2.0]
    assert a.high["rmse"].tolist() == [5.0, 2.0]
    assert a.labels.tolist() == [0, 10]
    assert not b.low
    assert labels_to_reach(curves[0], "rmse", 2.5, higher=False) == 10
    assert labels_to_reach(curves[0], "rmse", 0.5, higher=False) is None
    curves[0].add(IterationDone("a-1", 1, metric_value=9.0), 9.0, 0.0)
    assert curves[0].values("rmse") == [3.0, 9.0], "what is played again takes the place of what was"


def test_a_run_as_it_goes_on(tmp_path):
    """What is new is enough, also where the run has hardly begun; what is said then is the same as from the start."""

    async def go() -> None:
        run = await Run.open(tmp_path / "run")
        with RunReader(tmp_path / "run") as reader:
            facts = Facts(reader)
            facts.update()
            assert "Nothing" in " ".join(facts.answer().saved)
            assert "<svg" not in page(facts).partition('id="curves"')[2].partition('id="time"')[0]
            run.emit(DriverStarted(run.journal.epoch, ["w"]))
            await run.flushed()
            facts.update()
            assert "w has not ended: the run is running." in facts.answer().stopped
            for i in range(3):
                key = f"w/{i}/simulation/{i}"
                sample = Sample(bytes([i]) * 16, i, bytes([i]) * 16, np.full((5, 5), float(i)))
                await run.labelled(run.began(run.queued(key), "h:1"), [sample], [1.0])
                run.emit(IterationDone("w", i, labels=i + 1, uncertainty=0.5, selection=[i + 1]))
                run.emit(TaskRetried(key, 1, 2, "OSError: no room"))
                await run.flushed()
                facts.update()
                assert [point.labels for point in facts.curves()[0].points] == list(range(1, i + 2))
            (curve,) = facts.curves()
            seconds = [facts.table.seconds_of(f"w/{i}/simulation/{i}") for i in range(3)]
            assert curve.points[-1].cost == pytest.approx(sum(one or 0.0 for one in seconds))
            assert facts.failures().kinds == [("OSError: no room", 3)]
            assert [image.candidate for image in gallery(reader, facts.curves())["w"]] == [1, 2]
            run.emit(WorkflowStopped("w", "error", "ValueError: no\nmore"))
            run.outcome = "failed"
            await run.close()
            facts.update()
            with RunReader(tmp_path / "run") as again:
                whole = Facts(again)
                whole.update()
                assert to_plain(whole) == to_plain(facts)
                assert "an error ended it: ValueError: no." in " ".join(whole.answer().stopped)
                assert "runs/" not in page(whole)

    asyncio.run(go())


def test_what_is_not_recorded_is_said(tmp_path):
    async def go(path: Path) -> None:
        run = await Run.open(path)
        run.emit(DriverStarted(run.journal.epoch, ["w"]))
        run.emit(IterationDone("w", 0, selection={"of": "the user's"}))
        await run.close()

    asyncio.run(go(tmp_path / "run"))
    with RunReader(tmp_path / "run") as reader:
        facts = Facts(reader)
        facts.update()
        assert facts.pool_map() is None
        assert facts.calibrations() == []
        assert facts.gallery() == {}
        assert "labels of the user's own" in facts.answer().saved[0]
        assert "how good the models are" in " ".join(facts.answer().unknown)
        assert "Not recorded" in page(facts)
