"""The problems of Moré and Wild against what the authors' programs print, and against Levenberg and Marquardt."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares

from benchmarks import suites
from benchmarks.suites import more_wild

# f at the start: smooth, noisy, nonsmooth, as printed by the authors' own programs.
PUBLISHED = """
1 7.20000e+01 7.19428e+01 5.40000e+01
2 1.12500e+03 1.12405e+03 2.25000e+02
3 1.16542e+07 1.16443e+07 1.76050e+04
4 1.16859e+09 1.16771e+09 1.76365e+05
5 4.98920e+06 4.98494e+06 1.11890e+04
6 5.00936e+08 5.00558e+08 1.12169e+05
7 2.42000e+01 2.41953e+01 6.60000e+00
8 1.79577e+06 1.79407e+06 1.35300e+03
9 2.50000e+03 2.50215e+03 5.00000e+01
10 1.06000e+04 1.05909e+04 1.40000e+02
11 2.15000e+02 2.15057e+02 2.28852e+01
12 1.61540e+06 1.61525e+06 1.45727e+03
13 4.00500e+02 4.00899e+02 2.40000e+01
14 1.54575e+08 1.54489e+08 1.73760e+04
15 4.16817e+01 4.16979e+01 2.18829e+01
16 1.30623e+03 1.30579e+03 1.39339e+02
17 5.31317e-03 5.31185e-03 1.95153e-01
18 1.69361e+09 1.69338e+09 1.33046e+05
19 1.64308e+01 1.64338e+01 1.58545e+01
20 2.32337e+06 2.32392e+06 5.42767e+03
21 2.69042e+01 2.69298e+01 2.24125e+01
22 8.15888e+06 8.16061e+06 8.54458e+03
23 7.36782e+01 7.36733e+01 3.43398e+01
24 2.05938e+07 2.05759e+07 1.18978e+04
25 1.03115e+03 1.03165e+03 9.91512e+01
26 4.17131e+03 4.17513e+03 1.20588e+02
27 7.92669e+06 7.92937e+06 1.13038e+04
28 3.08106e+11 3.08386e+11 2.41278e+06
29 4.64282e-02 4.63839e-02 3.29087e-01
30 3.37706e-02 3.37880e-02 2.75893e-01
31 3.86177e-02 3.86560e-02 3.46953e-01
32 2.88830e-02 2.88622e-02 2.91449e-01
33 3.37633e-02 3.37317e-02 3.53857e-01
34 2.67406e-02 2.67299e-02 3.16982e-01
35 2.73248e+02 2.73508e+02 5.04990e+01
36 1.61741e+01 1.61588e+01 1.63733e+01
37 2.09342e+00 2.09278e+00 9.60594e+00
38 1.99685e+02 1.99878e+02 5.49148e+01
39 9.04000e+02 9.03152e+02 6.40000e+01
40 1.35600e+03 1.35466e+03 9.60000e+01
41 1.58200e+03 1.58097e+03 1.12000e+02
42 1.80800e+03 1.80885e+03 1.28000e+02
43 5.65000e+01 5.65201e+01 1.55000e+01
44 7.05625e+01 7.05752e+01 1.92500e+01
45 9.86875e+01 9.87522e+01 2.67500e+01
46 2.53908e+09 2.53762e+09 1.12235e+05
47 6.87380e+12 6.87417e+12 5.83904e+06
48 3.36796e+09 3.36590e+09 1.62440e+05
49 3.73513e+09 3.73726e+09 1.90072e+05
50 3.99107e+09 3.98712e+09 2.13528e+05
51 1.13001e+13 1.12997e+13 1.13405e+07
52 9.38567e+00 9.37970e+00 4.92225e+00
53 3.36582e+10 3.36341e+10 2.64839e+05
"""


def test_published_start_values() -> None:
    rows = [line.split() for line in PUBLISHED.strip().splitlines()]
    for column, name in enumerate(("more-wild", "more-wild-noisy", "more-wild-nonsmooth"), start=1):
        instances = suites.load(name).instances()
        assert len(instances) == len(rows) == 53
        for instance, row in zip(instances, rows, strict=True):
            problem = instance.problem()
            value = problem.objective(instance.start(0)[None])[0]
            assert float(f"{value:.5e}") == pytest.approx(float(row[column]), rel=1.1e-5), instance.title


LOCAL_FROM_THE_START = {"freudenstein-roth": 48.98425367924}


@pytest.mark.parametrize("row", more_wild.ROWS, ids=lambda row: f"{row.function}-{row.n}")
def test_minimum_is_where_levenberg_and_marquardt_end(row: more_wild.Row) -> None:
    def residuals(x: np.ndarray) -> np.ndarray:
        return more_wild.FUNCTIONS[row.function][0](x[None], row.m)[0]

    x = more_wild.standard_start(row.function, row.n, 0)
    for _ in range(2):
        scale = np.maximum(np.abs(x), 1e-3)
        x = least_squares(residuals, x, method="lm", x_scale=scale, xtol=1e-15, ftol=1e-15, gtol=1e-15).x
    value = float(np.sum(residuals(x) ** 2))
    expected = LOCAL_FROM_THE_START.get(row.function, row.minimum)
    assert value == pytest.approx(expected, rel=1e-6, abs=1e-15)
    assert value >= row.minimum * (1.0 - 1e-12)


def test_noise_is_deterministic_and_small() -> None:
    X = np.random.default_rng(1).uniform(-3.0, 3.0, (500, 4))
    phi = more_wild.oscillation(X)
    assert np.array_equal(phi, more_wild.oscillation(X.copy()))
    assert np.all(np.abs(phi) <= 1.0) and phi.min() < -0.9 and phi.max() > 0.9
    smooth, rough = more_wild.SumOfSquares("powell-singular", 4)(X), more_wild.Noisy("powell-singular", 4)(X)
    assert np.allclose(rough / smooth - 1.0, 1e-3 * phi, atol=1e-14)


def test_overflow_gives_no_warning() -> None:
    for instance in suites.load("more-wild").instances():
        far = np.array([np.full(instance.n, 1e200), np.full(instance.n, -1e200), np.zeros(instance.n)])
        assert instance.problem().objective(far).shape == (3,)  # warnings are errors here
