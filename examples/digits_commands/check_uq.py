"""Score the candidates: how uncertain are all predictions of this round, taken together?"""

import sys

import numpy as np
from shared import arguments, needed

from rose.uq import UQScorer


def main() -> None:
    """Write the most uncertain candidates to uncertain.npz; print their mean score, which ends the workflow if low."""
    options = arguments(__doc__, metric=str, query_size=int)
    candidates = np.load(needed(options.folder / "candidates.npz", "simulation.py"))["indices"]
    paths = sorted(needed(options.folder / "predictions", "predict.py").glob("*.npy"))
    if not paths:
        sys.exit(f"{options.folder / 'predictions'} is empty; predict.py fills it")

    mc_preds = np.stack([np.load(path) for path in paths])
    shortlist = min(5 * options.query_size, len(candidates))  # active_learn.py chooses among them
    rows, scores = UQScorer("classification").select_top_uncertain(mc_preds, k=shortlist, metric=options.metric)
    np.savez(options.folder / "uncertain.npz", indices=candidates[rows], scores=scores)
    print(scores[: options.query_size].mean())


if __name__ == "__main__":
    main()
