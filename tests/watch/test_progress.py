"""Progress is drawn from events alone, and shows nothing unescaped."""

import asyncio
import contextlib
import io
import sys
import types

from rich.console import Console

from rose import ThreadEngine
from rose.store import EventLog, IterationDone, TaskCancelled, TaskDone, TaskFailed, TaskQueued, WorkflowStopped
from rose.watch import progress
from tests.programs import classifier


class Learner:
    def __init__(self):
        self.events = EventLog()


def events(log):
    for key in ("w/0/training/a", "w/0/training/b", "w/0/training/c", "w/0/training/d"):
        log.append(TaskQueued(key))
    log.append(TaskDone("w/0/training/a", 0.1))
    log.append(TaskFailed("w/0/training/b", 0.1, "[red]bad[/red]"))
    log.append(TaskCancelled("w/0/training/c", 0.1))
    log.append(IterationDone("w", 0, 20, "model_accuracy", 0.51, 0.25))
    log.append(WorkflowStopped("w", "error", "[bold]bad[/bold]\x07"))


def test_a_terminal_shows_a_line_a_workflow():
    learner, console = Learner(), Console(file=io.StringIO(), force_terminal=True, width=140)
    with progress(learner, console):
        events(learner.events)
    text = console.file.getvalue()
    assert "1 / 1 / 1" in text
    assert "model_accuracy 0.51" in text
    assert r"error: [bold]bad[/bold]\x07" in text
    assert not learner.events.watched


def test_a_pipe_gets_a_line_an_iteration():
    learner, console = Learner(), Console(file=io.StringIO(), width=40)
    with progress(learner, console):
        events(learner.events)
    assert console.file.getvalue().splitlines() == [
        "w: iteration 0, 20 labels, model_accuracy 0.51, uncertainty 0.25",
        r"w: stopped: error: [bold]bad[/bold]\x07",
        "where the time went: training 0.3 s running, 0 s waiting",
    ]


def test_a_run_does_not_depend_on_who_watches(caplog):
    learner = classifier(ThreadEngine(2))

    def broken(event):
        raise ZeroDivisionError

    learner.events.subscribe(broken)
    assert len(learner.run(["w"], ["a", "b"], max_iter=1)["w"].iterations) == 1
    assert not learner.events.watched
    assert "an event reader failed and is dropped" in caplog.text


def test_a_real_run_reports_all_its_tasks():
    learner, seen = classifier(ThreadEngine(2), holdout=False), []
    learner.events.subscribe(seen.append)
    learner.run(["w"], ["a", "b"], num_predictions=2, max_iter=1)
    done = [event.key for event in seen if isinstance(event, TaskDone)]
    assert len(done) == len(set(done)) == len([e for e in seen if isinstance(e, TaskQueued)]) == 6 + 2 + 4
    assert seen[-1] == WorkflowStopped("w", "max_iter_reached", None)


def test_all_that_a_program_runs_is_drawn_from_its_first_event_on():
    console, own = Console(file=io.StringIO(), force_terminal=True, width=140), Console(file=io.StringIO())
    with progress(console=console):
        assert not console.file.getvalue()
        log = EventLog()
        assert log.watched
        with progress(Learner()):  # as the program has it: that is shown already
            events(log)
    assert "1 / 1 / 1" in console.file.getvalue()
    assert not log.watched
    learner = Learner()
    with progress(learner, own):
        events(learner.events)
    assert "model_accuracy 0.51" in own.file.getvalue()


def test_learners_show_their_progress_when_they_are_asked_to(capsys):
    learner = classifier(ThreadEngine(2))
    learner.run(["a/b"], ["a", "b"], max_iter=1, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("a/b: iteration 0, 6 labels, ")
    assert lines[1] == "a/b: stopped: max_iter_reached"
    assert lines[2].startswith("where the time went: ")
    for stage in ("simulation", "training", "prediction"):
        assert f"{stage} 0." in lines[2]
    assert not learner.events.watched

    async def started():
        async with contextlib.aclosing(learner.start(["w"], ["a", "b"], max_iter=2, progress=True)) as states:
            async for _ in states:
                break
        await learner.teach(["w"], ["a", "b"], max_iter=1, progress=True)

    learner = classifier(2)
    asyncio.run(started())
    assert capsys.readouterr().err.count("w: iteration 0, ") == 2
    assert not learner.events.watched


def test_a_notebook_has_an_output_that_is_updated_in_place(monkeypatch, capsys):
    shown = []
    shell = types.SimpleNamespace(kernel=object())
    python = types.ModuleType("IPython")
    python.get_ipython = lambda: shell
    python.display = types.SimpleNamespace(display=lambda data, **options: shown.append((data, options)))
    monkeypatch.setitem(sys.modules, "IPython", python)
    classifier(ThreadEngine(2)).run(["<b>w"], ["a", "b"], max_iter=1, progress=True)
    assert "update" not in shown[0][1]
    assert all(options["update"] for _, options in shown[1:])
    assert len({options["display_id"] for _, options in shown}) == 1
    assert "<b>w" in shown[-1][0]["text/plain"]
    assert "&lt;b&gt;w" in shown[-1][0]["text/html"]
    assert "max_iter_reached" in shown[-1][0]["text/plain"]
    assert "simulation" in shown[-1][0]["text/plain"]
    assert capsys.readouterr().err == ""
    shell.kernel = None  # IPython in a terminal
    classifier(ThreadEngine(2)).run(["w"], ["a", "b"], max_iter=1, progress=True)
    assert "w: iteration 0" in capsys.readouterr().err
