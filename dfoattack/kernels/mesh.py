"""The granular mesh: sizes, their updates, rounding of steps, trial points inside the box.

A variable's frame size is G * a * 10^b with mantissa a in {1, 2, 5}; G is its granularity g, or 1 where g = 0
(continuous).
"""

from __future__ import annotations

import numpy as np

from dfoattack._typing import FloatArray, IntArray
from dfoattack.kernels._jit import kernel

# 10.0**k may be an ulp off and differs between math libraries; these are the correctly rounded powers, k = -323 .. 308.
POW10 = np.array([float(f"1e{k}") for k in range(-323, 309)])
LEAST_EXPONENT = -323
# Exponents of frame sizes stay inside +-MOST_EXPONENT, so that every size is positive and finite.
MOST_EXPONENT = 300
# A request that misses a grid value by round-off (0.3 / 0.1 < 3) still counts as that value.
ROUND_OFF = 1.0 + 2.0**-50
# Mesh sizes below 2^-46 of the coordinate would leave too few digits for x + delta * z.
MESH_FLOOR = 2.0**-46


@kernel
def pow10(k: int) -> float:
    """Return the float64 nearest to 10^k; k is clipped to [-323, 308].

    Source: standard. Twin: tests/kernels/naive.py::pow10.
    """
    k = min(max(k, LEAST_EXPONENT), LEAST_EXPONENT + POW10.shape[0] - 1)
    return float(POW10[k - LEAST_EXPONENT])


@kernel
def decimal(a: int, b: int) -> float:
    """Return a * 10^b; for |b| <= 22 the float64 nearest to it.

    Notes
    -----
    A negative power divides by the exact 10^-b: 5 * 1e-5 may miss 5e-5 by an ulp, 5 / 1e5 does not.
    Source: after Clinger 1990. Twin: tests/kernels/naive.py::decimal.
    """
    if -308 <= b < 0:
        return a / pow10(-b)
    return a * pow10(b)


@kernel
def floor_exponent(q: float) -> int:
    """Return the largest k with 10^k <= q, for q >= 1e-323 (smaller q: -323); exact, without a logarithm.

    Source: standard (bisection in the table). Twin: tests/kernels/naive.py::floor_exponent.
    """
    low = 0
    high = POW10.shape[0]
    while high - low > 1:
        middle = (low + high) // 2
        if POW10[middle] <= q:
            low = middle
        else:
            high = middle
    return low + LEAST_EXPONENT


@kernel
def frame_from_request(request: FloatArray, g: FloatArray, out_a: IntArray, out_b: IntArray) -> None:
    """Round requested frame sizes down to G * a * 10^b.

    Parameters
    ----------
    request : float64 (n,)      > 0 and finite, user units; anything else counts as G
    g : float64 (n,)            granularity, >= 0; 0 = continuous
    out_a : int64 (n,)          overwritten, 1, 2 or 5
    out_b : int64 (n,)          overwritten, in [-300, 300]; >= 0 for granular variables, whose frame is at least g

    Notes
    -----
    A frame is never above its request by more than round-off (2^-50): 0.3 -> 0.2, 0.02 -> 0.02, 0.09 -> 0.05, 10^k ->
    10^k.
    Source: after Audet, Le Digabel & Tribes 2019 (granular mesh), with the floor instead of their nearest value.
    Twin: tests/kernels/naive.py::frame_from_request.
    """
    for i in range(request.shape[0]):
        G = g[i] if g[i] > 0.0 else 1.0
        a = 1
        b = 0
        if 0.0 < request[i] < np.inf:
            q = request[i] / G * ROUND_OFF
            b = floor_exponent(q)
            if b > MOST_EXPONENT:
                b = MOST_EXPONENT
            elif b < -MOST_EXPONENT:
                b = -MOST_EXPONENT
            if decimal(5, b) <= q:
                a = 5
            elif decimal(2, b) <= q:
                a = 2
            if g[i] > 0.0 and b < 0:
                a = 1
                b = 0
        out_a[i] = a
        out_b[i] = b


