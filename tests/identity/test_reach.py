"""What a function can reach decides what it gives: a change of it is named, and nothing else is a change."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from rose.identity.code import reach
from rose.identity.parts import differences, parts_digest

Load = Any


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Runs a program's text, as a file, as a start of the program does; gives its `simulate`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    opened: list[Any] = []

    def start(text: str, name: str = "program", folder: Path = tmp_path) -> Any:
        file = folder / f"{name}.py"
        file.write_text(dedent(text))
        module = types.ModuleType(name)
        module.__file__ = str(file)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(file.read_text(), str(file), "exec"), vars(module))
        opened.append(module)
        return getattr(module, "simulate", None)

    yield start
    for module in opened:
        for name, end in (("out", "close"), ("executor", "shutdown")):
            if hasattr(module, name):
                getattr(getattr(module, name), end)()


CHANGES = {
    "a constant": ("T = 300\ndef simulate(x): return x * T", "300", "350", r"T (program.py:1) was 300, and is 350"),
    "an entry": (
        "S = {'T': 300, 'P': 1}\ndef simulate(x): return x * S['T'] + S['P']", "300", "350",
        "S['T'] (program.py:1) was 300, and is 350",
    ),
    "a whole dict": (
        "S = {'T': 300, 'P': 1}\ndef simulate(x): return run(x, **S)\ndef run(x, T, P): return x * T", "300", "350",
        "S['T'] (program.py:1) was 300, and is 350",
    ),
    "an array": (
        "import numpy as np\nW = np.arange(5000.0)\nW[2500] = 1\ndef simulate(x): return W @ x", "= 1", "= 2",
        "W (program.py:2) has changed",
    ),
    "a helper": (
        "def helper(x): return x + 1\ndef simulate(x): return helper(x)", "+ 1", "+ 2",
        "function helper (program.py:1) has changed",
    ),
    "a helper's constant, in a comprehension": (
        "T = 300\ndef helper(x): return [T * one for one in x]\ndef simulate(x): return (lambda y: helper(y))(x)",
        "300", "350", "T (program.py:1) was 300, and is 350",
    ),
    "a default": ("def simulate(x, T=300): return x * T", "300", "350", "its argument (T=) (program.py:1) was"),
    "a keyword's default": (
        "def simulate(x, *, T=(300, 1)): return x * T[0]", "300", "350", "(T=) (program.py:1) was (300, 1)",
    ),
    "a closure of a dataclass": (
        """
        from dataclasses import dataclass
        @dataclass
        class Settings:
            T: int = 300
            tags: frozenset = frozenset("abc")
        def make():
            settings = Settings(T=310)
            def simulate(x): return x * settings.T
            return simulate
        simulate = make()
        """, "310", "350", "settings.T was 310, and is 350",
    ),
    "self of a bound method": (
        """
        class Solver:
            def __init__(self, T):
                self.T = T
            def run(self, x): return x * self.T
        simulate = Solver(300).run
        """, "300", "350", "Solver object.T was 300, and is 350",
    ),
    "a callable object": (
        """
        class Solver:
            def __init__(self, T): self.T = T
            def __call__(self, x): return x * self.T
        simulate = Solver(300)
        """, "300", "350", "its function.T was 300, and is 350",
    ),
    "a method that a method calls": (
        """
        class Base:
            def scale(self): return 3
        class Solver(Base):
            def run(self, x): return x * self.scale()
        solver = Solver()
        def simulate(x): return solver.run(x)
        """, "return 3", "return 4", "function Base.scale (program.py:3) has changed",
    ),
    "super": (
        """
        class Base:
            def run(self, x): return x + 3
        class Solver(Base):
            def run(self, x): return super().run(x)
        def simulate(x): return Solver().run(x)
        """, "x + 3", "x + 4", "function Base.run (program.py:3) has changed",
    ),
    "an attribute of a class": (
        "class C:\n    T = 300\ndef simulate(x): return C.T * x", "300", "350", "C.T was 300, and is 350",
    ),
    "a partial": (
        "from functools import partial\ndef f(x, T): return x * T\nsimulate = partial(f, T=300)", "300", "350",
        "its function(T=) was 300, and is 350",
    ),
    "a partial of an object": (
        """
        from functools import partial
        class Solver:
            def __init__(self, T): self.T = T
            def __call__(self, x, k): return x * self.T
        simulate = partial(Solver(300), k=1)
        """, "300", "350", "its function.T was 300, and is 350",
    ),
    "what a decorator wraps": (
        """
        import functools
        def twice(f):
            @functools.wraps(f)
            def wrapper(x): return 2 * f(x)
            return wrapper
        @twice
        def simulate(x): return x + 300
        """, "300", "350", "function simulate (program.py:7) has changed",
    ),
    "what a cache wraps": (
        "from functools import lru_cache\n@lru_cache\ndef f(x): return x + 300\ndef simulate(x): return f(x)",
        "300", "350", "function f (program.py:2) has changed",
    ),
    "a dict's get": (
        "S = {'T': 300}\ndef simulate(x): return x * S.get('T', 1)", "300", "350", "S['T'] (program.py:1) was 300",
    ),
    "an argument of the program": (
        """
        from argparse import Namespace
        args = Namespace(T=300, rounds=3)
        def simulate(x): return x * args.T
        """, "300", "350", "args.T (program.py:3) was 300, and is 350",
    ),
    "an Enum": (
        """
        from enum import Enum
        class Phase(Enum):
            LIQUID = 1
        def simulate(x): return Phase.LIQUID.value
        """, "= 1", "= 2", "class Phase (program.py:3) has changed",
    ),
    "a name that is imported as another": (
        "import math as m\ndef simulate(x): return m.sqrt(x)", "math as", "cmath as", "m has changed",
    ),
    "a constant in a command's function": (
        "def simulate(x): return f'./solve --T 300 {x}'", "300", "350", "its function (program.py:1) has changed",
    ),
    "a function of a table of functions": (
        "def a(x): return x\ndef b(x): return x + 1\nTABLE = {'a': a, 'b': [b]}\ndef simulate(x): return TABLE[x](x)",
        "+ 1", "+ 2", "function b (program.py:2) has changed",
    ),
    "what an object of a package holds": (
        "import numpy as np\ndef g(x): return x + 1\ndef f(x): return g(x)\nv = np.vectorize(f)\n"
        "def simulate(x): return v(x)", "+ 1", "+ 2", "function g (program.py:2) has changed",
    ),
    "what a generic function dispatches to": (
        """
        from functools import singledispatch
        @singledispatch
        def f(x): return x
        @f.register
        def _(x: int): return x + 1
        def simulate(x): return f(x)
        """, "+ 1", "+ 2", "function _ (program.py:5) has changed",
    ),
    "what a context manager does": (
        """
        from contextlib import contextmanager
        @contextmanager
        def place(x): yield x + 1
        def simulate(x):
            with place(x) as y: return y
        """, "+ 1", "+ 2", "function place (program.py:3) has changed",
    ),
    "slots": (
        """
        class S:
            __slots__ = ("T", "calls")
            def __init__(self): self.T, self.calls = 300, 0
            def run(self, x): self.calls += 1; return self.T * x
        simulate = S().run
        """, "300", "350", "S object.T was 300, and is 350",
    ),
    "a property": (
        """
        class S:
            @property
            def T(self): return 300
        s = S()
        def simulate(x): return s.T * x
        """, "300", "350", "function S.T (program.py:3) has changed",
    ),
    "a static method and a class's": (
        """
        class S:
            T = 300
            @classmethod
            def run(cls, x): return cls.T * x
            @staticmethod
            def other(x): return x
        simulate = S.run
        """, "300", "350", "S.T was 300, and is 350",
    ),
    "a model of pydantic": (
        "from pydantic import BaseModel\nclass P(BaseModel):\n    T: float = 300\n    s: str = 'a'\np = P()\n"
        "def simulate(x): return p.T * x + p.s", "300", "350", "p.T (program.py:5) was 300",
    ),
    "one of two lambdas": ("f, simulate = lambda x: x, lambda x: x + 1", "+ 1", "+ 2", "its function (program.py:1)"),
    "an attribute of a function": (
        "def simulate(x): return simulate.T * x\nsimulate.T = 300", "300", "350", "simulate.T was 300, and is 350",
    ),
    "an estimator with a long array": (
        """
        import numpy as np
        from sklearn.gaussian_process import GaussianProcessRegressor
        alpha = np.full(5000, 0.1)
        alpha[2500] = 0.2
        model = GaussianProcessRegressor(alpha=alpha)
        def simulate(x): return model.predict(x)
        """, "= 0.2", "= 0.3", "model (program.py:6) has changed",
    ),
    "an own thread's constant": (
        "import threading\nclass S(threading.Thread):\n    def __init__(self, T): super().__init__(); self.T = T\n"
        "    def go(self, x): return self.T * x\ns = S(300)\ndef simulate(x): return s.go(x)", "300", "350", "s.T",
    ),
    "an own iterator's constant": (
        "class G:\n    def __init__(self, v): self.v = v\n    def __next__(self): return self.v\ng = G(300)\n"
        "def simulate(x): return next(g) * x", "300", "350", "g.v",
    ),
    "a configuration of ours": (
        "from rose import TaskConfig\nc = TaskConfig(kwargs={'T': 300})\ndef simulate(x): return c.kwargs['T'] * x",
        "300", "350", "c.kwargs['T']",
    ),
    "a default that is copied, and changed then": (
        "B = {'T': 300}\ndef simulate(x, o=B):\n    o = dict(o)\n    o.pop('z', None)\n    o[x] = 1\n    return o['T']",
        "300", "350", "(o=)['T']",
    ),
    "an entry beside one that is set": (
        "C = {'T': 300}\ndef simulate(x):\n    C.update(seen=1)\n    C.setdefault('n', 1)\n    return C['T'] * x",
        "300", "350", "C['T']",
    ),
    "an estimator that is fitted": (
        "from sklearn.linear_model import Ridge\nm = Ridge(alpha=300)\ndef simulate(x): return m.fit(x, x).predict(x)",
        "300", "350", "m['alpha']",
    ),
    "a match": (
        "A = 1\ndef simulate(x):\n    match x:\n        case [y, *z] if y > A: return z\n    return A", "= 1", "= 2",
        "A (program.py:1) was 1, and is 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_named(what: str, load: Load) -> None:
    text, old, new, message = CHANGES[what]
    before = reach(load(text))
    assert differences(before, reach(load(text))) == [], "started again, it is the same"
    after = reach(load(text.replace(old, new, 1)))
    assert parts_digest(before) != parts_digest(after)
    assert any(message in told for told in differences(before, after)), differences(before, after)


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
    found = [Path(f"/work/venv{version.replace('.', '')}/bin/python"), shutil.which(f"python{version}")]
    code = "import json; from tests.identity.test_reach import vectors; print(json.dumps(vectors()))"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    root = Path(__file__).parents[2]
    environment["PYTHONPATH"] = f"{root}{os.pathsep}{root / 'src'}"
    for python in found:
        if python is not None and Path(python).exists():
            done = subprocess.run([str(python), "-c", code], cwd=root, env=environment, capture_output=True, text=True)
            if done.returncode == 0:
                assert json.loads(done.stdout) == kept
                return
            assert "ModuleNotFoundError" in done.stderr, done.stderr
    pytest.skip(f"no Python {version} with NumPy, scikit-learn and pytest is on this machine")
