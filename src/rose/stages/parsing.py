"""Read what a task's result means: a number for a criterion, what a command printed or left, plain JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rose.arrays import as_array, as_numbers
from rose.engine import TaskKey
from rose.errors import CommandOutputError, NotANumberError
from rose.stages.stage import Collect


def number(result: Any, key: TaskKey, names: tuple[str, ...]) -> float:
    """Return the finite number a criterion or uncertainty task gave; an array or tensor of one entry is one.

    For a text (what a command printed), its last line that is a number; for a dict, the entry under one of `names`.

    Raises:
        NotANumberError: if it is NaN, or no number.
    """
    value: Any = result
    if isinstance(result, str):
        value = _last_number(result)
        if value is None:
            raise NotANumberError(
                f"task {key}: printed no line that is a number (its value is the last such line); "
                f"it printed: {_tail(result)}"
            )
    elif isinstance(result, Mapping):
        value = next((result[name] for name in names if name in result), None)
        if value is None:
            raise NotANumberError(f"task {key}: returned a dict without any of {', '.join(map(repr, names))}")
    try:
        scalar = value is None or isinstance(value, (str, bytes, int, float))
        number = float(value if scalar else as_numbers(value, "the value", NotANumberError).item())
    except (TypeError, ValueError, OverflowError):
        raise NotANumberError(f"task {key}: returned {_short(value)}, which is no number") from None
    if math.isnan(number):
        raise NotANumberError(f"task {key}: the value is NaN")
    return number


def printed_value(text: str, key: TaskKey) -> Any:
    """Return what a command in a pool's workflow printed last: a number, or any JSON value.

    Raises:
        CommandOutputError: if the last line is neither.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise CommandOutputError(
            "the command printed nothing; print the result as the last line, or say collect= to read a file", str(key)
        )
    try:
        return json.loads(lines[-1])
    except json.JSONDecodeError:
        value = _last_number(lines[-1])
        if value is None:
            raise CommandOutputError(
                f"the last line printed is neither a number nor JSON: {_short(lines[-1])}; "
                "print the result last, or say collect= to read a file",
                str(key),
            ) from None
        return value


def collect_file(collect: Collect, workdir: Path) -> Any:
    """Read a command's result from its working directory: by the user's function, or a file by its ending.

    Raises:
        FileNotFoundError: if the file is not there.
    """
    if callable(collect):
        return collect(workdir)
    path = workdir / collect
    if not path.exists():
        there = ", ".join(sorted(p.name for p in workdir.iterdir())) or "nothing"
        raise FileNotFoundError(f"collect={collect!r}: the command wrote no such file in {workdir} (there is: {there})")
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    if path.suffix == ".json":
        return json.loads(path.read_text())
    values = np.loadtxt(path)
    return values.item() if values.ndim == 0 else values


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: arrays and scalars of any library, sets and tuples become numbers and lists.

    What JSON has no form for (a model, an object, a NaN) becomes its text.
    """
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (np.generic, np.ndarray)):
        return plain(value.tolist())
    if hasattr(value, "__array__"):
        return plain(as_array(value, "a value").tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(plain, value), key=str)
    return str(value)


def _last_number(text: str) -> float | None:
    for line in reversed(text.splitlines()):
        try:
            return float(line.strip())
        except ValueError:
            continue
    return None


def _tail(text: str, lines: int = 3) -> str:
    kept = [_short(line) for line in text.splitlines() if line.strip()][-lines:]
    return " | ".join(kept) if kept else "nothing"


def _short(value: Any, width: int = 120) -> str:
    text = repr(value)
    return text if len(text) <= width else text[: width - 3] + "..."