@kernel
def mesh_sizes(
    a: IntArray,
    b: IntArray,
    b0: IntArray,
    g: FloatArray,
    x: FloatArray,
    scale: FloatArray,
    out_delta: FloatArray,
    out_Delta: FloatArray,
) -> None:
    """Compute mesh sizes and frame sizes from mantissas and exponents.

    Parameters
    ----------
    a, b, b0 : int64 (n,)       mantissa, exponent, initial exponent
    g : float64 (n,)            granularity, 0 = continuous
    x : float64 (n,)            the centre, user units, finite: its size sets the floating-point floor
    scale : float64 (n,)        the metric s, > 0, user units
    out_delta : float64 (n,)    overwritten with mesh sizes, > 0, user units
    out_Delta : float64 (n,)    overwritten with frame sizes, > 0, user units

    Notes
    -----
    Continuous: Delta = a 10^b, delta = 10^(b - |b - b0|), but at least the power of ten next above 2^-46 max(|x_i|,
    s_i). Granular: Delta = g a 10^b, delta = g max(1, 10^(b - |b - b0|)).
    The floor holds delta alone, Delta goes on shrinking; where |x_i| is far above s_i it can fall below delta.
    Source: after Audet, Le Digabel & Tribes 2019; the floor is ours. Twin: tests/kernels/naive.py::mesh_sizes.
    """
    for i in range(a.shape[0]):
        exponent = b[i] - abs(b[i] - b0[i])
        if g[i] > 0.0:
            out_Delta[i] = g[i] * decimal(a[i], b[i])
            out_delta[i] = g[i] * (pow10(exponent) if exponent > 0 else 1.0)
        else:
            out_Delta[i] = decimal(a[i], b[i])
            size = abs(x[i]) if abs(x[i]) > scale[i] else scale[i]
            least = floor_exponent(size * MESH_FLOOR)
            if pow10(least) < size * MESH_FLOOR:
                least += 1
            out_delta[i] = pow10(exponent if exponent > least else least)


@kernel
def enlarge_one(a: int, b: int) -> tuple[int, int]:
    """Return the next larger (a, b): 1 -> 2 -> 5 -> 10; stays at 5 * 10^300.

    Source: after Audet, Le Digabel & Tribes 2019. Twin: tests/kernels/naive.py::enlarge_one.
    """
    if a == 1:
        return 2, b
    if a == 2 or b >= MOST_EXPONENT:
        return 5, b
    return 1, b + 1


@kernel
def refine_one(a: int, b: int, granular: bool) -> tuple[int, int]:
    """Return the next smaller (a, b): 5 -> 2 -> 1 -> 0.5; a granular variable stays at (1, 0), any at 1 * 10^-300.

    Source: after Audet, Le Digabel & Tribes 2019. Twin: tests/kernels/naive.py::refine_one.
    """
    if a == 5:
        return 2, b
    if a == 2 or (granular and b <= 0) or b <= -MOST_EXPONENT:
        return 1, b
    return 5, b - 1


@kernel
def enlarge(
    a: IntArray,
    b: IntArray,
    b0: IntArray,
    g: FloatArray,
    step: FloatArray,
    Delta: FloatArray,
    anisotropy: float,
    out_a: IntArray,
    out_b: IntArray,
) -> None:
    """Enlarge by one notch the frames in which a successful step was long, and those that have fallen far behind.

    Parameters
    ----------
    a, b, b0 : int64 (n,)       mantissa, exponent, initial exponent
    g : float64 (n,)            granularity, 0 = continuous
    step : float64 (n,)         the successful step, user units
    Delta : float64 (n,)        frame sizes when it was made, user units
    anisotropy : float          >= 0; 0 enlarges every variable that moved
    out_a, out_b : int64 (n,)   overwritten; may be a and b themselves

    Notes
    -----
    Variable i is enlarged iff |step_i| > anisotropy * Delta_i, or it is continuous, below its initial exponent, and
    rho_i > (min_j rho_j)^2 over the continuous j, with rho = a 10^|b - b0|. Compared as rho_i / min > min: the square
    would overflow.
    Source: after Audet, Le Digabel & Tribes 2016 (dynamic scaling). Twin: tests/kernels/naive.py::enlarge.
    """
    n = a.shape[0]
    least = np.inf
    for i in range(n):
        if not g[i] > 0.0:
            rho = a[i] * pow10(abs(b[i] - b0[i]))
            if rho < least:
                least = rho
    for i in range(n):
        new_a = a[i]
        new_b = b[i]
        behind = False
        if not g[i] > 0.0 and b[i] < b0[i]:
            behind = a[i] * pow10(abs(b[i] - b0[i])) / least > least
        if behind or abs(step[i]) > anisotropy * Delta[i]:
            new_a, new_b = enlarge_one(a[i], b[i])
        out_a[i] = new_a
        out_b[i] = new_b


@kernel
def refine(a: IntArray, b: IntArray, g: FloatArray, out_a: IntArray, out_b: IntArray) -> None:
    """Refine every variable by one notch; a granular one stays at its granularity.

    Parameters
    ----------
    a, b : int64 (n,)           mantissa, exponent
    g : float64 (n,)            granularity, 0 = continuous
    out_a, out_b : int64 (n,)   overwritten; may be a and b themselves

    Notes
    -----
    Source: after Audet, Le Digabel & Tribes 2019. Twin: tests/kernels/naive.py::refine.
    """
    for i in range(a.shape[0]):
        out_a[i], out_b[i] = refine_one(a[i], b[i], g[i] > 0.0)


