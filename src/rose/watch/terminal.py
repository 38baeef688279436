"""Print for a terminal what a run recorded (names, errors, prints): shown as it is, and obeyed in nothing."""

from __future__ import annotations

import io
import math
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rose.store import describe_seconds

GAP = 2  # between two columns
FOLDED = 12  # columns that are wider than this may be folded

# Control characters (escape sequences begin with one), and those that turn the direction of writing.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(text: str) -> str:
    r"""Return a text that a terminal only shows: control characters other than line ends and tabs are written out.

    A carriage return that begins a line anew (progress bars do so) leaves what is written last.

    >>> clean("10%\r20%\r\n\x1b[31mred")
    '20%\n\\x1b[31mred'
    """
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    return _CONTROLS.sub(lambda match: ascii(match[0])[1:-1], "\n".join(lines))


def encodable(text: str, encoding: str) -> str:
    r"""Return a text that can be written in an encoding: what it has no letters for is written out.

    >>> print(encodable("größer", "ascii"))
    gr\xf6\xdfer
    """
    return text.encode(encoding, "backslashreplace").decode(encoding)


def one_line(text: str, width: int = 100) -> str:
    """Return a text in one line of at most that many characters.

    >>> one_line("a\\nb" + "c" * 20, 10)
    'a bcccc...'
    """
    line = " ".join(clean(text).split())
    return line if len(line) <= width else line[: width - 3] + "..."


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], output: TextIO | None = None) -> str:
    """Return aligned columns; on a terminal long cells are folded and headings stand out, in a pipe all is plain.

    Args:
        headings: one a column.
        rows: cells, which may hold anything.
        output: for which file; None: stdout.
    """
    output = output or sys.stdout
    is_terminal = output.isatty()
    cells = [[one_line(cell, 200) for cell in row] for row in rows]
    made = Table(box=None, padding=(0, GAP, 0, 0), header_style="bold" if is_terminal else "")
    least = 0
    for column in zip(headings, *cells, strict=True):
        width = max(map(cell_len, column))
        made.add_column(Text(column[0]), min_width=min(width, FOLDED), overflow="fold")
        least += min(width, FOLDED) + GAP
    for row in cells:
        made.add_row(*map(Text, row))
    text = io.StringIO()
    width = max(Console(file=output).width, least) if is_terminal else 10_000
    Console(file=text, force_terminal=is_terminal, width=width, highlight=False).print(made)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def size(count: float) -> str:
    """Return a number of bytes as people read it.

    >>> size(1536), size(3 * 2**30)
    ('1.5 KiB', '3.0 GiB')
    """
    if count < 1024:
        return f"{count:.0f} B"
    power = min(int(math.log(count, 1024)), 4)
    return f"{count / 1024**power:.1f} {('KiB', 'MiB', 'GiB', 'TiB')[power - 1]}"


def duration(seconds: float) -> str:
    """Return a time as people read it.

    >>> duration(0.25), duration(75)
    ('0.25 s', '75 s')
    """
    return describe_seconds(seconds) if seconds >= 10 else f"{max(seconds, 0):.3g} s"


def number(value: float | int | None) -> str:
    """Return a figure for people; nothing where there is none."""
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
