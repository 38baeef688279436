"""Hold labels apart from their run: what `rose labels` writes, and what a pool is given of an earlier run."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rose import portable
from rose.errors import CorruptRunError, MissingDefinitionError, NotPlainError, OtherPythonError
from rose.store.database.schema import reading
from rose.store.files.objects import ObjectStore
from rose.store.files.paths import OBJECTS
from rose.store.labels.values import not_finite, stacked
from rose.store.labels.versions import labels_by_simulation
from rose.store.records import DONE, LabelRecord
from rose.store.results import unreadable
from rose.store.safe_unpickle import load_plainly

_log = logging.getLogger("rose")


@dataclass(frozen=True)
class LabelTable:
    """Hold labelled samples, in the order in which their labels came.

    Attributes:
        labels: one a sample.
        candidates: int64 `[L]`, their indices in the pool they were labelled in; None: not known.
        digests: what identifies each candidate in any pool, 16 bytes each; None: not known.
        X: the candidates themselves, an array `[L, ...]` or a list; None: not known.
        keys: the task that simulated each, or "imported"; None: not known.
        simulations: int64 `[L]`, which of the simulations that a run has had labelled each, 1, 2, ... in the order in
            which they were the run's last; None: there is one.
    """

    labels: Sequence[Any]
    candidates: np.ndarray | None = None
    digests: Sequence[bytes] | None = None
    X: Any = None
    keys: Sequence[str] | None = None
    simulations: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)


def labels_of_run(directory: Path, trusted: bool = False, every: bool = False) -> LabelTable:
    """Return all labels that a run has recorded, also while it goes on; `X` is None where a candidate is not there.

    A label that is not finite, which an older version took, is left out, with a warning.

    Args:
        directory: the run directory.
        trusted: whether the code of the classes of its labels may run, as it does when the run itself is resumed.
        every: whether labels of what the simulation was earlier (`accept_changes="resimulate"`) are among them.

    Raises:
        RunDirectoryError, CorruptRunError: if it is no run, or damaged.
        NotPlainError: if it is not trusted, and a label is something else than numbers, texts, their containers and
            arrays.
        MissingDefinitionError, OtherPythonError: if it is trusted, and a label needs what is not there.
    """
    objects, load = ObjectStore(directory / OBJECTS), portable.load if trusted else load_plainly
    with reading(directory) as connection:
        every_label, own = labels_by_simulation(connection)
    kept = [(number, record) for number, record in every_label if record.state == DONE and (every or number == own)]
    numbers, records = [number for number, _ in kept], [record for _, record in kept]
    labels = [_label(objects, record, load) for record in records]
    bad = {i: found for i, label in enumerate(labels) if (found := not_finite(label)) is not None}
    for i, found in bad.items():
        _log.warning("%s: the label of candidate %d is left out: it holds %s", directory, records[i].candidate, found)
    records = [record for i, record in enumerate(records) if i not in bad]
    numbers = [number for i, number in enumerate(numbers) if i not in bad]
    return LabelTable(
        labels=[label for i, label in enumerate(labels) if i not in bad],
        candidates=np.array([record.candidate for record in records], dtype=np.int64),
        digests=[record.digest for record in records],
        X=_candidates(records),
        keys=[record.key for record in records],
        simulations=np.array(numbers, dtype=np.int64) if len({*numbers}) > 1 else None,
    )


def _label(objects: ObjectStore, record: LabelRecord, load: Callable[[BinaryIO], Any]) -> Any:
    try:
        return load(io.BytesIO(record.value)) if record.value is not None else objects.get(str(record.file), load)
    except NotPlainError as error:
        raise NotPlainError(*error.args, f"the label of candidate {record.candidate}") from None
    except (MissingDefinitionError, OtherPythonError) as error:
        raise unreadable(error, f"the label of candidate {record.candidate}") from None
    except (CorruptRunError, OSError):
        raise
    except Exception as error:
        raise CorruptRunError(
            f"the label of candidate {record.candidate} cannot be read: {type(error).__name__}: {error} (was its class "
            "moved or renamed?)"
        ) from error


def _candidates(records: Sequence[LabelRecord]) -> Any:
    found = [load_plainly(io.BytesIO(record.x)) for record in records if record.x is not None]
    if not found or len(found) != len(records):
        return None
    array = stacked(found)
    return found if array is None else array
