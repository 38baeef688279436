"""Write and read the file of a bank of experiences: a .npz of NumPy's, of which nothing is pickled.

It holds `header` and `info` (JSON, as bytes), `reward` [n] and `done` [n], and of `state`, `action` and `next_state`
what they are made of: values of one type and shape are one array, `state.0` [n, ...]. Where there are several, `state`
[n] says which of them each experience is in.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rose.arrays import as_array
from rose.errors import BankError
from rose.store.files.fsync import create_aside, sync_directory

_FORMAT = "experience bank 1"
_COLUMNS = ("state", "action", "next_state")
_NO_BANK = (  # what reading a damaged file, or another one, comes to
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError),
    *(ValueError, LookupError, TypeError, RuntimeError, StopIteration),
)

_Sort = tuple[str, str, tuple[int, ...]]  # what a value comes back as, its type of number, its shape


def write_bank(path: str, session_id: str, experiences: Sequence[Any]) -> None:
    """Write a bank in the place of what was there, whole or not at all. Blocks.

    Raises:
        BankError: naming the first experience that cannot be kept, and what of it.
        OSError: if the disk refuses.
    """
    held: dict[str, NDArray[Any]] = {}
    forms = {name: _pack(held, name, experiences) for name in _COLUMNS}
    held["reward"] = np.array([_reward(one.reward, place) for place, one in enumerate(experiences)], np.float64)
    held["done"] = np.array([bool(one.done) for one in experiences], np.bool_)
    infos = [_json(one.info, f"experience {place}: info") for place, one in enumerate(experiences)]
    held["info"] = _bytes(infos)
    held["header"] = _bytes({"format": _FORMAT, "session_id": session_id, "count": len(experiences), "forms": forms})
    folder = Path(path).parent
    descriptor, aside = create_aside(folder, f".{Path(path).name}.")
    try:
        with open(descriptor, "wb") as file:
            np.savez(file, **held)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise
    sync_directory(folder)


def read_bank(path: str, allow_pickle: bool) -> tuple[str | None, list[Any]]:
    """Return the `session_id` of a bank, and its experiences: rows, or what a pickle holds. Blocks.

    Raises:
        FileNotFoundError: if there is no such file.
        BankError: if it is no bank, or damaged, or a pickle that was not allowed.
    """
    with open(path, "rb") as file:
        first = file.read(2)
        file.seek(0)
        if first[:1] == b"\x80":
            return None, _unpickled(file, path, allow_pickle)
        if first != b"PK":  # of which NumPy would say that it may be a pickle, and how to load it
            raise BankError(f"{path} is no bank of experiences, or is damaged: it does not begin as an .npz file does")
        try:
            with np.load(file, allow_pickle=False) as held:
                header = _plain(held["header"])
                if header["format"] != _FORMAT:
                    raise BankError(f"{path} is of the format {header['format']!r}, which this version does not know")
                columns = [_unpack(held, name, header["forms"][name], header["count"]) for name in _COLUMNS]
                states, actions, nexts = columns
                others = held["reward"].tolist(), held["done"].tolist(), _plain(held["info"])
                rows = zip(states, actions, others[0], nexts, *others[1:], strict=True)
                return str(header["session_id"]), list(rows)
        except BankError:
            raise
        except _NO_BANK as error:
            raise BankError(f"{path} is no bank of experiences, or is damaged: {error}") from error


def is_bank_file(path: str) -> bool:
    """Tell whether a file is one that `write_bank` has written; what it holds is not looked at."""
    try:
        with zipfile.ZipFile(path) as file, file.open("header.npy") as header:
            return _FORMAT.rpartition(" ")[0].encode() in header.read(4096)
    except (OSError, *_NO_BANK):
        return False


def _unpickled(file: BinaryIO, path: str, allow_pickle: bool) -> list[Any]:
    if not allow_pickle:
        raise BankError(
            f"{path} is a pickle, as ROSE writes banks; reading it runs whatever code its writer has put there. If you "
            "trust who wrote it: ExperienceBank.load(path, allow_pickle=True), and save() it"
        )
    try:
        loaded = pickle.load(file)
    except Exception as error:
        raise BankError(f"{path} cannot be unpickled: {type(error).__name__}: {error}") from error
    if not isinstance(loaded, list):
        raise BankError(f"{path} is a pickled {type(loaded).__name__}, and no bank of experiences")
    return loaded


# --- numbers of any shape ----------------------------------------------------------------------------------------


def _pack(held: dict[str, NDArray[Any]], name: str, experiences: Sequence[Any]) -> list[str]:
    """Put one column into arrays; returns what the values of each come back as."""
    sorts: dict[_Sort, list[NDArray[Any]]] = {}
    places = []
    for place, one in enumerate(experiences):
        form, array = _taken(getattr(one, name), f"experience {place}: {name}")
        own = (form, array.dtype.str, array.shape)
        values = sorts.setdefault(own, [])
        values.append(array)
        places.append(own)
    numbers = {own: number for number, own in enumerate(sorts)}
    if len(sorts) > 1:
        held[name] = np.array([numbers[own] for own in places], np.uint32)
    for own, number in numbers.items():
        held[f"{name}.{number}"] = np.stack(sorts[own], dtype=own[1])
    return [form for form, _, _ in sorts]


def _unpack(held: Any, name: str, forms: list[str], count: int) -> list[Any]:
    columns = [iter(_given(form, held[f"{name}.{number}"])) for number, form in enumerate(forms)]
    places = held[name].tolist() if len(forms) > 1 else [0] * count
    return [next(columns[place]) for place in places]


def _taken(value: Any, where: str) -> tuple[str, NDArray[Any]]:
    """Return what a value comes back as, and its numbers."""
    if value is None:
        return "none", np.empty(0)
    form = next((form for form, kinds in _FORMS.items() if isinstance(value, kinds)), "array")
    try:
        array = as_array(value, where, BankError) if form in ("array", "scalar") else np.asarray(value)
    except (TypeError, ValueError) as error:
        said = error if isinstance(error, BankError) else f"{where} cannot be kept: {error}"
        raise BankError(str(said)) from error
    if array.dtype.kind not in "biufc" or array.dtype.metadata:
        raise BankError(
            f"{where} cannot be kept: {_short(value)} is no number, nor a list or array of numbers; put what else "
            "there is to say into info"
        )
    if form in ("list", "tuple") and array.dtype.kind in "fc" and not _exact(array.tolist(), value):
        raise BankError(f"{where} cannot be kept: {_short(value)} has whole numbers that no float is equal to")
    return form, array


_FORMS: dict[str, Any] = {"scalar": np.generic, "number": (bool, int, float, complex), "list": list, "tuple": tuple}


def _given(form: str, values: NDArray[Any]) -> Any:
    """Return the values of one array, each as what was taken."""
    if form == "none":
        return [None] * len(values)
    if form == "array":
        return [values[place, ...] for place in range(len(values))]
    if form == "scalar":
        return list(values)
    return values.tolist() if form != "tuple" else map(tuple, values.tolist())


def _exact(made: Any, value: Any) -> bool:
    if isinstance(made, list):
        return all(map(_exact, made, value))
    return bool(made == value or made != made)


def _reward(value: Any, place: int) -> float:
    form, array = _taken(value, f"experience {place}: reward")
    if form == "none" or array.size != 1 or array.dtype.kind == "c":
        raise BankError(f"experience {place}: reward cannot be kept: {_short(value)} is not one real number")
    return float(array.item())


# --- JSON --------------------------------------------------------------------------------------------------------


def _json(value: Any, where: str) -> Any:
    """Return a value as JSON has it.

    Raises:
        BankError: if JSON has no form for it, or would give back another one.
    """
    if value is None or (isinstance(value, (bool, str, int, float)) and not isinstance(value, np.generic)):
        return value
    if isinstance(value, dict):
        for name in value:
            if not isinstance(name, str):
                raise BankError(f"{where} cannot be kept: the key {name!r} is no text, as in JSON they are")
        return {name: _json(one, f"{where}[{name!r}]") for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(one, f"{where}[{place}]") for place, one in enumerate(value)]
    if isinstance(value, np.generic) or hasattr(value, "__array__"):
        array = as_array(value, where, BankError)
        if array.dtype.kind in "biufU":
            return array.tolist()
    raise BankError(f"{where} cannot be kept: JSON has no form for {_short(value)}")


def _bytes(value: Any) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


def _plain(array: NDArray[np.uint8]) -> Any:
    return json.loads(array.tobytes())


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
