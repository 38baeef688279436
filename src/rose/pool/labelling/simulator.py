"""Simulations of candidates: each distinct sample once, whoever asks."""

from __future__ import annotations

import asyncio
import hashlib
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
from rose.pool.labelling.labelled_set import Arrived
from rose.pool.labelling.simulated import simulated_labels
from rose.pool.pool import Pool, take
from rose.stages.binding import Binding, bind_stage, run_stage
from rose.stages.config import LearnerConfig, stage_for
from rose.stages.runner import Runner
from rose.stages.stage import Stage
from rose.store import Asked, Dropped, LabelStore, Sample, as_label, same_label

# A label may depend on these only if the simulation asks for them; then workflows that differ in them cannot share it.
_CONTEXT = ("index", "iteration", "workflow")


def bind_simulation(stage: Stage, config: LearnerConfig, iteration: int = 0) -> Binding:
    """Return how a simulation is called under this configuration.

    Raises:
        BindingError: if it asks for what there is not.
    """
    return bind_stage(stage, config, iteration)


@dataclass(frozen=True, eq=False)
class Submission:
    """Hold what one candidate was asked for in: which iteration, what identifies the sample, and who simulates it.

    `asked` None: it is left out, and counts as dropped.
    """

    iteration: int
    index: int
    content: bytes
    asked: Asked | None

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """Return the execution that is waited for; None: there is nothing to wait for."""
        return None if self.asked is None else self.asked.task


class Simulator:
    """Label candidates for all workflows of a run; each distinct sample once.

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
        """Return how the simulation is called under this configuration.

        Raises:
            BindingError: if it asks for what there is not.
        """
        return bind_simulation(self.stage, config, iteration)

    def is_dropped(self, content: bytes) -> bool:
        """Tell whether a sample's simulation has failed, and nobody has asked to try it again."""
        return self._store.is_dropped(content)

    async def ask(
        self,
        workflow: str,
        iteration: int,
        indices: np.ndarray,
        config: LearnerConfig,
        left_out: Container[bytes] = (),
    ) -> list[Submission]:
        """Ask for the labels of these candidates: simulated in parallel, or taken from who simulated them before.

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

        await self._offer(samples)
        places = [place for place, key in enumerate(keys) if key not in left_out or key in self._store]

        async def simulate_asked(positions: Sequence[int]) -> Sequence[Any]:
            return await simulate([places[position] for position in positions])

        found = self._store.ask([keys[place] for place in places], simulate_asked, self.stage.batch or 1)
        asked = dict(zip(places, found, strict=True))
        each = enumerate(zip(indices.tolist(), keys, strict=True))
        return [Submission(iteration, index, key, asked.get(place)) for place, (index, key) in each]

    async def gathered(self, submissions: Sequence[Submission]) -> Arrived:
        """Wait for all of these, and return their labels.

        Raises:
            TaskError: the first simulation that has failed.
            ConfigurationError: if a label cannot be used, see `check`.
        """
        waited = {one.task for one in submissions if one.task is not None}
        while waited:
            done, waited = await asyncio.wait(waited, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        indices = np.array([one.index for one in submissions], dtype=np.int64)
        labels = [Dropped() if one.asked is None else as_label(await one.asked.label()) for one in submissions]
        self._check_all(indices, labels)
        for one in submissions:
            if one.asked is not None:
                one.asked.let_go()
        return Arrived(indices, [one.content for one in submissions], labels)

    async def recorded(
        self,
        workflow: str,
        iteration: int,
        indices: np.ndarray,
        contents: Sequence[bytes],
        dropped: Sequence[int],
        config: LearnerConfig,
    ) -> Arrived:
        """Return the labels of candidates that are recorded under these contents, but of those that were dropped then.

        A label that is not there any more, or that cannot be one, is simulated.
        """
        left_out = set(dropped)
        missing = [
            place
            for place, (index, content) in enumerate(zip(indices.tolist(), contents, strict=True))
            if index not in left_out and content not in self._store
        ]
        again = {}
        if missing:
            asked = await self.ask(workflow, iteration, indices[missing], config)
            again = dict(zip(missing, (await self.gathered(asked)).labels, strict=True))
        labels: list[Any] = []
        for place, (index, content) in enumerate(zip(indices.tolist(), contents, strict=True)):
            if index in left_out:
                labels.append(Dropped())
            else:
                labels.append(again[place] if place in again else as_label(await self._store.known(content)))
        self._check_all(indices, labels)
        return Arrived(indices, contents, labels)

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
        """Return a candidate with what decides its label: itself, the configuration, and what else is asked for."""
        wanted = {"index": index, **context}
        extra = {name: wanted[name] for name in _CONTEXT if name in binding.names}
        hasher = hashlib.blake2b(digest, digest_size=16, key=self._identity[:64])
        if extra or said:
            hasher.update(value_digest([extra, said], "the simulation's arguments"))
        kept = plain_row(self._pool.X, index) if is_frame(self._pool.X) else x
        return Sample(hasher.digest(), index, digest, np.asarray(kept) if isinstance(kept, np.ndarray) else kept)

    def _seed(self, sample: Sample, binding: Binding, context: Mapping[str, Any]) -> int:
        """Return the seed of a sample's simulation: its own, whatever the simulation's code is."""
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
