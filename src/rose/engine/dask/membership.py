"""Which workers a Dask cluster has: each is met when it joins, and may be found unsuitable."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sys
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose.engine.dask import host as dask_host
from rose.engine.dask.message import Facts, Greeting, gpus_of
from rose.engine.dask.worker import Site
from rose.engine.failures import describe
from rose.engine.processes.scratch import Scratch
from rose.engine.protocol import Capacity

if TYPE_CHECKING:
    from rose.engine.dask.cluster import Fleet

logger = logging.getLogger(__name__)


def capacities(identity: dict[str, Any], names: Collection[str] | None) -> dict[str, Capacity]:
    """What each worker has, by address, from what the scheduler says of itself; `names`: only these workers."""
    return {
        address: Capacity(worker["nthreads"], gpus_of(worker["resources"]), worker["memory_limit"] or None)
        for address, worker in identity["workers"].items()
        if names is None or str(worker["name"]) in names or address in names
    }


def total(known: dict[str, Capacity]) -> Capacity:
    """What all workers have together; memory is counted if all of them count it."""
    has = list(known.values())
    memories = [each.memory for each in has if each.memory is not None]
    memory = sum(memories) if has and len(memories) == len(has) else None
    return Capacity(sum(each.cpus for each in has), sum(each.gpus for each in has), memory)


def greeting(driver: str, scratch: Scratch, interpreter: bytes) -> Greeting:
    """What to tell each worker; writes the file by which it can prove that it sees our directory. Blocks."""
    scratch.ensure_reaper()
    folder = scratch.folder
    secret, token = secrets.token_hex(16), Path(folder, f"token-{driver}")
    token.write_text(secret)
    path = tuple(os.path.abspath(entry) for entry in sys.path)
    return Greeting(driver, "", folder, str(token), secret, path, os.getcwd(), interpreter)


class Roster:
    """The workers by address. Sites that can be used are handed to the fleet; so is the news that one has gone."""

    def __init__(self, fleet: Fleet, names: Collection[str] | None) -> None:
        self.known: dict[str, Capacity] = {}  # also those that have not been met yet
        self.sites: dict[str, Site] = {}  # those that are used
        self._unfit: dict[str, str] = {}  # those that cannot be, and why
        self._fleet = fleet
        self._names = names
        self._joined = False  # somebody has, since we looked
        self._looking: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()  # there is something to run
        self._greeting: asyncio.Task[Greeting] | None = None

    async def open(self) -> None:
        """Find the workers that are there, and hear of those that come and go."""
        self._fleet.client.subscribe_topic("all", self._hear)
        await self._look()

    def meet(self) -> None:
        """From now on meet the workers: there is something to run."""
        if self._greeting is None:
            self._greeting = self._fleet.spawn(self._greet())
            self._wanted.set()

    def close(self) -> None:
        """Hear no more."""
        self._fleet.client.unsubscribe_topic("all")

    @property
    def unfit(self) -> str:
        """Why none of the workers that are there can be used; empty if some can, or may turn out to."""
        if not self._unfit or len(self._unfit) < len(self.known):
            return ""
        return "; ".join(sorted(set(self._unfit.values())))

    def _hear(self, event: tuple[float, Any]) -> None:
        """An event of the scheduler's: its time, and what happened."""
        message = event[1]
        action = message.get("action") if isinstance(message, dict) else None
        if action == "remove-worker":
            self._remove(message)
        elif action == "add-worker":
            self._joined = True
            if self._looking is None or self._looking.done():
                self._looking = self._fleet.spawn(self._look_again())

    async def _look_again(self) -> None:
        """However many join at the same time: the scheduler is asked once, and once more for those who came then."""
        while self._joined:
            self._joined = False
            await self._look()

    async def _look(self) -> None:
        found = capacities(await self._fleet.client.scheduler.identity(), self._names)
        for address, has in found.items():
            if address not in self.known:
                self.known[address] = has
                self._fleet.spawn(self._meet(address, has))

    async def _greet(self) -> Greeting:
        fleet = self._fleet
        return await fleet.loop.run_in_executor(fleet.threads, greeting, fleet.driver, fleet.scratch, fleet.interpreter)

    async def _meet(self, address: str, has: Capacity) -> None:
        client, lease = self._fleet.client, self._fleet.key("rose_lease")
        await self._wanted.wait()
        assert self._greeting is not None
        try:
            hello = replace(await asyncio.shield(self._greeting), lease=lease)
            futures = await client.scatter({lease: address}, workers=[address], hash=False, asynchronous=True)
            answers = await client.run(dask_host.open_host, hello, workers=[address], asynchronous=True)
            facts: Facts = answers[address]
            self._check(facts)
        except Exception as error:  # a worker that cannot be used is said to be so, whatever the reason
            if self.known.get(address) is has:
                hint = "; is ROSE installed there?" if isinstance(error, ModuleNotFoundError) else ""
                self._unfit[address] = f"{describe(error)}{hint}"
                logger.warning("the Dask worker %s cannot be used: %s", address, self._unfit[address])
                self._fleet.unfit()
            return
        if self.known.get(address) is has:  # it has not gone meanwhile
            site = self.sites[address] = Site(address, has, facts, futures[lease], self._fleet)
            self._fleet.places.add(site)

    def _check(self, facts: Facts) -> None:
        """That a worker suits this driver, and the other workers."""
        if facts.python != sys.version_info[:2]:
            here, there = (".".join(map(str, version)) for version in (sys.version_info[:2], facts.python))
            raise RuntimeError(f"it runs Python {there}, and the driver {here}: functions cannot be sent between them")
        for other in self.sites.values():
            twice = set(facts.gpus) & set(other.facts.gpus) if other.facts.machine == facts.machine else None
            if twice:
                raise RuntimeError(
                    f"the worker {other.address} on the same machine counts the same gpus, {sorted(twice)}: "
                    "start each with its own CUDA_VISIBLE_DEVICES, as dask-cuda does"
                )

    def _remove(self, message: dict[str, Any]) -> None:
        address, how = message["worker"], "left the cluster" if message["expected"] else "died"
        if self.known.pop(address, None) is None:
            return
        self._unfit.pop(address, None)
        site = self.sites.pop(address, None)
        if site is not None:
            self._fleet.places.remove(site)
            self._fleet.shared.lose(site)
            begun = {*message["processing-tasks"], *message["lost-computed-tasks"]}
            site.lose(f"its Dask worker {address} {how} while it ran", begun)
            self._fleet.places.fill()
        if not self.known:
            logger.warning("the Dask cluster has no workers now; tasks wait until one joins")
