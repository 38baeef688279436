"""Check that the user's functions can take the calls that a workflow of ROSE's dataflow will make."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping, Sequence

from rose.errors import BindingError
from rose.stages.binding import signature_of
from rose.stages.config import LearnerConfig
from rose.stages.kinds import KINDS
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


def check_calls(stages: Mapping[str, Stage], config: LearnerConfig, max_iter: int, skip_pre_loop: bool) -> None:
    """Check that every call that may come in iterations 0 to `max_iter - 1` (0: any number) can be made.

    Raises:
        BindingError: if a stage's function does not take what it will be given.
    """
    begins = next((kind for kind, row in KINDS.items() if kind in stages and not row.pre_loop), None)
    for kind, stage in stages.items():
        if skip_pre_loop and not stage.row.pre_loop:
            _check_call(stage, config, 0, 0 if kind == begins else stage.row.upstream)
        for iteration in _differing(config, kind, 1 if skip_pre_loop else 0, max_iter):
            _check_call(stage, config, iteration, stage.row.upstream)


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
