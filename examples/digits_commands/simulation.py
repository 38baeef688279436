"""Label images: at first some drawn at random (`--initial`), then those that the last round selected.

Here labelling is a look-up; in your program it is hours of computing, or a person at a microscope.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
from shared import needed
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def main() -> None:
    """Add labels to labelled.npz; what has none stays in candidates.npz."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--initial", type=int, help="start anew, with this many images drawn at random")
    options = parser.parse_args()
    folder: Path = options.folder

    images, digits = load_digits(return_X_y=True)
    split = train_test_split(images / 16.0, digits, test_size=0.3, stratify=digits, random_state=0)
    X, X_test, y, y_test = split

    if options.initial is not None:
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "holdout.npz", images=X_test, digits=y_test)
        indices = np.random.default_rng(0).choice(len(X), size=options.initial, replace=False)
    else:
        known = np.load(needed(folder / "labelled.npz", "simulation.py --initial"))["indices"]
        selection = needed(folder / "selection.json", "active_learn.py")
        indices = np.concatenate([known, json.loads(selection.read_text())])
        selection.unlink()  # what is labelled is not labelled again
    shutil.rmtree(folder / "predictions", ignore_errors=True)  # they were of other candidates

    rest = np.setdiff1d(np.arange(len(X)), indices)
    np.savez(folder / "labelled.npz", indices=indices, images=X[indices], digits=y[indices])
    np.savez(folder / "candidates.npz", indices=rest, images=X[rest])
    print(len(indices))


if __name__ == "__main__":
    main()
