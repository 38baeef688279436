"""Labelled candidates, and the simulations that label them."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rose.engine import TaskKey
from rose.errors import PoolError, TaskFailedError
from rose.store import LabelStore
from rose.workflow.binding import PROVIDED, Binding
from rose.workflow.calling import bind_stage, run_stage
from rose.workflow.config import LearnerConfig
from rose.workflow.pool import Pool, take
from rose.workflow.runner import Runner
from rose.workflow.seeds import derive_seed
from rose.workflow.stages import Stage

# A label may depend on these only if the simulation asks for them; then workflows that differ in them cannot share it.
_CONTEXT = ("index", "iteration", "workflow")


class LabelledSet:
    """The candidates of one workflow that have a label, in the order they came."""

    def __init__(self, size: int) -> None:
        self._free = np.ones(size, dtype=bool)
        self._indices: list[int] = []
        self._labels: list[Any] = []

    def __len__(self) -> int:
        return len(self._indices)

    def add(self, indices: np.ndarray, labels: Sequence[Any]) -> None:
        """Add candidates with their labels.

        Raises:
            PoolError: if one of them is labelled already.
        """
        for index, label in zip(indices.tolist(), labels, strict=True):
            if not self._free[index]:
                raise PoolError(f"candidate {index} is labelled already")
            self._free[index] = False
            self._indices.append(index)
            self._labels.append(label)

    @property
    def indices(self) -> np.ndarray:
        """int64 `[L]`: which candidates."""
        return np.array(self._indices, dtype=np.int64)

    @property
    def candidates(self) -> np.ndarray:
        """int64 `[N - L]`: those without a label, ascending."""
        return np.flatnonzero(self._free)

    @property
    def y(self) -> Any:
        """The labels: an array `[L, ...]` where they are numbers, strings or arrays of one shape, else a list."""
        return stack(self._labels)


def stack(labels: Sequence[Any]) -> Any:
    """Labels as an array where they have one shape and kind, else as they are."""
    try:
        array = np.asarray(labels)
    except ValueError:  # arrays of several shapes
        return list(labels)
    return list(labels) if array.dtype == object else array


class Simulator:
    """Labels candidates for all workflows of a run; each distinct sample once."""

    def __init__(self, pool: Pool, stage: Stage, runner: Runner, store: LabelStore) -> None:
        self._pool = pool
        self._stage = stage
        self._runner = runner
        self._store = store

    def bind(self, config: LearnerConfig, iteration: int) -> Binding:
        """How the simulation is called under this configuration.

        Raises:
            BindingError: if it asks for what there is not.
        """
        provided = PROVIDED["simulation batch" if self._stage.batch else "simulation"]
        return bind_stage(self._stage, provided, config, iteration)

    async def label(self, workflow: str, iteration: int, indices: np.ndarray, config: LearnerConfig) -> list[Any]:
        """The labels of these candidates, in order; simulated in parallel, or taken from who simulated them before."""
        binding = self.bind(config, iteration)
        context = {"iteration": iteration, "workflow": workflow}
        keys = [self._content(int(index), binding, context) for index in indices]

        async def simulate(positions: Sequence[int]) -> Sequence[Any]:
            chunk = indices[list(positions)]
            key = TaskKey(workflow, iteration, "simulation", index=int(chunk[0]))
            seed = derive_seed(self._pool.seed, keys[positions[0]].hex())
            labels = await self._simulate(key, chunk, binding, {**context, "seed": seed})
            for index, label in zip(chunk.tolist(), labels, strict=True):
                _check_label(label, index, key)
            return labels

        return await self._store.get(keys, simulate, self._stage.batch or 1)

    def _content(self, index: int, binding: Binding, context: Mapping[str, Any]) -> bytes:
        """What decides the label: the candidate, the configuration, and what else the simulation asks for."""
        wanted = {"index": index, **context}
        extra = [(name, wanted[name]) for name in _CONTEXT if name in binding.names]
        hasher = hashlib.blake2b(self._pool.digest(index), digest_size=16)
        if extra or binding.configured:
            try:
                hasher.update(pickle.dumps((extra, sorted(binding.configured.items())), protocol=5))
            except Exception as error:
                raise PoolError(f"the simulation's configuration cannot be pickled: {error}") from error
        return hasher.digest()

    async def _simulate(
        self, key: TaskKey, chunk: np.ndarray, binding: Binding, context: Mapping[str, Any]
    ) -> Sequence[Any]:
        batch = self._stage.batch is not None
        samples = {"X": take(self._pool.X, chunk)} if batch else {"x": self._pool[int(chunk[0])]}
        given = {**context, **samples, "index": chunk if batch else int(chunk[0])}
        result = await run_stage(self._runner, self._stage, key, binding, given)
        if not batch:
            return [result]
        if isinstance(result, (str, bytes)) or not hasattr(result, "__len__") or len(result) != len(chunk):
            count = len(result) if hasattr(result, "__len__") else "no sequence"
            raise TaskFailedError(f"a batch of {len(chunk)} candidates wants as many labels, got {count}", str(key))
        return list(result)


def _check_label(label: Any, index: int, key: TaskKey) -> None:
    if label is None:
        raise TaskFailedError(
            f"the simulation of candidate {index} returned None; does it `return` its label?", str(key)
        )
    array = np.asarray(label) if isinstance(label, (float, np.generic, np.ndarray)) else None
    if array is not None and array.dtype.kind in "fc" and not np.isfinite(array).all():
        raise TaskFailedError(f"the simulation of candidate {index} returned {label!r}, which is not finite", str(key))
