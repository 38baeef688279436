"""Say how a run came to be: who drove it, with what versions and settings, and what was changed or ordered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rose.store import Driver
from rose.store.recorded import OF_DRIVER, workflow_settings


@dataclass(frozen=True)
class Provenance:
    """Hold how a run came to be.

    Attributes:
        drivers: who drove it, each with what it noted: command, versions, ...; nothing where an older ROSE did.
        identity: what it was begun with, by name: texts, or digests of functions and data.
        workflows: the settings of each workflow, as the last driver had them.
        happened: when and what was changed, accepted, corrected or ordered, in words.
    """

    drivers: Sequence[tuple[Driver, Mapping[str, Any]]]
    identity: Mapping[str, str]
    workflows: Mapping[str, Mapping[str, Any]]
    happened: Sequence[tuple[float, str]]

    @property
    def last(self) -> Mapping[str, Any]:
        """Return what the last driver noted."""
        return next((told for _, told in reversed(self.drivers) if told), {})

    def setting(self, workflow: str, name: str) -> str | None:
        """Return a setting of a workflow in words; None: it is not known."""
        value = self.workflows.get(workflow, {}).get(name, self.identity.get(name))
        return None if value is None else str(value)

    @property
    def controls(self) -> list[str]:
        """Return the workflows that choose without an ensemble: what the others are compared with."""
        return [
            name
            for name, told in self.workflows.items()
            if "control_of" in told or self.setting(name, "acquisition") == "random"
        ]


def provenance(
    notes: Mapping[str, Any], drivers: Sequence[Driver], happened: Sequence[tuple[float, str]]
) -> Provenance:
    """Return it from the run's notes."""
    told = [(driver, notes.get(f"{OF_DRIVER}{driver.epoch}") or {}) for driver in drivers]
    identity = {str(name): str(value) for name, value in (notes.get("identity") or {}).items()}
    return Provenance(told, identity, workflow_settings(one for _, one in told), happened)
