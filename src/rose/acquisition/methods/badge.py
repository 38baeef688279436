"""Choose by BADGE: uncertain and diverse at once, by the gradients that the model's own guess would give.

Ash, Zhang, Krishnamurthy, Langford & Agarwal 2020, "Deep Batch Active Learning by Diverse, Uncertain Gradient Lower
Bounds".
"""

from __future__ import annotations

import numpy as np

from rose.acquisition.methods._greedy import Greedy
from rose.acquisition.methods.geometry import Walk, coordinates, project
from rose.acquisition.problem import Floats, Index, Problem
from rose.acquisition.registry import register_acquisition

_ROUNDING = 1e-12  # relative: squared distances below it are the rounding errors of equal points


@register_acquisition(
    "badge",
    needs=("features", "mc_preds"),
    uses=("pending",),
    stochastic=True,
    task="classification",
    ranks_only=True,
    reference="Ash et al. 2020, Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds",
)
def badge(problem: Problem) -> Index:
    """k-means++ on gradient embeddings: features times (mean probabilities minus the guessed class).

    The first is the longest gradient, each further one is drawn in proportion to the squared distance to the nearest
    one chosen (or pending); with costs, per unit of cost. The embedding, C x F numbers a candidate, is never built: an
    inner product of two outer products is the product of two inner products.

    >>> from rose.acquisition import acquire
    >>> p = [[[0.5, 0.5], [1.0, 0.0], [0.4, 0.6]]]
    >>> acquire(p, features=[[1.0], [1.0], [1.1]], k=2, method="badge")
    array([0, 2])
    """
    assert problem.predictions is not None  # declared, and checked by acquire()
    points, everyone = coordinates(problem), np.arange(problem.size)
    guess = problem.predictions.mean(everyone)
    guess[everyone, guess.argmax(axis=1)] -= 1.0
    length = np.einsum("nd,nd->n", points, points, dtype=np.float64) * np.einsum("nc,nc->n", guess, guess)
    candidates, greedy = problem.available, Greedy.of(problem)
    walk = Walk.over(candidates, problem.size)

    def squared_to(centre: int) -> Floats:
        inner = project(points, walk.rows, points[centre].astype(np.float64)) * (guess[walk.rows] @ guess[centre])
        both = length[walk.rows] + length[centre]
        squared = both - 2.0 * inner
        return walk.drawn(np.where(squared > _ROUNDING * both, squared, 0.0))

    nearest = np.full(len(candidates), np.inf)
    for centre in problem.pending:
        np.minimum(nearest, squared_to(int(centre)), out=nearest)
    while not greedy.done:
        far = np.isfinite(nearest).all()
        pick = _draw(nearest, greedy, problem.rng) if far else greedy.best(length[candidates])
        greedy.take(pick)
        np.minimum(nearest, squared_to(int(candidates[pick])), out=nearest)
    return greedy.result(problem)


def _draw(nearest: Floats, greedy: Greedy, rng: np.random.Generator) -> int:
    mass = np.where(greedy.open, nearest if greedy.cost is None else nearest / greedy.cost, 0.0)
    total = np.cumsum(mass)
    if not total[-1] > 0:
        return int(np.argmax(greedy.open))  # nothing left but copies of what is chosen
    # side="right" skips what has no mass; the largest position with mass bounds rounding at the end
    return min(int(np.searchsorted(total, rng.random() * total[-1], side="right")), int(np.flatnonzero(mass)[-1]))
