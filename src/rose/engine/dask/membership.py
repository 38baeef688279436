"""Follow which workers a Dask cluster has: each is met when it joins, and may be found unsuitable."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from rose.engine.dask import _host as dask_host
from rose.engine.dask._connection import Peer
from rose.engine.dask._host import Facts, Greeting
from rose.engine.dask._worker import DaskWorker, Sending
from rose.engine.failures import describe
from rose.engine.protocol import Capacity
from rose.errors import ConfigurationError

logger = logging.getLogger(__name__)


def capacities(identity: dict[str, Any], names: Collection[str] | None) -> dict[str, Capacity]:
    """Return what each worker has, by address, from what the scheduler says of itself; `names`: only these workers."""
    return {
        address: Capacity(worker["nthreads"], dask_host.gpus_of(worker["resources"]), worker["memory_limit"] or None)
        for address, worker in identity["workers"].items()
        if names is None or str(worker["name"]) in names or address in names
    }


def total(known: dict[str, Capacity]) -> Capacity:
    """Return what all workers have together; memory is counted if all of them count it."""
    has = list(known.values())
    memories = [each.memory for each in has if each.memory is not None]
    memory = sum(memories) if has and len(memories) == len(has) else None
    return Capacity(sum(each.cpus for each in has), sum(each.gpus for each in has), memory)


class Membership:
    """Keep the workers by address. Those that can be used are added to the placement of the jobs.

    Args:
        sending: what the workers share.
        names: the names or addresses of those that may be used; None: all.
        greet: makes what each worker is told when it is met. Blocks.
    """

    def __init__(self, sending: Sending, names: Collection[str] | None, greet: Callable[[], Greeting]) -> None:
        self.known: dict[str, Capacity] = {}  # also those that have not been met yet
        self.workers: dict[str, DaskWorker] = {}  # those that are used
        self._unfit: dict[str, str] = {}  # those that cannot be, and why
        self._sending = sending
        self._connection = sending.connection
        self._client = sending.connection.client
        self._names = names
        self._greet = greet
        self._joined = False  # somebody has, since we looked
        self._looking: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()  # there is something to run
        self._greeting: asyncio.Future[Greeting] | None = None

    async def open(self) -> None:
        """Find the workers that are there, and hear of those that come and go."""
        self._client.subscribe_topic("all", self._hear)
        await self._look()

    def meet(self) -> None:
        """Meet the workers from now on: there is something to run."""
        if self._greeting is None:
            self._greeting = self._connection.in_thread(self._greet)
            self._wanted.set()

    def close(self) -> None:
        """Stop following which workers there are."""
        self._client.unsubscribe_topic("all")

    def unfit_error(self, key: str) -> ConfigurationError | None:
        """Return why a task cannot run, if none of the workers that are there can be used; None: some may be."""
        if not self._unfit or len(self._unfit) < len(self.known):
            return None
        reasons = "; ".join(sorted(set(self._unfit.values())))
        return ConfigurationError(f"task {key}: no worker of the Dask cluster can be used: {reasons}")

    def _hear(self, event: tuple[float, Any]) -> None:
        """Hear an event of the scheduler's: its time, and what happened."""
        message = event[1]
        action = message.get("action") if isinstance(message, dict) else None
        if action == "remove-worker":
            self._remove(message)
        elif action == "add-worker":
            self._joined = True
            if self._looking is None or self._looking.done():
                self._looking = self._connection.spawn(self._look_again())

    async def _look_again(self) -> None:
        """Ask the scheduler once, however many join at the same time, and once more for those who came then."""
        while self._joined:
            self._joined = False
            await self._look()

    async def _look(self) -> None:
        found = capacities(await self._client.scheduler.identity(), self._names)
        for address, has in found.items():
            if address not in self.known:
                self.known[address] = has
                self._connection.spawn(self._meet(address, has))

    async def _meet(self, address: str, has: Capacity) -> None:
        await self._wanted.wait()
        assert self._greeting is not None
        peer = Peer(self._connection, address)
        try:
            greeting = await asyncio.shield(self._greeting)
            lease = await peer.ship("rose_lease", address)
            greeting = replace(greeting, lease=lease.key)
            answers = await self._client.run(dask_host.open_host, greeting, workers=[address], asynchronous=True)
            facts: Facts = answers[address]
            self._check(facts)
        except Exception as error:  # a worker that cannot be used is said to be so, whatever the reason
            if self.known.get(address) is has:
                hint = "; is ROSE installed there?" if isinstance(error, ModuleNotFoundError) else ""
                self._unfit[address] = f"{describe(error)}{hint}"
                logger.warning("the Dask worker %s cannot be used: %s", address, self._unfit[address])
                self._end_if_unfit()
            return
        if self.known.get(address) is has:  # it has not gone meanwhile
            worker = self.workers[address] = DaskWorker(peer, has, facts, lease, self._sending)
            self._sending.jobs.placement.add(worker)

    def _check(self, facts: Facts) -> None:
        """Check that a worker suits this driver, and the other workers."""
        if facts.python != sys.version_info[:2]:
            here, there = (".".join(map(str, version)) for version in (sys.version_info[:2], facts.python))
            raise RuntimeError(f"it runs Python {there}, and the driver {here}: functions cannot be sent between them")
        for address, other in self.workers.items():
            twice = set(facts.gpus) & set(other.facts.gpus) if other.facts.machine == facts.machine else None
            if twice:
                raise RuntimeError(
                    f"the worker {address} on the same machine counts the same gpus, {sorted(twice)}: "
                    "start each with its own CUDA_VISIBLE_DEVICES, as dask-cuda does"
                )

    def _end_if_unfit(self) -> None:
        """End the jobs that wait, if none of the workers can be used."""
        if self.unfit_error("") is None:
            return
        jobs = self._sending.jobs
        for job in jobs.fail_all(lambda key: self.unfit_error(key) or RuntimeError(key)):
            jobs.withdraw(job)

    def _remove(self, message: dict[str, Any]) -> None:
        address, how = message["worker"], "left the cluster" if message["expected"] else "died"
        if self.known.pop(address, None) is None:
            return
        self._unfit.pop(address, None)
        worker = self.workers.pop(address, None)
        if worker is not None:
            placement = self._sending.jobs.placement
            placement.remove(worker)
            self._sending.shared.lose(worker.peer)
            begun = {*message["processing-tasks"], *message["lost-computed-tasks"]}
            worker.lose(f"its Dask worker {address} {how} while it ran", begun)
            placement.fill()
        if not self.known:
            logger.warning("the Dask cluster has no workers now; tasks wait until one joins")
