"""Choose what to label next: among the most uncertain images, those that differ from one another."""

import json

import numpy as np
from shared import arguments, needed


def spread(points: np.ndarray, count: int) -> list[int]:
    """Rows of `points`, `[n, d]`: the first, then each time the one farthest from all that were taken."""
    chosen = [0]
    distance = np.linalg.norm(points - points[0], axis=1)
    while len(chosen) < min(count, len(points)):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return chosen


def main() -> None:
    """Write selection.json."""
    options = arguments(__doc__, query_size=int)
    uncertain = np.load(needed(options.folder / "uncertain.npz", "check_uq.py"))["indices"]
    candidates = np.load(needed(options.folder / "candidates.npz", "simulation.py"))
    images = candidates["images"][np.searchsorted(candidates["indices"], uncertain)]
    selection = uncertain[spread(images, options.query_size)].tolist()
    (options.folder / "selection.json").write_text(json.dumps(selection))
    print(json.dumps(selection))


if __name__ == "__main__":
    main()
