"""The custom metric of ROSE's page on uncertainty, and the script of its example that scores by it."""

import json
import runpy
import subprocess
import sys

import numpy as np
import pytest

from rose.scoring import METRICS
from tests.plugged import fresh

PROGRAM = """
import json
import numpy as np
from rose.uq import UQScorer, register_uq, UQ_REGISTRY

@register_uq("custom_uq")
def confidence_score(self, mc_preds):
    mc_preds, _ = self._validate_inputs(mc_preds)
    mean_probs = np.mean(mc_preds, axis=0)      # [n_instances, n_classes]
    max_prob = np.max(mean_probs, axis=1)
    return 1.0 - max_prob

scorer = UQScorer(task_type="classification")
print("Available metrics:", list(UQ_REGISTRY.keys()))
UQ_METRIC_NAME = 'custom_uq'

top, uq_metric = scorer.select_top_uncertain(np.load("predictions.npy"), k=1, metric=UQ_METRIC_NAME)
with open("selection.json", "w") as f:
    json.dump(top.tolist(), f)
print(np.mean(uq_metric))
"""


def test_its_blocks_run_as_a_program(tmp_path):
    (tmp_path / "check_uq.py").write_text(PROGRAM)
    predictions = np.array([[[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]], [[0.7, 0.3], [0.6, 0.4], [0.2, 0.8]]])
    np.save(tmp_path / "predictions.npy", predictions)
    done = subprocess.run(
        [sys.executable, "-W", "error", "check_uq.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "selection.json").read_text()) == [1]
    available, mean = done.stdout.splitlines()
    assert "custom_uq" in available
    assert np.isclose(float(mean), 0.45)


def test_more_asked_for_than_there_are_and_one_prediction(tmp_path, monkeypatch):
    """The end of a pool, and the example's Bayesian network: NUM_PREDICTION = 1."""
    code = PROGRAM.replace("k=1", "k=10")
    (tmp_path / "check_uq.py").write_text(code)
    np.save(tmp_path / "predictions.npy", np.array([[[0.9, 0.1], [0.5, 0.5]]]))
    monkeypatch.chdir(tmp_path)
    with fresh(METRICS), pytest.warns(UserWarning, match="k=10 is more than the 2 candidates"):
        runpy.run_path("check_uq.py")
    assert sorted(json.loads((tmp_path / "selection.json").read_text())) == [0, 1]
