"""Compute the joint distribution of a batch's labels: outcomes, and what each tells about the ensemble's members."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose.acquisition.compiled import Run, kernels
from rose.acquisition.problem import Floats

F32 = NDArray[np.float32]
_ROWS = 64  # candidates a thread takes at a time
_CELLS = 1 << 20  # numbers in the plain definition's largest temporary


class Joint:
    """Hold outcomes of the labels chosen so far, and the members' posterior probability after each.

    While the batch can turn out in at most `configurations` ways, all of them are kept, with their probabilities.
    Beyond, as many are drawn: outcome j by a member (each equally often) labelling the whole batch. `information` is
    the mutual information I(labels; member) of the batch in nats, by the chain rule.

    >>> joint = Joint(2, 2, 1000, np.random.default_rng(0))
    >>> joint.add(np.array([[1.0, 0.0], [0.0, 1.0]]))  # a label on which the two members disagree for certain
    >>> round(joint.information, 4)  # log 2
    0.6931
    """

    def __init__(self, members: int, classes: int, configurations: int, rng: np.random.Generator) -> None:
        self.information = 0.0
        self.empty = True
        self._most = configurations
        self._classes = classes
        self._rng = rng
        self._exact = True
        self._mass = np.ones(1)
        self._posterior = np.full((1, members), 1.0 / members)
        # The drawn outcomes, kept from the start so that they can take over when the exact ones become too many
        self._drawn_by = rng.permutation(np.arange(configurations) % members)
        self._drawn = np.full((configurations, members), 1.0 / members)

    def add(self, probabilities: NDArray[Any]) -> None:
        """Add a candidate with member probabilities `[K, C]` to the batch."""
        p = probabilities.astype(np.float64)
        conditional = conditional_entropies(p.T[None], self._posterior, self._mass)[0]
        self.information += max(0.0, float(conditional - entropy(p).mean()))
        self.empty = False
        self._draw(p)
        if self._exact and len(self._mass) * self._classes <= self._most:
            self._branch(p)
        else:
            self._exact = False
            self._posterior, self._mass = self._drawn, np.full(self._most, 1.0 / self._most)

    def conditional_entropies(self, rows: F32, run: Run, coarse: bool = False) -> Floats:
        """Return the entropy `[n]` expected of one more label, H(y_n | y_batch), for `rows [n, C, K]`.

        `coarse` gives an upper bound of it at a sixteenth of the price: outcomes that say much the same are averaged,
        and the entropy of an average is at least the average of the entropies (Jensen).
        """
        posterior, mass = self._grouped() if coarse else (self._posterior, self._mass)
        compiled = kernels()
        if compiled is None:
            return conditional_entropies(rows, posterior, mass)
        columns, weights = np.ascontiguousarray(posterior.T, dtype=np.float32), mass.astype(np.float32)
        out = np.empty(len(rows))

        def work(_block: int, low: int, high: int) -> None:
            compiled.conditional_entropies(rows, columns, weights, low, high, out)

        run(work, len(out), _ROWS)
        return out

    def _grouped(self) -> tuple[Floats, Floats]:
        """Return sixteen outcomes in one: neighbours in an order by the likeliest member, then by how likely it is."""
        order = np.lexsort((self._posterior.max(axis=1), self._posterior.argmax(axis=1)))
        starts = np.arange(0, len(order), 16)
        mass = np.add.reduceat(self._mass[order], starts)
        mean = np.add.reduceat(self._mass[order, None] * self._posterior[order], starts, axis=0) / mass[:, None]
        return mean, mass

    def _branch(self, p: Floats) -> None:
        """Split every outcome into one for each class; the impossible ones go."""
        joint = self._posterior[:, None, :] * p.T[None, :, :]  # [outcomes, C, K]
        total = joint.sum(axis=2)
        mass = (self._mass[:, None] * total).ravel()
        possible = mass > 0
        self._posterior = (joint.reshape(-1, joint.shape[2])[possible]) / total.ravel()[possible, None]
        self._mass = mass[possible] / mass[possible].sum()

    def _draw(self, p: Floats) -> None:
        """Label the new candidate by each drawn outcome's member; all members are judged by that label."""
        steps = np.cumsum(p, axis=1)
        at = self._rng.random(self._most) * steps[self._drawn_by, -1]
        label = np.minimum((at[:, None] >= steps[self._drawn_by]).sum(axis=1), self._classes - 1)
        self._drawn = self._drawn * p[:, label].T
        self._drawn /= self._drawn.sum(axis=1, keepdims=True)


def entropy(p: NDArray[Any]) -> Floats:
    """Return the Shannon entropy (nats) over the last axis; 0 log 0 = 0."""
    q = np.asarray(p, dtype=np.float64)
    logs = np.log(q, where=q > 0, out=np.zeros_like(q))
    return np.asarray(-(q * logs).sum(axis=-1))


def conditional_entropies(rows: NDArray[Any], posterior: Floats, mass: Floats) -> Floats:
    """Return the definition: sum_m mass[m] H(sum_k posterior[m, k] rows[n, :, k]), in nats.

    Args:
        rows: member probabilities `[n, C, K]`.
        posterior: what outcome m of the batch leaves of each member, `[M, K]`, each row summing to 1.
        mass: the outcomes' probabilities, `[M]`.

    Returns:
        `[n]`: the expected entropy of one more label once the batch's labels are known.
    """
    out = np.empty(len(rows))
    step = max(1, _CELLS // (len(mass) * rows.shape[1]))
    for low in range(0, len(rows), step):
        mixed = posterior @ rows[low : low + step].astype(np.float64).transpose(0, 2, 1)
        out[low : low + step] = entropy(mixed) @ mass  # [n, M, C] -> [n, M] -> [n]
    return out
