"""ROSE's import paths: long names and short ones are the same modules; ROSE itself beside us is told of."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"


def python(code: str, *options: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run some code in a process of its own, which finds packages in one more place."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(one) for one in (SOURCE, path) if one)}
    return subprocess.run(
        [sys.executable, *options, "-c", code], env=environment, capture_output=True, text=True, check=False
    )


# Each in a process where nothing was imported before: which name comes first must not matter.
@pytest.mark.parametrize(
    "code",
    [
        """
import rose.al.active_learner as short
import rose.active_learning.active_learner as long
import rose.uq.uq_learner, rose.uncertainty_quantification.uq_scorer
import rose, sys
assert short is long is rose.active_learner is rose.al.active_learner
assert rose.al is rose.active_learning is sys.modules["rose.al"]
assert rose.uq is rose.uncertainty_quantification
assert rose.uq.uq_learner is rose.uq_learner is rose.uncertainty_quantification.uq_learner
assert rose.uq.uq_scorer is rose.uq_scorer
from rose.al.streaming_learner import StreamingActiveLearner
from rose.active_learning import StreamingActiveLearner as same
assert StreamingActiveLearner is same is rose.StreamingActiveLearner
assert rose.al.__name__ == rose.al.__spec__.name == "rose.active_learning"
""",
        """
import sys
import rose
assert not [name for name in sys.modules if name.startswith("rose.") or name in ("numpy", "importlib.metadata")]
from rose import PipelineManifest, TrackerBase, al, active_learner, uq, uq_active_learner, uq_learner, uq_scorer
from rose import LearnerConfig, ParallelActiveLearner, SequentialActiveLearner, TaskConfig
assert al.ParallelActiveLearner is active_learner.ParallelActiveLearner is ParallelActiveLearner
assert uq_active_learner.SeqUQLearner is uq.SeqUQLearner is rose.uncertainty_quantification.SeqUQLearner
from rose.learner import TrackerBase as same
assert TrackerBase is same
try:
    import rose.al.actve_learner
except ModuleNotFoundError as error:
    assert error.name == "rose.al.actve_learner"
""",
    ],
    ids=["modules", "package"],
)
def test_long_and_short_names_are_the_same_modules(code: str) -> None:
    ran = python(code, "-W", "error")
    assert ran.returncode == 0, ran.stderr


def test_rose_itself_in_the_same_environment_is_told_of(tmp_path: Path) -> None:
    place = tmp_path / "site-packages"
    (place / "rose_surrogate_explorer-0.3.0.dist-info").mkdir(parents=True)
    ran = python(PROGRAM, path=place)
    assert ran.returncode == 0, ran.stderr
    told = "RuntimeWarning: ROSE (rose-surrogate-explorer) is installed in"
    assert ran.stderr.count(told) == 1  # not by workers, too
    assert "pip uninstall rose-surrogate-explorer rose-uq" in ran.stderr


PROGRAM = """
import asyncio, sys
import rose, rose.al

learner = rose.Learner(1)

@learner.utility_task(as_executable=False)
def look():
    import sys
    return "rose" in sys.modules

async def main():
    assert await look()
    await learner.shutdown()

asyncio.run(main())
"""
