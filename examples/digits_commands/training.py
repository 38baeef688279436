"""Train one model on all that is labelled: a network with dropout, in NumPy, by gradient descent with momentum."""

import numpy as np
from shared import arguments, dropout, forward, needed

HIDDEN = {"narrow": 64, "wide": 256}
STEPS, RATE, MOMENTUM, DECAY = 300, 0.1, 0.9, 1e-3


def train(images: np.ndarray, digits: np.ndarray, hidden: int) -> dict[str, np.ndarray]:
    """The weights of a network with that many hidden units."""
    generator = np.random.default_rng(hidden)
    weights = {
        "W1": generator.normal(0, np.sqrt(2 / images.shape[1]), (images.shape[1], hidden)),
        "b1": np.zeros(hidden),
        "W2": generator.normal(0, np.sqrt(1 / hidden), (hidden, 10)),
        "b2": np.zeros(10),
    }
    velocity = {name: np.zeros_like(value) for name, value in weights.items()}
    truth = np.eye(10)[digits]
    for _ in range(STEPS):
        mask = dropout(generator, (len(images), hidden))
        for name, slope in gradient(weights, images, truth, mask).items():
            velocity[name] = MOMENTUM * velocity[name] - RATE * (slope + DECAY * weights[name])
            weights[name] += velocity[name]
    return weights


def gradient(
    weights: dict[str, np.ndarray], images: np.ndarray, truth: np.ndarray, mask: np.ndarray
) -> dict[str, np.ndarray]:
    """The slope of the cross-entropy in every weight."""
    units, probabilities = forward(weights, images, mask)
    error = (probabilities - truth) / len(images)
    back = error @ weights["W2"].T * mask * (units > 0)
    return {"W1": images.T @ back, "b1": back.sum(axis=0), "W2": units.T @ error, "b2": error.sum(axis=0)}


def main() -> None:
    """Write models/MODEL.npz."""
    options = arguments(__doc__, model_name=str)
    labelled = np.load(needed(options.folder / "labelled.npz", "simulation.py"))
    weights = train(labelled["images"], labelled["digits"], HIDDEN[options.model_name])
    path = options.folder / "models" / f"{options.model_name}.npz"
    path.parent.mkdir(exist_ok=True)
    np.savez(path, **weights)
    print(path)


if __name__ == "__main__":
    main()
