"""Define classification metrics over `[S, N, C]` probabilities: the statistics they share, and the formulas.

`ClassStatistics` is the plain NumPy definition of every statistic; the compiled kernels may fill in the same
attributes faster, and the tests hold them to this file. All sums run over members in order, in float64, so a
candidate's score does not depend on the block it is scored in. Logarithms are natural: the unit is nats.

Edge cases, for all metrics here: `0 log 0 = 0`, so probabilities of exactly 0 and 1 give an entropy of exactly 0 and
never less; `N = 0` gives an empty result; `C = 1` is a sure prediction (entropy 0, margin 1); `C = 2` is the ordinary
case with two columns (a single column P(class 1) is not expanded: `rose.arrays.two_columns` does that).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from rose.metrics import MARGIN, MUTUAL_INFORMATION, PREDICTIVE_ENTROPY, VARIATION_RATIO
from rose.scoring.registry import Array, declare

_TINY = float(np.finfo(np.float64).tiny)


def xlogx(p: npt.NDArray[Any]) -> Array:
    """Return `p log p` in float64, exactly 0 where `p` is 0 (or, by rounding, below)."""
    p = np.maximum(p, 0.0, dtype=np.float64)
    return np.asarray(p * np.log(np.maximum(p, _TINY)))


def positive(x: Array) -> Array:
    """Return `x` without what rounding leaves below zero; never -0.0."""
    return np.asarray(np.maximum(x, 0.0) + 0.0)


class ClassStatistics:
    """Compute statistics per candidate of S members' predictions for a block of candidates.

    Args:
        rows: S arrays `[n, C]`, float16 to float64.
        targets: class labels `[n]` (int), for the statistics that need them.
    """

    def __init__(self, rows: Sequence[npt.NDArray[Any]], targets: npt.NDArray[np.intp] | None = None) -> None:
        self.rows = rows
        self.targets = targets
        self.members = len(rows)

    @cached_property
    def mean(self) -> Array:
        """Return the consensus, `[n, C]`: the mean over members."""
        total = np.zeros(self.rows[0].shape)
        for row in self.rows:
            total += row
        total /= self.members
        return total

    @cached_property
    def entropy(self) -> Array:
        """Return H(mean), `[n]`, the entropy of the mean prediction."""
        return positive(-xlogx(self.mean).sum(axis=-1))

    @cached_property
    def expected_entropy(self) -> Array:
        """Return the mean over members of H(p_s), `[n]`."""
        total = np.zeros(self.rows[0].shape)
        for row in self.rows:
            total -= xlogx(row)
        return positive(total.sum(axis=-1) / self.members)

    @cached_property
    def _largest_two(self) -> tuple[Array, Array]:
        if self.mean.shape[-1] < 2:  # one class: nothing competes
            first = self.mean[..., 0].copy()
            return first, np.zeros_like(first)
        two = np.partition(self.mean, -2, axis=-1)
        return two[..., -1], two[..., -2]

    @cached_property
    def first(self) -> Array:
        """Return the consensus' largest probability, `[n]`."""
        return self._largest_two[0]

    @cached_property
    def second(self) -> Array:
        """Return the consensus' second-largest probability, `[n]`; 0 with one class."""
        return self._largest_two[1]

    @cached_property
    def _votes(self) -> Array:
        n, classes = self.rows[0].shape
        votes = np.zeros((n, classes))
        everyone = np.arange(n)
        for row in self.rows:
            votes[everyone, row.argmax(axis=-1)] += 1.0  # a tie within a member goes to the first class
        return votes

    @cached_property
    def mode_votes(self) -> Array:
        """Return how many members vote for the most popular class, `[n]`."""
        return np.asarray(self._votes.max(axis=-1))

    @cached_property
    def vote_entropy(self) -> Array:
        """Return the entropy of the members' votes, `[n]`."""
        return positive(-xlogx(self._votes / self.members).sum(axis=-1))

    @cached_property
    def cross_entropy(self) -> Array:
        """Return the mean over pairs (s, t) of -sum_c p_sc log p_tc, `[n]`; inf if t excludes what s thinks."""
        total = np.zeros(self.rows[0].shape)
        with np.errstate(divide="ignore"):
            for row in self.rows:
                total -= np.log(np.maximum(row, 0.0, dtype=np.float64))
        mean = np.maximum(self.mean, 0.0)
        believed = mean > 0.0
        terms = np.where(believed, mean * np.where(believed, total, 0.0), 0.0)
        return np.asarray(terms.sum(axis=-1)) / self.members

    @cached_property
    def target_probability(self) -> Array:
        """Return the consensus' probability of the true class, `[n]`."""
        assert self.targets is not None
        return self.mean[np.arange(len(self.targets)), self.targets]

    @cached_property
    def square_norm(self) -> Array:
        """Return the sum over classes of the squared consensus, `[n]`."""
        return np.asarray(np.square(self.mean).sum(axis=-1))


_PROBABILITIES = {"probabilities"}


@declare(
    PREDICTIVE_ENTROPY, task="classification", needs=_PROBABILITIES, uses={"entropy"},
    aliases=("entropy", "total_entropy"),
)  # fmt: skip
def predictive_entropy(s: ClassStatistics) -> Array:
    """Entropy of the mean prediction: total uncertainty.

    Formula: H = -sum_c p_c log p_c, p = mean_s p_s; from 0 to log C

    Reference: Shannon 1948, Bell System Technical Journal 27
    """
    return s.entropy


@declare("expected_entropy", task="classification", needs=_PROBABILITIES, uses={"expected_entropy"},
         aliases=("aleatoric_entropy",))  # fmt: skip
