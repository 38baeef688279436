"""Define every error a user can meet, as one tree.

Each error is also the built-in that Python programmers would expect (`UnknownMetricError` is a `KeyError`), so
`except ValueError` works as well as `except RoseError`. A message says what was wrong, where (the task's key or the
argument's name) and what to do about it. Errors cross process borders: each must survive pickling.
"""

from __future__ import annotations

import difflib
import errno
import resource
from collections.abc import Iterable


class RoseError(Exception):
    """Stand at the root of all errors that ROSE raises on purpose."""


# --- wrong before anything ran -----------------------------------------------------------------------------------


class ConfigurationError(RoseError, ValueError):
    """Say that an argument, a stage or a combination of them cannot work; found before anything expensive ran."""


class UnknownNameError(RoseError, KeyError):
    """Say that a name (metric, acquisition method, ...) is not registered; the message offers near misses."""

    def __str__(self) -> str:  # KeyError shows repr(message); people read this one
        return str(self.args[0]) if self.args else ""


class UnknownMetricError(UnknownNameError, ValueError):
    """Say that no one registered a metric of this name; a ValueError too, as it is in ROSE."""


class UnknownAcquisitionError(UnknownNameError):
    """Say that no one registered an acquisition method of this name."""


class UnknownTaskError(UnknownNameError):
    """Say that a run has not recorded a task with this key."""


class UnknownStateError(RoseError, AttributeError):
    """Say that no task has reported a state of this name; the message offers near misses."""


class BindingError(ConfigurationError, TypeError):
    """Say that a task function asks for a parameter that nothing provides."""


class CapacityError(ConfigurationError):
    """Say that a task asks for more cpus, gpus or memory than the engine will ever have."""


class MissingPackageError(ConfigurationError, ImportError):
    """Say that a package is needed that is not installed, or a newer one; the message says what to install."""


class NoLoopError(ConfigurationError, NotImplementedError):
    """Say that a learner has no loop of its own to start: the program calls its tasks."""


class PluginError(ConfigurationError, ImportError):
    """Say that what an installed package brings cannot be loaded, or is not what its entry point says."""


class PoolError(ConfigurationError):
    """Say that the pool or one of its candidates cannot be used (NaN, wrong shape, too few candidates, ...)."""


class NoIdentityError(ConfigurationError, TypeError):
    """Say that a value decides results, and has no canonical form to be found again by (an open file, a lock)."""


# --- wrong numbers -----------------------------------------------------------------------------------------------


class PredictionError(RoseError, ValueError):
    """Say that stacked predictions have a wrong shape, range or sum, or values that are not finite."""


class NotANumberError(RoseError, ValueError):
    """Say that a criterion or uncertainty value is NaN or no number at all."""


# --- a task went wrong -------------------------------------------------------------------------------------------


class TaskError(RoseError, RuntimeError):
    """Say that a task did not give a result.

    `key` is the task's key as text; `__cause__` the reason, where there is one.
    """

    def __init__(self, message: str, key: str = "") -> None:
        super().__init__(message, key)
        self.message = message
        self.key = key

    def __str__(self) -> str:
        return f"task {self.key}: {self.message}" if self.key else self.message


class PlaceError(TaskError):
    """Say that the place where a task was to run failed it: a disk, a missing program, a lost worker, an engine.

    No policy for failing tasks applies to it: nothing is dropped. The task runs again `place_retries` times, or the run
    ends with it; resumed, it runs the task again. `by_signal` says that what ran it was ended by a signal that a batch
    system may have sent to this process as well.
    """

    by_signal = False


class TaskFailedError(TaskError):
    """Say that the task's function raised; the original exception is the `__cause__`."""


class CommandFailedError(TaskError):
    """Say that a command ended with a non-zero exit code."""

    def __init__(self, message: str, key: str = "", exit_code: int = 0, command: str = "", stderr: str = "") -> None:
        super().__init__(message, key)
        self.args = (message, key, exit_code, command, stderr)
        self.exit_code = exit_code
        self.command = command
        self.stderr = stderr


class CommandPlaceError(PlaceError, CommandFailedError):
    """Say that a command could not be started, was ended from outside, or met a failing place (a full disk, ...)."""


class CommandOutputError(TaskError, ValueError):
    """Say that a command ended well but printed no value where one is needed."""


