"""Small programs under ROSE 0.3.0 and under ours: what behaves alike, what differs, and why that is meant.

    python benchmarks/conformance/compare.py [--engine threads] [--markdown] [--json FILE] [PROGRAM...]

Prints a table by area (`--markdown`: that of docs/guide/from-rose.md, and no more), the meant differences by reason,
and every other difference with both sides. The exit code is 0 only if all differences are meant and nothing is missing;
2 says that ROSE cannot be installed.
"""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from peers import HERE, results, rose_python

STATES = "alike", "meant", "differs", "missing"
ENDED = "ended"


@dataclass(frozen=True)
class Difference:
    """One observation that the two systems do not share; `why` names the reason where it is meant."""

    observation: str
    rose: str
    ours: str
    why: str | None = None


@dataclass(frozen=True)
class Compared:
    """What came of one program. `stale` are meant differences that there are no more."""

    program: str
    state: str
    differences: tuple[Difference, ...] = ()
    lacking: str = ""
    stale: tuple[str, ...] = field(default=())

    @property
    def area(self) -> str:
        """The module that it is in."""
        return self.program.partition(".")[0]


def main(argv: Sequence[str] | None = None) -> int:
    """Run, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--engine", choices=["workflow", "threads", "local"], default="workflow", help="ours runs on it"
    )
    parser.add_argument("--markdown", action="store_true", help="print docs/guide/from-rose.md's table, and no more")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save all that was observed")
    parser.add_argument("programs", nargs="*", help="AREA or AREA.NAME; all by default")
    options = parser.parse_args(argv)
    try:
        python = rose_python()
    except (OSError, subprocess.SubprocessError) as error:
        print(f"ROSE 0.3.0 cannot be installed, so there is nothing to compare with: {error}")
        return 2
    rose = results(python, "rose", options.engine, options.programs)
    ours = results(sys.executable, "ours", options.engine, options.programs)
    meant, reasons = meant_differences(), tomllib.loads((HERE / "reasons.toml").read_text())
    compared = [compare(name, rose[name], ours[name], meant.get(name, {})) for name in sorted(rose)]
    if options.markdown:
        print(readme(compared))
    else:
        print(table(compared))
        print("\n".join([*meant_by_reason(compared, reasons), *unmeant(compared), *stale(compared)]))
    if not options.markdown and not options.programs and (unknown := sorted(set(meant) - set(rose))):
        print("\nWritten down as meant, of programs that there are not: " + ", ".join(unknown))
    if options.json is not None:
        saved = {"compared": [asdict(one) for one in compared], "rose": rose, "ours": ours}
        options.json.write_text(json.dumps(saved, indent=1))
    return int(any(one.state in ("differs", "missing") for one in compared))


# --- comparing ------------------------------------------------------------------------------------------------------


def meant_differences() -> dict[str, dict[str, dict[str, str]]]:
    """Return by program and observation what ours gives (as JSON) and why."""
    files = (HERE / "meant").glob("*.toml")
    return {f"{path.stem}.{name}": entry for path in files for name, entry in tomllib.loads(path.read_text()).items()}


def compare(
    name: str, rose: Mapping[str, Any], ours: Mapping[str, Any], meant: Mapping[str, Mapping[str, str]]
) -> Compared:
    """Compare one program's observations; those that are meant to differ must be what is written down."""
    differences = []
    for observation in differing(rose, ours):
        theirs, here = (shown(side, observation) for side in (rose, ours))
        entry = meant.get(observation)
        excused = entry is not None and here == normal(entry["ours"])
        differences.append(Difference(observation, theirs, here, entry["why"] if entry and excused else None))
    open_ones = [difference for difference in differences if difference.why is None]
    stale = tuple(sorted(set(meant) - {difference.observation for difference in differences}))
    if ours[ENDED] == "missing" and any(one.observation == ENDED for one in open_ones):
        return Compared(name, "missing", tuple(differences), ours["message"])
    state = "differs" if open_ones else "meant" if differences else "alike"
    return Compared(name, state, tuple(differences), ours["message"], stale)


