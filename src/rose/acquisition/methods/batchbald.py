"""Choose by BatchBALD: the batch whose labels, taken together, say most about which ensemble member is right.

Kirsch, van Amersfoort & Gal 2019, "BatchBALD: Efficient and Diverse Batch Acquisition for Deep Bayesian Active
Learning".
"""

from __future__ import annotations

import math

import numpy as np

from rose.acquisition._options import whole
from rose.acquisition.compiled import workers
from rose.acquisition.methods._greedy import Greedy
from rose.acquisition.methods.joint import F32, Joint, entropy
from rose.acquisition.predictions import Predictions
from rose.acquisition.problem import Floats, Index, Problem, largest_first
from rose.acquisition.registry import register_acquisition

_SATURATED = 0.9  # of log K
_BLOCK = 1 << 11
_LOOK = 128  # candidates evaluated before the first look at the bound
_KEEP = 1 << 27  # bytes of probabilities kept
_ROUNDING = 1e-5  # nats: above the kernel's rounding errors, far below the sampling error


class SaturatedBatchWarning(UserWarning):
    """Warn that the batch already tells almost all that its ensemble could tell; the rest of it was chosen by noise."""


@register_acquisition(
    "batchbald",
    needs=("mc_preds",),
    uses=("pending",),
    stochastic=True,
    task="classification",
    min_samples=2,
    ranks_only=True,
    aliases=("batch_bald",),
    reference="Kirsch et al. 2019, BatchBALD",
)
def batchbald(problem: Problem, *, configurations: int = 1000) -> Index:
    """Again and again the candidate whose label adds most to the joint mutual information I(labels; member), in nats.

    The labels' joint distribution is exact while the batch has at most `configurations` possible outcomes, then
    sampled: the mean, over that many outcomes drawn from the ensemble, of the exact conditional entropy of one more
    label. With costs: information per unit of cost.

    No batch can tell more than log S (S members); as it comes near, gains drown in sampling noise and a
    `SaturatedBatchWarning` says from which pick on. More members (or stochastic passes), smaller batches, or "power"
    then serve better.

    Args:
        problem: the question.
        configurations: how many outcomes of the batch are looked at.

    Raises:
        ConfigurationError: for no configuration.

    >>> from rose.acquisition import acquire
    >>> p = [[[1.0, 0.0], [1.0, 0.0], [0.9, 0.1]], [[0.0, 1.0], [0.0, 1.0], [0.6, 0.4]]]
    >>> acquire(p, k=1, method="batchbald", pending=[2])
    array([0])
    """
    predictions = problem.predictions
    assert predictions is not None  # declared, and checked by acquire()
    assert predictions.classes is not None
    outcomes = whole("configurations", configurations)
    greedy, pool = Greedy.of(problem), _Pool(predictions, problem.available)
    joint = Joint(predictions.members, predictions.classes, outcomes, problem.rng)
    for index in problem.pending:
        joint.add(predictions.probabilities(np.array([index]))[:, 0])
    said = False
    while not greedy.done:
        pick = greedy.best(pool.alone if joint.empty else _gains(pool, joint, greedy))
        greedy.take(pick)
        joint.add(predictions.probabilities(problem.available[pick : pick + 1])[:, 0])
        said = said or (not greedy.done and _say_if_saturated(problem, predictions.members, joint, len(greedy.picks)))
    return greedy.result(problem)


class _Pool:
    """Hold the candidates' probabilities in the order that the sums read them, and what each could tell on its own.

    `alone` is the mutual information, `expected` the members' mean entropy, both `[n]`. Rows `[n, C, K]` float32 are
    kept where they take little room, and gathered again where they do not.
    """

    def __init__(self, predictions: Predictions, candidates: Index) -> None:
        self._predictions, self._candidates = predictions, candidates
        n, width = len(candidates), (predictions.classes or 1, predictions.members)
        self._kept = np.empty((n, *width), np.float32) if 4 * n * width[0] * width[1] <= _KEEP else None
        self.alone, self.expected = np.empty(n), np.empty(n)
        in_memory = np.argsort(candidates)
        for low in range(0, n, _BLOCK):
            block = in_memory[low : low + _BLOCK]
            rows = predictions.probabilities(candidates[block])
            self.expected[block] = entropy(rows).mean(axis=0)
            self.alone[block] = np.maximum(entropy(rows.mean(axis=0)) - self.expected[block], 0.0)
            if self._kept is not None:
                self._kept[block] = rows.transpose(1, 2, 0)

    def rows(self, positions: Index) -> F32:
        """Return `[len(positions), C, K]` probabilities."""
        if self._kept is not None:
            return self._kept[positions]
        rows = self._predictions.probabilities(self._candidates[positions])
        return np.ascontiguousarray(rows.transpose(1, 2, 0), dtype=np.float32)


def _gains(pool: _Pool, joint: Joint, greedy: Greedy) -> Floats:
    """Return `[n]` information each candidate adds to the batch; -inf for those whose bound shows that they cannot win.

    One more label cannot tell more within a batch than alone, nor more than the coarse view of the outcomes allows.
    """
    n = len(pool.alone)
    bound, gain = np.full(n, -np.inf), np.full(n, -np.inf)
    cost = np.ones(n) if greedy.cost is None else greedy.cost
    positions = np.flatnonzero(greedy.open)
    with workers() as run:
        for low in range(0, len(positions), _BLOCK):
            block = positions[low : low + _BLOCK]
            coarse = joint.conditional_entropies(pool.rows(block), run, coarse=True) - pool.expected[block]
            bound[block] = np.minimum(pool.alone[block], coarse + _ROUNDING) / cost[block]
        order = largest_first(bound, len(positions))
        best, low, look = -np.inf, 0, _LOOK
        while low < len(order) and bound[order[low]] >= best:
            block = order[low : low + look]
            told = joint.conditional_entropies(pool.rows(block), run) - pool.expected[block]
            gain[block] = np.minimum(told, pool.alone[block])
            best = max(best, float((gain[block] / cost[block]).max()))
            low, look = low + look, min(2 * look, _BLOCK)  # where the bound spares little, threads should not wait
    return gain


def _say_if_saturated(problem: Problem, members: int, joint: Joint, picks: int) -> bool:
    most = math.log(members)
    if joint.information < _SATURATED * most:
        return False
    problem.say(
        f"after {picks} picks the batch tells {joint.information:.2f} of the at most {most:.2f} nats that {members} "
        "members can disagree about; further picks are chosen by noise. Use more members, smaller batches, or 'power'.",
        SaturatedBatchWarning,
    )
    return True
