"""What the stages share: a command line, the files of a workflow, and what a model computes.

A workflow's folder holds
    holdout.npz                 images and digits to measure accuracy on
    labelled.npz                indices, images and digits that have been paid for
    candidates.npz              indices and images that have not
    models/MODEL.npz            the weights of a trained model
    predictions/MODEL-PASS.npy  [N, 10] probabilities of the N candidates
    uncertain.npz               indices of the most uncertain candidates and their scores
    selection.json              indices of the images to label next
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

KEEP = 0.7  # the share of hidden units that dropout leaves


def arguments(description: str | None, **options: type) -> argparse.Namespace:
    """The command line of a stage: its workflow's folder, and more options, all required."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--folder", type=Path, required=True)
    for name, kind in options.items():
        parser.add_argument(f"--{name}", type=kind, required=True)
    return parser.parse_args()


def needed(path: Path, made_by: str) -> Path:
    """The path of a file that an earlier stage wrote; without it there is nothing to work with."""
    if not path.exists():
        sys.exit(f"{path} is missing; {made_by} writes it")
    return path


def forward(weights: Mapping[str, np.ndarray], images: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A network of one hidden layer: its hidden units `[n, H]`, times the mask, and its probabilities `[n, 10]`."""
    hidden = np.maximum(images @ weights["W1"] + weights["b1"], 0) * mask
    logits = hidden @ weights["W2"] + weights["b2"]
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return hidden, exponentials / exponentials.sum(axis=1, keepdims=True)


def dropout(generator: np.random.Generator, shape: int | tuple[int, ...]) -> np.ndarray:
    """A mask that silences hidden units at random, and makes up for them."""
    return (generator.random(shape) < KEEP) / KEEP
