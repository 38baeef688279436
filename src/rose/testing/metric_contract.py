"""Test the contract of `rose.scoring.Metric`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rose.errors import PredictionError
from rose.scoring import Metric, get_metric, score, top_k

MEMBERS, CANDIDATES, CLASSES = 6, 40, 4


class MetricContract:
    """Test what every metric keeps; a subclass named `Test...` says which `metric` it is of (see `rose.testing`)."""

    metric: str | Metric

    @property
    def declared(self) -> Metric:
        """Return the metric's declaration."""
        return get_metric(self.metric)

    def question(self, seed: int = 0, members: int | None = None, candidates: int = CANDIDATES) -> dict[str, Any]:
        """Return the arguments of `score`: predictions of the metric's task, and what else it needs or takes."""
        rng, metric = np.random.default_rng(seed), self.declared
        members = max(MEMBERS, metric.min_samples) if members is None else members
        if metric.serves("classification"):
            asked = {"mc_preds": rng.dirichlet(np.full(CLASSES, 0.5), size=(members, candidates))}
            truth: Any = rng.integers(0, CLASSES, candidates)
        else:
            asked = {"mc_preds": rng.normal(size=(members, candidates)) * rng.gamma(1.0, size=candidates)}
            truth = rng.normal(size=candidates)
        if "targets" in metric.needs:
            asked["y_true"] = truth
        if "variances" in metric.needs:
            asked["variances"] = rng.gamma(1.0, size=(members, candidates))
        return asked

    def some(self, asked: dict[str, Any], which: Any) -> dict[str, Any]:
        """Return the question of some of the candidates."""
        return {name: value[which] if name == "y_true" else value[:, which] for name, value in asked.items()}

    def test_it_is_declared(self) -> None:
        metric = self.declared
        assert all(get_metric(name) == metric for name in (metric.name, *metric.aliases)), "names lead elsewhere"
        assert metric.summary, "the function has no docstring: its first line is what people read"
        assert metric.range[0] < metric.range[1]

    def test_every_candidate_gets_a_score_within_the_declared_range(self) -> None:
        metric = self.declared
        for seed in range(5):
            scores = score(metric=metric, **self.question(seed))
            assert scores.shape == (CANDIDATES,)
            assert scores.dtype == np.float64
            assert not np.isnan(scores).any()
            assert (scores >= metric.range[0]).all()
            assert (scores <= metric.range[1]).all()

    def test_the_same_question_has_the_same_answer_and_stays_as_it_is(self) -> None:
        asked = self.question()
        before = {name: value.copy() for name, value in asked.items()}
        assert np.array_equal(score(metric=self.declared, **asked), score(metric=self.declared, **before))
        assert all(np.array_equal(asked[name], before[name]) for name in asked), "what it was given has been written to"

    def test_members_have_no_order(self) -> None:
        asked = self.question()
        turned = {name: value if name == "y_true" else value[::-1] for name, value in asked.items()}
        expected = score(metric=self.declared, **asked)
        np.testing.assert_allclose(score(metric=self.declared, **turned), expected, rtol=1e-7, atol=1e-9)

    def test_a_candidates_score_is_its_own(self) -> None:
        if self.declared.kind == "whole":
            pytest.skip("the metric sees all candidates at once")
        asked = self.question()
        expected = score(metric=self.declared, **asked)
        order = np.random.default_rng(0).permutation(CANDIDATES)
        np.testing.assert_array_equal(score(metric=self.declared, **self.some(asked, order)), expected[order])
        np.testing.assert_array_equal(score(metric=self.declared, block_size=7, **asked), expected)
        assert score(metric=self.declared, **self.some(asked, slice(0, 1)))[0] == expected[0]

    def test_no_candidates_have_no_scores(self) -> None:
        assert score(metric=self.declared, **self.some(self.question(), slice(0, 0))).shape == (0,)

    def test_too_few_members_are_refused(self) -> None:
        metric = self.declared
        least = metric.smallest(False, "classification" if metric.serves("classification") else "regression")
        if least > 1:
            with pytest.raises(PredictionError, match=f"at least {least} members"):
                score(metric=metric, **self.question(members=least - 1))

    def test_the_most_uncertain_come_first(self) -> None:
        asked = self.question()
        scores = score(metric=self.declared, **asked)
        chosen, found = top_k(k=5, metric=self.declared, **asked)
        assert chosen.tolist() == self.declared.order(scores)[:5].tolist()
        assert found.tolist() == scores[chosen].tolist()

    def test_what_is_sure_never_outranks_what_is_not(self) -> None:
        """Test all members sure of one class against uniform ones; all of one value against values far apart."""
        metric = self.declared
        members = max(MEMBERS, metric.min_samples)
        asked: dict[str, Any] = {"y_true": [0, 0]} if "targets" in metric.needs else {}
        if metric.serves("classification"):
            asked["mc_preds"] = np.full((members, 2, CLASSES), 1.0 / CLASSES)
            asked["mc_preds"][:, 0] = np.eye(CLASSES)[0]
        else:
            asked["mc_preds"] = np.linspace([0.0, -1.0], [0.0, 1.0], members)
        if "variances" in metric.needs:
            asked["variances"] = np.full((members, 2), 1e-3)
        scores = score(metric=metric, **asked)
        assert metric.order(scores)[0] == 1 or scores[0] == scores[1], "is its direction the other one?"
