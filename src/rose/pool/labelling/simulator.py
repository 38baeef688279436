"""Simulate candidates: each distinct sample once, whoever asks."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rose.engine import TaskKey
from rose.errors import ConfigurationError, PlaceError, PoolError, TaskError, TaskFailedError
from rose.identity import value_digest
from rose.loop.identity import configured_digest
from rose.loop.seeds import derive_seed
from rose.pool.candidates.file import CandidateFile
from rose.pool.candidates.frames import is_frame, plain_row
from rose.pool.candidates.given_labels import rows_of
from rose.pool.candidates.taking import take
from rose.pool.labelling.labelled_set import Arrived
from rose.pool.pool import Pool
from rose.stages.binding import Binding, bind_stage, run_stage
from rose.stages.config import LearnerConfig, stage_for
from rose.stages.runner import Runner
from rose.stages.stage import Stage
from rose.store import Asked, Dropped, LabelStore, Sample, as_label, not_finite, same_label

# A label may depend on these only if the simulation asks for them; then workflows that differ in them cannot share it.
_CONTEXT = ("index", "iteration", "workflow")


def bind_simulation(stage: Stage, config: LearnerConfig, iteration: int = 0) -> Binding:
    """Return how a simulation is called under this configuration.

    Raises:
        BindingError: if it asks for what there is not.
    """
    return bind_stage(stage, config, iteration)


@dataclass(eq=False)
class Submission:
    """Hold what one candidate was asked for in: in which iteration, the sample, and who simulates it.

    `asked` None: it is left out, and counts as dropped. `arrival` is done when its label is there, or it is left out.
    """

    iteration: int
    sample: Sample
    asked: Asked | None
    arrival: asyncio.Future[None]

    @property
    def index(self) -> int:
        """Return the candidate's index in the pool."""
        return self.sample.candidate

    def leave_out(self) -> None:
        """Do without its label; its simulation goes on if another workflow has asked for it."""
        asked, self.asked = self.asked, None
        if not self.arrival.done():
            self.arrival.set_result(None)
        if asked is not None:
            asked.let_go()

    def arrives(self, task: asyncio.Task[Any]) -> None:
        """Take note that its simulation has ended."""
        if self.arrival.done():
            return
        if task.cancelled():
            self.arrival.cancel()
        elif (error := task.exception()) is not None:
            self.arrival.set_exception(error)
            self.arrival.exception()  # marks it as seen: who gathers it raises it
        else:
            self.arrival.set_result(None)


class Simulator:
    """Label candidates for all workflows of a run; each distinct sample once.

    Args:
        checks: look at a label and the index of its candidate, as soon as it is recorded (so it stays recorded), and
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
        checks: Sequence[Callable[[Any, int | None], None]] = (),
    ) -> None:
        self._pool = pool
        self._identity = identity.encode()
        self.stage = stage
        self._runner = runner
        self._store = store
        self._checks = checks

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
        asked, loop = dict(zip(places, found, strict=True)), asyncio.get_running_loop()
        made = [
            Submission(iteration, sample, asked.get(place), loop.create_future())
            for place, sample in enumerate(samples)
        ]
        for one in made:
            if one.asked is None or one.asked.task is None:
                one.arrival.set_result(None)
            else:
                one.asked.task.add_done_callback(one.arrives)
        return made

    async def gathered(self, submissions: Sequence[Submission]) -> Arrived:
        """Wait for all of these, and return their labels.

        Raises:
            TaskError: the first simulation that has failed.
            ConfigurationError: if a label cannot be used, see `checks`.
        """
        waited = {one.arrival for one in submissions}
        while waited:
            done, waited = await asyncio.wait(waited, return_when=asyncio.FIRST_EXCEPTION)
            for arrival in done:
                arrival.result()
        indices = np.array([one.index for one in submissions], dtype=np.int64)
        labels = [Dropped() if one.asked is None else as_label(await one.asked.label()) for one in submissions]
        self._check_all(indices, labels)
        for one in submissions:
            if one.asked is not None:
                one.asked.let_go()
        return Arrived(indices, [one.sample.content for one in submissions], labels)

    async def give(self, one: Submission, value: Any) -> bool:
        """Take a label from a person for what is being simulated; tells whether it is taken, which is then on disk.

        Raises:
            ConfigurationError: if it cannot be a label here.
        """
        if one.asked is None or one.asked.task is None or one.asked.task.done() or self.stage.batch is not None:
            return False
        label = as_label(value)
        if label is None or (found := not_finite(label)) is not None:
            what = "None" if label is None else f"{_short(value)}, which is not finite ({found})"
            raise ConfigurationError(f"the label of candidate {one.index} cannot be {what}")
        for check in self._checks:
            check(label, one.index)
        return await self._store.give(one.sample.content, label, lambda: self._runner.imported([one.sample], [label]))

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
        for index, label in zip(indices, labels, strict=True) if self._checks else ():
            for check in () if isinstance(label, Dropped) else self._checks:
                check(label, int(index))

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


def simulated_labels(result: Any, candidates: Sequence[int], batch: bool, key: TaskKey) -> list[Any]:
    """Return the labels in what a simulation gave.

    Raises:
        TaskFailedError: if there are not as many as candidates, or one is None or not finite: a simulation that gives
            none has failed.
    """
    if result is None:
        which = f"of candidate {candidates[0]}" if not batch else f"of {len(candidates)} candidates"
        raise TaskFailedError(f"the simulation {which} returned None; does it `return` its label?", str(key))
    try:
        rows = rows_of(result, "its result") if batch else [result]
        labels = [as_label(row) for row in rows]
    except Exception as error:
        wanted = f"a batch of {len(candidates)} candidates wants as many labels; " if batch else ""
        raise TaskFailedError(f"{wanted}what it returned cannot be used: {error}", str(key)) from error
    if len(labels) != len(candidates):
        raise TaskFailedError(
            f"a batch of {len(candidates)} candidates wants as many labels, got {len(labels)}", str(key)
        )
    for index, label in zip(candidates, labels, strict=True):
        if label is None:
            raise TaskFailedError(f"the simulation gave None as the label of candidate {index}", str(key))
        found = not_finite(label)
        if found is not None:
            what = f"{_short(label)}, which is not finite" + (f": it has {found}" if " at " in found else "")
            raise TaskFailedError(f"the simulation of candidate {index} returned {what}", str(key))
    return labels


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
