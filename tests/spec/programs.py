"""Programs as files, which the tests of this folder change."""

from __future__ import annotations

from pathlib import Path

T = "tests.spec.tasks"

ACTIVE = f"""\
learner: {{type: sequential_active_learner, max_iter: 3}}
simulation: {{type: python, function: "{T}:simulate"}}
training: {{type: python, function: "{T}:train"}}
active_learn: {{type: python, function: "{T}:choose"}}
stop_criterion:
  metric: model_accuracy
  threshold: 0.9
  evaluator: {{type: python, function: "{T}:judge"}}
parameters: {{rate: 1e-3}}
"""
UQ = ACTIVE.replace("sequential_active", "uq_active") + f'prediction: {{function: "{T}:predict"}}\n'
REINFORCED = f"""\
learner: {{type: SequentialReinforcementLearner, max_iter: 3}}
environment: {{function: "{T}:act"}}
update: {{function: "{T}:update"}}
stop_criterion: {{metric: reward, threshold: 0.9, operator: ">", evaluator: {{function: "{T}:judge"}}}}
parameters: {{rate: 1e-3}}
"""
POOL = f"""\
pool: {{candidates: "{T}:candidates", initial: 5, holdout: "{T}:heldout"}}
simulation: {{function: "{T}:label"}}
models:
  ridge: {{estimator: sklearn.linear_model.Ridge, parameters: {{alpha: 1e-6}}}}
  line: sklearn.linear_model.LinearRegression
query_size: 3
max_iter: 2
"""


def written(folder: Path, text: str, name: str = "program.yaml") -> Path:
    """The file of a program."""
    (folder / name).write_text(text)
    return folder / name
