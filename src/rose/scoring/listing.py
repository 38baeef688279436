"""The list of metrics as people read it: `rose metrics`, and the documentation."""

from __future__ import annotations

from collections.abc import Iterator

from rose.scoring.registry import Metric, load_entry_points, metrics


def table(task: str | None = None) -> Iterator[dict[str, str]]:
    """One row of text per metric, for `rose metrics` and the documentation.

    >>> next(iter(table("classification")))["name"]
    'predictive_entropy'
    """
    load_entry_points()
    for m in metrics(task):
        yield {
            "name": m.name,
            "aliases": ", ".join(m.aliases),
            "task": m.task,
            "more uncertain": m.direction,
            "range": f"[{m.range[0]:g}, {m.range[1]:g}]",
            "needs": ", ".join(sorted(m.needs)),
            "takes": ", ".join(sorted(m.takes)),
            "min S": _smallest_in_words(m),
            "summary": m.summary,
            "formula": m.formula,
            "reference": m.reference,
        }


def _smallest_in_words(metric: Metric) -> str:
    if metric.smallest(True) == metric.min_samples:
        return str(metric.min_samples)
    values = f"{metric.min_samples}, or {metric.smallest(True)} with variances"
    return values if metric.task == "regression" else f"{metric.smallest(False, 'classification')}; of values {values}"


def describe(task: str | None = None) -> str:
    """Return the list of metrics as Markdown.

    >>> print(describe("classification").splitlines()[0])
    | metric | aliases | task | more uncertain | range | needs | takes | min S | formula | reference |
    """
    keys = ("name", "aliases", "task", "more uncertain", "range", "needs", "takes", "min S", "formula", "reference")
    lines = ["| " + " | ".join("metric" if k == "name" else k for k in keys) + " |", "|" + "---|" * len(keys)]
    lines += ["| " + " | ".join(row[k].replace("|", "\\|") for k in keys) + " |" for row in table(task)]
    return "\n".join(lines)
