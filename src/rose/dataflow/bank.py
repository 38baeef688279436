"""Keep what an agent has experienced: banks of experiences, from which updates draw, and their files."""

from __future__ import annotations

import os
import time
import uuid
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Self, overload

import numpy as np

from rose.dataflow._bank_file import is_bank_file, read_bank, write_bank
from rose.errors import BankError, ConfigurationError

MERGED = "experience_bank"  # what banks of parallel environments are merged into
PREFIX = f"{MERGED}_"  # how their files begin
SUFFIXES = (".npz", ".pkl")  # ours, and what ROSE's programs call theirs


@dataclass(eq=False)
class Experience:
    """Hold one step of an agent in its environment.

    Attributes:
        state, next_state: what was observed before and after: numbers of any shape; `next_state` may be None.
        action: what was done: numbers of any shape.
        reward: what it was worth.
        done: whether the episode ended by it.
        info: what else there is to say, as JSON can.
    """

    state: Any
    action: Any
    reward: float
    next_state: Any
    done: bool
    info: dict[str, Any] | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Experience):
            return NotImplemented
        return all(_same(getattr(self, field.name), getattr(other, field.name)) for field in fields(self))


def create_experience(
    state: Any, action: Any, reward: float, next_state: Any, done: bool, info: dict[str, Any] | None = None
) -> Experience:
    """Return an experience; its `info` is an empty dict where there is none."""
    return Experience(state, action, reward, next_state, done, info or {})


class ExperienceBank:
    """Hold experiences in the order in which they were made; of a full bank the oldest go first.

    Args:
        max_size: how many it holds; None: any number.
        session_id: what it is called, and its file; None: a new name.

    Raises:
        ConfigurationError: if the size is not 1, 2, 3, ...

    >>> bank = ExperienceBank(max_size=2, session_id="walk")
    >>> bank.add_batch([Experience(x, +1, 0.5, x + 1, False) for x in range(3)])
    >>> len(bank), bank[0].state, bank.sample(3, seed=0)[0].state
    (2, 1, 2)
    """

    def __init__(self, max_size: int | None = None, session_id: str | None = None) -> None:
        if max_size is not None:
            _check_count(max_size, "max_size", 1)
        self.max_size = max_size
        self.session_id = session_id or f"{PREFIX}{time.strftime('%Y%m%d_%H%M%S')}_{uuid.uuid4().hex[:8]}"
        self._held: deque[Experience] = deque(maxlen=max_size)

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Experience]:
        return iter(self._held)

    @overload
    def __getitem__(self, place: int) -> Experience: ...
    @overload
    def __getitem__(self, place: slice) -> list[Experience]: ...
    def __getitem__(self, place: int | slice) -> Experience | list[Experience]:
        return list(self._held)[place] if isinstance(place, slice) else self._held[place]

    def __repr__(self) -> str:
        return f"ExperienceBank({self.session_id!r}, {len(self)} experiences)"

    def add(self, experience: Experience) -> None:
        """Add one."""
        self.add_batch([experience])

    def add_batch(self, experiences: Iterable[Experience]) -> None:
        """Add several.

        Raises:
            ConfigurationError: if one is no experience; then none is added.
        """
        added = list(experiences)
        for one in added:
            if not isinstance(one, Experience):
                raise ConfigurationError(f"a bank takes experiences, got {one!r}; make one with create_experience(...)")
        self._held.extend(added)

    def sample(
        self, batch_size: int, replace: bool = True, seed: int | np.random.Generator | None = None
    ) -> list[Experience]:
        """Draw some at random; of an empty bank there are none.

        Args:
            batch_size: how many.
            replace: whether one may be drawn several times.
            seed: gives the same draw each time; None: another one each time.

        Raises:
            ConfigurationError: if the bank holds fewer, and `replace` is False.
        """
        size, held = _check_count(batch_size, "batch_size", 0), list(self._held)
        if not replace and size > len(held):
            raise ConfigurationError(
                f"Cannot sample {size} experiences without replacement from bank of size {len(held)}"
            )
        drawn = np.random.default_rng(seed).choice(len(held), size, replace=replace) if held else ()
        return [held[place] for place in drawn]

    def get_recent(self, n: int) -> list[Experience]:
        """Return the last `n` in the order in which they were added, or all if there are fewer."""
        count = min(_check_count(n, "n", 0), len(self))
        return list(self._held)[len(self) - count :]

    def merge(self, other: ExperienceBank) -> ExperienceBank:
        """Return a new bank with what is in both, of the larger `max_size` that is said; both stay as they are."""
        if not isinstance(other, ExperienceBank):
            raise ConfigurationError(f"a bank is merged with another one, got {other!r}")
        merged = ExperienceBank(max((size for size in (self.max_size, other.max_size) if size), default=None))
        merged.add_batch([*self, *other])
        return merged

    def merge_inplace(self, other: Iterable[Experience]) -> None:
        """Add what is in another bank, which stays as it is."""
        if not isinstance(other, Iterable):
            raise ConfigurationError(f"a bank is merged with another one, got {other!r}")
        self.add_batch(other)

    def clear(self) -> None:
        """Forget all."""
        self._held.clear()

    def save(self, work_dir: str | os.PathLike[str] = ".", bank_file: str | os.PathLike[str] | None = None) -> str:
        """Write a file, whole or not at all: NumPy's .npz, whatever it is called, and nothing in it is pickled.

        Kept are numbers, and lists, tuples and arrays of them, of any shape and type of number, which may differ from
        one experience to the next; arrays of other libraries come back as NumPy's, tuples within lists or tuples as
        lists. Of `info` is kept what JSON has a form for; arrays in it come back as lists.

        Args:
            work_dir: a directory, which is there.
            bank_file: the file's name in it; None: `session_id`, and ".npz".

        Returns:
            The path.

        Raises:
            BankError: naming the first experience that cannot be kept, and what of it.
            OSError: if the disk refuses.
        """
        name = f"{self.session_id}.npz" if bank_file is None else _path(bank_file, "bank_file")
        path = os.path.join(_path(work_dir, "work_dir"), name)
        write_bank(path, self.session_id, list(self._held))
        return path

    @classmethod
    def load(cls, filepath: str | os.PathLike[str], max_size: int | None = None, *, allow_pickle: bool = False) -> Self:
        """Read a bank that `save` has written. For a NAME.pkl that is not there, NAME.npz is read.

        Args:
            filepath: the file.
            max_size: of the bank; the last ones are kept.
            allow_pickle: whether to read banks of ROSE's, too, which are pickles. Reading a pickle runs whatever code
                its writer has put there: allow it for files whose writer you trust.

        Raises:
            FileNotFoundError: if there is no such file.
            BankError: if it is no bank, or damaged, or a pickle that was not allowed.
        """
        path = _path(filepath, "filepath")
        ours = f"{os.path.splitext(path)[0]}.npz"
        if path.endswith(".pkl") and not os.path.exists(path) and os.path.exists(ours):
            path = ours
        session_id, rows = read_bank(path, allow_pickle)
        bank = cls(max_size, session_id)
        try:
            bank.add_batch(Experience(*row) if isinstance(row, tuple) else row for row in rows)
        except (ConfigurationError, TypeError) as error:
            raise BankError(f"{path} holds no experiences: {error}") from error
        return bank

    @staticmethod
    def list_saved_banks(work_dir: str | os.PathLike[str] = ".") -> list[str]:
        """Return the paths of the banks that `save` has written into a directory, by name; pickles are not opened."""
        names = sorted(os.listdir(work_dir))
        return [path for name in names if is_bank_file(path := os.path.join(work_dir, name))]


