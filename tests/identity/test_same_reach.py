"""What is no change of a function: other layout, another start of the program, another Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rose.identity.code import reach
from rose.identity.parts import differences
from tests.identity.conftest import Load
from tests.pythons import ROOT, python


def test_modules_of_the_users_are_followed(load: Load) -> None:
    """Those beside the program: by attribute, by name, in turn, and where they are imported when the function runs."""
    model = "T = 300\ndef f(x): return g(x)\ndef g(x): return x + 1\ndef unused(): return 1"
    others = ("import model\ndef simulate(x): return model.f(x) * model.T", "from model import f as h, T\n"
              "def simulate(x): return h(x) * T")  # fmt: skip
    for program in others:
        load(model, "model")
        before = reach(load(program))
        load(model.replace("300", "350").replace("+ 1", "+ 2"), "model")
        told = differences(before, reach(load(program)))
        assert "function model.g (model.py:3) has changed" in told
        assert any("T" in one and "was 300, and is 350" in one for one in told), told
        load(model.replace("return 1", "return 2"), "model")
        assert differences(before, reach(load(program))) == [], "what it does not call does not matter"
    for inside in (
        "def simulate(x):\n    from model import f\n    return f(x)",
        "import importlib\ndef simulate(x): return importlib.import_module('model').f(x)",
    ):
        load(model, "model")
        before = reach(load(inside))
        load(model.replace("+ 1", "+ 2"), "model")
        assert differences(before, reach(load(inside))) == ["module model (model.py) has changed"]


def test_environment_variables_that_are_named(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
        import os
        from os import environ, getenv
        def simulate(x):
            return os.environ["A1"], os.environ.get("A2", 0), os.getenv("A3"), environ["A4"], getenv("A5"), \\
                getenv("API_KEY"), getenv("SLURM_JOB_ID"), os.path.join("$A6", x), \\
                os.environ[NAME], os.getenv(NAMES["b"]), {**os.environ}, os.path.expandvars("$B1"), "B2" in environ, \\
                COPY["B3"]
        COPY = dict(os.environ)
        NAME, NAMES = "A7", {"b": "A8"}
    """
    for name in ("A1", "A2", "A3", "A4", "A5", "A7", "A8", "B1", "B2", "B3"):
        monkeypatch.setenv(name, "a")
        before = reach(load(text))
        monkeypatch.setenv(name, "b")
        told = differences(before, reach(load(text)))
        assert told == [f"environment variable {name} was 'a', and is 'b'"]
    before = reach(load(text))
    monkeypatch.delenv("A1")
    assert differences(before, reach(load(text)))[0] == "environment variable A1 was 'b', and is not set"
    before = reach(load(text))
    monkeypatch.setenv("API_KEY", "secret")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert reach(load(text)) == before, "secrets, and what says where a job runs, decide nothing"
    text = "def simulate(x): return '$A6'"
    assert "environment variable A6" not in reach(load(text))
    assert "environment variable A6" in reach(load(text), shell=True), "a shell looks it up"


