"""Have those who look at runs say what results hold: what says and draws it is loaded when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rose.watch.facts.worth import Worth
    from rose.watch.report import Report

M = TypeVar("M", bound=Mapping[str, Any])


def paired(results: M) -> M:
    """Give each workflow's result the controls that it is compared with, and return the results."""
    for name, control in results.items():
        for of in control.settings.get("control_of", ()):
            if of in results.keys():  # noqa: SIM118 (iterating gives states)
                results[of].controls = {**results[of].controls, name: control}
    return results


def _told(results: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return histories with what else a record tells of them."""
    names = {name: one.state.metric_name if one.state else None for name, one in results.items()}
    return {
        name: {**dict(one.items()), "metric_name": names[name], "settings": dict(one.settings)}
        for name, one in results.items()
    }


def report_of(run_dir: Path | None, results: Mapping[str, Any]) -> Report:
    """Return the report of a run; without a directory, of what its results hold."""
    from rose.watch.report import report
    from rose.watch.report import report_of as report_of_results

    return report_of_results(_told(results)) if run_dir is None else report(run_dir)


def worth_of(results: Mapping[str, Any]) -> list[Worth]:
    """Return what was saved against each control."""
    from rose.watch.facts import Facts
    from rose.watch.facts.remembered import Remembered

    facts = Facts(Remembered(_told(results)))
    facts.update()
    return facts.worth()
