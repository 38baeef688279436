"""Which objects are there to be used rather than read: loggers, locks, files, pools of workers, random generators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
    for cls in type(value).__mro__:
        top, _, rest = cls.__module__.partition(".")
        if (
            top in _USED
            or (top == "numpy" and rest.startswith("random"))
            or (top == "torch" and "Generator" in cls.__name__)
            or (top == "ctypes" and cls.__name__.endswith(("DLL", "FuncPtr", "Loader")))
        ):
            return True
    return isinstance(value, Iterator) or hasattr(value, "cr_code")
