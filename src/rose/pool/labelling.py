"""Labelled candidates, and the simulations that label them."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rose.engine import TaskKey
from rose.errors import PlaceError, PoolError, TaskError
from rose.identity import value_digest
from rose.loop.identity import configured_digest
from rose.loop.seeds import derive_seed
from rose.pool.candidates.file import CandidateFile
from rose.pool.candidates.frames import is_frame, plain_row
from rose.pool.pool import Pool, take
from rose.pool.simulated import simulated_labels
from rose.stages.binding import Binding, bind_stage, run_stage
from rose.stages.config import LearnerConfig, stage_for
from rose.stages.runner import Runner
from rose.stages.stage import Stage
from rose.store import Dropped, LabelStore, Sample, as_label, same_label, stacked

_log = logging.getLogger("rose")

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
        self._dropped: dict[int, bytes] = {}  # candidates that could not be simulated, with what identifies the samples

    def __len__(self) -> int:
        return len(self._indices)

    def add(self, indices: np.ndarray, labels: Sequence[Any]) -> None:
        """Add candidates with their labels.

        Raises:
            PoolError: if one of them is labelled already.
        """
        for index, label in zip(indices.tolist(), labels, strict=True):
            if self._dropped.pop(index, None) is None and index in self._taken:  # else its label has come since
                raise PoolError(f"candidate {index} is labelled already")
            self._taken.add(index)
            self._indices.append(index)
            self._labels.append(label)

    def drop(self, samples: Mapping[int, bytes]) -> None:
        """Have these candidates not chosen any more, though they have no label."""
        self._taken.update(samples)
        self._dropped.update(samples)

    @property
    def dropped(self) -> Mapping[int, bytes]:
        """The candidates that could not be simulated, with what identifies the samples."""
        return self._dropped

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
    def labels(self) -> list[Any]:
        """The labels as they came."""
        return list(self._labels)

    @property
    def y(self) -> Any:
        """The labels: an array `[L, ...]` where they are of one kind and shape, else a list."""
        return as_stack(self._labels)


def as_stack(labels: Sequence[Any]) -> Any:
    """Labels as an array `[L, ...]` where they are of one kind and shape, else as they are, in a list."""
    array = stacked(labels)
    return list(labels) if array is None else array


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
        places = np.flatnonzero(failed).tolist()
        labelled.drop({index: self.contents[place] for index, place in zip(dropped, places, strict=True)})
        return dropped


def bind_simulation(stage: Stage, config: LearnerConfig, iteration: int = 0) -> Binding:
    """How a simulation is called under this configuration.

    Raises:
        BindingError: if it asks for what there is not.
    """
    return bind_stage(stage, config, iteration)


class Simulator:
    """Labels candidates for all workflows of a run; each distinct sample once.

    Args:
        check: looks at a label and the index of its candidate, as soon as it is recorded (so it stays recorded), and
            may raise a ConfigurationError: that ends the workflow, it is neither retried nor dropped. A label may be
            looked at several times.
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
        return bind_simulation(self.stage, config, iteration)

    def is_dropped(self, content: bytes) -> bool:
        """Whether a sample's simulation has failed, and nobody has asked to try it again."""
        return self._store.is_dropped(content)

    async def label(
        self,
        workflow: str,
        iteration: int,
        indices: np.ndarray,
        config: LearnerConfig,
        left_out: Container[bytes] = (),
    ) -> Labelling:
        """The labels of these candidates; simulated in parallel, or taken from who simulated them before.

        Of the samples that are `left_out`, only what is known already is taken.
        """
        binding = self.bind(config, iteration)
        stage = stage_for(self.stage, config, iteration)
        context = {"iteration": iteration, "workflow": workflow}
        samples = await self._samples(indices, binding, context)
        keys = [sample.content for sample in samples]

        async def simulate(positions: Sequence[int]) -> Sequence[Any]:
            chunk = indices[list(positions)]
            key = TaskKey(workflow, iteration, stage.kind, index=int(chunk[0]))
            seed = self._seed(samples[positions[0]], binding, context)
            asked = [samples[position] for position in positions]
            try:
                labels = await self._simulate(key, stage, asked, binding, {**context, "seed": seed})
            except TaskError as error:
                if stage.on_failure != "drop" or isinstance(error, PlaceError):
                    self._runner.failed(key, error)
                    raise
                await self._store.record(asked[0].content, self._runner.dropped(key, error, asked))
                return [Dropped()] * len(chunk)
            await self._store.record(asked[0].content, self._runner.labelled(key, asked, labels))
            self._check_all(chunk, labels)
            return labels

        await self._forget_unfit(indices, keys)
        await self._offer(samples)
        asked = [key for key in keys if key not in left_out or key in self._store]
        places = {key: place for place, key in reversed(list(enumerate(keys)))}

        async def simulate_asked(positions: Sequence[int]) -> Sequence[Any]:
            return await simulate([places[asked[position]] for position in positions])

        found = dict(zip(asked, await self._store.get(asked, simulate_asked, self.stage.batch or 1), strict=True))
        labels = [as_label(found[key]) if key in found else Dropped() for key in keys]
        self._check_all(indices, labels)
        return Labelling(indices, keys, labels)

    async def recorded(
        self,
        workflow: str,
        iteration: int,
        indices: np.ndarray,
        contents: Sequence[bytes],
        dropped: Sequence[int],
        config: LearnerConfig,
    ) -> Labelling:
        """The labels of candidates that are recorded under these contents, but of those that were dropped then.

        A label that is not there any more, or that cannot be one, is simulated.
        """
        await self._forget_unfit(indices, contents)
        left_out = set(dropped)
        missing = [
            place
            for place, (index, content) in enumerate(zip(indices.tolist(), contents, strict=True))
            if index not in left_out and content not in self._store
        ]
        again = {}
        if missing:
            labelling = await self.label(workflow, iteration, indices[missing], config)
            again = dict(zip(missing, labelling.labels, strict=True))
        labels: list[Any] = []
        for place, (index, content) in enumerate(zip(indices.tolist(), contents, strict=True)):
            if index in left_out:
                labels.append(Dropped())
            else:
                labels.append(again[place] if place in again else as_label(await self._store.known(content)))
        self._check_all(indices, labels)
        return Labelling(indices, contents, labels)

    async def _offer(self, samples: Sequence[Sample]) -> None:
        """Take the labels that are given for these samples."""
        given: dict[bytes, Sample] = {}
        known = self._pool.known
        for sample in samples:
            if sample.candidate not in known:
                continue
            other = given.setdefault(sample.content, sample)
            if not same_label(known[other.candidate], known[sample.candidate]):
                raise PoolError(
                    f"labels: candidates {other.candidate} and {sample.candidate} are equal, but are given different "
                    f"labels, {known[other.candidate]!r} and {known[sample.candidate]!r}"
                )
        new = self._store.offer({content: known[sample.candidate] for content, sample in given.items()})
        await self._runner.imported([given[content] for content in new], list(new.values()))

    async def _forget_unfit(self, indices: np.ndarray, contents: Sequence[bytes]) -> None:
        unfit = await self._store.forget_unfit(contents)
        for index, content in zip(indices.tolist(), contents, strict=True):
            if content in unfit:
                _log.warning(
                    "the label of candidate %d, which an older version of ROSE has recorded, holds %s: it is taken as "
                    "not there, and is simulated again",
                    index,
                    unfit[content],
                )

    def _check_all(self, indices: Iterable[int], labels: Iterable[Any]) -> None:
        if self._check is not None:
            for index, label in zip(indices, labels, strict=True):
                if not isinstance(label, Dropped):
                    self._check(label, int(index))

    async def _samples(self, indices: np.ndarray, binding: Binding, context: Mapping[str, Any]) -> list[Sample]:
        def read() -> list[Sample]:
            pool = self._pool
            xs = [pool[index] for index in indices.tolist()]
            if is_frame(pool.X):
                digests = pool.digests(indices.tolist())
            else:
                digests = [pool.digest(index, x) for index, x in zip(indices.tolist(), xs, strict=True)]
            said = {name: configured_digest(one, f"kwargs[{name!r}]") for name, one in binding.configured.items()}
            found = zip(indices.tolist(), xs, digests, strict=True)
            return [self._sample(index, x, digest, binding, said, context) for index, x, digest in found]

        reads = isinstance(self._pool.source, CandidateFile) or is_frame(self._pool.X) or binding.configured
        return await asyncio.to_thread(read) if reads else read()

    def _sample(
        self, index: int, x: Any, digest: bytes, binding: Binding, said: Mapping[str, bytes], context: Mapping[str, Any]
    ) -> Sample:
        """A candidate with what decides its label: itself, the configuration, and what else the simulation asks for."""
        wanted = {"index": index, **context}
        extra = {name: wanted[name] for name in _CONTEXT if name in binding.names}
        hasher = hashlib.blake2b(digest, digest_size=16, key=self._identity[:64])
        if extra or said:
            hasher.update(value_digest([extra, said], "the simulation's arguments"))
        kept = plain_row(self._pool.X, index) if is_frame(self._pool.X) else x
        return Sample(hasher.digest(), index, digest, np.asarray(kept) if isinstance(kept, np.ndarray) else kept)

    def _seed(self, sample: Sample, binding: Binding, context: Mapping[str, Any]) -> int:
        """The seed of a sample's simulation: its own, whatever the simulation's code is."""
        wanted = {"index": sample.candidate, **context}
        asked = [str(wanted[name]) for name in _CONTEXT if name in binding.names]
        return derive_seed(self._pool.seed, "/".join([sample.digest.hex(), *asked]))

    async def _simulate(
        self, key: TaskKey, stage: Stage, asked: Sequence[Sample], binding: Binding, context: Mapping[str, Any]
    ) -> Sequence[Any]:
        batch, chunk = stage.batch is not None, np.array([sample.candidate for sample in asked], dtype=np.int64)
        if batch:
            samples = {"X": take(self._pool.source, chunk)}
        else:
            samples = {"x": self._pool[int(chunk[0])] if is_frame(self._pool.X) else asked[0].x}
        given = {**context, **samples, "index": chunk if batch else int(chunk[0])}

        def accept(result: Any) -> list[Any]:
            return simulated_labels(result, chunk.tolist(), batch, key)

        labels: list[Any] = await run_stage(self._runner, stage, key, binding, given, accept)
        return labels
