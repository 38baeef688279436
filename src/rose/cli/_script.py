"""Load the user's script for a command: all that it defines, without what it does when it is run."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from rose.errors import ConfigurationError


def load_script(path: Path) -> ModuleType:
    """Run a script as the main module, but for what is under `if __name__ == "__main__"`.

    Tasks find its functions then as they do when it is run itself.

    Raises:
        ConfigurationError: if it is no Python file, or uses what is defined in the part that is not run.
        Exception: what the script raises.
    """
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (OSError, SyntaxError, ValueError) as error:
        raise ConfigurationError(f"{str(path)!r} cannot be read as a Python script: {error}") from error
    everything = len(tree.body)
    tree.body = [node for node in tree.body if not _is_guard(node)]
    module = ModuleType("__main__")
    module.__file__ = str(path.absolute())
    sys.modules["__main__"] = module
    sys.argv = [str(path)]
    sys.path[0] = str(path.absolute().parent)
    try:
        exec(compile(tree, module.__file__, "exec"), module.__dict__)
    except NameError as error:
        if len(tree.body) == everything:
            raise
        raise ConfigurationError(
            f"{str(path)!r}: {error}; what is under `if __name__ == '__main__'` is not run here: put what uses it "
            "there, too"
        ) from error
    return module


def learner_of(module: ModuleType, name: str) -> Any:
    """Return the learner that a script defines by a name: itself, or what a function of that name gives.

    Raises:
        ConfigurationError: if there is none.
    """
    if not hasattr(module, name):
        learners = [key for key, value in vars(module).items() if hasattr(value, "teach") and not callable(value)]
        hint = f" (--learner {learners[0]}?)" if learners else ""
        raise ConfigurationError(
            f"{module.__file__} defines no {name!r}{hint}: define `learner = ParallelUQLearner(...)` at its top, or a "
            "function `def learner():` that returns one; what is under `if __name__ == '__main__'` is not run"
        )
    found = getattr(module, name)
    return found() if callable(found) else found


def _is_guard(node: ast.stmt) -> bool:
    """Return whether a statement is `if __name__ == "__main__": ...`."""
    if not isinstance(node, ast.If) or not isinstance(node.test, ast.Compare) or len(node.test.comparators) != 1:
        return False
    sides = [ast.unparse(node.test.left), ast.unparse(node.test.comparators[0])]
    return isinstance(node.test.ops[0], ast.Eq) and sorted(sides) == sorted(["__name__", "'__main__'"])
