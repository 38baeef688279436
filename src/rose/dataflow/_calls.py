"""Check that the user's functions can take the calls that a workflow of ROSE's dataflow will make."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Mapping, Sequence

from rose.errors import BindingError
from rose.stages.binding import signature_of
from rose.stages.config import LearnerConfig
from rose.stages.options import take_description
from rose.stages.stage import Stage

_log = logging.getLogger("rose")


def injected_names(stage: Stage) -> tuple[str, ...]:
    """Return the names that are injected into a stage's calls: none, if its function cannot take any.

    No parameter can be called so: only functions with **kwargs can.

    >>> from rose.stages.options import make_stage
    >>> injected_names(make_stage("prediction", lambda *args, **kwargs: "", {}))
    ('--model_name', '--iteration')
    >>> injected_names(make_stage("prediction", lambda *args: "", {}))
    ()
    """
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature_of(stage.func, stage.name).parameters.values())
    return stage.row.injects if takes_any else ()


def check_calls(
    stages: Mapping[str, Stage], config: LearnerConfig, max_iter: int, upstream: Callable[[str, int], int | None]
) -> None:
    """Check that every call that may come in iterations 0 to `max_iter - 1` (0: any number) can be made.

    Args:
        stages: of the workflow, by kind.
        config: its configuration.
        max_iter: how many iterations it may play.
        upstream: how many results of earlier stages a kind is given in an iteration, the same in all from 1 on; None:
            it is not called in it.

    Raises:
        BindingError: if a stage's function does not take what it will be given.
    """
    for kind, stage in stages.items():
        for iteration in sorted({0, *_differing(config, kind, 0, max_iter), *_differing(config, kind, 1, max_iter)}):
            results = upstream(kind, iteration)
            if results is not None:
                _check_call(stage, config, iteration, results)


def tell_of_the_untold(stages: Mapping[str, Stage], models: int, passes: int) -> None:
    """Say once, of stages whose tasks are not told which one they are, that they cannot know it."""
    for stage in stages.values():
        names = stage.row.injects
        number = (models if "--model_name" in names else 1) * (passes if "--iteration" in names else 1)
        if number > 1 and not injected_names(stage):
            untold = " and ".join(names)
            _log.warning("%s takes no **kwargs: %d times a round it is called without %s", stage.name, number, untold)


def _differing(config: LearnerConfig, kind: str, first: int, max_iter: int) -> Sequence[int]:
    """Return the iterations from `first` on that stand for all in which a stage may be called differently.

    They are those for which a stage is configured by themselves, and one for all others; of a schedule, which is asked
    when its iteration comes, the first.
    """
    configured = getattr(config, kind, None)
    named = sorted(i for i in configured if i >= first) if isinstance(configured, dict) else []
    other = next(i for i in itertools.count(first) if i not in named)
    return [i for i in (*named, other) if not max_iter or i < max_iter]


def _check_call(stage: Stage, config: LearnerConfig, iteration: int, results: int) -> None:
    configured = config.get_task_config(stage.kind, iteration)
    args = [None] * ((len(configured.args) if configured else 0) + results)
    _, own = take_description(stage, configured.kwargs if configured else {})
    kwargs = {**own, **dict.fromkeys(injected_names(stage))}
    try:
        signature_of(stage.func, stage.name).bind(*args, **kwargs)
    except TypeError as error:
        raise BindingError(
            f"{stage.name} cannot be called in iteration {iteration} with {len(args)} positional arguments, results of "
            f"earlier stages among them, and the names {', '.join(kwargs) or 'none'}: {error}; define it as "
            f"{getattr(stage.func, '__name__', 'function')}(*args, **kwargs)"
        ) from error
