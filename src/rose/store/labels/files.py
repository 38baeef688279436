"""Write and read tables of labels: .npz keeps everything as it is, .csv and .parquet are for other programs too.

    y (or y_0, y_1, ... where a label is an array)   the labels
    x_0, x_1, ... (.npz: X `[L, ...]`)               the candidates, where the run holds them
    index, digest, task                              which candidate, what identifies it in any pool, who simulated it
    simulation                                       which of the simulations that a run has had; the highest is read

A file that is made by hand needs `y`, and one of `digest`, the candidates and `index`. A row whose label is blank (in a
.csv an empty cell, in a .parquet a null) is unlabelled, and is left out. The labels of a .csv are all numbers, all
truth values or all texts: `NA` among numbers is no class.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rose.errors import ConfigurationError, PoolError, near_miss
from rose.store.files.fsync import create_aside
from rose.store.labels.table import LabelTable
from rose.store.labels.values import not_finite, stacked

Columns = dict[str, np.ndarray]

_NUMBERED = re.compile(r"([xy])_\d+")
_TABULAR = "biufU"  # kinds of arrays that every table format can hold
_TEXTS = ("digest", "task")  # columns whose cells are texts, also where they look like numbers


def write_labels(table: LabelTable, path: Path) -> None:
    """Write a table of labels, replacing what was there; the format is by the suffix.

    Raises:
        ConfigurationError: if the format is unknown, its library is missing, or it cannot hold these labels; or if
            there is no such directory.
        OSError: if the disk refuses.
    """
    write = _format(path, {".npz": _write_npz, ".csv": _write_csv, ".parquet": _write_parquet})
    if not path.parent.is_dir():
        raise ConfigurationError(f"{str(path)!r} cannot be written: there is no directory {str(path.parent)!r}")
    labels = stacked(table.labels)
    if labels is None:
        raise ConfigurationError("the labels are no numbers, texts or arrays of one shape: no table can hold them")
    descriptor, aside = create_aside(path.parent, ".labels-")  # a name of its own: the file's may have no room for more
    os.close(descriptor)
    try:
        write(table, labels, aside)
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def read_labels_file(path: Path) -> LabelTable:
    """Return what `write_labels` wrote, or anyone with the same column names.

    Raises:
        ConfigurationError: if the format is unknown, or its library is missing.
        PoolError: if it is no such table, a label is not finite, some values of one are blank, or an index is no whole
            number; or if some labels of a .csv are numbers and some texts.
    """
    read = _format(path, {".npz": _read_npz, ".csv": _read_csv, ".parquet": _read_parquet})
    try:
        columns = read(path)
    except (ConfigurationError, FileNotFoundError):  # they say already what is wrong
        raise
    except Exception as error:
        raise PoolError(f"labels: {str(path)!r} cannot be read: {type(error).__name__}: {error}") from error
    return _table(columns, path)


def _format(path: Path, formats: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    found = formats.get(path.suffix.lower())
    if found is None:
        raise ConfigurationError(f"{str(path)!r} is of no known format; {near_miss(path.suffix, formats)}")
    return found


def _write_npz(table: LabelTable, labels: np.ndarray, path: Path) -> None:
    columns = {"y": labels, **_names(table)}
    if isinstance(table.X, np.ndarray):
        columns["X"] = table.X
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **columns)


def _write_csv(table: LabelTable, labels: np.ndarray, path: Path) -> None:
    columns = {name: column.tolist() for name, column in _flat(table, labels).items()}
    for name, column in columns.items():
        if name.startswith("y") and any(isinstance(cell, str) and not cell.strip() for cell in column):
            raise ConfigurationError(f"a text in {name} is blank: in a .csv that is no label; write a .npz")
        texts = column if name not in _TEXTS and column and isinstance(column[0], str) else []
        alike = [cell for cell in texts if _kind(cell) != "text"]
        if alike and (_is_label(name) or len(alike) == len(texts)):
            raise ConfigurationError(
                f"texts in {name} look like numbers or truth values ({alike[0]!r}), and a .csv cannot tell: "
                "write a .npz"
            )
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _write_parquet(table: LabelTable, labels: np.ndarray, path: Path) -> None:
    arrow, parquet = _arrow()
    flat = _flat(table, labels)
    parquet.write_table(arrow.table({k: v.tolist() if v.dtype.kind == "U" else v for k, v in flat.items()}), path)


def _read_npz(path: Path) -> Columns:
    with np.load(path, allow_pickle=False) as file:
        columns = dict(file)
    return _checked(columns, path, [f"row {i}" for i in range(max(map(len, columns.values()), default=0))])


def _read_csv(path: Path) -> Columns:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        rows = [(reader.line_num, row) for row in reader if row]
    (_, heading), *rows = rows
    heading = [name.strip() for name in heading]
    twice = [name for name in heading if name and heading.count(name) > 1]
    if twice:
        raise ValueError(f"two columns are called {twice[0]!r}")
    for line, row in rows:
        if len(row) != len(heading):
            raise ValueError(f"line {line} has {len(row)} cells, and the heading {len(heading)}")
    places = [heading.index(name) for name in _label_columns(heading)]
    blank = [[not row[place].strip() for place in places] for _, row in rows]
    names = [f"line {line}" for line, _ in rows]
    kept = _labelled(blank, path, names)
    names = [names[i] for i in kept]
    cells = {name: [rows[i][1][place] for i in kept] for place, name in enumerate(heading)}
    for name in _label_columns(heading):
        _check_one_kind(cells[name], path, names)
    columns = {name: np.array(c, dtype=str) if name in _TEXTS else _column(c) for name, c in cells.items()}
    return _checked(columns, path, names)


def _read_parquet(path: Path) -> Columns:
    _, parquet = _arrow()
    table = parquet.read_table(path)
    names = [f"row {i}" for i in range(len(table))]
    nulls = [table.column(name).is_null().to_pylist() for name in _label_columns(table.column_names)]
    if nulls:
        kept = _labelled([*zip(*nulls, strict=True)], path, names)
        table, names = table.take(kept), [names[i] for i in kept]
    columns = {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names}
    columns = {name: np.array(c.tolist()) if c.dtype == object else c for name, c in columns.items()}
    return _checked(columns, path, names)


def _label_columns(names: Sequence[str]) -> list[str]:
    """Return the columns that make the label."""
    return ["y"] if "y" in names else [name for name in names if _is_label(name)]


def _is_label(name: str) -> bool:
    match = _NUMBERED.fullmatch(name)
    return name == "y" or (match is not None and match[1] == "y")


def _checked(columns: Columns, path: Path, rows: Sequence[str]) -> Columns:
    """Return the columns, if all labels are finite and all indices whole numbers."""
    if "index" in columns:
        columns = {**columns, "index": _whole(columns["index"], path, rows)}
    for name in _label_columns([*columns]):
        if not_finite(columns[name]) is not None:
            row = next(i for i, label in enumerate(columns[name]) if not_finite(label) is not None)
            raise PoolError(
                f"labels: {str(path)!r}, {rows[row]}: its label is not finite ({not_finite(columns[name][row])}); "
                + ("leave such rows out" if path.suffix.lower() == ".npz" else "leave it blank where there is none")
            )
    return columns


def _whole(index: np.ndarray, path: Path, rows: Sequence[str]) -> np.ndarray:
    """Return the indices as integers; other programs write them as floats where some were missing once."""
    if index.dtype.kind in "iu":
        return index
    for row, value in zip(rows, index.tolist(), strict=False):
        if isinstance(value, float) and value.is_integer():
            continue
        if isinstance(value, str) and value.strip().isdecimal():
            continue
        said = "blank" if value is None or value != value or not str(value).strip() else f"{value!r}, no whole number"
        raise PoolError(
            f"labels: {str(path)!r}, {row}: its index is {said}; an index is a candidate's place in the pool, 0, 1, "
            "... (leave out the column where `digest` or the candidates say which they are)"
        )
    return index.astype(np.int64)


def _labelled(blank: Sequence[Sequence[bool]], path: Path, rows: Sequence[str]) -> list[int]:
    """Return the places of the rows with a label, given which of their cells are blank, and what messages call them."""
    for row, cells in zip(rows, blank, strict=True):
        if any(cells) and not all(cells):
            raise PoolError(f"labels: {str(path)!r}, {row}: some values of its label are blank; give all, or none")
    return [place for place, cells in enumerate(blank) if not cells or not all(cells)]


def _check_one_kind(cells: Sequence[str], path: Path, rows: Sequence[str]) -> None:
    """Check that labels are not numbers in some rows and texts (`NA`) in others: the numbers would become texts."""
    first: dict[str, int] = {}
    for place, cell in enumerate(cells):
        first.setdefault(_kind(cell), place)
    if len(first) > 1:
        # A text, if there is one, is the odd one.
        (one, i), (other, j) = sorted(first.items(), key=lambda item: item[0] == "text")[-2:]
        raise PoolError(
            f"labels: {str(path)!r}, {rows[j]}: its label {cells[j]!r} is a {other}, and that of {rows[i]}, "
            f"{cells[i]!r}, a {one}; leave it blank where there is no label (texts that look like numbers belong into "
            "a .npz)"
        )


def _kind(cell: str) -> str:
    """Return what `_column` takes a cell for that is not blank."""
    if cell.strip() in ("True", "False"):
        return "truth value"
    try:
        float(cell)
    except ValueError:
        return "text"
    return "number"


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ConfigurationError("a .parquet file needs pyarrow: pip install 'rose-uq[parquet]'") from None
    return pyarrow, pyarrow.parquet


def _names(table: LabelTable) -> Columns:
    """Return the columns that say which samples they are."""
    columns: Columns = {}
    if table.candidates is not None:
        columns["index"] = table.candidates
    if table.digests is not None:
        columns["digest"] = np.array([digest.hex() for digest in table.digests], dtype=str)
    if table.keys is not None:
        columns["task"] = np.array(table.keys, dtype=str)
    if table.simulations is not None:
        columns["simulation"] = table.simulations
    return columns


def _flat(table: LabelTable, labels: np.ndarray) -> Columns:
    """Return all of a table as columns of numbers and texts."""
    if labels.ndim > 2 or labels.dtype.kind not in _TABULAR:
        raise ConfigurationError(f"labels of shape {labels.shape[1:]} and type {labels.dtype} fit a .npz only")
    columns = _names(table)
    columns |= {"y": labels} if labels.ndim == 1 else {f"y_{i}": labels[:, i] for i in range(labels.shape[1])}
    if isinstance(table.X, np.ndarray) and table.X.dtype.kind in _TABULAR:
        X = table.X.reshape(len(table), -1)
        columns |= {f"x_{i}": X[:, i] for i in range(X.shape[1])}
    return columns


def _column(cells: Sequence[str]) -> np.ndarray:
    """Return the cells of a .csv column as whole numbers, numbers, truth values or texts: the first that they all are.

    Among numbers, a blank cell is NaN.
    """
    if {cell.strip() for cell in cells} <= {"True", "False"}:
        return np.array([cell.strip() == "True" for cell in cells], dtype=bool)
    for kind in (int, float):
        try:
            return np.array([kind(cell) for cell in cells])
        except ValueError:
            continue
    try:
        if any(cell.strip() for cell in cells):
            return np.array([float(cell) if cell.strip() else np.nan for cell in cells])
    except ValueError:
        pass
    return np.array(cells, dtype=str)


def _table(columns: Columns, path: Path) -> LabelTable:
    if "simulation" in columns and len(columns["simulation"]):  # labels of the earlier ones contradict the last one's
        last = columns["simulation"] == columns["simulation"].max()
        columns = {name: column[last] for name, column in columns.items()}
    labels, X = _joined(columns, "y"), columns.get("X", _joined(columns, "x"))
    if labels is None:
        raise PoolError(f"labels: {str(path)!r} has no column 'y'; it has {', '.join(map(str, columns)) or 'none'}")
    digests = columns.get("digest")
    try:
        known = None if digests is None else [bytes.fromhex(text) for text in digests.tolist()]
    except (TypeError, ValueError):
        raise PoolError(f"labels: the column 'digest' of {str(path)!r} holds no hexadecimal digests") from None
    keys, candidates = columns.get("task"), columns.get("index")
    return LabelTable(list(labels), candidates, known, X, None if keys is None else keys.tolist())


def _joined(columns: Columns, letter: str) -> np.ndarray | None:
    """Return the column of that name, or those that are numbered, as `[L, n]`."""
    if letter in columns:
        return columns[letter]
    found = [name for name in columns if (match := _NUMBERED.fullmatch(name)) and match[1] == letter]
    ordered = sorted(found, key=lambda name: int(name[2:]))
    if letter == "y" and len({columns[name].dtype.kind in "US" for name in ordered}) > 1:
        raise PoolError(
            f"labels: some of the columns {', '.join(ordered)} are numbers and some texts: no vector is both"
        )
    return np.stack([columns[name] for name in ordered], axis=1) if ordered else None