SAME = {
    "comments, layout, docstrings": (
        "T = 300\ndef helper(x):\n    return x\ndef simulate(x): return helper(x) * T",
        'T = 300  # kelvin\n\ndef helper(x):\n    """Help."""\n    return (\n        x  # the same\n    )\n\n'
        'def simulate(\n    x,\n):\n    "Simulate."\n    return helper(x) * T',
    ),
    "what is not reached": ("def simulate(x): return x\nT = 1", "def simulate(x): return x\nT = 2\ndef other(): pass"),
    "the name of the function": ("def simulate(x): return x", "def other(x): return x\nsimulate = other"),
    "decorators that register": (
        "from rose import SeqUQLearner\nl = SeqUQLearner()\n@l.simulation_task(as_executable=False)\n"
        "def simulate(x): return x",
        "from rose import SeqUQLearner\nl = SeqUQLearner()\n@l.simulation_task(as_executable=False, retries=2)\n"
        "def simulate(x): return x",
    ),
    "the order of a set": (
        "S = {'a', 'b', 'c'}\ndef simulate(x): return x in S", "S = {'c', 'b', 'a'}\ndef simulate(x): return x in S",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", SAME)
def test_what_is_no_change(what: str, load: Load) -> None:
    one, other = SAME[what]
    assert differences(reach(load(one)), reach(load(other))) == []


STATE = """
    import logging, os, random, sys, tempfile, threading, time, uuid
    from collections import Counter
    from concurrent.futures import ThreadPoolExecutor
    from datetime import datetime
    from functools import cached_property
    from pathlib import Path
    import numpy as np
    from rose import Pool, SeqUQLearner

    log = logging.getLogger(__name__)
    lock = threading.Lock()
    cache, calls, results, count, model = {}, Counter(), [], 0, None
    from dataclasses import dataclass, field
    started, stamp, run_id = time.time(), datetime.now(), uuid.uuid4()
    label = f"run-{run_id}"
    scratch = tempfile.mkdtemp()
    python = sys.executable
    rng, generator = np.random.default_rng(), random.Random()
    executor = ThreadPoolExecutor(1)
    out = open(os.devnull, "w")
    HERE = Path(__file__).parent
    settings = {"T": 300, "begun": time.time()}
    pool = Pool(np.arange(20.0)[:, None], initial=3)
    learner = SeqUQLearner(pool=pool)

    class Solver:
        def __init__(self, T):
            self.T, self.calls, self.t0 = T, 0, time.time()
            self.log = log
        @cached_property
        def table(self): return np.arange(3)
        def run(self, x):
            self.calls += 1
            return x * self.T + self.table[0]

    @dataclass
    class Noted:
        created = datetime.now()
        k: int = 1
        at: float = field(default_factory=time.time)
        parts: list = field(default_factory=list)

    noted = Noted()
    other = Noted(at=time.time())
    solver = Solver(300)
    def load():
        global model
        if model is None:
            model = [1]
        return model

    def make():
        seen, begun = [], time.time()
        def simulate(x, memo={}, at=time.time(), *, pid=os.getpid()):
            global count
            count += 1
            seen.append(x); calls[x] += 1; calls.update([x]); results.append(x)
            cache[x] = memo[x] = rng.normal() + generator.random()
            log.info("%s %s %s %s", started, stamp, label, begun)
            print(scratch, python, executor, HERE / "mesh.inp", pool, learner, file=out)
            with lock:
                return solver.run(x) * settings["T"] + len(settings) * load()[0] * noted.k * len(str(other))
        return simulate
    simulate = make()
"""


def test_two_starts_of_a_program_are_no_change(load: Load) -> None:
    """Loggers, locks, caches, counters, times, temporary directories, our own objects: none is a constant."""
    simulate = load(STATE)
    before = reach(simulate)
    simulate(1.0)
    assert differences(before, reach(simulate)) == [], "what it does itself is no change"
    again = load(STATE)
    assert differences(before, reach(again)) == []
    for old, new, what in (("Solver(300)", "Solver(350)", "solver.T"), ('"T": 300', '"T": 350', "settings['T']")):
        (told,) = differences(before, reach(load(STATE.replace(old, new))))
        assert told.startswith(what)
        assert told.endswith("was 300, and is 350"), "constants beside them are noticed"


STARTS = """
    import datetime, functools, os, random, shutil, sys, threading, time, uuid
    from pathlib import Path
    import numpy as np
    from pydantic import BaseModel, Field
    from scipy import stats
    HERE = Path(__file__).parent
    ENV, ENV2, ENV3 = dict(os.environ), {**os.environ, "X": "1"}, os.environ.copy()
    prior, dists = stats.norm(0, 1), [stats.uniform(0, 2)]
    rngs, boxes = [np.random.default_rng(), random.Random()], np.array([threading.Lock(), 300], dtype=object)
    def stamp(): return time.time_ns()
    def tag(): return {"id": f"run-{stamp()}", "T": 300}
    now = datetime.datetime.now
    S, TAG, later, NOW = stamp(), tag(), {}, now()
    later["begun"], later["T"] = time.time(), 300
    class P(BaseModel):
        T: float = 300
        id: str = Field(default_factory=lambda: uuid.uuid4().hex)
        at: float = Field(default_factory=stamp)
        def f(self): return self.T
    class Clock:
        made, all = 0, []
        def __init__(self): self.t, self.T = self.now(), 300; type(self).made += 1; self.all.append(self)
        def now(self): return time.time()
    for _ in range(time.time_ns() % 5 + 1): Clock()
    p, models, clock, thing = P(), [P(), P()], Clock(), object()
    FILES, URL, CMD = [str(HERE / "a"), (HERE, 300)], f"file://{HERE}/x", f"solver --dir {HERE} --T 300"
    WHO, ARGV, command = repr(thing), sys.argv, ["solver", "300", str(time.time())]
    MIXED = {"T": 300, **{"at": time.time()}}
    def simulate(x):
        return ENV, ENV["PATH"], ENV2, ENV3, prior.pdf(x), dists, rngs, boxes, S, TAG, later, NOW, p.f(), \\
            models, clock.t, clock.T, clock.now(), Clock.made, Clock.all, FILES, URL, CMD, WHO, ARGV, command, MIXED
"""


def test_nothing_of_the_process_is_a_constant(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of the environment, generators inside lists and packages' objects, the time by functions and factories."""
    moved = tmp_path / "moved"
    moved.mkdir()
    text, before = STARTS, reach(load(STARTS))
    monkeypatch.setenv("SOME_JOB", "7")
    np.random.rand()  # noqa: NPY002
    assert differences(before, reach(load(text))) == []
    assert differences(before, reach(load(text, "program", moved))) == [], "moved"
    for old in ("--T 300", '"T": 300}', '"solver", "300"', 'later["T"] = time.time(), 300', "self.now(), 300",
                "(), 300]", "(HERE, 300)", '"X": "1"', "uniform(0, 2)", '{"T": 300, **', "T: float = 300"):  # fmt: skip
        new = old.translate(str.maketrans("312", "495"))
        assert differences(before, reach(load(text.replace(old, new, 1)))), f"{old} beside them is noticed"


def test_secrets_are_not_kept_and_nothing_ends_the_program(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_TOKEN", "hunter2")
    text = """
        import os
        import numpy as np
        ENV, CFG, TOK = dict(os.environ), {"api_key": "hunter2", "n": 1}, os.environ["MY_API_TOKEN"]
        HEADERS, LIST, URL = {"Authorization": "Bearer hunter2"}, ["--token", "hunter2"], "db://me:hunter2@host"
        token, draws, state = ["C", "H"], [np.random.default_rng().uniform], {"f": np.random.rand}
        class S:
            def __init__(self): self.password, self.opts = "hunter2", {"token": "hunter2"}
        s = S()
        def simulate(x, token="hunter2"): return ENV, CFG, TOK, HEADERS, LIST, URL, s, token, draws, state, other()
        def other(): return token
    """
    before = reach(load(text))
    assert "hunter2" not in repr(before)
    (told,) = differences(before, reach(load(text.replace('"C"', '"N"'))))
    assert told.startswith("token"), "what is no text is compared, whatever it is called"


def test_what_has_no_source_is_known_by_its_code() -> None:
    def typed(text: str) -> Any:
        names: dict[str, Any] = {"__name__": "__main__"}
        exec(text, names)
        return reach(names["simulate"])

    text = "T = 300\ncalls = []\ndef simulate(x):\n    calls.append(x)\n    return f(x) * T\ndef f(x): return x + 1"
    before = typed(text)
    assert before == typed(text)
    assert differences(before, typed(text.replace("300", "350"))) == ["T was 300, and is 350"]
    (told,) = differences(before, typed(text.replace("+ 1", "+ 2")))
    assert told.startswith("function f")


VECTORS = Path(__file__).with_name("reach.json")
PROGRAM = Path(__file__).with_name("program.py")


def vectors() -> dict[str, str]:
    return {name: part.digest for name, part in reach(vars_of_program()["simulate"], shell=True).items()}


def vars_of_program() -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "program", "__file__": str(PROGRAM)}
    sys.modules["program"] = types.ModuleType("program")
    vars(sys.modules["program"]).update(names)
    exec(compile(PROGRAM.read_text(), str(PROGRAM), "exec"), vars(sys.modules["program"]))
    return vars(sys.modules.pop("program"))


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_same_on_every_python(version: str) -> None:
    kept = json.loads(VECTORS.read_text())
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        assert vectors() == kept
        return
    code = "import json; from tests.identity.test_same_reach import vectors; print(json.dumps(vectors()))"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    command = [python(version), "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if "ModuleNotFoundError" in done.stderr:
        pytest.skip(f"this Python {version} lacks something: {done.stderr.splitlines()[-1]}")
    assert json.loads(done.stdout) == kept, done.stderr
