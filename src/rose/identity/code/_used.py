"""Recognise objects that are used rather than read: loggers, locks, files, pools of workers, random generators."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from rose.identity.code._modules import is_own_class

_READ = ("rose.stages.config",)  # modules whose objects are read, though others of their packages are used
_USED = {
    "_io", "_queue", "_random", "_thread", "_weakref", "aiohttp", "asyncio", "boto3", "botocore", "cffi", "concurrent",
    "contextvars", "dask", "distributed", "executorlib", "grpc", "h5py", "http", "httpx", "io", "itertools", "joblib",
    "logging", "loguru", "loky", "matplotlib", "mlflow", "mmap", "mpi4py", "multiprocessing", "netCDF4", "paramiko",
    "parsl", "plotly", "psutil", "psycopg", "psycopg2", "pymongo", "queue", "radical", "random", "ray", "redis",
    "requests", "rich", "rose", "select", "selectors", "serial", "shelve", "socket", "sqlalchemy", "sqlite3", "ssl",
    "structlog", "subprocess", "tarfile", "tempfile", "tensorboard", "tensorboardX", "threading", "tkinter", "tqdm",
    "urllib", "urllib3", "wandb", "weakref", "websockets", "zipfile", "zmq",
}  # fmt: skip


def is_used(value: Any) -> bool:
    """Return whether an object is there to be used, not read.

    >>> import random, threading
    >>> is_used(threading.Lock()), is_used(random.Random(1)), is_used({"T": 300})
    (True, True, False)
    """
    if is_own_class(type(value)):
        return False
    return any(map(_is_of_use, type(value).__mro__)) or isinstance(value, Iterator) or hasattr(value, "cr_code")


def is_derived(cls: type) -> bool:
    """Return whether a class of the user's own is derived from one whose objects are used.

    >>> is_derived(int)
    False
    """
    return is_own_class(cls) and any(_is_of_use(base) for base in cls.__mro__ if not is_own_class(base))


def set_by_methods(cls: type) -> set[str]:
    """Return the attributes that the user's own methods of a class set."""
    codes = [one.__code__ for base in cls.__mro__ if is_own_class(base) for one in vars(base).values() if _is_code(one)]
    return {one.argval for code in codes for one in dis.get_instructions(code) if one.opname == "STORE_ATTR"}


def _is_code(member: object) -> bool:
    return isinstance(member, FunctionType)


def _is_of_use(cls: type) -> bool:
    module = cls.__module__ if isinstance(cls.__module__, str) else ""
    top, _, rest = module.partition(".")
    return (
        (top in _USED and module not in _READ)
        or (top == "numpy" and rest.startswith("random"))
        or (top == "torch" and "Generator" in cls.__name__)
        or (top == "ctypes" and cls.__name__.endswith(("DLL", "FuncPtr", "Loader")))
    )
