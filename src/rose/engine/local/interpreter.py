"""Have workers take over what the driver's program has set in its interpreter, before their first task.

A function in a worker is to find what it would find in the driver. `sys.path`, the environment, the working directory,
umask and limits come by themselves or with the start of the process; the rest is here. What is not, an `initializer`
sets: a picklable function that each worker calls once.
"""

from __future__ import annotations

import decimal
import faulthandler
import locale
import logging
import pickle
import subprocess
import sys
import warnings
from dataclasses import dataclass, field, replace

logger = logging.getLogger("rose")

_STREAMS = {"stderr", "stdout"}
_NUMPYS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}  # what NumPy begins with
_CATEGORIES = [getattr(locale, name) for name in ("LC_CTYPE", "LC_COLLATE", "LC_TIME", "LC_MONETARY", "LC_NUMERIC")]


@dataclass(frozen=True, slots=True)
class Handler:
    """Describe a plain handler of the root logger: what prints to a standard stream, or appends to a file."""

    target: str  # "stderr", "stdout", or the file's path
    level: int
    format: tuple[str | None, str | None] | None  # of lines and of times


@dataclass(frozen=True, slots=True)
class Interpreter:
    """Hold settings that pickle without the user's modules; `filters` are pickled one by one, as they may name them."""

    argv: list[str]
    recursion_limit: int
    digits: int
    faulthandler: bool
    bytecode: tuple[bool, str | None]
    locale: dict[int, str]
    decimal: decimal.Context
    levels: dict[str, int]  # of loggers
    handlers: list[Handler]
    disabled: int
    filters: list[bytes]
    errstate: dict[str, str] | None  # NumPy's; None: as it begins
    start_method: str | None
    authkey: bytes | None = field(repr=False)

    def elsewhere(self) -> Interpreter:
        """Return the settings for workers on other machines: without keys, files and locales of this one."""
        handlers = [handler for handler in self.handlers if handler.target in _STREAMS]
        return replace(self, authkey=None, locale={}, handlers=handlers)


def flags() -> list[str]:
    """Return Python's options (-O, -W, -X, ...) as this interpreter was given them, for another one."""
    options: list[str] = list(subprocess._args_from_interpreter_flags())  # type: ignore[attr-defined]
    said = {option.partition("=")[0] for option in options}
    for name, value in sys._xoptions.items():
        if name not in said and name != "dev":
            options += ["-X", name if value is True else f"{name}={value}"]
    return options


def current() -> Interpreter:
    """Return what this program has set in its interpreter by now, seen from this thread."""
    root = logging.getLogger()
    named = {name: logger for name, logger in root.manager.loggerDict.items() if isinstance(logger, logging.Logger)}
    processes = sys.modules.get("multiprocessing")
    return Interpreter(
        argv=list(sys.argv),
        recursion_limit=sys.getrecursionlimit(),
        digits=sys.get_int_max_str_digits(),
        faulthandler=faulthandler.is_enabled(),
        bytecode=(sys.dont_write_bytecode, sys.pycache_prefix),
        locale={category: locale.setlocale(category) for category in _CATEGORIES},
        decimal=decimal.getcontext().copy(),
        levels={"": root.level} | {name: logger.level for name, logger in named.items() if logger.level},
        handlers=[handler for handler in map(_handler, root.handlers) if handler is not None],
        disabled=root.manager.disable,
        filters=_filters(),
        errstate=_errstate(),
        start_method=None if processes is None else processes.get_start_method(allow_none=True),
        authkey=None if processes is None else bytes(processes.current_process().authkey),
    )


def take_over(settings: Interpreter) -> None:
    """Set in this process all that the driver's program has set."""
    sys.argv[:] = settings.argv
    sys.setrecursionlimit(settings.recursion_limit)
    sys.set_int_max_str_digits(settings.digits)
    sys.dont_write_bytecode, sys.pycache_prefix = settings.bytecode
    if settings.faulthandler and not faulthandler.is_enabled():
        faulthandler.enable()
    for category, name in settings.locale.items():
        if locale.setlocale(category) != name:
            locale.setlocale(category, name)
    decimal.setcontext(settings.decimal)
    _set_logging(settings)
    if settings.errstate is not None:
        import numpy as np

        np.seterr(**settings.errstate)  # type: ignore[arg-type]
    if settings.start_method is not None:
        import multiprocessing

        multiprocessing.set_start_method(settings.start_method, force=True)
    if settings.authkey is not None:
        from multiprocessing import current_process

        current_process().authkey = settings.authkey
    _set_filters(settings.filters)


_taken: set[bytes] = set()


def take_over_once(packed: bytes) -> None:
    """Set what a driver elsewhere has sent, if this process has not done so before."""
    if packed not in _taken:
        take_over(pickle.loads(packed))
        _taken.add(packed)


def _errstate() -> dict[str, str] | None:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    state: dict[str, str] = numpy.geterr()
    # "call" and "log" need an object of the driver's.
    return None if state == _NUMPYS or {"call", "log"} & set(state.values()) else state


def _handler(handler: logging.Handler) -> Handler | None:
    if type(handler) is logging.FileHandler:
        target = handler.baseFilename
    elif type(handler) is logging.StreamHandler:
        names = [name for name in _STREAMS if handler.stream is getattr(sys, name)]
        if not names:
            return None
        target = names[0]
    else:
        return None
    formatter = handler.formatter
    if formatter is None:
        return Handler(target, handler.level, None)
    if type(formatter) is not logging.Formatter or type(formatter._style) is not logging.PercentStyle:
        return None
    return Handler(target, handler.level, (formatter._fmt, formatter.datefmt))


def _set_logging(settings: Interpreter) -> None:
    for name, level in settings.levels.items():
        logging.getLogger(name).setLevel(level)
    logging.disable(settings.disabled)
    root = logging.getLogger()
    there = [_handler(handler) for handler in root.handlers]
    for given in settings.handlers:
        handler: logging.Handler
        if given in there:
            continue
        if given.target in _STREAMS:
            handler = logging.StreamHandler(getattr(sys, given.target))
        else:
            handler = logging.FileHandler(given.target, delay=True)
        handler.setLevel(given.level)
        if given.format is not None:
            handler.setFormatter(logging.Formatter(*given.format))
        root.addHandler(handler)


def _filters() -> list[bytes]:
    """Return the filters of warnings, but for those that name a class of the main module, which no worker has yet."""
    packed = []
    for entry in warnings.filters:
        if entry[2].__module__ != "__main__":
            try:
                packed.append(pickle.dumps(entry))
            except Exception as error:  # its class is not to be found by its name
                logger.info("a filter of warnings is not there in workers: %s", error)
    return packed


def _set_filters(packed: list[bytes]) -> None:
    warnings.filters[:] = [pickle.loads(entry) for entry in packed]  # type: ignore[index]
    with warnings.catch_warnings():  # makes Python look at the list anew
        pass
