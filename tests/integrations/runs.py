"""Runs that trackers follow, of learners that cost nothing."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import numpy as np

from rose import LearnerConfig, ParallelUQLearner, SeqUQLearner, TaskConfig
from rose.engine import ThreadEngine
from rose.metrics import MODEL_ACCURACY


def config(grid: str) -> LearnerConfig:
    """Arguments of a simulation, as ROSE's programs name them."""
    return LearnerConfig(simulation=TaskConfig(kwargs={"--n": 4, "lr": np.float32(0.5), "grid": grid}))


def learner(run_dir: Path | None = None, parallel: bool = False, **options: Any) -> Any:
    """Functions that do nothing; what is chosen comes with NumPy's numbers. The workflow "bad" fails."""
    made = (ParallelUQLearner if parallel else SeqUQLearner)(ThreadEngine(2), run_dir=run_dir, **options)

    @made.simulation_task(as_executable=False)
    def simulation(*args: Any, **kwargs: Any) -> int:
        if kwargs["grid"] == "bad":
            raise ValueError("no simulation")
        return 1

    @made.training_task(as_executable=False, log_params={"depth": 3})
    def training(*args: Any, **kwargs: Any) -> int:
        return 1

    @made.prediction_task(as_executable=False)
    def prediction(*args: Any, **kwargs: Any) -> int:
        return int(kwargs["--iteration"])

    @made.active_learn_task(as_executable=False)
    def active_learn(*args: Any, **kwargs: Any) -> dict[str, Any]:
        return {"count": np.int64(7), "share": np.float32(0.25), "text": "none", "of": {"loss": 2}}

    @made.as_stop_criterion(MODEL_ACCURACY, threshold=0.95, as_executable=False, log_params={"split": "test"})
    def accuracy(*args: Any, **kwargs: Any) -> float:
        return 0.1

    return made


def teach(made: Any, tracker: Any, max_iter: int = 2, workflows: tuple[str, ...] = ()) -> None:
    """Run it to its end, followed by a tracker; the engine is closed."""
    made.add_tracker(tracker)
    if workflows:
        options = {"learner_names": list(workflows), "learner_configs": {name: config(name) for name in workflows}}
    else:
        options = {"learning_config": config("fine")}

    async def run() -> None:
        try:
            await made.teach(model_names=["m"], max_iter=max_iter, **options)
        finally:
            await made.shutdown()

    asyncio.run(run())


def read_page(*headings: str) -> dict[str, Any]:
    """Run the first block of docs/tracking.md, then those under these headings; what they define."""
    page = Path(__file__).parents[2] / "docs" / "tracking.md"
    names: dict[str, Any] = {"__name__": "page"}
    first, *sections = page.read_text().split("\n## ")
    for section in [first, *(one for one in sections if one.partition("\n")[0] in headings)]:
        (block,) = re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
        exec(compile(block, f"{page.name}: {section.partition(chr(10))[0]}", "exec"), names)
    return names
