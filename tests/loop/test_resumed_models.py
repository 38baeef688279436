"""The models of a run that is resumed are those that were trained, also where commands have trained them."""

import numpy as np
import pytest

from rose import ParallelUQLearner, Pool
from rose.metrics import PREDICTIVE_VARIANCE


@pytest.mark.parametrize("options", [{}, {"collect": "model.json"}, {"collect": lambda workdir: np.zeros(5000)}])
def test_models_that_commands_have_trained(tmp_path, options):
    def models():
        learner = ParallelUQLearner(1, pool=Pool(np.linspace(0, 1, 30)[:, None], initial=3), run_dir=tmp_path / "run")
        learner.simulation_task(as_executable=False)(lambda x: float(x[0]))
        learner.training_task(**options)(lambda X: "sh -c 'echo [1.5] > model.json; echo trained'")
        learner.prediction_task(as_executable=False)(
            lambda model, X, seed: X[:, 0] * np.random.default_rng(seed).random()
        )
        learner.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=2)
        return learner.run(["w"], ["a", "b"], max_iter=2)["w"].models

    first, again = models(), models()
    assert list(again) == ["a", "b"]
    for name, model in first.items():
        assert type(again[name]) is type(model)
        np.testing.assert_array_equal(again[name], model)
