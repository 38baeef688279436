"""Predict the candidates with one model: a stochastic pass, for which dropout draws another thinned network."""

import numpy as np
from shared import arguments, dropout, forward, needed


def main() -> None:
    """Write predictions/MODEL-PASS.npy, `[N, 10]` probabilities."""
    options = arguments(__doc__, model_name=str, iteration=int)
    images = np.load(needed(options.folder / "candidates.npz", "simulation.py"))["images"]
    weights = np.load(needed(options.folder / "models" / f"{options.model_name}.npz", "training.py"))
    mask = dropout(np.random.default_rng(options.iteration), len(weights["b1"]))
    _, probabilities = forward(weights, images, mask)
    path = options.folder / "predictions" / f"{options.model_name}-{options.iteration}.npy"
    path.parent.mkdir(exist_ok=True)
    np.save(path, probabilities)
    print(path)


if __name__ == "__main__":
    main()
