"""Say what choosing by an ensemble saved against a control: labels to be as good, at several levels, with intervals.

Over several seeds the differences are paired, seed by seed, and their mean has a 95 % interval by Student's t.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rose.store import Changes, IterationDone
from rose.watch.facts.curves import Curve, figure, is_higher_better, labels_to_reach, main_measure, operator_of
from rose.watch.facts.paired import Interval
from rose.watch.facts.provenance import Provenance, provenance
from rose.watch.facts.repeats import repeats

_SHARES = (0.5, 0.75, 1.0)  # of the way from the first ensembles to as good as both ended


@dataclass(frozen=True)
class Saving:
    """Hold what a workflow saved against its control to be as good as `level`; over seeds, means.

    Attributes:
        share: of the way from the first ensembles to the level at which both ended.
        level: how good, by the measure.
        labels, control_labels: what each needed.
        saved: how many labels fewer the workflow needed, with the interval over seeds.
    """

    share: float
    level: float
    labels: float
    control_labels: float
    saved: Interval


@dataclass(frozen=True)
class Worth:
    """Hold what a workflow saved against its control; printed, it says so.

    Attributes:
        workflow, control: their names, or what those of repeats with other seeds have in common.
        at: how the control chooses: "random", or "lhs".
        measure, higher_is_better: what both are judged by.
        savings: by level, the last at the worse of the two ends: both were as good.
        ended, control_ended: how good each was at its end.
    """

    workflow: str
    control: str
    at: str
    measure: str
    higher_is_better: bool
    savings: tuple[Saving, ...]
    ended: float
    control_ended: float

    @property
    def main(self) -> Saving:
        """Return what was saved to be as good as the worse of the two was at its end."""
        return self.savings[-1]

    @property
    def helped(self) -> bool | None:
        """Return whether it saved labels; None: what it saved may be chance."""
        saved = self.main.saved
        if saved.mean <= 0:
            return False
        return True if saved.seeds == 1 or saved.low > 0 else None

    def sentences(self) -> list[str]:
        """Return it in words: whether it helped, and what was saved on the way."""
        return [_verdict(self), *_on_the_way(self)]

    def __str__(self) -> str:
        return " ".join(self.sentences())

    def to_dict(self) -> dict[str, Any]:
        """Return it in plain JSON, the bounds of an interval None where there is one seed."""
        told = asdict(self) | {"helped": self.helped, "text": str(self)}
        for saving, plain in zip(self.savings, told["savings"], strict=True):
            told_of = saving.saved._asdict()
            plain["saved"] = {name: None if math.isnan(value) else value for name, value in told_of.items()}
        return told


def worth(groups: Mapping[str, Sequence[Curve]], told: Provenance) -> list[Worth]:
    """Return what each workflow saved against each control, best first; `groups` have repeats together."""
    curves = {curve.workflow: curve for of_one in groups.values() for curve in of_one}
    measure = main_measure(list(curves.values()))
    if measure is None:
        return []
    higher = is_higher_better(measure, list(curves.values()))
    group_of = {curve.workflow: name for name, of_one in groups.items() for curve in of_one}
    pairs: dict[tuple[str, str], list[_Pair]] = {}
    for control, name in _pairs(curves, told):
        pair = _Pair.of(curves[name], curves[control], measure, higher)
        if pair is not None:
            pairs.setdefault((group_of[name], group_of[control]), []).append(pair)
    found = []
    for names, each in pairs.items():
        own = [curve.workflow for curve in each[0].curves]
        name, control = names if len(each) > 1 else own
        at = told.setting(own[1], "acquisition") or "random"
        savings = tuple(_saving(each, share) for share in _SHARES if share == 1.0 or all(one.learned for one in each))
        ended, control_ended = (float(np.mean([one.ends[place] for one in each])) for place in (0, 1))
        found.append(Worth(name, control, at, measure, higher, savings, ended, control_ended))
    return sorted(found, key=lambda one: -one.main.saved.mean / max(one.main.control_labels, 1.0))


def worth_of(changes: Changes, notes: Mapping[str, Any]) -> list[Worth]:
    """Return the same of all that has happened in a run, and what its drivers have noted."""
    curves: dict[str, Curve] = {}
    found = provenance(notes, changes.drivers, ())
    if found.controls:
        for _, event in changes.events:
            if isinstance(event, IterationDone):
                curve = curves.setdefault(event.workflow, Curve(event.workflow))
                curve.operator = operator_of(found.workflows.get(event.workflow, {}))
                curve.add(event, 0.0, 0.0)  # neither time nor cost is asked for
    return worth(repeats(list(curves.values()), found.workflows), found)


def _pairs(curves: Mapping[str, Curve], told: Provenance) -> list[tuple[str, str]]:
    """Return controls, each with a workflow to compare it with: of the same seed, or as it was begun."""
    controls = [name for name in told.controls if name in curves]
    found = []
    for control in controls:
        of = told.workflows[control].get("control_of")
        for name in curves:
            alike = told.setting(name, "seed") == told.setting(control, "seed")
            if name not in controls and (alike if of is None else name in of):
                found.append((control, name))
    return found


@dataclass(frozen=True)
class _Pair:
    """Hold the curves of a workflow and its control: labels and values, and how good each was first and last."""

    curves: tuple[Curve, Curve]
    measure: str
    higher: bool
    first: float
    ends: tuple[float, float]

    @classmethod
    def of(cls, mine: Curve, control: Curve, measure: str, higher: bool) -> _Pair | None:
        """Return the pair; None where one of them was not measured, or holds no labels that are counted."""
        ends = mine.last(measure), control.last(measure)
        first = [next((value for value in one.values(measure) if value is not None), None) for one in (mine, control)]
        counted = all(point.labels is not None for one in (mine, control) for point in one.points)
        if ends[0] is None or ends[1] is None or first[0] is None or first[1] is None or not counted:
            return None
        start = max(first[0], first[1]) if higher else min(first[0], first[1])
        return cls((mine, control), measure, higher, start, (ends[0], ends[1]))

    @property
    def end(self) -> float:
        """Return the worse of the two ends: both were as good."""
        return min(self.ends) if self.higher else max(self.ends)

    @property
    def learned(self) -> bool:
        """Return whether both got better than they began."""
        return self.end > self.first if self.higher else self.end < self.first

    def level(self, share: float) -> float:
        """Return how good they were a share of the way."""
        return self.end if share == 1.0 else self.first + share * (self.end - self.first)

    def labels(self, share: float) -> tuple[int, int]:
        """Return how many labels the workflow and its control needed for that."""
        found = [labels_to_reach(one, self.measure, self.level(share), self.higher) for one in self.curves]
        assert found[0] is not None
        assert found[1] is not None
        return found[0], found[1]


def _saving(pairs: Sequence[_Pair], share: float) -> Saving:
    needed = np.array([one.labels(share) for one in pairs], dtype=np.float64)
    level = float(np.mean([one.level(share) for one in pairs]))
    mine, control = needed.mean(axis=0).tolist()
    return Saving(share, level, mine, control, Interval.of(needed[:, 1] - needed[:, 0]))


# --- in words --------------------------------------------------------------------------------------------------------


def _verdict(found: Worth) -> str:
    saved, main = found.main.saved, found.main
    how = "at random" if found.at == "random" else "to fill space"
    other = f"{found.control} ({how})"
    goal = f"to be as good as {found.measure} {figure(main.level)}"
    counts = f"{_count(main.labels)} against {_count(main.control_labels)}"
    over = f", over {saved.seeds} seeds" if saved.seeds > 1 else ""
    mean, bounds = _count(abs(saved.mean)), _bounds(saved)
    alone = "" if saved.seeds > 1 else "; of one seed, so how much of it is chance is not known"
    if saved.mean > 0:
        share = f"{saved.mean / main.control_labels:.0%}"
        said = f"{found.workflow} saved {mean}{bounds} labels ({share}) {goal}: {counts} of {other}{over}"
        if found.helped is None:
            return f"{said}; that may be chance: the interval holds none saved."
        return f"{said}{alone}."
    many = f"{mean} fewer labels" if saved.mean < 0 else "as many labels"
    chance = alone if saved.seeds == 1 else "" if saved.high < 0 else "; that may be chance"
    told = f"{found.workflow} did not help: {other} needed {many}{' ' if bounds else ''}{bounds.strip()} {goal}"
    return f"{told}, {_count(main.control_labels)} against {_count(main.labels)}{over}{chance}."


def _on_the_way(found: Worth) -> list[str]:
    steps, last = [], ""
    for one in found.savings[:-1]:
        verb = "needed" if one.saved.mean < 0 else "saved"
        count = f"{_count(abs(one.saved.mean))}{' more' if verb == 'needed' else ''}{_bounds(one.saved)}"
        steps.append(f"{verb + ' ' if verb != last else ''}{count} at {found.measure} {figure(one.level)}")
        last = verb
    return [f"On the way, {found.workflow} {', '.join(steps)}."] if steps else []


def _bounds(saved: Interval) -> str:
    return "" if saved.seeds < 2 else f" [{_signed(saved.low)}, {_signed(saved.high)}]"


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:.3g}"


def _signed(value: float) -> str:
    return f"-{_count(-value)}" if value < 0 else _count(value)
