"""What the whole suite shares: which tests run in one process, how far Hypothesis searches, and engines to try."""

import os
from collections.abc import Callable, Generator

import pytest
import scipy.linalg  # noqa: F401  # so that its threads are limited, too
from hypothesis import settings  # early: Python 3.11.7 cannot compile it late in a session (gh-106905)
from threadpoolctl import threadpool_limits

from rose.engine import Engine, LocalEngine, ThreadEngine
from tests.warm import either_engine, engine, warmth  # noqa: F401  # fixtures

MakeEngine = Callable[[], Engine]

# HYPOTHESIS_PROFILE=deep searches at length, and elsewhere each time; the short form says the same of the same code.
settings.register_profile("short", max_examples=25, deadline=None, derandomize=True)
settings.register_profile("deep", max_examples=500, deadline=None, print_blob=True)
os.environ.setdefault("ROSE_REPORT", "0")  # hundreds of runs have directories; the reports' own tests write theirs
# There are more such processes than cores: more threads in each spin, and to fit a small matrix then takes minutes.
threadpool_limits(1)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))


# `make tests` spreads tests over processes. Those that use compiled kernels stay in one, because numba's cache must not
# be written from two sides at once; the torture tests do for their parent of drivers, others for their Dask
# cluster or their Slurm.
TOGETHER = {
    "tests/scoring/": "kernels",
    "tests/acquisition/": "acquisition",
    "test_acquisition_that_looks_at_more_than_scores": "acquisition",
    "test_surrogate": "kernels",
    "::test_members_that": "kernels",
    "test_models.py::test_one_gaussian_process": "kernels",
    "tests/torture/": "torture",
    "tests/slurm/": "slurm",
    "tests/watch/test_browser.py": "browser",
    "tests/docs/": "docs",
    "tests/test_house.py": "house",  # all of it looks at the same sources, parsed once
    "tests/engine/on_dask/test_cluster.py": "cluster",
    "tests/engine/on_dask/test_faults.py": "cut off",
    "tests/integrations/test_mlflow.py": "mlflow",
    "tests/integrations/test_clearml.py": "clearml",
}


# Those that take longest, in which a machine waits as much as it computes, begin first.
FIRST = ("slurm", "kernels", "acquisition", "torture", "cluster")


# What takes half a minute each, and is tried on a smaller scale elsewhere: `make long` runs these.
LONG = (
    "on_dask/test_resume.py::test_what_is_between_breaks_and_the_run_resumes[network]",
    "on_dask/test_resume.py::test_a_worker_is_killed_and_the_run_completes",
    "engine/test_same_selections.py::test_the_digits_on_every_engine",
    "slurm/test_slurm.py::test_executorlib_submits_jobs[cluster workers]",
    "slurm/test_slurm.py::test_executorlib_in_an_allocation[workers]",
    "identity/test_values.py::test_digests_are_the_same_in_another_process[3.12]",
    "pool/test_screening.py::test_memory_does_not_grow_with_the_pool",
    "examples/test_examples.py::test_digits_commands[both workflows]",
    "examples/test_examples.py::test_surrogate[2]",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, by name, what is left to `make long`; and say of one test that it may fail."""
    doubtful = pytest.mark.xfail(strict=False, reason="failed once in a dozen loaded runs; the cause is not found")
    for item in items:
        if "on_dask/test_contract.py" in item.nodeid and "test_says_once_that_a_task_begins" in item.nodeid:
            item.add_marker(doubtful)
    for item in () if os.environ.get("ROSE_LONG") else items:
        if item.nodeid.endswith(LONG):
            item.add_marker(pytest.mark.skip(reason="takes half a minute: make long"))


def together(nodeid: str) -> str:
    """The name of what runs in one process; tests of a class do, since they share a cluster or a pool."""
    for part, group in TOGETHER.items():
        if part in nodeid:
            return group
    places = nodeid.split("[")[0].split("::")
    return "::".join(places[:2]) if len(places) > 2 else nodeid


@pytest.hookimpl(optionalhook=True)  # there only where xdist is
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give the longest groups first, and the next to whoever is free."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid if config.getoption("torture", 0) else together(nodeid)

        def _assign_work_unit(self, node: object) -> None:
            first = next((group for group in FIRST if group in self.workqueue), None)
            if first is not None:
                self.workqueue.move_to_end(first, last=False)
            super()._assign_work_unit(node)

    return Together(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where everything is to be installed, as in CI, a test that is skipped for want of a package has failed."""
    report = yield
    if report.skipped and os.environ.get("ROSE_SKIP_NOTHING_MISSING"):
        why = str(report.longrepr)
        if any(missing in why for missing in ("could not import", "no Slurm", "no browser")):
            report.outcome = "failed"
    return report


@pytest.fixture(params=["local", "threads"])
def make_engine(request: pytest.FixtureRequest) -> MakeEngine:
    """Two workers, as processes and as threads."""
    kind = LocalEngine if request.param == "local" else ThreadEngine
    return lambda: kind(workers=2)
