"""Answer a newcomer's three questions in words: what did it save, where did the time go, why did it stop."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rose.store import describe_seconds
from rose.watch.facts.curves import Curve, counted, figure, main_measure
from rose.watch.facts.provenance import Provenance
from rose.watch.facts.time import Time
from rose.watch.facts.worth import Worth, worth
from rose.watch.summary import RunSummary, WorkflowSummary

_REASONS = {
    "others_ended": "the workflows that it is the control of had ended",
    "criterion_met": "its stop criterion was met",
    "uncertainty_below_threshold": "it was certain enough: the uncertainty reached its threshold",
    "certified": "its audit certified the ensemble",
    "predictions_stable": "its predictions did not move any more",
    "gain_below_cost": "another label was worth less than it costs",
    "max_iter_reached": "it had played all its iterations (max_iter)",
    "budget_spent": "its budget of labels was spent",
    "max_time_reached": "its time was up (max_time)",
    "pool_exhausted": "every candidate was labelled",
    "stream_exhausted": "its stream had ended",
    "simulations_failed": "too many simulations failed",
    "stopped": "somebody stopped it",
    "not_a_number": "a figure was not a number",
    "error": "an error ended it",
}
_VERBS = {
    "simulate": "simulating",
    "train": "training",
    "predict": "predicting",
    "score": "scoring",
    "idle": "doing nothing",
}


@dataclass(frozen=True)
class Answer:
    """Hold sentences for the three questions, and for what cannot be answered.

    Attributes:
        state: how the run stands.
        labels: the labels that were paid for, or given; `candidates`: of how many, None: not known.
        saved, spent, stopped: the answers, a sentence each.
        savings: against each control, best first.
        headline: the labels that the best kind of workflow saved on average, their share of its control's, its name.
        unknown: what is not known, and why.
    """

    state: str
    labels: int
    candidates: int | None
    saved: Sequence[str]
    spent: Sequence[str]
    stopped: Sequence[str]
    savings: Sequence[Worth]
    headline: tuple[float, float, str] | None
    unknown: Sequence[str]


def answer(
    summary: RunSummary,
    groups: Mapping[str, Sequence[Curve]],
    spent: Time,
    provenance: Provenance,
    candidates: int | None,
) -> Answer:
    """Return the answers, as the run stands; `groups` are its workflows, repeats with other seeds together."""
    curves = [curve for of_one in groups.values() for curve in of_one]
    measure, controls, savings = main_measure(curves), provenance.controls, worth(groups, provenance)
    repeated = len(groups) < len(curves)
    told = [sentence for one in savings for sentence in _saved(one, spent)]
    reached = [_reached(curve, measure, candidates) for curve in curves if curve.points]
    saved = [*told, *reached, *_shared(curves, summary.labels)]
    return Answer(
        state=_state(summary),
        labels=summary.labels,
        candidates=candidates,
        saved=saved or ["Nothing yet: no iteration is complete."],
        spent=_spent(spent),
        stopped=[_stopped(workflow, summary, provenance) for workflow in summary.workflows] or ["Nothing has begun."],
        savings=savings,
        headline=_headline(savings),
        unknown=list(_unknown(bool(reached), repeated, controls, measure, spent)),
    )


def seconds(value: float) -> str:
    """Return a duration for people.

    >>> seconds(0.0123), seconds(75.0)
    ('0.012 s', '75 s')
    """
    if value >= 10:
        return describe_seconds(value)
    return f"{max(value, 0.0):.2g} s"


def _saved(found: Worth, spent: Time) -> list[str]:
    """Say what a workflow saved, and what that came to."""
    saved, cost = found.main.saved.mean, spent.cost_per_label
    return [*found.sentences(), *([f"That is {seconds(saved * cost)} of simulation."] if cost and saved > 0 else [])]


def _headline(savings: Sequence[Worth]) -> tuple[float, float, str] | None:
    """Return the labels that the best kind of workflow saved, the share of its control's, and its name."""
    if not savings:
        return None
    main = savings[0].main
    return main.saved.mean, main.saved.mean / main.control_labels, savings[0].workflow


