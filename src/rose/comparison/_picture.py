"""Draw learning curves with their intervals."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from rose.errors import MissingPackageError

# Okabe and Ito (2008): colours that colour-blind people can tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKS = "os^vDPX"


def draw(path: str | os.PathLike[str], labels: np.ndarray, curves: Mapping[str, np.ndarray], metric: str) -> None:
    """Draw curves over labels into a file.

    Args:
        path: a .png, .svg or .pdf file.
        labels: int64 `[L]`.
        curves: by name, mean and bounds, float64 `[L, 3]`; bounds that are NaN are not drawn.
        metric: what is drawn.

    Raises:
        MissingPackageError: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackageError("picture() needs matplotlib: pip install 'rose-uq[plot]'") from error
    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    axes = figure.subplots()
    for place, (name, curve) in enumerate(curves.items()):
        colour, mark = _COLOURS[place % len(_COLOURS)], _MARKS[place % len(_MARKS)]
        axes.plot(labels, curve[:, 0], color=colour, marker=mark, markersize=4, label=name)
        axes.fill_between(labels, curve[:, 1], curve[:, 2], color=colour, alpha=0.15, linewidth=0)
    axes.set_xlabel("labels")
    axes.set_ylabel(metric)
    axes.set_title("mean and 95 % interval over seeds", fontsize="medium")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)
