"""Have those who look at runs say what results hold: what says and draws it is loaded when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rose.watch.facts.worth import Worth
    from rose.watch.report import Report

# By workflow: its history, and the name of its metric and its settings.
Told = Mapping[str, Mapping[str, Any]]


def report_of(run_dir: Path | None, told: Told) -> Report:
    """Return the report of a run; without a directory, of what its results hold."""
    from rose.watch.report import report
    from rose.watch.report import report_of as report_of_results

    return report_of_results(told) if run_dir is None else report(run_dir)


def worth_of(told: Told) -> list[Worth]:
    """Return what was saved against each control."""
    from rose.watch.facts import Facts
    from rose.watch.facts.remembered import Remembered

    facts = Facts(Remembered(told))
    facts.update()
    return facts.worth()
