"""Settings of a pool's workflow that differ by iteration."""

import numpy as np
import pytest

from rose import SeqUQLearner, StopReason, UQLearnerConfig
from rose.errors import ChangedRunError
from tests.programs import classifier, teach

TWO = ["a", "b"]


def counts(result):
    return [len(one["selection"]) for one in result.iterations]


def test_the_query_size_and_the_threshold_of_each_iteration_count(engine):
    config = UQLearnerConfig(query_size={0: 10, 2: np.int64(1), -1: 3.0})
    result = classifier(engine, kind=SeqUQLearner).run(TWO, max_iter=5, learning_config=config)
    assert counts(result) == [10, 3, 1, 3, 0]
    config = UQLearnerConfig(threshold={2: 10.0, -1: 0.0})  # entropies are below 10
    result = classifier(engine, kind=SeqUQLearner).run(TWO, max_iter=5, learning_config=config)
    assert (len(result.iterations), result.stop_reason) == (3, StopReason.CERTAIN_ENOUGH)


def test_iterations_that_are_not_named_have_the_learners(engine):
    config = UQLearnerConfig(query_size={1: 7})
    assert counts(classifier(engine, kind=SeqUQLearner).run(TWO, max_iter=4, learning_config=config)) == [4, 7, 4, 0]


def test_a_resumed_run_notices_a_change_in_the_iterations_that_it_has_played(engine, tmp_path):
    def run(query_size, max_iter):
        learner = classifier(engine, kind=SeqUQLearner)
        learner._run_dir = tmp_path / "run"
        return teach(learner, TWO, max_iter=max_iter, learning_config=UQLearnerConfig(query_size=query_size))

    run({0: 10, -1: 3}, 2)
    assert counts(run({0: 10, 2: 5, -1: 3}, 4)) == [10, 3, 5, 0]
    with pytest.raises(Exception, match="was configured otherwise in iteration 0") as caught:
        run({0: 9, 2: 5, -1: 3}, 5)
    assert isinstance(caught.value.__cause__, ChangedRunError)
