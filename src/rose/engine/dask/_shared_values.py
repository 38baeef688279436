"""Bring shared values to Dask workers that do not see the driver's files: shipped to the cluster once, kept by each."""

from __future__ import annotations

import asyncio
import io
import logging
from typing import Any

from distributed import Future

from rose.engine._remote.host import send_folder
from rose.engine._remote.host_protocol import place_of
from rose.engine.dask import _host as dask_host
from rose.engine.dask._connection import Connection, Peer, finished
from rose.engine.processes.scratch import Scratch

logger = logging.getLogger(__name__)


class SharedValues:
    """Know where in the cluster each shared value is. A worker copies one that it needs from one that has it."""

    def __init__(self, connection: Connection, scratch: Scratch) -> None:
        self._connection = connection
        self._scratch = scratch
        self._shipped: dict[int, asyncio.Task[Future]] = {}  # the value's files in the cluster's memory
        self._kept: dict[tuple[int, Peer], asyncio.Task[None]] = {}  # ... and as files of a worker's

    async def bring(self, ref: int, peer: Peer) -> None:
        """Have a worker keep a value, before a task there asks for it."""
        keeping = self._kept.get((ref, peer))
        if keeping is None or _has_failed(keeping):
            keeping = self._kept[ref, peer] = self._connection.spawn(self._keep(ref, peer))
        await asyncio.shield(keeping)

    async def forget(self, ref: int) -> None:
        """Free a value everywhere."""
        shipping = self._shipped.pop(ref, None)
        if shipping is not None and not _has_failed(shipping):
            (await shipping).release()
        peers = [peer for other, peer in self._kept if other == ref]
        for peer in peers:
            del self._kept[ref, peer]
        await asyncio.gather(*[peer.tell(dask_host.drop, ref) for peer in peers])

    def lose(self, peer: Peer) -> None:
        """Forget a worker that has gone."""
        for ref, other in list(self._kept):
            if other is peer:
                del self._kept[ref, peer]

    async def _keep(self, ref: int, peer: Peer) -> None:
        while True:
            archive = await asyncio.shield(self._ship(ref, peer))
            try:
                await finished(peer.submit("rose_keep", dask_host.keep, self._connection.driver, ref, archive))
                return
            except Exception:
                if archive.status == "finished":
                    raise
                logger.info("the only worker that had a shared value is gone: it is shipped again", exc_info=True)

    def _ship(self, ref: int, peer: Peer) -> asyncio.Task[Future]:
        shipping = self._shipped.get(ref)
        if shipping is None or _has_failed(shipping) or (shipping.done() and shipping.result().status != "finished"):
            shipping = self._shipped[ref] = self._connection.spawn(self._ship_to(ref, peer))
        return shipping

    async def _ship_to(self, ref: int, peer: Peer) -> Future:
        folder = place_of(self._scratch.folder, ref)
        return await peer.ship("rose_shared", await self._connection.in_thread(_archive, folder))


def _has_failed(work: asyncio.Task[Any]) -> bool:
    return work.done() and (work.cancelled() or work.exception() is not None)


def _archive(folder: str) -> bytes:
    """Return the files of a shared value. Blocks."""
    stream = io.BytesIO()
    send_folder(folder, stream)
    return stream.getvalue()
