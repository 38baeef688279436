"""Learn values with Gaussian processes, which say how sure they are and which candidates hang together."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

from rose.errors import ConfigurationError
from rose.surrogates._inputs import Box, Floats, as_rows, as_values, at_most, check_members, moments, seed_of
from rose.surrogates._process import Process, fit_process, thirds_left_out

_LOOKED = 800  # labels times starts of a search
_KINDS = {"auto": ("matern", "rbf"), "matern": ("matern",), "rbf": ("rbf",)}


class GaussianProcess(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Learn values `[n]` or `[n, D]` from `[n, F]` numbers, with a length for each input and a noise that is learned.

    Inputs and outputs are standardised by themselves. Several outputs are learned by their principal components, and
    what is left out of them adds to the variance.

    Args:
        kernel: "matern" (5/2), "rbf", or "auto": whichever explains the labels better.
        members: how many draws of the posterior `predict_members` gives.
        restarts: starts of the search for each kernel beside the usual ones, by the seed; None: the more the fewer
            labels there are (800 / n, from 1 to 12), since these leave more of it open and are searched quickly.
        most: labels beyond this number are left out, by the seed: the cost grows with their cube.
        kept: the share of the outputs' variance that their principal components keep.
        random_state: the seed of all that; None: 0.

    Example:
        >>> X = np.linspace(0, 1, 12)[:, None]
        >>> mean, std = GaussianProcess().fit(X, np.sin(6 * X[:, 0])).predict([[0.5]], return_std=True)
        >>> bool(abs(mean[0] - np.sin(3.0)) < 0.01), bool(std[0] < 0.05)
        (True, True)
    """

    def __init__(
        self,
        kernel: str = "auto",
        members: int = 64,
        restarts: int | None = None,
        most: int = 2000,
        kept: float = 0.999,
        random_state: Any = None,
    ) -> None:
        self.kernel = kernel
        self.members = members
        self.restarts = restarts
        self.most = most
        self.kept = kept
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> GaussianProcess:
        """Learn.

        Raises:
            ConfigurationError: if samples or labels are no finite numbers, or the kernel is none of these.
        """
        if self.kernel not in _KINDS:
            raise ConfigurationError(f"kernel={self.kernel!r} is none of {', '.join(map(repr, _KINDS))}")
        check_members(self.members, 2)
        rows, seed = as_rows(X), seed_of(self.random_state)
        self.n_features_in_, self.vector_ = rows.shape[1], np.ndim(y) == 2
        rows, values = at_most(self.most, seed, rows, as_values(y, len(rows)))
        self.box_ = Box.of(rows)
        self.centre_, spread = moments(values)
        self.scale_ = np.where(spread > 0.0, spread, 1.0)
        values = (values - self.centre_) / self.scale_
        self._decompose(values)
        kinds, scores = _KINDS[self.kernel], values @ self.axes_.T / self.sizes_
        restarts = int(np.clip(_LOOKED // len(rows), 1, 12)) if self.restarts is None else self.restarts
        self.processes_: list[Process] = [
            fit_process(self.box_(rows), scores[:, [at]], kinds, restarts, seed + at) for at in range(scores.shape[1])
        ]
        self._foresee(seed)
        return self

    def _decompose(self, values: Floats) -> None:
        """Keep the principal components of standardised outputs, `axes_ [K, D]`, and what they leave, `[D]`."""
        outputs = values.shape[1]
        if outputs == 1:
            self.axes_, self.sizes_, self.left_ = np.ones((1, 1)), np.ones(1), np.zeros(1)
            return
        _, size, axes = np.linalg.svd(values, full_matrices=False)
        share = np.cumsum(size**2) / max(float(np.sum(size**2)), 1e-300)
        count = int(np.searchsorted(share, self.kept) + 1)
        self.axes_ = axes[: min(count, len(axes))]
        spread = size[: len(self.axes_)] / np.sqrt(len(values))
        self.sizes_ = np.where(spread > 1e-9, spread, 1.0)
        self.left_ = np.mean((values - values @ self.axes_.T @ self.axes_) ** 2, axis=0)

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Return means, `[n]` or `[n, D]`; with `return_std` also standard deviations of a label, noise included."""
        rows = self._rows(X)
        mean = np.column_stack([process.mean(rows)[:, 0] for process in self.processes_]) * self.sizes_
        found = self._form(mean @ self.axes_ * self.scale_ + self.centre_)
        if not return_std:
            return found
        known = np.column_stack([one.variance(rows) for one in self.processes_]) * self.widening_ * self.sizes_**2
        return found, self._form(np.sqrt((known @ self.axes_**2) * self.scale_**2 + self._noise()))

    def predict_members(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return draws of the posterior and their noise's variance, `[S, n]` or `[S, n, D]` each.

        Their mean is the posterior's, and so is their variance; candidates that hang together do so in each draw.
        """
        rows = self._rows(X)
        wide = np.sqrt(self.widening_)
        each = [
            one.paths(rows, self.members, stretch)[:, :, 0] for one, stretch in zip(self.processes_, wide, strict=True)
        ]
        drawn = np.stack(each, axis=2) * self.sizes_
        values = (drawn @ self.axes_) * self.scale_ + self.centre_
        noise = np.broadcast_to(self._noise(), values.shape)
        return (values, noise) if self.vector_ else (values[:, :, 0], noise[:, :, 0])

    def left_out(self) -> list[tuple[Floats, Floats]]:
        """Return what is said of labels by two thirds of the others, and by all others: means and variances, `[n, D]`.

        The first is NaN where there are fewer than six labels.
        """
        each = [one.one_left_out() for one in self.processes_]
        return [self._foreseen(self._thirds), self._foreseen(each)]

    def _foresee(self, seed: int) -> None:
        """Find out by how much the variances fall short of the errors of labels that are left out."""
        self._thirds = [thirds_left_out(one, (one.kernel.kind,), seed) for one in self.processes_]
        told = zip(self.processes_, self._thirds, strict=True)
        self.widening_ = np.array([_short_of(one.Y[:, 0], mean[:, 0], variance) for one, (mean, variance) in told])

    def _foreseen(self, told: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
        """Return what is said of components as it is of outputs."""
        mean = np.column_stack([one[0][:, 0] for one in told]) * self.sizes_
        variance = np.column_stack([one[1] for one in told]) * self.widening_ * self.sizes_**2
        left = self.left_ * self.scale_**2
        return mean @ self.axes_ * self.scale_ + self.centre_, (variance @ self.axes_**2) * self.scale_**2 + left

    def _noise(self) -> Floats:
        """Return the variance `[D]` of labels beside their mean: the noise, and what the components leave out."""
        noise = np.array([process.kernel.noise for process in self.processes_]) * self.widening_ * self.sizes_**2
        return np.asarray((noise @ self.axes_**2 + self.left_) * self.scale_**2)

    def _rows(self, X: Any) -> Floats:
        rows = as_rows(X)
        if rows.shape[1] != self.n_features_in_:
            raise ConfigurationError(f"X has {rows.shape[1]} features, but {self.n_features_in_} were learned from")
        return self.box_(rows)

    def _form(self, values: Floats) -> Floats:
        return values if self.vector_ else values[:, 0]


def _short_of(y: Floats, mean: Floats, variance: Floats) -> float:
    """Return by what factor variances are too small for the errors of labels left out, at least 1.

    Five labels that were foreseen as was said are thought to be there beside; no error counts as more than five times
    what was said.
    """
    known = np.isfinite(mean)
    squares = np.minimum((y - mean)[known] ** 2 / np.maximum(variance[known], 1e-14), 25.0)
    return max(1.0, float((squares.sum() + 5.0) / (len(squares) + 5.0)))