def _path(path: str | os.PathLike[str], name: str) -> str:
    try:
        return os.fspath(path)
    except TypeError:
        raise ConfigurationError(f"{name}={path!r} of a bank must be a path: a text or a pathlib.Path") from None


def banks_left(work_dir: str) -> dict[str, list[int]]:
    """Return what tells whether a file has changed, of those that environments leave in a directory, by name."""
    found = {}
    with os.scandir(work_dir) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX) and entry.name.endswith(SUFFIXES) and entry.is_file():
                about = entry.stat()
                found[entry.name] = [about.st_ino, about.st_mtime_ns, about.st_size]
    return found


def merge_banks(work_dir: str, before: dict[str, list[int]], returned: list[ExperienceBank]) -> str:
    """Merge banks into `experience_bank.npz`, which is replaced; no other file is changed or removed.

    Args:
        work_dir: where files of theirs are, and the merged one will be.
        before: what `banks_left` gave of the files that are to be left out.
        returned: banks that are at hand; a file of the same `session_id` as one of them is left out.

    Returns:
        The path of the merged file.

    Raises:
        BankError: if there are none, or a file is not one.
    """
    names = sorted(name for name, about in banks_left(work_dir).items() if before.get(name) != about)
    merged, known = ExperienceBank(session_id=MERGED), {bank.session_id for bank in returned}
    files = [ExperienceBank.load(os.path.join(work_dir, name)) for name in names]
    banks = [*returned, *(bank for bank in files if bank.session_id not in known)]
    if not banks:
        raise BankError(
            "no environment has left experiences: return an ExperienceBank from a function, or have one saved in "
            f"{os.path.abspath(work_dir)} as {PREFIX}NAME.npz"
        )
    for bank in banks:
        merged.merge_inplace(bank)
    return merged.save(work_dir)


def _check_count(value: Any, argument: str, least: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < least:
        raise ConfigurationError(f"{argument}={value!r} must be a whole number of {least} or more")
    return int(value)


def _same(one: Any, other: Any) -> bool:
    if hasattr(one, "__array__") or hasattr(other, "__array__"):
        return np.array_equal(np.asarray(one), np.asarray(other))
    if isinstance(one, (list, tuple)) and type(one) is type(other):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