def differing(rose: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    """Give the names of the observations that differ, and "ended" if one ends otherwise."""
    here = ours["observations"]
    if not as_good(rose[ENDED], ours[ENDED], ours["kinds"]):
        yield ENDED
    for name in {**rose["observations"], **here}:
        if name not in rose["observations"] or name not in here:
            yield name
            continue
        theirs, own = rose["observations"][name], here[name]
        if not as_good(theirs, own, ours["errors"].get(name) or [] if name in rose["errors"] else []):
            yield name


def as_good(theirs: Any, own: Any, kinds: Sequence[str]) -> bool:
    """Return whether it is the same, or an `except` that catches ROSE's error catches ours, which is of these kinds."""
    return theirs == own or theirs in kinds


def shown(side: Mapping[str, Any], observation: str) -> str:
    """Return one side's value as JSON; "-" where the program did not come so far."""
    if observation == ENDED:
        return shown_value(side[ENDED])
    return shown_value(side["observations"][observation]) if observation in side["observations"] else "-"


def shown_value(value: Any) -> str:
    """Return JSON that is compared as text."""
    return json.dumps(value, sort_keys=True)


def normal(text: str) -> str:
    """Return what is written down as `shown` gives it."""
    return text if text == "-" else shown_value(json.loads(text))


# --- printing -------------------------------------------------------------------------------------------------------


def readme(compared: Sequence[Compared]) -> str:
    """Return what docs/guide/from-rose.md says: the table without empty columns, and how it is made."""
    found = {one.state for one in compared}
    states = [state for state in STATES if state in found or state in ("alike", "meant")]
    differences = sum(len(one.differences) for one in compared if one.state == "meant")
    return (
        f"{table(compared, states)}\n\n"
        f"Made by `make conformance CONFORMANCE_ARGS=--markdown`: {len(compared)} small programs, each in a process "
        "of its own under ROSE 0.3.0 (from PyPI, in a venv of its own) and under ours. *Alike*: all that a program "
        f"observes is the same. *Meant*: some of it is not ({differences} observations in all), and a line of "
        "`benchmarks/conformance/reasons.toml` says why; without `--markdown` they are listed."
    )


def table(compared: Sequence[Compared], states: Sequence[str] = STATES) -> str:
    """Return the programs by area and by what came of them."""
    lines = ["| area | programs | " + " | ".join(states) + " |", "|---|" + "---:|" * (len(states) + 1)]
    areas = list(dict.fromkeys(one.area for one in compared))
    for area in [*areas, None]:
        counted = Counter(one.state for one in compared if area in (None, one.area))
        title = "all" if area is None else f"{title_of(area)} (`{area}`)"
        lines.append(f"| {title} | {counted.total()} | " + " | ".join(str(counted[state]) for state in states) + " |")
    return "\n".join(lines)


def title_of(area: str) -> str:
    """Return the first sentence of an area's module, up to a colon."""
    text = ast.get_docstring(ast.parse((HERE / "programs" / f"{area}.py").read_text())) or area
    return text.splitlines()[0].partition(":")[0].rstrip(".")


def meant_by_reason(compared: Sequence[Compared], reasons: Mapping[str, str]) -> Iterator[str]:
    """Give each reason with the programs that show it."""
    shown_by: dict[str, list[str]] = {}
    for one in compared:
        for difference in one.differences:
            if difference.why is not None and one.state != "missing":
                shown_by.setdefault(difference.why, []).append(one.program)
    if shown_by:
        yield "\nMeant differences:"
    for why, programs in sorted(shown_by.items(), key=lambda entry: -len(set(entry[1]))):
        yield f"- {reasons[why]} ({', '.join(dict.fromkeys(programs))})"


def unmeant(compared: Sequence[Compared]) -> Iterator[str]:
    """Give what nobody meant."""
    for state, title in (("differs", "Differences that nobody meant"), ("missing", "Missing")):
        chosen = [one for one in compared if one.state == state]
        if chosen:
            yield f"\n{title}:"
        for one in chosen:
            yield f"- {one.program}" + (f": {one.lacking}" if one.lacking else "")
            if state == "differs":
                for difference in one.differences:
                    if difference.why is None:
                        yield f"    {difference.observation}: ROSE {difference.rose}; ours {difference.ours}"


def stale(compared: Sequence[Compared]) -> Iterator[str]:
    """Give the meant differences that are written down and were not seen."""
    chosen = [f"{one.program}: {', '.join(one.stale)}" for one in compared if one.stale and one.state != "missing"]
    if chosen:
        yield "\nWritten down as meant, and alike now: " + "; ".join(chosen)


if __name__ == "__main__":
    sys.exit(main())
