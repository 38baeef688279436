"""Test the contract of `rose.acquisition.Acquisition`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from rose.acquisition import Acquisition, acquire, get_acquisition

Question = dict[str, Any]
QUESTIONS = 25  # small pools, of all kinds, that a test looks at


class AcquisitionContract:
    """Test what every acquisition method keeps; a subclass named `Test...` says which `method` it is of.

    `options` are given to the method in all tests.
    """

    method: str | Acquisition
    options: dict[str, Any] = {}  # noqa: RUF012  # a subclass's, never written to

    @property
    def declared(self) -> Acquisition:
        """Return the method's declaration."""
        return get_acquisition(self.method)

    def acquire(self, question: Question, **changes: Any) -> list[int]:
        """Return what the method chooses, in silence."""
        asked = {**question, "warn": False, **self.options, **changes}
        return [int(index) for index in acquire(method=self.declared, **asked)]

    def questions(self) -> Iterator[Question]:
        """Yield small pools with duplicates, ties, constant scores, and few candidates to choose from."""
        for seed in range(QUESTIONS):
            rng = np.random.default_rng(seed)
            n, values = int(rng.integers(1, 31)), int(rng.integers(1, 5))
            role = rng.choice(3, size=n, p=[0.6, 0.2, 0.2])
            weights = rng.integers(1, values + 1, size=(3, n, 4)).astype(float)
            features = rng.integers(0, values, size=(n, 3)).astype(("f4", "f8", "i8")[seed % 3])
            yield {
                "k": int(rng.integers(0, (role == 0).sum() + 1)),
                "scores": rng.integers(0, values, size=n) / values,
                "mc_preds": self._fitting(weights / weights.sum(axis=2, keepdims=True)),
                "features": features,
                "labelled": np.flatnonzero(role == 1),
                "pending": np.flatnonzero(role == 2),
                "direction": ("higher", "lower")[seed % 2],
                "seed": seed,
            }

    def one(self, n: int = 60, seed: int = 0) -> Question:
        """Return a pool without ties, of which nothing is labelled yet."""
        rng = np.random.default_rng(seed)
        return {
            "k": 4,
            "scores": rng.random(n),
            "mc_preds": self._fitting(rng.dirichlet(np.ones(3), size=(8, n))),
            "features": rng.normal(size=(n, 5)).astype(np.float32),
        }

    def _fitting(self, probabilities: Any) -> Any:
        return probabilities[..., 0] if self.declared.task == "regression" else probabilities

    def test_it_is_declared(self) -> None:
        method = self.declared
        assert method.summary, "the function has no docstring: its first line is what people read"
        if not isinstance(self.method, Acquisition):
            assert all(get_acquisition(name) == method for name in (method.name, *method.aliases))

    def test_batches_are_full_and_hold_nothing_twice_labelled_or_pending(self) -> None:
        for question in self.questions():
            chosen = self.acquire(question)
            assert len(chosen) == len(set(chosen)) == question["k"], question
            assert not {*question["labelled"], *question["pending"]} & set(chosen), question

    def test_the_same_question_has_the_same_answer_and_stays_as_it_is(self) -> None:
        for question in self.questions():
            before = {name: np.copy(value) for name, value in question.items()}
            assert self.acquire(question) == self.acquire(question)
            assert all(np.array_equal(before[name], question[name]) for name in question)

    def test_nothing_pending_changes_nothing(self) -> None:
        for question in self.questions():
            question.pop("pending")
            expected = self.acquire(question)
            nothing: tuple[Any, ...] = ([], np.empty(0, dtype=np.int64), np.zeros(len(question["scores"]), dtype=bool))
            for pending in nothing:
                assert self.acquire(question, pending=pending) == expected

    def test_what_is_pending_counts_as_labelled_where_that_is_looked_at(self) -> None:
        if "labelled" not in self.declared.uses:
            pytest.skip("the method does not look at what is labelled")
        if self.declared.objection(None, None, {"scores", "features"}) is not None:
            pytest.skip("the method looks at predictions, and those have seen what is labelled")
        for seed in range(5):
            question = self.one(seed=seed)
            del question["mc_preds"]
            labelled = self.acquire(question, labelled=[3, 7, 9, 20])
            assert self.acquire(question, labelled=[3, 7], pending=[9, 20]) == labelled
            assert self.acquire(question, pending=[3, 7, 9, 20]) == labelled

    def test_budgets_hold_and_are_used(self) -> None:
        for question in self.questions():
            rng = np.random.default_rng(question["seed"])
            cost, budget = rng.choice([0.5, 1.0, 7.0], size=len(question["scores"])), rng.uniform(0, 20)
            chosen = self.acquire(question, cost=cost, budget=budget)
            assert cost[chosen].sum() <= budget
            assert len(set(chosen)) == len(chosen)
            if len(chosen) < question["k"]:
                taken = [*chosen, *question["labelled"], *question["pending"]]
                left = np.setdiff1d(np.arange(len(cost)), taken)
                assert (cost[left] > budget - cost[chosen].sum()).all(), "one that was affordable is left out"

    def test_renumbering_the_pool_renumbers_the_choice(self) -> None:
        if self.declared.stochastic:
            pytest.skip("the method draws")
        for seed in range(5):
            question = self.one(seed=seed)
            order = np.random.default_rng(seed).permutation(len(question["scores"]))
            place = np.argsort(order)  # where each candidate has gone
            renumbered = {
                "k": 4, "scores": question["scores"][order], "features": question["features"][order],
                "mc_preds": question["mc_preds"][:, order],
            }  # fmt: skip
            first = self.acquire(question, labelled=[3, 7], pending=[9])
            again = self.acquire(renumbered, labelled=place[[3, 7]], pending=place[[9]])
            assert place[first].tolist() == again

    def test_a_pool_of_one_candidate(self) -> None:
        question = {**self.one(n=1), "k": 1}
        assert self.acquire(question) == [0]

    def test_the_seed_matters_where_the_method_draws(self) -> None:
        question = self.one(n=200)
        batches = {tuple(self.acquire(question, seed=seed)) for seed in range(5)}
        if not self.declared.stochastic:
            assert len(batches) == 1, "it draws, and does not declare it"