def expected_entropy(s: ClassStatistics) -> Array:
    """Mean entropy of the members' predictions: the part of the uncertainty that more data does not remove.

    Formula: E = mean_s H(p_s); from 0 to log C

    Reference: Depeweg et al. 2018, ICML
    """
    return s.expected_entropy


def disagreement(s: ClassStatistics) -> Array:
    """Return total less expected entropy: the one number behind three metrics, `[n]`."""
    return positive(s.entropy - s.expected_entropy)


@declare(MUTUAL_INFORMATION, task="classification", needs=_PROBABILITIES, uses={"entropy", "expected_entropy"},
         min_samples=2, aliases=("bald",))  # fmt: skip
def mutual_information(s: ClassStatistics) -> Array:
    """Mutual information of prediction and member (BALD): disagreement; exactly entropy - expected entropy, never < 0.

    Formula: I = H(mean_s p_s) - mean_s H(p_s); from 0 to log min(S, C)

    Reference: Houlsby et al. 2011, arXiv:1112.5745
    """
    return disagreement(s)


@declare(MARGIN, task="classification", direction="lower", range=(0.0, 1.0), needs=_PROBABILITIES,
         uses={"first", "second"}, aliases=("margin_sampling",))  # fmt: skip
def margin(s: ClassStatistics) -> Array:
    """Lead of the most likely class over the runner-up in the mean prediction: small is uncertain; 1 with one class.

    Formula: M = p_(1) - p_(2), p = mean_s p_s

    Reference: Scheffer et al. 2001, IDA
    """
    return s.first - s.second


@declare("least_confidence", task="classification", range=(0.0, 1.0), needs=_PROBABILITIES, uses={"first"})
def least_confidence(s: ClassStatistics) -> Array:
    """Probability that the mean prediction leaves to all but its most likely class.

    Formula: L = 1 - max_c p_c, p = mean_s p_s; from 0 to 1 - 1/C

    Reference: Lewis and Gale 1994, SIGIR
    """
    return positive(1.0 - s.first)


@declare(VARIATION_RATIO, task="classification", range=(0.0, 1.0), needs=_PROBABILITIES, uses={"mode_votes"},
         min_samples=2, aliases=("variation_ratios",))  # fmt: skip
def variation_ratio(s: ClassStatistics) -> Array:
    """Share of members that do not vote for the most popular class; a member's tie is a vote for its first class.

    Formula: V = 1 - max_c votes_c / S; from 0 to 1 - 1/min(S, C)

    Reference: Freeman 1965, Elementary Applied Statistics
    """
    return 1.0 - s.mode_votes / s.members


@declare("vote_entropy", task="classification", needs=_PROBABILITIES, uses={"vote_entropy"}, min_samples=2)
def vote_entropy(s: ClassStatistics) -> Array:
    """Entropy of the members' votes.

    Formula: VE = -sum_c (votes_c / S) log(votes_c / S); from 0 to log min(S, C)

    Reference: Dagan and Engelson 1995, ICML
    """
    return s.vote_entropy


@declare("kl_to_consensus", task="classification", needs=_PROBABILITIES, uses={"entropy", "expected_entropy"},
         min_samples=2, aliases=("average_kl", "consensus_kl"))  # fmt: skip
def kl_to_consensus(s: ClassStatistics) -> Array:
    """Mean divergence of the members from their mean; for equal weights the same number as mutual information.

    Formula: K = mean_s KL(p_s || mean_t p_t) = H(mean_s p_s) - mean_s H(p_s)

    Reference: McCallum and Nigam 1998, ICML
    """
    return disagreement(s)


@declare("jensen_shannon", task="classification", needs=_PROBABILITIES, uses={"entropy", "expected_entropy"},
         min_samples=2, aliases=("jensen_shannon_divergence", "jsd"))  # fmt: skip
def jensen_shannon(s: ClassStatistics) -> Array:
    """Generalised Jensen-Shannon divergence of the members, equally weighted: the same number as mutual information.

    Formula: JS = H(mean_s p_s) - mean_s H(p_s); from 0 to log min(S, C)

    Reference: Lin 1991, IEEE Transactions on Information Theory 37
    """
    return disagreement(s)


@declare("expected_pairwise_kl", task="classification", needs=_PROBABILITIES,
         uses={"cross_entropy", "expected_entropy"}, min_samples=2, aliases=("epkl",))  # fmt: skip
def expected_pairwise_kl(s: ClassStatistics) -> Array:
    """Mean divergence between all ordered pairs of members; inf if one excludes (p = 0) what another thinks possible.

    Formula: EPKL = (1/S^2) sum_s sum_t KL(p_s || p_t); from 0 to inf, which it is wherever p_t = 0 < p_s for some class
    (forests give such probabilities)

    Reference: Malinin and Gales 2021, ICLR
    """
    return positive(s.cross_entropy - s.expected_entropy)


@declare("brier", task="classification", range=(0.0, 2.0), needs={"probabilities", "targets"},
         uses={"target_probability", "square_norm"}, aliases=("brier_score",))  # fmt: skip
def brier(s: ClassStatistics) -> Array:
    """Squared distance of the mean prediction from the true class.

    Formula: B = sum_c (p_c - [c = y])^2, p = mean_s p_s; from 0 to 2

    Reference: Brier 1950, Monthly Weather Review 78
    """
    return positive(s.square_norm - 2.0 * s.target_probability + 1.0)


def class_log_likelihood(s: ClassStatistics) -> Array:
    """Return -log of the mean probability of the true class, `[n]`; inf where that is 0."""
    with np.errstate(divide="ignore"):
        return positive(-np.log(np.maximum(s.target_probability, 0.0)))
