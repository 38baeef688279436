"""Compute with Gaussian processes: the posterior of values, how sure it is, what it says of labels left out, and draws.

The kernel has a length for each input (ARD), a signal variance and a noise variance, which are found by maximising the
marginal likelihood times a prior (Rasmussen & Williams 2006, chapter 5). The prior of the lengths grows with the number
of inputs (Hvarfner, Hellsten & Nardi 2024, ICML), so that few labels in many inputs do not make a function of noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_FEATURES = 1024  # random features of the prior's draws
_TUNED = 400  # samples by which the kernel is tuned, at most
_FIRST, _FINISHED, _STEPS = 12, 2, 100  # steps from every start, how many of them go on, and for how many steps
_FOLDS = 3  # as much is left out as a bootstrap leaves out
_LEAST = 1e-7  # of the noise's variance, where values have variance 1
_BOUNDS = {"length": (-3.5, 7.0), "signal": (-7.0, 12.0)}


@dataclass(frozen=True)
class Kernel:
    """Say how alike values at two inputs are.

    Attributes:
        kind: "matern" (5/2) or "rbf".
        lengths: `[F]`, in the units of the inputs.
        signal, noise: variances.
    """

    kind: str
    lengths: Floats
    signal: float
    noise: float

    def __call__(self, A: Floats, B: Floats) -> Floats:
        """Return the covariance of values without noise, `[len(A), len(B)]`."""
        return self.signal * _correlation(self.kind, _squared(A / self.lengths, B / self.lengths))[0]

    def frequencies(self, rng: np.random.Generator) -> Floats:
        """Draw frequencies of random features, `[F, R]` (Rahimi & Recht 2007)."""
        found = rng.standard_normal((len(self.lengths), _FEATURES))
        if self.kind == "matern":
            found /= np.sqrt(rng.chisquare(5, _FEATURES) / 5)
        return np.asarray(found / self.lengths[:, None])


@dataclass(frozen=True)
class Process:
    """Hold a process that was conditioned on values `Y [n, C]` at `X [n, F]`; its columns share the kernel."""

    kernel: Kernel
    X: Floats
    Y: Floats
    seed: int

    @cached_property
    def _root(self) -> Floats:
        from scipy.linalg import cholesky

        K = self.kernel(self.X, self.X)
        K[np.diag_indices_from(K)] += self.kernel.noise + 1e-9 * self.kernel.signal
        return np.asarray(cholesky(K, lower=True, overwrite_a=True, check_finite=False))

    @cached_property
    def _weights(self) -> Floats:
        from scipy.linalg import cho_solve

        return np.asarray(cho_solve((self._root, True), self.Y, check_finite=False))

    def mean(self, X: Floats) -> Floats:
        """Return the posterior mean, `[n, C]`."""
        return np.asarray(self.kernel(X, self.X) @ self._weights)

    def variance(self, X: Floats) -> Floats:
        """Return the posterior variance of a value without noise, `[n]`: the same in each column."""
        from scipy.linalg import solve_triangular

        known = solve_triangular(self._root, self.kernel(self.X, X), lower=True, check_finite=False)
        return np.asarray(np.maximum(self.kernel.signal - np.einsum("ij,ij->j", known, known), 0.0))

    def one_left_out(self) -> tuple[Floats, Floats]:
        """Return what all others say of each value: means `[n, C]` and variances, noise included, `[n]`.

        The kernel has seen it, which flatters where there are few values.

        Formula: Rasmussen & Williams 2006, equations 5.10 to 5.12.
        """
        from scipy.linalg import cho_solve

        diagonal = np.diag(cho_solve((self._root, True), np.eye(len(self.X)), check_finite=False))
        return self.Y - self._weights / diagonal[:, None], 1.0 / diagonal

    def paths(self, X: Floats, count: int, stretch: float = 1.0) -> Floats:
        """Return draws of the posterior's functions at `X`, `[count, n, C]`: the same functions wherever asked.

        Each sample's draws are shifted and stretched to have the posterior's mean exactly, and its standard deviation
        times `stretch`.

        Formula: a draw of the prior, plus what takes it to the labels (Wilson et al. 2020, ICML).
        """
        from scipy.linalg import cho_solve

        rng = np.random.default_rng(self.seed)
        kernel, columns = self.kernel, self.Y.shape[1]
        waves, phases = kernel.frequencies(rng), rng.uniform(0, 2 * np.pi, _FEATURES)
        weights = rng.standard_normal((_FEATURES, count * columns)) * np.sqrt(2 * kernel.signal / _FEATURES)
        noise = rng.standard_normal((len(self.X), count * columns)) * np.sqrt(kernel.noise)
        before = np.cos(self.X @ waves + phases) @ weights
        missing = cho_solve((self._root, True), np.tile(self.Y, count) - before - noise, check_finite=False)
        mean, std = self.mean(X), np.sqrt(self.variance(X)) * stretch
        found = np.empty((count, len(X), columns))
        for start in range(0, len(X), 4096):
            some = slice(start, start + 4096)
            drawn = np.cos(X[some] @ waves + phases) @ weights + kernel(X[some], self.X) @ missing
            drawn = drawn.reshape(-1, count, columns).transpose(1, 0, 2)
            drawn -= drawn.mean(axis=0)
            spread = np.sqrt(np.mean(drawn**2, axis=0))
            wider = np.where(spread > 0.0, std[some, None] / np.where(spread > 0.0, spread, 1.0), 0.0)
            found[:, some] = mean[some] + drawn * wider
        return found


def fit_process(
    X: Floats,
    Y: Floats,
    kinds: tuple[str, ...],
    restarts: int,
    seed: int,
    alike: bool = False,
    noise: float = _LEAST,
    like: Kernel | None = None,
) -> Process:
    """Find the kernel of the largest posterior density, and condition on all values.

    Args:
        X: `[n, F]` inputs, of about unit width each.
        Y: `[n, C]` values of about unit variance.
        kinds: of kernels, to be tried in turn.
        restarts: how many more starts there are for each kind than the usual ones, drawn by the seed.
        alike: whether all inputs have the same length, as where there are more of them than labels.
        noise: the least variance of the noise.
        like: a kernel that the search starts from, too.
        seed: of the starts, the samples by which the kernel is tuned if there are many, and the draws.
    """
    rng = np.random.default_rng(seed)
    some = np.sort(rng.choice(len(X), _TUNED, replace=False)) if len(X) > _TUNED else np.arange(len(X))
    inputs = X.shape[1]
    best: tuple[float, str, Floats] | None = None
    for kind in kinds:
        starts = _starts(inputs, alike, like, restarts, rng)
        if best is not None:
            starts += [best[2], *_smoother(best[2])]
        begun = sorted(
            (_tuned(kind, X[some], Y[some], start, noise, _FIRST) for start in starts), key=lambda one: one[0]
        )
        for _, start in begun[:_FINISHED]:
            value, found = _tuned(kind, X[some], Y[some], start, noise, _STEPS)
            if best is None or value < best[0]:
                best = value, kind, found
    assert best is not None
    _, kind, theta = best
    kernel = Kernel(kind, np.exp(theta[:-2]) * np.ones(inputs), float(np.exp(theta[-2])), float(np.exp(theta[-1])))
    return Process(kernel, X, Y, seed)


def _starts(inputs: int, alike: bool, like: Kernel | None, restarts: int, rng: np.random.Generator) -> list[Floats]:
    """Return the logarithms of lengths, signal and noise that the search for a kernel starts from."""
    usual = np.array([*np.full(1 if alike else inputs, _usual_length(inputs)), 0.0, math.log(1e-3)])
    count = len(usual) - 2
    drawn = [
        np.array([*(usual[:count] + rng.normal(0.5, 0.8, count)), rng.normal(1.5, 1.0), rng.uniform(-15.0, -6.0)])
        for _ in range(restarts)
    ]
    if like is not None:
        lengths = np.log(like.lengths[:1] if alike else like.lengths)
        return [usual, np.array([*lengths, math.log(like.signal), math.log(like.noise)]), *drawn]
    return [usual, usual + np.array([*np.full(count, 0.7), 2.0, math.log(1e-3)]), *drawn]


def _smoother(theta: Floats) -> list[Floats]:
    """Return starts for a smoother kernel than the one that was found: of a large signal, and nearly without noise.

    An RBF kernel has narrow optima there, where it is close to polynomials, and from elsewhere they are missed.
    """
    lengths, signal = theta[:-2], theta[-2] + 4.0
    return [np.array([*(lengths - 0.5), signal, -12.0]), np.array([*lengths, signal, -15.0])]


def thirds_left_out(
    process: Process, kinds: tuple[str, ...], seed: int, alike: bool = False, noise: float = _LEAST
) -> tuple[Floats, Floats]:
    """Return what two thirds of the values say of each of the others: means `[n, C]`, variances with noise `[n]`.

    The kernel is tuned anew without them: one that has seen a value foresees it too well. NaN where there are fewer
    than six values.
    """
    X, Y = process.X, process.Y
    mean, variance = np.full(Y.shape, np.nan), np.full(len(Y), np.nan)
    if len(Y) < _FOLDS * 2:
        return mean, variance
    fold = np.random.default_rng(seed).permutation(len(Y)) % _FOLDS
    for at in range(_FOLDS):
        out = fold == at
        others = fit_process(X[~out], Y[~out], kinds, 0, seed, alike, noise, process.kernel)
        mean[out], variance[out] = others.mean(X[out]), others.variance(X[out]) + others.kernel.noise
    return mean, variance


def _tuned(kind: str, X: Floats, Y: Floats, start: Floats, noise: float, steps: int) -> tuple[float, Floats]:
    """Return the smallest negative log posterior that is found from a start in so many steps, and where."""
    from scipy.optimize import minimize

    limits = [_BOUNDS["length"]] * (len(start) - 2) + [_BOUNDS["signal"], (math.log(noise), 2.0)]
    start = np.clip(start, *np.array(limits).T)
    done = minimize(
        _objective, start, args=(kind, X, Y), jac=True, method="L-BFGS-B", bounds=limits, options={"maxiter": steps}
    )
    return float(done.fun), np.asarray(done.x)


def _objective(theta: Floats, kind: str, X: Floats, Y: Floats) -> tuple[float, Floats]:
    """Return the negative log posterior of the kernel's logarithms, summed over the columns, and its gradient."""
    from scipy.linalg import LinAlgError, cho_solve, cholesky

    n, inputs = X.shape
    scaled, signal, noise = X / np.exp(theta[:-2]), math.exp(theta[-2]), math.exp(theta[-1])
    likeness, slope = _correlation(kind, _squared(scaled, scaled))
    K = signal * likeness
    K[np.diag_indices_from(K)] += noise + 1e-9 * signal
    try:
        root = cholesky(K, lower=True, check_finite=False)
    except LinAlgError:
        return 1e25, np.zeros_like(theta)
    columns = Y.shape[1]
    weights = cho_solve((root, True), Y, check_finite=False)
    inverse = cho_solve((root, True), np.eye(n), check_finite=False)
    pull = columns * inverse - weights @ weights.T  # twice the gradient by K
    value = 0.5 * np.sum(Y * weights) + columns * (np.log(np.diag(root)).sum() + 0.5 * n * math.log(2 * np.pi))
    by_distance = signal * slope * pull
    moved = scaled.T**2 @ by_distance.sum(axis=1) - np.einsum("nf,nf->f", scaled, by_distance @ scaled)
    moved = moved if len(theta) - 2 == inputs else moved.sum(keepdims=True)
    gradient = np.array([*moved, 0.5 * signal * np.sum(pull * likeness), 0.5 * noise * np.trace(pull)])
    lengths = np.ones(len(theta) - 2)
    centre = np.array([*_usual_length(inputs) * lengths, 0.0, math.log(1e-4)])
    width = np.array([*math.sqrt(3) * lengths, 2.0, 3.0])
    off = (theta - centre) / width
    return float(value + 0.5 * off @ off), gradient + off / width


def _usual_length(inputs: int) -> float:
    """Return the logarithm of what a length is before anything is known."""
    return math.sqrt(2) - 1.0 + 0.5 * math.log(inputs)


def _squared(A: Floats, B: Floats) -> Floats:
    """Return squared distances, `[len(A), len(B)]`."""
    found = np.sum(A**2, axis=1)[:, None] + np.sum(B**2, axis=1) - 2 * A @ B.T
    return np.asarray(np.maximum(found, 0.0, out=found))


def _correlation(kind: str, squared: Floats) -> tuple[Floats, Floats]:
    """Return the correlation at squared distances; and minus twice its derivative by them."""
    if kind == "rbf":
        found = np.exp(-0.5 * squared)
        return found, found
    root = np.sqrt(5 * squared)
    fading = np.exp(-root)
    return (1 + root + root**2 / 3) * fading, 5 / 3 * (1 + root) * fading