@kernel
def round_steps(D: FloatArray, delta: FloatArray, out_z: FloatArray) -> int:
    """Turn displacements into integer mesh steps that are never all zero.

    Parameters
    ----------
    D : float64 (k, n)          displacements, user units, finite
    delta : float64 (n,)        mesh sizes, > 0, user units
    out_z : float64 (k, n)      overwritten with integers stored as float64 (no -0.0)

    Returns
    -------
    n_lifted : int              rows that rounding had sent to zero and that were lifted

    Notes
    -----
    z = rint(d / delta). rint is odd, so a pair +d, -d stays a pair; a positive spanning set may still be lost (checked
    by the caller). A zero row gets one unit in the coordinate with the largest |d_i| / delta_i, lowest index on ties,
    with the sign of d_i (a row of exact zeros: +1 in coordinate 0).
    Source: after Audet, Le Digabel & Tribes 2019. Twin: tests/kernels/naive.py::round_steps.
    """
    k, n = D.shape
    n_lifted = 0
    for r in range(k):
        zero = True
        longest = -1.0
        at = 0
        for i in range(n):
            ratio = D[r, i] / delta[i]
            out_z[r, i] = np.rint(ratio) + 0.0
            if out_z[r, i] != 0.0:
                zero = False
            if abs(ratio) > longest:
                longest = abs(ratio)
                at = i
        if zero and n > 0:
            out_z[r, at] = -1.0 if D[r, at] < 0.0 else 1.0
            n_lifted += 1
    return n_lifted


@kernel
def snap_one(value: float, lower: float, upper: float, g: float, inverse: float) -> float:
    """Round to the lattice of multiples of g (nothing to do where g = 0) and clip exactly to [lower, upper].

    Parameters
    ----------
    value : float               user units
    lower, upper : float        lower <= upper; on the lattice where g > 0; infinite ones are legal
    g : float                   granularity, 0 = continuous
    inverse : float             1 / g where that is a whole number, else 0; 3 / 10 is 0.3 but 3 * 0.1 is not

    Source: the lattice is ours. Twin: tests/kernels/naive.py::snap_one.
    """
    if g > 0.0:
        if inverse > 0.0:
            value = np.rint(value * inverse) / inverse + 0.0
        else:
            value = np.rint(value / g) * g + 0.0
    if value < lower:
        return lower
    if value > upper:
        return upper
    return value


@kernel
def mesh_points(
    x: FloatArray,
    Z: FloatArray,
    delta: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    g: FloatArray,
    inverse: FloatArray,
    out_X: FloatArray,
) -> None:
    """Write the trial points x + delta * z, on the lattice and inside the box to the last bit.

    Parameters
    ----------
    x : float64 (n,)            the centre, inside the box, user units
    Z : float64 (k, n)          integer mesh steps
    delta : float64 (n,)        mesh sizes, > 0, user units
    lower, upper : float64 (n,) bounds, user units; infinite ones are legal
    g, inverse : float64 (n,)   granularity and its whole inverse, as for `snap_one`
    out_X : float64 (k, n)      overwritten; a coordinate outside is set exactly to the bound

    Notes
    -----
    Finiteness of the mesh survives the clipping: each coordinate lives on lattices based at x0_i, lower_i or upper_i.
    A granular coordinate always comes out on the lattice, whatever round-off the sum made.
    Source: after Audet, Le Digabel & Tribes 2019. Twin: tests/kernels/naive.py::mesh_points.
    """
    k, n = Z.shape
    for r in range(k):
        for i in range(n):
            out_X[r, i] = snap_one(x[i] + delta[i] * Z[r, i], lower[i], upper[i], g[i], inverse[i])


@kernel
def snap(
    X: FloatArray, lower: FloatArray, upper: FloatArray, g: FloatArray, inverse: FloatArray, out_X: FloatArray
) -> None:
    """Round points to the lattice and clip them exactly to the box.

    Parameters
    ----------
    X : float64 (k, n)          points, user units
    lower, upper : float64 (n,) bounds, user units; on the lattice where g > 0; infinite ones are legal
    g, inverse : float64 (n,)   granularity and its whole inverse, as for `snap_one`
    out_X : float64 (k, n)      overwritten; may be X itself

    Notes
    -----
    Source: the lattice is ours. Twin: tests/kernels/naive.py::snap.
    """
    k, n = X.shape
    for r in range(k):
        for i in range(n):
            out_X[r, i] = snap_one(X[r, i], lower[i], upper[i], g[i], inverse[i])
