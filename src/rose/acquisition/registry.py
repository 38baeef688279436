"""List the declared acquisition methods: what each is called, needs, and does. Other packages add theirs here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar, get_args

from numpy.typing import ArrayLike

from rose.acquisition._options import whole
from rose.acquisition.problem import Floats, Problem
from rose.errors import ConfigurationError, UnknownAcquisitionError, near_miss
from rose.plugins import Registry

Select = Callable[..., ArrayLike]
Keys = Callable[[Problem], Floats | None]
SelectT = TypeVar("SelectT", bound=Select)

REQUIRED = ("scores", "mc_preds", "features")
INPUTS = (*REQUIRED, "labelled", "pending")
Task = Literal["any", "classification", "regression"]
TASKS = get_args(Task)
_FORMS = {"classification": "[S, N, C] probabilities", "regression": "[S, N] values"}
_INSTEAD = {"classification": "'badge' or 'batchbald'", "regression": "'maxdet' or 'lcmd'"}
_HINTS = {"scores": "rose.scoring computes them from mc_preds"}
_HINT = "'top_k' and 'power' do without"


@dataclass(frozen=True)
class Acquisition:
    """Declare one way to choose a batch. `select(problem, **options)` returns pool indices, most wanted first.

    Attributes:
        name: how programs ask for it.
        select: a function of a `Problem` and keyword options; what it returns is checked by `acquire`.
        needs: inputs it cannot work without; `"features|mc_preds"` means one of the two (the first is preferred).
        uses: inputs it takes into account when they are there, beyond those it needs.
        stochastic: whether the seed changes the choice.
        prefilter: of a pool too large to be seen at once, it is given the `prefilter * k` most uncertain candidates.
        keys: where each candidate has a key of its own and the k largest are chosen, a function that gives them, `[n]`
            for the available ones: such a method chooses from a pool that is seen part by part as from a whole one, and
            needs no prefilter. It gives None where a key depends on the other candidates.
        summary: one line for people.
        reference: authors, year and title of what it implements.
        aliases: other names.
        task: the predictions it serves: "classification", "regression" or "any".
        min_samples: how many predictions of a candidate (members times stochastic passes) it can work with, at least,
            where it takes `mc_preds`; above 1 for what looks at how they differ. Fewer are withheld where something
            else serves.
        ranks_only: whether nothing but the order of the scores counts (without costs), so that infinite ones do.
    """

    name: str
    select: Select = field(repr=False)
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    stochastic: bool = False
    summary: str = ""
    reference: str = ""
    aliases: tuple[str, ...] = ()
    prefilter: float = 10.0
    keys: Keys | None = field(default=None, repr=False)
    task: Task = "any"
    min_samples: int = 1
    ranks_only: bool = False

    def __post_init__(self) -> None:
        for wants, known in ((self.needs, REQUIRED), (self.uses, INPUTS)):
            for name in (name for want in wants for name in want.split("|")):
                if name not in known:
                    raise ConfigurationError(f"acquisition {self.name!r} wants {name!r}; {near_miss(name, known)}")
        if not self.prefilter >= 1:
            raise ConfigurationError(f"prefilter={self.prefilter!r} of {self.name!r} multiplies k: 1 or more")
        if self.task not in TASKS:
            raise ConfigurationError(f"task={self.task!r} of acquisition {self.name!r}; {near_miss(self.task, TASKS)}")
        whole("min_samples", self.min_samples)

    def wants(self, name: str) -> bool:
        """Tell whether the method can make use of an input ("scores", "mc_preds", ...)."""
        return any(name in need.split("|") for need in (*self.needs, *self.uses))

    def takes(self, name: str, there: Collection[str], samples: int | None = None) -> bool:
        """Tell whether the method takes an input where these are there: of two alternatives, the first that is.

        `samples` predictions of a candidate, where known, are not there if it needs more.
        """
        there = self._usable(there, samples)
        needs = [next((one for one in need.split("|") if one in there), "") for need in self.needs]
        return name in there and name in (*needs, *self.uses)

    def objection(self, task: str | None, samples: int | None, there: Collection[str]) -> str | None:
        """Return why the method cannot work with what there is, and what would help; None: it can.

        Args:
            task: "classification" or "regression"; None where not known.
            samples: how many predictions there are of a candidate; None where not known.
            there: which of "scores", "mc_preds" and "features" there are.

        >>> get_acquisition("kcenter").objection(None, 5, {"mc_preds"}) is None
        True
        >>> print(get_acquisition("badge").objection("regression", 5, {"mc_preds", "features"}))
        'badge' is for classification and needs [S, N, C] probabilities; for regression use 'maxdet' or 'lcmd'
        """
        if task in _INSTEAD and self.task not in ("any", task):
            return f"{self.name!r} is for {self.task} and needs {_FORMS[self.task]}; for {task} use {_INSTEAD[task]}"
        usable = self._usable(there, samples)
        for need in self.needs:
            names = need.split("|")
            if not usable.isdisjoint(names):
                continue
            if "mc_preds" in names and "mc_preds" in there:
                features = ", or give features (the candidates themselves, say)" if "features" in names else ""
                return (
                    f"{self.name!r} looks at how predictions of one candidate differ and needs at least "
                    f"{self.min_samples}, not {samples}: add members or stochastic passes{features}"
                )
            return f"{self.name!r} needs {' or '.join(names)} ({_HINTS.get(need, _HINT)})"
        return None

    def _usable(self, there: Collection[str], samples: int | None) -> set[str]:
        few = samples is not None and samples < self.min_samples
        return set(there) - {"mc_preds"} if few else set(there)

    @property
    def options(self) -> dict[str, Any]:
        """Return the keyword options and their defaults."""
        parameters = list(inspect.signature(self.select).parameters.values())[1:]
        return {p.name: p.default for p in parameters if p.kind is not p.VAR_KEYWORD}

    def check_options(self, options: dict[str, Any]) -> None:
        """Refuse an option the method does not have.

        Raises:
            ConfigurationError: naming the option and what there is.
        """
        if any(p.kind is p.VAR_KEYWORD for p in inspect.signature(self.select).parameters.values()):
            return
        for name in options:
            if name not in self.options:
                raise ConfigurationError(f"{self.name!r} has no option {name!r}; {near_miss(name, self.options)}")


def _accept(name: str, loaded: Any) -> Acquisition | None:
    if isinstance(loaded, Acquisition):
        return replace(loaded, name=name)
    if not callable(loaded):
        return None
    return Acquisition(name, loaded, ("scores",), summary=_first_line(loaded))


ACQUISITIONS = Registry("acquisition", "rose.acquisitions", _accept, UnknownAcquisitionError)


def register_acquisition(
    name: str,
    *,
    needs: tuple[str, ...] = ("scores",),
    uses: tuple[str, ...] = (),
    stochastic: bool = False,
    summary: str = "",
    reference: str = "",
    aliases: tuple[str, ...] = (),
    prefilter: float = 10.0,
    keys: Keys | None = None,
    task: Task = "any",
    min_samples: int = 1,
    ranks_only: bool = False,
) -> Callable[[SelectT], SelectT]:
    """Declare the decorated function as an acquisition method; the arguments are the attributes of `Acquisition`.

    `problem.available` comes in an order drawn by the seed: who takes the first of equals settles ties fairly.

    >>> from rose.acquisition import acquire, register_acquisition
    >>> @register_acquisition("every_other", needs=("scores",))
    ... def every_other(problem, *, start=0):
    ...     '''Every other candidate, by index.'''
    ...     return sorted(problem.available)[start::2][: problem.k]
    >>> acquire([0.1, 0.2, 0.3, 0.4], k=2, method="every_other", start=1)
    array([1, 3])

    Raises:
        ConfigurationError: if the name or an alias is built in or another's, or a need is unknown.
    """

    def declared(select: Select) -> Acquisition:
        return Acquisition(
            name, select, needs, uses, stochastic, summary or _first_line(select), reference, aliases, prefilter, keys,
            task=task, min_samples=min_samples, ranks_only=ranks_only,
        )  # fmt: skip

    return ACQUISITIONS.register(name, declared, aliases)


def get_acquisition(name: str | Acquisition) -> Acquisition:
    """Return the declaration of a method, by name or alias; installed packages' are loaded when first asked for.

    Raises:
        UnknownAcquisitionError: with near misses.
        PluginError: if the package that brings it cannot be loaded, or two packages offer the name.
    """
    return name if isinstance(name, Acquisition) else ACQUISITIONS.get(name)


def acquisitions() -> tuple[str, ...]:
    """Return the names of all methods, sorted, those of installed packages included.

    >>> "diverse" in acquisitions()
    True
    """
    return ACQUISITIONS.names()


def _first_line(function: object) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0]
