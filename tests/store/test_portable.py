"""What a script's classes are to later sessions, other programs and other Pythons."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from rose import portable
from rose.errors import MissingDefinitionError, NotPlainError, OtherPythonError
from rose.store.safe_unpickle import load_plainly
from rose.testing.engines.main_module import script
from tests.pythons import ROOT, python

# A program that records results, and says in another session, or with another Python, what it finds of them.
PROGRAM = """
import asyncio, json, sys
from dataclasses import dataclass
from enum import Enum, IntEnum
from pathlib import Path
from typing import NamedTuple
import numpy as np
from rose.errors import RoseError
from rose.store import Run

{definitions}

async def main(what, path):
    run, found = await Run.open(Path(path)), {{}}
    if what == "write":
        values = dict(plain=[1, "a"], array=np.arange(9000.0), by_name=[Phase.SOLID, Size.BIG, Point(2), Found()],
                      size=Size.BIG, one=Phase.LIQUID, code=lambda x: x + 1, local=make())
        for name, value in values.items():
            await run.done(run.started(f"w/0/{{name}}"), value)
    else:
        for name in ("plain", "array", "by_name", "size", "one", "code", "local"):
            try:
                found[name] = value = await run.result(await run.task(f"w/0/{{name}}")).get()
            except RoseError as error:
                found[name] = [type(error).__name__, str(error)]
        found["array"] = found["array"].tolist() == list(range(9000))
        if what == "check":
            phase, size, point, it = found["by_name"]
            found["by_name"] = [phase is Phase.SOLID, size is Size.BIG, type(point) is Point, it.phase is Phase.LIQUID]
            found["one"], found["size"] = found["one"] is Phase.LIQUID, found["size"] is Size.BIG
        print(json.dumps(found, default=str))
    await run.close()

asyncio.run(main(*sys.argv[1:]))
"""
DEFINITIONS = """
class Phase(Enum):
    LIQUID = 1
    SOLID = 2
    def melts(self):
        return self is Phase.SOLID
class Size(IntEnum):
    BIG = 3
class Point(NamedTuple):
    x: int
@dataclass
class Found:
    phase: Phase = Phase.LIQUID
def make():
    class Local:
        def __str__(self):
            return "local"
    return Local()
"""


class Program:
    def __init__(self, folder: Path) -> None:
        self.file, self.run = folder / "my script.py", folder / "run"
        self.file.write_text(PROGRAM.format(definitions=DEFINITIONS))

    def __call__(self, what: str, interpreter: str = sys.executable) -> Any:
        env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        command = [interpreter, str(self.file), what, str(self.run)]
        ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr  # -11: it has crashed
        return json.loads(ended.stdout) if ended.stdout else None

    def forget_classes(self) -> None:
        self.file.write_text(PROGRAM.format(definitions=""))


@pytest.fixture
def program(tmp_path: Path) -> Program:
    program = Program(tmp_path)
    program("write")
    return program


def test_another_session_finds_the_scripts_classes_by_name(program: Program) -> None:
    found = program("check")
    assert found["by_name"] == [True] * 4
    assert found["one"] is found["size"] is True
    program.forget_classes()
    found = program("look")
    assert found["by_name"][0] == "Phase.SOLID"
    assert found["by_name"][2:] == [[2], "Found(phase=<Phase.LIQUID: 1>)"]
    assert found["local"] == "local"


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_another_python_reads_all_that_holds_no_code(version: str, program: Program) -> None:
    if version == "{}.{}".format(*sys.version_info):
        pytest.skip(f"this is Python {version}")
    other = python(version)
    found = program("check", other)
    assert (found["plain"], found["array"], found["by_name"], found["one"]) == ([1, "a"], True, [True] * 4, True)
    for name in ("code", "local"):
        kind, text = found[name]
        assert kind == "OtherPythonError"
        assert f"the result of task w/0/{name} cannot be read: it holds code that {portable.PYTHON} made, which" in text
        assert f"CPython {version} cannot run; go on with that Python, or begin another run" in text
    program.forget_classes()
    kind, text = program("look", other)["one"]
    assert kind == "MissingDefinitionError"
    assert f"class Phase of {program.file}, which this program does not define" in text
    assert f"code that {portable.PYTHON} made" in text


def test_what_older_versions_recorded_by_value_is_found_by_name_too() -> None:
    with script() as main:
        old = cloudpickle.dumps([main.Phase.LIQUID, main.best, main.Derived, main.Point(3)])
        new = portable.dumps([main.Phase.LIQUID, main.best, main.Derived, main.Point(3)])
    with script() as main:  # another session
        for data in (old, new):
            phase, best, derived, point = portable.loads(data)
            assert phase is best.phase is main.Phase.LIQUID
            assert derived is main.Derived
            assert type(point) is main.Point
    kept = portable.loads(new)
    assert type(kept[0]) is type(kept[1].phase), "by value there is one class, too"


def test_a_definition_that_is_not_kept_is_named() -> None:
    with script("import threading\nlock = threading.Lock()\nclass Held:\n    def f(self): return lock") as main:
        data = portable.dumps(main.Held())
    with pytest.raises(MissingDefinitionError, match="class Held of a notebook or an interactive session, which this"):
        portable.loads(data)
    with pytest.raises(MissingDefinitionError, match="it needs Gone of a script"):
        portable.loads(b"c__main__\nGone\n.")
    with pytest.raises(NotPlainError, match=r"__main__\.Held"):
        load_plainly(io.BytesIO(data))


def test_code_of_another_python_in_what_older_versions_recorded_is_refused() -> None:
    """Simulated: instructions that this Python does not know, in place of another one's."""
    data = cloudpickle.dumps(lambda x: x + 1)
    (code,) = [one for one in [(lambda x: x + 1).__code__.co_code] if one in data]
    with pytest.raises(OtherPythonError, match="code that another Python made"):
        portable.loads(data.replace(code, bytes([255]) * len(code)))
    assert pickle.loads(data)(1) == portable.loads(data)(1) == 2
