"""Ask, in every iteration of a pool's workflow, whether one of its rules says that it knows enough."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from rose.errors import ConfigurationError
from rose.loop.groups import all_of
from rose.loop.seeds import derive_seed
from rose.loop.state import StopReason
from rose.pool.ensemble.columns import Classes
from rose.pool.ensemble.members import Ensemble, RoundId
from rose.pool.ensemble.predictions import usable
from rose.pool.labelling.labeller import Labeller
from rose.pool.scoring_rule import Scoring
from rose.pool.stopping._audit import Audit
from rose.pool.stopping._certified import Certification
from rose.pool.stopping._curve import gain_per_label, still_to_gain
from rose.pool.stopping._said import Said, movement
from rose.pool.stopping.rules import Certified, Patience, Stable, Worth
from rose.stages.config import LearnerConfig
from rose.stages.shared import Shared
from rose.stages.stage import StopCriterion
from rose.store import Dropped

_LEVEL = 1.15  # times what it would be at the end: an error that is expected to be no larger is level
_WATCHED = 1000  # candidates of the pool that are predicted in every iteration, by which it is judged


class Verdict(NamedTuple):
    """Tell what the rules say of an iteration: why to end, the statement, and what they have measured."""

    stop: StopReason | None = None
    statement: str | None = None
    told: Mapping[str, Any] | None = None


@dataclass
class Streaks:
    """Count in how many iterations running something has held."""

    before: dict[str, int] = field(default_factory=dict)  # up to the last iteration
    now: dict[str, int] = field(default_factory=dict)

    def begin(self) -> None:
        """Begin an iteration."""
        self.before, self.now = self.now, {}

    def count(self, name: str, holds: bool) -> int:
        """Take note of whether something holds in this iteration; return in how many running it has."""
        self.now[name] = self.before.get(name, 0) + 1 if holds else 0
        return self.now[name]


class Stopping:
    """Judge the iterations of one workflow by its rules.

    Args:
        rules: as `stop_when` made them.
        size: of the pool.
        seed: of the pool: it decides which candidates are looked at.
        X: the pool, shared.
        ensemble: the workflow's.
        labeller: what holds and gets its labels.
        criterion: the workflow's stop criterion, whose values a learning curve may be of.
    """

    def __init__(
        self,
        rules: Sequence[object],
        size: int,
        seed: int,
        X: Shared,
        ensemble: Ensemble,
        labeller: Labeller,
        criterion: StopCriterion | None = None,
    ) -> None:
        self._falls = criterion is None or criterion.operator in ("<", "<=", "=")
        self._rules: dict[type, Any] = {type(rule): rule for rule in rules}
        self._X = X
        self._ensemble = ensemble
        self._labeller = labeller
        self.audit = Audit(labeller, size, seed)
        certified = self._rules.get(Certified)
        self._certification = None if certified is None else Certification(certified, self.audit)
        drawn = np.random.default_rng(derive_seed(seed, "watched")).choice(size, min(size, _WATCHED), replace=False)
        self._watched = np.sort(drawn) if rules else drawn[:0]
        self._streaks = Streaks()
        self._before: Mapping[str, Any] | None = None  # what was said of the watched candidates
        self._path: list[tuple[float, float, float]] = []  # labels, movement and doubt of each iteration
        self._curve: list[tuple[float, float]] = []  # labels and the error with them
        self._told: dict[str, Any] = {}

    def begin(self) -> None:
        """Begin an iteration."""
        self._streaks.begin()
        self.audit.begin()
        self._told = {}

    def patient(self, threshold: str, met: bool) -> bool:
        """Tell whether a threshold that is met, or not, ends the workflow; asked again, it says the same."""
        rule = self._rules.get(Patience)
        return self._streaks.count(threshold, met) >= (1 if rule is None else rule.patience)

    async def foresee(self, round: RoundId, scoring: Scoring, config: LearnerConfig) -> None:
        """Compare new labels with what the last ensemble says of their candidates, which it has not seen."""
        members, arrived, asked = self._ensemble.members, self._labeller.arrived, self._certification
        kept = [place for place, label in enumerate(arrived.labels) if not isinstance(label, Dropped)]
        if asked is None or not members or not kept:
            return
        said = await self._say("foreseen", round, members, None, arrived.indices[kept], scoring, config)
        error = _check_error(asked.rule, said)
        asked.learn(said.off([arrived.labels[place] for place in kept], error), said.doubt(error))

    async def judge(
        self,
        round: RoundId,
        scoring: Scoring,
        members: Mapping[str, Shared],
        classes: Mapping[str, Classes],
        measured: tuple[Mapping[str, float] | None, Mapping[str, float | None] | None],
        room: int,
        more: int | None,
        config: LearnerConfig,
    ) -> Verdict:
        """Return what the rules say of an ensemble.

        Args:
            round: which iteration it is.
            scoring: the workflow's rule.
            members: the ensemble.
            classes: the labels of its columns, by model.
            measured: the stop criterion's values, and the quality on the hold-out.
            room: how many more labels may be had.
            more: how many more there will be if nothing but a limit ends the workflow; None: no limit tells.
            config: the workflow's configuration.
        """
        stop: StopReason | None = None
        statement = None
        if Worth in self._rules:
            stop, statement = self._worth(self._rules[Worth], measured, scoring)
        if Stable not in self._rules and self._certification is None:
            return Verdict(stop, statement, self._told)
        ahead = [] if self._certification is None else self._certification.upcoming()
        known = [] if self._certification is None else self._labeller.labelled.indices.tolist()
        rows = np.concatenate([self._watched, np.array([*known, *self.audit.indices, *ahead], dtype=np.int64)])
        said = await self._say("watched", round, members, classes, rows, scoring, config)
        watched = said.at(slice(len(self._watched)))
        if Stable in self._rules:
            found = self._stable(self._rules[Stable], watched, more)
            stop, statement = (stop, statement) if stop is not None else found
        if self._certification is not None and stop is None:
            beyond = said.at(slice(len(self._watched), None))
            statement = await self._certify(self._certification, round, watched, beyond, ahead, room, config)
            stop = None if statement is None else StopReason.CERTIFIED
        return Verdict(stop, statement, self._told)

    def _worth(
        self,
        rule: Worth,
        measured: tuple[Mapping[str, float] | None, Mapping[str, float | None] | None],
        scoring: Scoring,
    ) -> tuple[StopReason | None, str | None]:
        error = _error(*measured, self._falls)
        if error is None:
            return None, None
        labels = len(self._labeller.labelled)
        self._curve.append((float(labels), error))
        gain = gain_per_label(self._curve, scoring.rule.query_size)
        if gain is not None:
            self._told["gain_per_label"] = gain * rule.value
        cheap = gain is not None and gain * rule.value < rule.cost
        if self._streaks.count("worth", cheap) < rule.patience:
            return None, None
        assert gain is not None
        return StopReason.NOT_WORTH_IT, (
            f"By the learning curve of {labels} labels, another one is expected to gain {gain * rule.value:.3g}, and "
            f"costs {rule.cost:g}."
        )

    def _stable(self, rule: Stable, said: Said, more: int | None) -> tuple[StopReason | None, str | None]:
        before, self._before = self._before, said.to_plain()
        if before is None or ("names" in before) != (said.names is not None):
            self._streaks.count("stable", False)
            return None, None
        labels = len(self._labeller.labelled)
        moved = movement(before, said, None if said.names is not None else self._spread())
        least = 0.0 if said.names is None else 1e-3  # some candidate may always turn
        self._path.append((float(labels), moved + least, said.overall_doubt))
        ahead = still_to_gain(self._path, labels if more is None else more)
        self._told |= {"movement": moved, "error_falls_by": ahead}
        if self._streaks.count("stable", moved < rule.movement) < rule.patience or ahead is None or ahead > _LEVEL:
            return None, None
        what = "1 - kappa" if said.names is not None else "root mean square over the spread of y"
        return StopReason.STABLE, (
            f"In the last {rule.patience} iterations, predictions of {len(self._watched)} of the pool's candidates "
            f"moved by less than {rule.movement:g} each ({what}; the last time {moved:.2g}), and with the labels to "
            f"come the error is not expected to fall by more than a factor {_LEVEL:g}."
        )

    def _spread(self) -> np.ndarray:
        labels = np.array([np.ravel(label) for label in self._labeller.labelled.labels], dtype=np.float64)
        return np.asarray(labels.std(axis=0))

    async def _certify(
        self,
        asked: Certification,
        round: RoundId,
        watched: Said,
        beyond: Said,
        ahead: Sequence[int],
        room: int,
        config: LearnerConfig,
    ) -> str | None:
        labelled, error = self._labeller.labelled, _check_error(asked.rule, watched)
        free = ~np.isin(self._watched, labelled.indices)
        doubt = watched.at(free).doubt(error) if free.any() else watched.doubt(error)
        found = None
        if asked.looks_now(doubt, watched.names is not None, len(labelled)):
            known = beyond.at(slice(len(labelled))).off(labelled.labels, error)
            audited = beyond.at(slice(len(labelled), None))
            bad = int(np.sum(known > 1.0))
            found = await asked.look(round.iteration, audited, ahead, bad, len(labelled), room, config)
        self._told |= asked.told
        return found

    async def _say(
        self,
        stage: str,
        round: RoundId,
        members: Mapping[str, Shared],
        classes: Mapping[str, Classes] | None,
        rows: np.ndarray,
        scoring: Scoring,
        config: LearnerConfig,
    ) -> Said:
        """Return what these members say together of some candidates."""
        if classes is None:
            classes = await self._ensemble.classes(members)
        runner = self._ensemble.runner
        shared = runner.share(rows)
        try:
            found = await all_of(
                self._ensemble.predict(round, stage, model, member, self._X, shared, config)
                for model, member in members.items()
            )
        finally:
            await runner.release([shared])
        passes = dict(zip(members, found, strict=True))
        check = (passes, classes, len(rows), scoring.task, round.where, self._ensemble.prediction.normalise)
        return Said.of(await asyncio.to_thread(usable, *check))

    def checkpoint(self) -> dict[str, Any]:
        """Return, in plain values, what the next iteration needs, and what this one has asked for."""
        if not self._rules:
            return {}
        found: dict[str, Any] = {"streaks": dict(self._streaks.now)}
        if Stable in self._rules:
            found |= {"before": self._before, "path": list(self._path)}
        if Worth in self._rules:
            found["curve"] = list(self._curve)
        if self._certification is not None:
            found["certified"] = self._certification.checkpoint()
        return {"stopping": found}

    async def restore(self, iteration: int, checkpoint: Mapping[str, Any], config: LearnerConfig) -> None:
        """Restore what `checkpoint` gave; an audit stays one, whatever the rules are now."""
        kept = checkpoint.get("stopping", {})
        self._streaks.now = dict(kept.get("streaks", {}))
        self._before = kept.get("before")
        self._path = list(kept.get("path", ()))
        self._curve = list(kept.get("curve", ()))
        certified = kept.get("certified", {})
        if self._certification is not None and certified:
            self._certification.restore(certified)
        if "audit" in certified:
            await self.audit.restore(iteration, certified["audit"], config)


def _error(values: Mapping[str, float] | None, quality: Mapping[str, float | None] | None, falls: bool) -> float | None:
    """Return the error that the learning curve is of: the hold-out's, else the criterion's value, which `falls`."""
    told = quality or {}
    if told.get("rmse") is not None:
        return told["rmse"]
    if (accuracy := told.get("accuracy")) is not None:
        return 1.0 - accuracy
    return None if not values else sum(values.values()) / len(values) * (1.0 if falls else -1.0)


def _check_error(rule: Certified, said: Said) -> Sequence[float] | None:
    """Return the error that was said, which is one for such predictions; None: they are of classes.

    Raises:
        ConfigurationError: if none was said for values, or not one for each of several outputs.
    """
    if said.names is not None:
        return None
    outputs = said.values.shape[1]
    if rule.error is None:
        raise ConfigurationError(
            f"stop_when(share={rule.share:g}): the models predict values; say how far one may be off, error="
        )
    if len(rule.error) not in (1, outputs):
        raise ConfigurationError(
            f"stop_when: there are {len(rule.error)} errors, but the models predict {outputs} outputs; give one "
            "for all, or one for each"
        )
    return rule.error
