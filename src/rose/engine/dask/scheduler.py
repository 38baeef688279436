"""Understand what a user gives as a Dask cluster, and connect to its scheduler."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import distributed
from distributed import Client

from rose.errors import ConfigurationError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scheduler:
    """Hold where a scheduler is. `identity`: what it says of itself, if it lives in the event loop that runs now."""

    address: str
    security: Any
    identity: Callable[[], dict[str, Any]] | None

    async def connect(self, patience: float) -> Client:
        """Return a client of our own, in the event loop that runs.

        Raises:
            ConfigurationError: no scheduler answers, for so many seconds.
        """
        options = {"security": self.security, "name": "rose", "set_as_default": False, "asynchronous": True}
        client = None
        try:
            client = Client(self.address, timeout=patience, **options)
            async with asyncio.timeout(patience):
                return await client
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            if client is not None:
                await close(client, patience)
            reason = str(error) or f"nothing for {patience:g} s"
            raise ConfigurationError(f"no Dask scheduler answers at {self.address}: {reason}") from error


async def close(client: Client, patience: float) -> None:
    """Close a client of ours, even if the other side answers no more."""
    try:
        async with asyncio.timeout(patience):
            await client.close()
    except (OSError, TimeoutError, RuntimeError) as error:  # a RuntimeError where it was just connecting again
        logger.debug("a client did not close: %s", error)
    client.status = "closed"  # else it would close itself again when it is collected, outside of its event loop


def scheduler_of(cluster: Any) -> Scheduler:
    """Return what is meant by a client, an address, or a cluster object.

    Raises:
        ConfigurationError: it is none of them, or has been closed, or has not been awaited.
    """
    security = getattr(cluster, "security", None)
    if isinstance(cluster, Client):
        address = cluster.scheduler.address if cluster.status == "running" and cluster.scheduler is not None else None
    elif isinstance(cluster, str):
        address = cluster
    elif isinstance(getattr(cluster, "scheduler_address", None), str):
        status = getattr(cluster, "status", None)
        address = None if getattr(status, "name", "running") != "running" else cluster.scheduler_address
    else:
        raise ConfigurationError(
            "DaskEngine wants a distributed.Client, a scheduler's address (tcp://...) or a cluster object; "
            f"got {cluster!r} ({type(cluster).__name__})"
        )
    if address is None:
        raise ConfigurationError(
            f"{cluster!r} is not connected: it has been closed, or is asynchronous and not awaited"
        )
    return Scheduler(address, security, _in_this_loop(address))


def _in_this_loop(address: str) -> Callable[[], dict[str, Any]] | None:
    """Find a scheduler that runs in the current event loop, which must not wait for it then."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    # Private, for there is no public list: an address alone, and a client of it, lead to no scheduler object.
    for scheduler in distributed.Scheduler._instances:
        if scheduler.status.name == "running" and scheduler.address == address and scheduler.loop.asyncio_loop is loop:
            identity: Callable[[], dict[str, Any]] = scheduler.identity
            return identity
    return None
