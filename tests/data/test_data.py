"""Each row of the tables of `docs/data.md`, and that the page says what they say."""

import importlib
import warnings
from pathlib import Path

import pytest

from rose import errors

from .document import lines
from .rows import SECTIONS, holds, value_of

ROWS = [row for section in SECTIONS for row in section.rows]
PARTS = {"sklearn": ("linear_model", "tree", "neighbors", "gaussian_process")}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.code)
def test_row(row):
    modules = {row.needs: pytest.importorskip(row.needs)}
    for part in PARTS.get(row.needs, ()):
        importlib.import_module(f"{row.needs}.{part}")
    if row.refused:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            with pytest.raises(getattr(errors, row.refused)) as caught:
                value_of(row, modules)
        assert str(caught.value).startswith(row.holds), caught.value
    else:
        it = value_of(row, modules)
        assert holds(row, it, modules), it


def test_the_page_is_made_from_the_rows():
    page = Path(__file__).parents[2] / "docs" / "data.md"
    assert page.read_text() == "\n".join(lines()) + "\n", "run `make docs`"