def _reached(curve: Curve, measure: str | None, candidates: int | None) -> str:
    last = curve.points[-1]
    labels = "labels of the user's own" if last.labels is None else f"{last.labels:,} labels"
    of = f" of {candidates:,} candidates ({last.labels / candidates:.1%})" if candidates and last.labels else ""
    value = None if measure is None else curve.last(measure)
    if value is None:
        sure = "" if last.uncertainty is None else f", and an uncertainty of {figure(last.uncertainty)}"
        return f"{curve.workflow}: {labels}{of}{sure}."
    return f"{curve.workflow} reached {measure} {figure(value)} with {labels}{of}."


def _shared(curves: Sequence[Curve], labels: int) -> list[str]:
    held = sum(curve.points[-1].labels or 0 for curve in curves if curve.points)
    if len(curves) < 2 or held <= labels:
        return []
    return [f"Workflows share what they label: {held:,} labels were used, and {labels:,} had to be made."]


def _spent(spent: Time) -> list[str]:
    total = sum(spent.by_role.values())
    if not spent.worked and not total:
        return ["It is not known: times are recorded in a run directory, and there is none (run_dir=)."]
    told = f"It has been driven for {seconds(spent.worked)}"
    if spent.busy is not None:
        told += f" on {counted(spent.workers, 'worker')}, busy {spent.busy:.0%} of it"
    if total <= 0:
        return [f"{told}."]
    parts = [
        f"{share:.0%} {_VERBS.get(role, role)}"
        for role, amount in spent.by_role.items()
        if (share := amount / total) >= 0.005
    ]
    told = f"{told}. Of the {'tasks' if spent.busy is None else 'workers'}' time: {', '.join(parts)}."
    more = []
    if spent.cost_per_label is not None:
        more.append(f"A label cost {seconds(spent.cost_per_label)} of simulation.")
    path = spent.path
    if path is not None and path.seconds > 0:
        most, amount = max(path.by_role.items(), key=lambda item: item[1])
        what = {"wait": "waiting for a worker", "driver": "what the driver does between tasks"}.get(most, most)
        more.append(f"What kept it longest from its end: {_VERBS.get(what, what)} ({amount / path.seconds:.0%}).")
    return [told, *more]


def _stopped(workflow: WorkflowSummary, summary: RunSummary, provenance: Provenance) -> str:
    if workflow.stopped is None:
        return f"{workflow.name} has not ended: the run is {_word(summary)}."
    told = _REASONS.get(workflow.stopped, workflow.stopped)
    if workflow.stopped == "criterion_met":
        criterion = provenance.setting(workflow.name, "criterion")
        value = f": {workflow.metric_name} is {figure(workflow.metric)}" if workflow.metric is not None else ""
        told += value + (f" ({criterion})" if criterion else "")
    if workflow.stopped == "uncertainty_below_threshold" and workflow.uncertainty is not None:
        told += f" ({figure(workflow.uncertainty)})"
    if workflow.statement:
        told += f" ({workflow.statement.rstrip('.')})"
    if workflow.error:
        told += f": {workflow.error.strip().splitlines()[0][:300]}"
    at = "" if workflow.iteration is None else f" after iteration {workflow.iteration}"
    return f"{workflow.name} ended{at}: {told}."


def _word(summary: RunSummary) -> str:
    return {"running": "running", "crashed": "dead (its driver is gone)"}.get(summary.state, summary.state)


def _state(summary: RunSummary) -> str:
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(summary.seen))
    return f"{_word(summary)}, last heard of {day}" + (
        f", resumed {summary.drivers - 1} x" if summary.drivers > 1 else ""
    )


def _unknown(begun: bool, repeated: bool, controls: Sequence[str], measure: str | None, spent: Time) -> list[str]:
    told = []
    if not begun:
        told.append("how good the models are: no iteration is complete")
    elif measure is None:
        told.append("how good the models are: there is no hold-out and no stop criterion that measures it")
    if not controls:
        told.append("what it saved against choosing at random: there is no control (control=True)")
    elif measure is not None and not repeated:
        told.append("how much of the difference is chance: it is of one run, with one seed")
    if spent.busy is None and spent.stages:
        told.append("how busy the workers were: the engine does not say where its tasks run")
    return told
