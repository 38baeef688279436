"""What a function can reach decides what it gives: a change of it is named, and nothing else is a change."""

from __future__ import annotations

import pytest

from rose.identity.code import reach
from rose.identity.parts import differences, parts_digest
from tests.identity.conftest import Load

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
