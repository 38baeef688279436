"""Read what somebody orders from the fields of the page's forms."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping

from rose.errors import ConfigurationError
from rose.store import Label, Order, Set, Stop, Withdraw

_WHO_LIMIT = 100  # letters


def order_of(fields: Mapping[str, str]) -> tuple[str | None, Order]:
    """Return who orders (None: did not say), and what.

    Args:
        fields: of a form: `kind`, `workflow` ("": all), `who`, and what the kind needs.

    Raises:
        ConfigurationError: naming the field that is wrong.

    Example:
        >>> order_of({"kind": "set", "name": "query_size", "value": "20", "workflow": "", "who": "ada"})
        ('ada', Set(settings={'query_size': 20}, workflow=None))
    """
    who = fields.get("who", "").strip()[:_WHO_LIMIT] or None
    workflow = fields.get("workflow") or None
    kind = fields.get("kind", "")
    match kind:
        case "stop":
            return who, Stop(workflow)
        case "set":
            return who, Set({fields.get("name", ""): _number("value", fields)}, workflow)
        case "label":
            return who, Label(_candidate(fields), _value(fields), workflow)
        case "withdraw":
            if workflow is None:
                raise ConfigurationError("workflow: name the one that asked for the candidate")
            return who, Withdraw(workflow, _candidate(fields))
    raise ConfigurationError(f"kind={kind!r} is no order: stop, set, label or withdraw")


def _candidate(fields: Mapping[str, str]) -> int:
    text = fields.get("candidate", "").strip()
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise ConfigurationError(f"candidate={text!r} must be its index in the pool: 0, 1, 2, ...")
    return int(text)


def _number(name: str, fields: Mapping[str, str]) -> int | float:
    text = fields.get(name, "").strip()
    with contextlib.suppress(ValueError):
        if text.isascii() and "_" not in text:  # which Python takes, and people do not mean
            return float(text) if set(text.lower()) & set(".einf") else int(text)
    raise ConfigurationError(f"{name}={text!r} must be a number")


def _value(fields: Mapping[str, str]) -> object:
    """Return a label: JSON where it is that, else the text."""
    text = fields.get("value", "").strip()
    if not text:
        raise ConfigurationError("value: a label is missing; a number, a text, or a list of them")
    try:
        return json.loads(text)
    except ValueError:
        return text
