"""Test the contract of `rose.engine.Engine`."""

from __future__ import annotations

from rose.testing.engines.admission import AdmissionContract
from rose.testing.engines.commands import CommandsContract
from rose.testing.engines.main_module import MainModuleContract
from rose.testing.engines.results import ResultsContract
from rose.testing.engines.stopping import StoppingContract
from rose.testing.engines.suite import assert_still, begun, is_cancelled, task

__all__ = ["EngineContract", "assert_still", "begun", "is_cancelled", "task"]


class EngineContract(ResultsContract, MainModuleContract, AdmissionContract, StoppingContract, CommandsContract):
    """Test what every engine keeps. A subclass named `Test...` gives `make_engine`; see `rose.testing`."""
