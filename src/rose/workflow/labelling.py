"""Labelled candidates, and the simulations that label them."""

from __future__ import annotations

import asyncio
import hashlib
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rose.engine import TaskKey
from rose.errors import PoolError, TaskError, TaskFailedError
from rose.store import Dropped, LabelStore, Sample
from rose.workflow.binding import PROVIDED, Binding
from rose.workflow.calling import bind_stage, run_stage
from rose.workflow.candidate_file import CandidateFile
from rose.workflow.candidates import digest_of
from rose.workflow.config import LearnerConfig
from rose.workflow.overrides import stage_for
from rose.workflow.pool import Pool, take
from rose.workflow.runner import Runner
from rose.workflow.seeds import derive_seed
from rose.workflow.stages import Stage

# A label may depend on these only if the simulation asks for them; then workflows that differ in them cannot share it.
_CONTEXT = ("index", "iteration", "workflow")


class LabelledSet:
    """The candidates of one workflow that have a label, in the order they came. Takes memory for these alone, not for
    all `size` candidates of the pool."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken: set[int] = set()  # those that are labelled or dropped
        self._indices: list[int] = []
        self._labels: list[Any] = []
        self.dropped: list[int] = []  # candidates that could not be simulated, and are not asked for again

    def __len__(self) -> int:
        return len(self._indices)

    def add(self, indices: np.ndarray, labels: Sequence[Any]) -> None:
        """Add candidates with their labels.

        Raises:
            PoolError: if one of them is labelled already.
        """
        for index, label in zip(indices.tolist(), labels, strict=True):
            if index in self._taken:
                raise PoolError(f"candidate {index} is labelled already")
            self._taken.add(index)
            self._indices.append(index)
            self._labels.append(label)

    def drop(self, indices: Sequence[int]) -> None:
        """Have these not chosen any more, though they have no label."""
        self._taken.update(indices)
        self.dropped += indices

    @property
    def indices(self) -> np.ndarray:
        """int64 `[L]`: which candidates."""
        return np.array(self._indices, dtype=np.int64)

    @property
    def taken(self) -> np.ndarray:
        """int64: those that cannot be chosen any more, ascending."""
        return np.array(sorted(self._taken), dtype=np.int64)

    @property
    def candidates(self) -> np.ndarray:
        """int64: those that may be chosen, ascending."""
        return np.delete(np.arange(self._size), self.taken)

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


@dataclass(frozen=True)
class Labelling:
    """Candidates that were asked for, in order, with what identifies each sample, and its label or `Dropped`."""

    indices: np.ndarray
    contents: Sequence[bytes]
    labels: Sequence[Any]

    def into(self, labelled: LabelledSet) -> list[int]:
        """Add them to a labelled set; returns those that were dropped."""
        failed = np.array([isinstance(label, Dropped) for label in self.labels], dtype=bool)
        labelled.add(self.indices[~failed], [label for label, bad in zip(self.labels, failed, strict=True) if not bad])
        dropped: list[int] = self.indices[failed].tolist()
        labelled.drop(dropped)
        return dropped


class FailureLimit:
    """How many of a workflow's simulations may fail before it stops.

    By `max_failed_simulations`: a count, or a share of those that were asked for. Without it, it stops when as many in
    a row have failed as it asks for in a round, and at least `IN_A_ROW`; and always when the first batch gave no label.
    """

    IN_A_ROW = 10

    def __init__(self) -> None:
        self._asked = self._failed = self._in_a_row = 0

    def exceeded(self, labels: Sequence[Any], stage: Stage, query_size: int) -> bool:
        """Count another batch; whether that is too much."""
        for label in labels:
            failed = isinstance(label, Dropped)
            self._asked += 1
            self._failed += failed
            self._in_a_row = self._in_a_row + 1 if failed else 0
        if self._failed == self._asked:
            return True
        limit = stage.max_failed_simulations
        if limit is None:
            return self._in_a_row >= max(query_size, self.IN_A_ROW)
        return self._failed > (limit if isinstance(limit, int) else limit * self._asked)


class Simulator:
    """Labels candidates for all workflows of a run; each distinct sample once.

    Args:
        check: looks at a label and the index of its candidate, as soon as it is recorded (so it stays recorded), and may
            raise a ConfigurationError: that ends the workflow, it is neither retried nor dropped. Given labels are
            looked at before anything is simulated. A label may be looked at several times.
    """

    def __init__(
        self,
        pool: Pool,
        stage: Stage,
        runner: Runner,
        store: LabelStore,
        identity: str,
        check: Callable[[Any, int], None] | None = None,
    ) -> None:
        self._pool = pool
        self._identity = identity.encode()
        self.stage = stage
        self._runner = runner
        self._store = store
        self._check = check

    def bind(self, config: LearnerConfig, iteration: int) -> Binding:
        """How the simulation is called under this configuration.

        Raises:
            BindingError: if it asks for what there is not.
        """
        provided = PROVIDED["simulation batch" if self.stage.batch else "simulation"]
        return bind_stage(self.stage, provided, config, iteration)

    async def label(self, workflow: str, iteration: int, indices: np.ndarray, config: LearnerConfig) -> Labelling:
        """The labels of these candidates; simulated in parallel, or taken from who simulated them before."""
        binding = self.bind(config, iteration)
        stage = stage_for(self.stage, config, iteration)
        context = {"iteration": iteration, "workflow": workflow}
        samples = await self._samples(indices, binding, context)
        keys = [sample.content for sample in samples]

        async def simulate(positions: Sequence[int]) -> Sequence[Any]:
            chunk = indices[list(positions)]
            key = TaskKey(workflow, iteration, "simulation", index=int(chunk[0]))
            seed = derive_seed(self._pool.seed, keys[positions[0]].hex())
            asked = [samples[position] for position in positions]
            try:
                labels = await self._simulate(key, stage, asked, binding, {**context, "seed": seed})
                for index, label in zip(chunk.tolist(), labels, strict=True):
                    _check_label(label, index, key)
            except TaskError as error:
                if stage.on_failure != "drop":
                    self._runner.failed(key, error)
                    raise
                await self._store.record(asked[0].content, self._runner.dropped(key, error, asked))
                return [Dropped()] * len(chunk)
            await self._store.record(asked[0].content, self._runner.labelled(key, asked, labels))
            self._check_all(chunk, labels)
            return labels

        if iteration == 0:
            self._check_all(self._pool.known, self._pool.known.values())
        by_content = {sample.content: sample for sample in samples if sample.candidate in self._pool.known}
        known = {content: self._pool.known[sample.candidate] for content, sample in by_content.items()}
        new = self._store.offer(known)
        await self._runner.imported([by_content[content] for content in new], list(new.values()))
        labels = await self._store.get(keys, simulate, self.stage.batch or 1)
        self._check_all(indices, labels)
        return Labelling(indices, keys, labels)

    async def recorded(self, indices: np.ndarray, contents: Sequence[bytes]) -> Labelling:
        """The labels of candidates that are recorded under these contents."""
        return Labelling(indices, contents, [await self._store.known(content) for content in contents])

    def _check_all(self, indices: Iterable[int], labels: Iterable[Any]) -> None:
        if self._check is not None:
            for index, label in zip(indices, labels, strict=True):
                if not isinstance(label, Dropped):
                    self._check(label, int(index))

    async def _samples(self, indices: np.ndarray, binding: Binding, context: Mapping[str, Any]) -> list[Sample]:
        def read() -> list[Sample]:
            return [self._sample(index, binding, context) for index in indices.tolist()]

        return await asyncio.to_thread(read) if isinstance(self._pool.source, CandidateFile) else read()

    def _sample(self, index: int, binding: Binding, context: Mapping[str, Any]) -> Sample:
        """A candidate with what decides its label: itself, the configuration, and what else the simulation asks for."""
        wanted = {"index": index, **context}
        extra = [(name, wanted[name]) for name in _CONTEXT if name in binding.names]
        x = self._pool[index]
        digest = digest_of(x, f"X[{index}]")
        hasher = hashlib.blake2b(digest, digest_size=16, key=self._identity[:64])
        if extra or binding.configured:
            try:
                hasher.update(pickle.dumps((extra, sorted(binding.configured.items())), protocol=5))
            except Exception as error:
                raise PoolError(f"the simulation's configuration cannot be pickled: {error}") from error
        return Sample(hasher.digest(), index, digest, np.asarray(x) if isinstance(x, np.ndarray) else x)

    async def _simulate(
        self, key: TaskKey, stage: Stage, asked: Sequence[Sample], binding: Binding, context: Mapping[str, Any]
    ) -> Sequence[Any]:
        batch, chunk = stage.batch is not None, np.array([sample.candidate for sample in asked], dtype=np.int64)
        samples = {"X": take(self._pool.source, chunk)} if batch else {"x": asked[0].x}
        given = {**context, **samples, "index": chunk if batch else int(chunk[0])}
        result = await run_stage(self._runner, stage, key, binding, given)
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
