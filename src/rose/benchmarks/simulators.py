"""Compute simulators with closed forms, on the boxes and in the units in which they were published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Simulator:
    """Hold a function of `[n, F]` inputs that gives `[n]` values, the box of its inputs, and where it is from."""

    function: Callable[[Array], Array]
    box: tuple[tuple[float, float], ...]
    source: str

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        """Draw inputs uniformly from the box, `[count, F]`."""
        low, high = np.array(self.box).T
        return np.asarray(low + (high - low) * rng.random((count, len(self.box))))


def friedman_1(x: Array) -> Array:
    """Return 10 sin(pi a b) + 20 (c - 1/2)^2 + 10 d + 5 e; of ten inputs five do nothing."""
    return np.asarray(10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4])


def friedman_2(x: Array) -> Array:
    """Return the impedance of a series circuit."""
    r, w, inductance, c = x.T
    return np.asarray(np.sqrt(r**2 + (w * inductance - 1 / (w * c)) ** 2))


def friedman_3(x: Array) -> Array:
    """Return the phase of a series circuit, radians."""
    r, w, inductance, c = x.T
    return np.asarray(np.arctan((w * inductance - 1 / (w * c)) / r))


def borehole(x: Array) -> Array:
    """Return the flow of water through a borehole, cubic metres a year."""
    rw, r, tu, hu, tl, hl, length, kw = x.T
    ratio = np.log(r / rw)
    return np.asarray(2 * np.pi * tu * (hu - hl) / (ratio * (1 + 2 * length * tu / (ratio * rw**2 * kw) + tu / tl)))


def otl_circuit(x: Array) -> Array:
    """Return the midpoint voltage of a push-pull circuit without an output transformer."""
    rb1, rb2, rf, rc1, rc2, beta = x.T
    vb1 = 12 * rb2 / (rb1 + rb2)
    gain = beta * (rc2 + 9)
    below = gain + rf
    return np.asarray((vb1 + 0.74) * gain / below + 11.35 * rf / below + 0.74 * rf * gain / (below * rc1))


def piston(x: Array) -> Array:
    """Return the seconds of a piston's cycle."""
    mass, area, volume, spring, pressure, ambient, gas = x.T
    a = pressure * area + 19.62 * mass - spring * volume / area
    v = area / (2 * spring) * (np.sqrt(a**2 + 4 * spring * pressure * volume * ambient / gas) - a)
    return np.asarray(2 * np.pi * np.sqrt(mass / (spring + area**2 * pressure * volume * ambient / (gas * v**2))))


def wing_weight(x: Array) -> Array:
    """Return the pounds that a light aircraft's wing weighs."""
    area, fuel, aspect, sweep, q, taper, thick, load, gross, paint = x.T
    cos = np.cos(np.radians(sweep))
    shape = (aspect / cos**2) ** 0.6 * q**0.006 * taper**0.04 * (100 * thick / cos) ** -0.3
    return np.asarray(0.036 * area**0.758 * fuel**0.0035 * shape * (load * gross) ** 0.49 + area * paint)


def robot_arm(x: Array) -> Array:
    """Return how far from its shoulder the hand of an arm of four segments is."""
    angles, lengths = np.cumsum(x[:, :4], axis=1), x[:, 4:]
    return np.asarray(np.hypot((lengths * np.cos(angles)).sum(axis=1), (lengths * np.sin(angles)).sum(axis=1)))


def ishigami(x: Array) -> Array:
    """Return sin a + 7 sin^2 b + c^4 sin(a) / 10."""
    return np.asarray(np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0]))


def branin(x: Array) -> Array:
    """Return the function of Branin and Hoo, with three minima."""
    a, b = x.T
    valley = b - 5.1 / (4 * np.pi**2) * a**2 + 5 / np.pi * a - 6
    return np.asarray(valley**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(a) + 10)


def rosenbrock(x: Array) -> Array:
    """Return the curved valley of Rosenbrock."""
    return np.asarray(np.sum(100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2, axis=1))


