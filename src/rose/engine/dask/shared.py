"""Shared values on Dask workers that do not see the driver's files: shipped to the cluster once, kept by each."""

from __future__ import annotations

import asyncio
import logging
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distributed import Future

from rose.engine.dask import host as dask_host
from rose.engine.dask.message import finished

if TYPE_CHECKING:
    from rose.engine.dask.cluster import Fleet
    from rose.engine.dask.worker import Site


_log = logging.getLogger("rose")


class SharedValues:
    """Where in the cluster each shared value is. A worker that needs one copies it from a worker that has it."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._shipped: dict[str, asyncio.Task[Future]] = {}  # by path: the value's files in the cluster's memory
        self._kept: dict[tuple[str, Site], asyncio.Task[None]] = {}  # ... and as files of a worker's

    async def bring(self, path: str, site: Site) -> None:
        """Have a worker keep a value, before a task there asks for it."""
        keeping = self._kept.get((path, site))
        if keeping is None or _has_failed(keeping):
            keeping = self._kept[path, site] = self._fleet.spawn(self._keep(path, site))
        await asyncio.shield(keeping)

    async def forget(self, path: str) -> None:
        """Free a value everywhere."""
        shipping = self._shipped.pop(path, None)
        if shipping is not None and not _has_failed(shipping):
            (await shipping).release()
        sites = [site for other, site in self._kept if other == path]
        for site in sites:
            del self._kept[path, site]
        await asyncio.gather(*[site.tell(dask_host.drop, _name(path)) for site in sites])

    def lose(self, site: Site) -> None:
        """A worker has gone."""
        for path, other in list(self._kept):
            if other is site:
                del self._kept[path, site]

    async def _keep(self, path: str, site: Site) -> None:
        while True:
            archive = await asyncio.shield(self._ship(path, site))
            args = (dask_host.keep, self._fleet.driver, _name(path), archive)
            key = self._fleet.key("rose_keep")
            kept = self._fleet.client.submit(*args, key=key, workers=[site.address], pure=False)
            try:
                await finished(kept)
                return
            except Exception:
                if archive.status == "finished":
                    raise
                _log.info("the only worker that had a shared value is gone: it is shipped again", exc_info=True)

    def _ship(self, path: str, site: Site) -> asyncio.Task[Future]:
        shipping = self._shipped.get(path)
        if shipping is None or _has_failed(shipping) or (shipping.done() and shipping.result().status != "finished"):
            shipping = self._shipped[path] = self._fleet.spawn(self._ship_to(path, site))
        return shipping

    async def _ship_to(self, path: str, site: Site) -> Future:
        archive = await self._fleet.loop.run_in_executor(self._fleet.threads, _archive, path)
        return await site.ship(self._fleet.key("rose_shared"), archive)


def _name(path: str) -> str:
    return Path(path).parent.name


def _has_failed(work: asyncio.Task[Any]) -> bool:
    return work.done() and (work.cancelled() or work.exception() is not None)


def _archive(path: str) -> bytes:
    """The files of a shared value. Blocks."""
    folder = Path(path).parent
    return pickle.dumps({file.name: file.read_bytes() for file in folder.iterdir()}, pickle.HIGHEST_PROTOCOL)
