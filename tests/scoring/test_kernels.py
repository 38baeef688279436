"""The compiled kernels are held to the NumPy definitions; and what they promise of their own."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rose.errors import PredictionError
from rose.scoring import metrics, score, top_k
from tests.scoring.conftest import probabilities, use_path, values

pytest.importorskip("numba")

Both = Callable[[Callable[[], Any]], tuple[Any, Any]]
# Float64: the same to rounding. Float32 and float16: logarithms of members are taken in float32.
NAMES = ["predictive_entropy", "mutual_information", "margin", "variation_ratio", "expected_pairwise_kl"]
CLOSE = {np.float64: 1e-12, np.float32: 3e-7, np.float16: 3e-7}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("members", [2, 3, 5, 20])
@pytest.mark.parametrize("classes", [1, 2, 3, 10, 16, 17, 300])
def test_classification(numpy_then_numba: Both, classes: int, members: int, dtype: Any) -> None:
    p = probabilities(members, 400, classes, dtype, seed=classes)
    y = np.arange(400) % classes
    plain, compiled = numpy_then_numba(lambda: score(p, metrics("classification"), y_true=y))
    for name in plain:
        np.testing.assert_allclose(compiled[name], plain[name], rtol=CLOSE[dtype], atol=CLOSE[dtype], err_msg=name)
    for name in ("predictive_entropy", "margin", "least_confidence", "variation_ratio", "vote_entropy", "brier"):
        np.testing.assert_allclose(compiled[name], plain[name], rtol=1e-14, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("members", [2, 3, 4, 5, 7, 8, 100, 500])
def test_regression(numpy_then_numba: Both, members: int, dtype: Any) -> None:
    x = values(members, 2500, dtype, seed=members)
    fitting = [m for m in metrics("regression") if "variances" not in m.needs]
    plain, compiled = numpy_then_numba(lambda: score(x, fitting, y_true=np.zeros(2500)))
    for name in plain:
        # The likelihood divides by a variance that may be tiny, and so magnifies its last bits.
        rtol = 1e-6 if name == "negative_log_likelihood" else 1e-9
        np.testing.assert_allclose(compiled[name], plain[name], rtol=rtol, atol=1e-12, err_msg=name)
    for name in ("predictive_interval_width", "interquartile_range", "range"):
        assert (compiled[name] == plain[name]).all(), name


@pytest.mark.parametrize("metric", ["predictive_entropy", "margin", "variation_ratio", "bald"])
def test_selections_agree(numpy_then_numba: Both, metric: str) -> None:
    p = probabilities(10, 5000, 10, np.float32)
    plain, compiled = numpy_then_numba(lambda: top_k(p, 200, metric))
    assert plain[0].tolist() == compiled[0].tolist()


def logarithm_errors() -> dict[str, float]:
    """The largest error of the compiled logarithm relative to max(|log x|, 0.35), by dtype."""
    import numba

    from rose.scoring._kernels.logarithm import log
    from rose.scoring._kernels.simd import LANES, load, store

    @numba.njit
    def logs(x: Any, out: Any) -> None:
        for at in range(0, len(x), LANES):
            store(out, at, log(load(x, at)))

    rng = np.random.default_rng(0)
    x = np.concatenate(
        [
            rng.random(200_000),
            1.0 - 10.0 ** -rng.uniform(1, 7, 50_000),
            10.0 ** -rng.uniform(0, 37, 49_984),
            np.ones(16),
        ]
    )
    found = {}
    for dtype in (np.float32, np.float64):
        given, out = x.astype(dtype), np.empty(len(x), dtype)
        logs(given, out)
        exact = np.log(given.astype(np.longdouble))
        found[dtype.__name__] = float((np.abs(out - exact) / np.maximum(np.abs(exact), 0.35)).max())
        assert (out[-16:] == 0.0).all()  # of 1
        logs(np.zeros(LANES, dtype), out[:LANES])
        assert np.isfinite(out[:LANES]).all()
    return found


def test_the_logarithm_keeps_its_error_bound() -> None:
    found = logarithm_errors()
    assert found["float32"] < 2e-7
    assert found["float64"] < 4e-16


def test_machines_without_wide_registers_have_another_that_keeps_it() -> None:
    """There it is compiled otherwise: here for a processor of 2013, and held to the same bounds."""
    if platform.machine() != "x86_64" or "avx512dq" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this machine is one of them, or cannot compile for them")
    done = run(
        """
        from tests.scoring.test_kernels import logarithm_errors

        found = logarithm_errors()
        assert found["float32"] < 2e-7 and found["float64"] < 4e-16, found
        """,
        NUMBA_CPU_NAME="haswell", NUMBA_CPU_FEATURES="+avx,+avx2,+fma,+bmi,+bmi2,+lzcnt",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("member", [0, 3, 6])
@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_wrong_numbers_are_found_on_the_way(path: str, dtype: Any, value: float, member: int) -> None:
    p = probabilities(7, 3000, 4, dtype)
    p[member, 2345, 2] = value
    with pytest.raises(PredictionError, match=f"member {member}, candidate 2345, column 2: the prediction is "):
        score(p, "margin")
    if value != -0.5:
        x = values(7, 3000, dtype)
        x[member, 2345] = value
        for metric in ("variance", "interval_width", "iqr"):
            with pytest.raises(PredictionError, match=f"member {member}, candidate 2345: the prediction is "):
                score(x, metric)


def test_one_unnormalised_member_is_found_on_the_way(path: str) -> None:
    p = probabilities(20, 3000, 4, np.float32)
    p[13] *= 0.99
    with pytest.raises(PredictionError, match=r"member 13, candidate 0: probabilities sum to 0\.99, not 1"):
        score(p, "bald")
    p[12] = 2.0 * p[12] - p[13]  # two that make up for each other
    with pytest.raises(PredictionError, match="member 12, candidate 0"):
        score(p, "bald")


def test_a_missing_member_is_dropped_for_that_candidate(path: str) -> None:
    p = probabilities(5, 2000, 3, np.float32)
    p[2, 100] = np.nan
    p[:2, 1500, 1] = np.nan
    found = score(p, ["bald", "margin"], nan="omit")
    for name, scores in found.items():
        rest = np.setdiff1d(np.arange(2000), [100, 1500])
        np.testing.assert_array_equal(scores[rest], score(p[:, rest], name))
        assert scores[100] == pytest.approx(score(p[[0, 1, 3, 4], 100:101], name)[0], abs=1e-6)
        assert scores[1500] == pytest.approx(score(p[2:, 1500:1501], name)[0], abs=1e-6)


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )


def test_importing_and_small_inputs_load_no_compiler() -> None:
    done = run(
        """
        import sys
        import rose.scoring
        assert "scipy" not in sys.modules
        rose.scoring.score([[[0.5, 0.5]]], "predictive_entropy")
        assert "numba" not in sys.modules
        """
    )
    assert done.returncode == 0, done.stderr


def test_without_numba_the_definitions_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    from rose.scoring import compiled

    monkeypatch.setattr(compiled, "WORTHWHILE", 0)
    monkeypatch.setattr(compiled, "kernels", lambda: None)
    p = probabilities(3, 50, 3)
    np.testing.assert_allclose(score(p, "margin")[:1], np.diff(np.sort(p[:, 0].mean(axis=0)))[-1:], atol=1e-15)


def test_no_place_for_a_cache_is_no_error(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    done = run(
        """
        import numba.core.caching as caching
        # what a read-only package without a home comes to
        (getattr(caching, "CacheImpl", None) or caching._CacheImpl)._locator_classes = []
        from rose.scoring._kernels.compiling import kernel

        @kernel
        def add(a, b):
            return a + b

        assert add(1, 2) == 3
        """
    )
    assert done.returncode == 0, done.stderr


def test_threads_may_score_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ThreadPoolExecutor

    use_path(monkeypatch, "numba")
    p = probabilities(5, 3000, 10, np.float32)
    expected = score(p, "bald")
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: score(p, "bald", threads=3, block_size=100), range(20)):
            assert (found == expected).all()


def test_certainty_is_exact_for_any_number_of_members(path: str) -> None:
    for members in [*range(2, 200), 999, 1000, 1023, 4097]:
        sure = np.zeros((members, 2, 3), dtype=np.float32)
        sure[..., 1] = 1.0
        found = score(sure, ["predictive_entropy", "margin", "least_confidence", "variation_ratio"])
        assert [float(s[0]) for s in found.values()] == [0.0, 1.0, 0.0, 0.0], members