def hartmann_6(x: Array) -> Array:
    """Return the sum of four wells."""
    off = np.einsum("kf,nkf->nk", _SCALES, (x[:, None, :] - _CENTRES) ** 2)
    return np.asarray(-np.exp(-off) @ np.array([1.0, 1.2, 3.0, 3.2]))


_SCALES = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
_CENTRES = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def step(x: Array) -> Array:
    """Return a wave that jumps at a curved front: what a phase transition looks like."""
    front = x[:, 1] > 0.5 + 0.25 * np.sin(2 * np.pi * x[:, 0])
    return np.asarray(np.sin(3 * x[:, 0]) + 2.0 * front + 0.5 * x[:, 2])


def _box(*ends: float) -> tuple[tuple[float, float], ...]:
    return tuple(zip(ends[::2], ends[1::2], strict=True))


_CIRCUIT = _box(0.1, 100, 40 * np.pi, 560 * np.pi, 0, 1, 1e-6, 11e-6)
SIMULATORS: dict[str, Simulator] = {
    "friedman_1": Simulator(friedman_1, _box(*(0, 1) * 10), "Friedman 1991, Annals of Statistics 19"),
    "friedman_2": Simulator(friedman_2, _CIRCUIT, "Friedman 1991, Annals of Statistics 19"),
    "friedman_3": Simulator(friedman_3, _CIRCUIT, "Friedman 1991, Annals of Statistics 19"),
    "borehole": Simulator(
        borehole,
        _box(0.05, 0.15, 100, 50000, 63070, 115600, 990, 1110, 63.1, 116, 700, 820, 1120, 1680, 9855, 12045),
        "Harper and Gupta 1983, BMI/ONWI-516; Morris et al. 1993, Technometrics 35",
    ),
    "otl_circuit": Simulator(
        otl_circuit,
        _box(50, 150, 25, 70, 0.5, 3, 1.2, 2.5, 0.25, 1.2, 50, 300),
        "Ben-Ari and Steinberg 2007, Quality Engineering 19",
    ),
    "piston": Simulator(
        piston,
        _box(30, 60, 0.005, 0.02, 0.002, 0.01, 1000, 5000, 90000, 110000, 290, 296, 340, 360),
        "Kenett and Zacks 1998, Modern Industrial Statistics",
    ),
    "wing_weight": Simulator(
        wing_weight,
        _box(150, 200, 220, 300, 6, 10, -10, 10, 16, 45, 0.5, 1, 0.08, 0.18, 2.5, 6, 1700, 2500, 0.025, 0.08),
        "Forrester et al. 2008, Engineering Design via Surrogate Modelling",
    ),
    "robot_arm": Simulator(robot_arm, _box(*(0, 2 * np.pi) * 4, *(0, 1) * 4), "An and Owen 2001, J. Complexity 17"),
    "ishigami": Simulator(ishigami, _box(*(-np.pi, np.pi) * 3), "Ishigami and Homma 1990, ISUMA"),
    "branin": Simulator(branin, _box(-5, 10, 0, 15), "Branin 1972, IBM J. Res. Dev. 16; Dixon and Szego 1978"),
    "rosenbrock_4": Simulator(rosenbrock, _box(*(-2, 2) * 4), "Rosenbrock 1960, The Computer Journal 3"),
    "hartmann_6": Simulator(hartmann_6, _box(*(0, 1) * 6), "Hartmann 1973; Dixon and Szego 1978"),
    "step": Simulator(step, _box(*(0, 1) * 3), "a jump at a curved front in three inputs; ours"),
}


def simulated(name: str, n: int, seed: int) -> tuple[Any, Any, Any, Any, str]:
    """Return candidates, labels, `n` test inputs, their labels and the source of a simulator."""
    simulator = SIMULATORS[name]
    rng = np.random.default_rng([seed, len(name), *name.encode()])
    X, X_test = simulator.sample(n, rng), simulator.sample(n, rng)
    return X, simulator.function(X), X_test, simulator.function(X_test), simulator.source