class TaskTimeoutError(TaskError, TimeoutError):
    """Say that a task ran longer than its `timeout` and was stopped."""

    # tblib, and so Dask, unpickles exceptions by `__new__`; RuntimeError's, inherited first, refuses this class.
    __new__ = TimeoutError.__new__  # type: ignore[assignment]


class WorkerLostError(TaskError):
    """Say that the process that ran the task died by the task's own doing: a segmentation fault, an exit."""


class WorkerTakenError(PlaceError, WorkerLostError):
    """Say that the process that ran the task was taken from it, by no doing of the task's own.

    It was ended from outside (killed, terminated), could not be had, or its machine or pool was lost.
    """

    by_signal = True  # unless the one who raises it knows otherwise


class OutOfMemoryError(WorkerLostError, MemoryError):
    """Say that a task was stopped because it took more memory than it asked for."""


class MemoryExhaustedError(PlaceError, OutOfMemoryError):
    """Say that a task was killed by the kernel because there was no more memory, whoever took it."""


class UnpicklableError(PlaceError, TypeError):
    """Say that a task, or what it returned, cannot be sent between processes."""


class EngineClosedError(RoseError, RuntimeError):
    """Say that a task was given to an engine that has been closed."""


class BankError(RoseError, ValueError):
    """Say that a bank of experiences holds what cannot be kept, or that a file is none, or that none was left."""


class EnsembleError(RoseError, RuntimeError):
    """Say that too few members of an ensemble could be trained; the `__cause__` is the first failure."""


# --- a run directory ------------------------------------------------------------------------------------------


class RunDirectoryError(RoseError, OSError):
    """Say that a run directory cannot be used: it is missing, no run, of another format, or there is a run already."""


class RunLockedError(RunDirectoryError, BlockingIOError):
    """Say that another driver, alive, writes this run directory."""


class RunLostError(RunDirectoryError):
    """Say that another driver has taken this run over: this process can no longer write it."""


class CorruptRunError(RunDirectoryError, ValueError):
    """Say that a run directory is damaged: a file or a row is not what was written."""


class OtherPythonError(RunDirectoryError):
    """Say that a recorded result holds code that another Python made, which this one cannot run."""


class MissingDefinitionError(RunDirectoryError, LookupError):
    """Say that a recorded result needs a class or function of a script, which this program does not define."""


class NotPlainError(RoseError, TypeError):
    """Say that a recorded value is of a class that only its own code can load, which is not run just to look at it."""

    def __str__(self) -> str:
        what, where = (*self.args, "this")[:2]
        return f"{where} is of a class ({what}) that only its own code can load, which is not run just to look at it"


class ChangedRunError(ConfigurationError):
    """Say that a run is resumed with other functions or another configuration than it was begun with."""


# --- a run went wrong --------------------------------------------------------------------------------------------


class RunFailedError(RoseError, RuntimeError):
    """Say that at least one workflow ended with an error, after all the others were allowed to finish.

    `errors` maps each failed workflow to its error; `results` holds what all of them learned.
    """

    def __init__(self, message: str, errors: dict[str, BaseException], results: object = None) -> None:
        super().__init__(message, errors, results)
        self.message = message
        self.errors = errors
        self.results = results

    def __str__(self) -> str:
        return self.message


def remedy(error: BaseException) -> str:
    """Tell what to do about a limit of this process that an error, or what it came from, is about; empty: none is.

    >>> import errno
    >>> remedy(OSError(errno.ENOENT, "No such file"))
    ''
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, OSError) and one.errno == errno.EMFILE:
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            return (
                f"this process may have {limit} files open, and a worker or a command takes up to 4: raise that with "
                "`ulimit -n 4096` before Python starts, or give the engine fewer workers"
            )
        waiting += [one.__cause__, one.__context__]
    return ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question that names the closest known spellings; empty where none is close.

    >>> did_you_mean("Entropi", ["entropy", "margin"])
    "did you mean 'entropy'?"
    """
    spelt = {str(k).casefold(): str(k) for k in sorted(map(str, known), reverse=True)}
    close = difflib.get_close_matches(str(name).casefold(), spelt, n=2, cutoff=0.6)
    return "did you mean " + " or ".join(repr(spelt[c]) for c in close) + "?" if close else ""


def near_miss(name: str, known: Iterable[str]) -> str:
    """Name the closest known spellings, or list all of them.

    >>> near_miss("xyz", ["entropy", "margin"])
    'known: entropy, margin'
    """
    names = sorted(map(str, known))
    return did_you_mean(name, names) or "known: " + (", ".join(names) if names else "none")
