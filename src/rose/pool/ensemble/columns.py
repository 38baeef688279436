"""Find what the columns of classifiers' predictions mean, and which column a label is.

Members that saw other classes (bootstraps, few labels) predict other columns. They meet on the union of their classes,
with probability 0 for what a member has not seen. A number of columns alone is no meaning: where nothing says it and
members differ, that is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rose.arrays import two_columns
from rose.errors import PredictionError
from rose.pool.ensemble.passes import Passed, mapped, means

Classes = Sequence[Any] | None  # the label of each column; None: nobody says

_SAY = "say what the columns are: prediction_task(classes=[...]), or a `classes_` attribute of each model"


def aligned(
    passes: Mapping[str, Sequence[Passed]], classes: Mapping[str, Classes]
) -> tuple[dict[str, list[Passed]], list[Any] | None]:
    """Bring the members' probabilities, `[n, C]` or the second class's `[n]`, to the same columns.

    Args:
        passes: by model, its stochastic passes.
        classes: by model, the label of each of its columns, where it is known; a tuple where it is declared.

    Returns:
        the passes by model, each `[n, C]`, and the label of each column; None where nobody says it and all members
        have as many columns.

    Raises:
        PredictionError: if members differ in their columns and nothing says what these mean.

    >>> a, b = np.array([[0.9, 0.1]]), np.array([[0.3, 0.7]])
    >>> found, names = aligned({"a": [a], "b": [b]}, {"a": [0, 1], "b": [0, 2]})
    >>> names, found["b"][0]
    ([0, 1, 2], array([[0.3, 0. , 0.7]]))
    """
    whole = _with_both(passes, classes)
    widths = {model: {array.shape[1] for array in means(of_model)} for model, of_model in whole.items()}
    names = {model: _names(classes.get(model), widths[model]) for model in whole}
    known = [found for found in names.values() if found is not None]
    nameless = [model for model, found in names.items() if found is None]
    if nameless == [*names] and len(set().union(*widths.values())) == 1:
        return whole, None
    if not nameless and all(found == known[0] for found in known):
        return whole, known[0]
    if nameless:
        forms = ", ".join(f"{model!r} has {_columns(widths[model], names[model])}" for model in whole)
        raise PredictionError(f"the members' predictions differ in form: {forms}; {_SAY}")
    union = _union(known)
    return {model: [_spread(one, names[model], union) for one in of_model] for model, of_model in whole.items()}, union


def column_of_each(labels: np.ndarray, classes: Classes, count: int, what: str) -> tuple[np.ndarray, list[Any]]:
    """Find the column that each label stands for.

    Args:
        labels: `[n]` of a hold-out.
        classes: the labels of the `count` columns that there are; None: 0, 1, 2, ...
        count: how many columns there are.
        what: what messages call the labels.

    Returns:
        int64 `[n]`, and the labels of all columns: first those that there are, then, at `count` and beyond, those
        that no member has seen.

    Raises:
        PredictionError: if labels and classes are of different kinds, so that none could ever match, or there are no
            names and a label is none of 0 to `count` - 1.

    >>> column_of_each(np.array(["b", "z"]), ["a", "b"], 2, "labels")
    (array([1, 2]), ['a', 'b', 'z'])
    """
    names = list(range(count)) if classes is None else list(classes)
    columns = {name: place for place, name in enumerate(names)}
    unseen = sorted({label for label in labels.tolist() if label not in columns}, key=repr)
    if unseen and classes is None:
        raise PredictionError(
            f"{what} has {unseen[0]!r}, but {count} columns of probabilities whose meaning nothing says stand for the "
            f"labels 0 to {count - 1}; {_SAY}"
        )
    if unseen and kind_of(unseen[0]) != kind_of(names[0]):
        raise PredictionError(
            f"{what} has {unseen[0]!r}, a {kind_of(unseen[0])}, but the models' classes are {kind_of(names[0])}s "
            f"such as {names[0]!r}; label both alike"
        )
    columns |= {name: count + place for place, name in enumerate(unseen)}
    return np.array([columns[label] for label in labels.tolist()], dtype=np.int64), [*names, *unseen]


def task_of_labels(y: Any) -> str | None:
    """Tell classification from regression by labels; return None where they can be of either.

    Texts and truth values are classes; vectors and numbers that are not whole are values; whole numbers are either.

    >>> task_of_labels(np.array(["a", "b"])), task_of_labels(np.array([0.5])), task_of_labels(np.array([1, 2]))
    ('classification', 'regression', None)
    """
    array = y if isinstance(y, np.ndarray) else np.array([*y, None], dtype=object)[:-1]
    if array.dtype.kind == "O":
        return "classification" if any(kind_of(label) != "number" for label in array.tolist()) else None
    if array.dtype.kind in "USb":
        return "classification"
    if array.ndim > 1 and array.shape[1:] != (1,):
        return "regression"
    return "regression" if array.dtype.kind == "f" and (array % 1.0 != 0.0).any() else None


def only_class(y: Any, task: str | None) -> Any:
    """Return the class that all labels are of; None where there are several, no labels, or labels that are no classes.

    `task` is what the models do; None: not known, then texts and truth values are classes.

    >>> only_class(np.array(["a", "a"]), None), only_class(np.array([1, 1]), "classification"), only_class([1, 1], None)
    ('a', 1, None)
    """
    labels = y.tolist() if isinstance(y, np.ndarray) else list(y)
    kinds = (str, bytes, bool) if task is None else (str, bytes, bool, int, float)
    if task == "regression" or not labels or not isinstance(labels[0], kinds):
        return None
    return labels[0] if all(kind_of(label) == kind_of(labels[0]) and label == labels[0] for label in labels) else None


def kind_of(label: Any) -> str:
    """Return what labels must have in common to be equal: "text", "byte string" or "number".

    >>> kind_of("1"), kind_of(b"1"), kind_of(1.0)
    ('text', 'byte string', 'number')
    """
    return "text" if isinstance(label, str) else "byte string" if isinstance(label, bytes) else "number"


def _with_both(passes: Mapping[str, Sequence[Passed]], classes: Mapping[str, Classes]) -> dict[str, list[Passed]]:
    """Return all passes as `[n, C]`.

    Where every member gives a single column it is P(second of two classes), but for those that know one class only.
    """
    alone = {model for model in passes if (names := classes.get(model)) is not None and len(names) == 1}
    others = [array for model, of_model in passes.items() if model not in alone for array in means(of_model)]
    wide = any(array.ndim == 2 and array.shape[1] > 1 for array in others)
    both = set() if wide else passes.keys() - alone
    return {model: [mapped(one, _two if model in both else _column) for one in passes[model]] for model in passes}


def _two(array: np.ndarray) -> np.ndarray:
    return two_columns(array.reshape(-1), "the prediction")


def _column(array: np.ndarray) -> np.ndarray:
    return array.reshape(len(array), -1)


def _names(classes: Classes, widths: set[int]) -> list[Any] | None:
    """Return the labels of a member's columns; None where its classes are not those of the columns that it gives.

    Raises:
        PredictionError: if its columns were declared, and are not so many.
    """
    if classes is None or widths == {len(classes)}:
        return None if classes is None else list(classes)
    if isinstance(classes, tuple):
        count = " and ".join(map(str, sorted(widths)))
        raise PredictionError(
            f"{len(classes)} columns are declared, classes={_short(classes)}, but {count} are predicted"
        )
    return None


def _columns(widths: set[int], names: list[Any] | None) -> str:
    shape = " and ".join(f"[n, {width}]" for width in sorted(widths))
    return f"{shape} without names" if names is None else f"{shape} of {_short(names)}"


def _short(names: Sequence[Any], most: int = 12) -> str:
    return f"({', '.join(map(repr, names[:most]))}{', ...' if len(names) > most else ''})"


def _union(known: Sequence[Sequence[Any]]) -> list[Any]:
    every = list(dict.fromkeys(name for names in known for name in names))
    try:
        return sorted(every)
    except TypeError:  # of several kinds: in the order in which they were met
        return every


def _spread(one: Passed, names: Sequence[Any] | None, union: Sequence[Any]) -> Passed:
    assert names is not None
    places = [union.index(name) for name in names]

    def wide(array: np.ndarray) -> np.ndarray:
        out = np.zeros((len(array), len(union)), array.dtype)
        out[:, places] = array
        return out

    return one if list(names) == list(union) else mapped(one, wide)
