"""Measure one model, all its hidden units at work, on the 540 images that are held out."""

import numpy as np
from shared import arguments, forward, needed


def main() -> None:
    """Print the accuracy."""
    options = arguments(__doc__, model_name=str)
    holdout = np.load(needed(options.folder / "holdout.npz", "simulation.py --initial"))
    weights = np.load(needed(options.folder / "models" / f"{options.model_name}.npz", "training.py"))
    _, probabilities = forward(weights, holdout["images"], np.ones(len(weights["b1"])))
    print(np.mean(probabilities.argmax(axis=1) == holdout["digits"]))


if __name__ == "__main__":
    main()
