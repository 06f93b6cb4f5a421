"""Trust-region subproblems: a quadratic in the intersection of a ball and a box."""

from __future__ import annotations

import math

import numpy as np

from dfoattack._typing import BoolArray, FloatArray
from dfoattack.kernels._jit import kernel

__all__ = ["augmented", "constrained_step", "trust_step"]

ROTATIONS = 24  # angles tried on an arc of the ball
CONVERGED = 1e-12  # of the first squared gradient
OUTER, INNER = 12, 12  # rounds of multipliers; steps a round
FEASIBLE = 1e-10  # violation of scaled models that is left


@kernel
def trust_step(
    g: FloatArray,
    H: FloatArray,
    start: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    radius: float,
    out_d: FloatArray,
) -> float:
    """Approximately minimise a quadratic in a ball round 0 cut by a box, and write the minimiser.

    Parameters
    ----------
    g : float64 (n,)            gradient at `start`
    H : float64 (n, n)          symmetric, may be indefinite
    start : float64 (n,)        inside ball and box
    lower, upper : float64 (n,) lower <= start <= upper, infinite ones are legal
    radius : float              > 0, of the ball
    out_d : float64 (n,)        overwritten; inside the box to the last bit, in the ball up to round-off

    Returns
    -------
    decrease : float            of the quadratic from `start`, >= 0

    Notes
    -----
    Conjugate gradients in the free variables; a variable that reaches a bound is fixed there and the iteration starts again. On the
    surface of the ball the point moves along arcs in the plane of itself and the gradient as long as that pays.
    Source: after Steihaug 1983, Powell 2009 (the bounds and the arcs). Twin: tests/kernels/naive.py::trust_step.
    """
    n = g.shape[0]
    d = out_d
    grad = np.empty(n)
    p = np.empty(n)
    Hp = np.empty(n)
    free = np.empty(n, dtype=np.bool_)
    first = 0.0
    for i in range(n):
        d[i] = start[i]
        grad[i] = g[i]
        free[i] = not ((d[i] <= lower[i] and g[i] >= 0.0) or (d[i] >= upper[i] and g[i] <= 0.0))
        if free[i]:
            first += g[i] * g[i]
    decrease = 0.0
    on_ball = False
    for _outer in range(2 * n + 2):
        if on_ball or first == 0.0:
            break
        size = 0.0
        count = 0
        for i in range(n):
            p[i] = -grad[i] if free[i] else 0.0
            size += p[i] * p[i]
            if free[i]:
                count += 1
        if size <= CONVERGED * first:
            break
        hit = -1
        for _inner in range(count):
            curvature = 0.0
            dd = 0.0
            dp = 0.0
            pp = 0.0
            slope = 0.0
            for i in range(n):
                total = 0.0
                for j in range(n):
                    total += H[i, j] * p[j]
                Hp[i] = total
                curvature += p[i] * total
                dd += d[i] * d[i]
                dp += d[i] * p[i]
                pp += p[i] * p[i]
                slope += grad[i] * p[i]
            if not slope < 0.0:
                break
            root = math.sqrt(max(0.0, dp * dp + pp * (radius * radius - dd)))
            to_ball = (radius * radius - dd) / (dp + root) if dp > 0.0 else (root - dp) / pp
            step = to_ball if to_ball > 0.0 else 0.0
            on_ball = True
            if curvature > 0.0 and -slope / curvature < step:
                step = -slope / curvature
                on_ball = False
            hit = -1
            for i in range(n):
                if free[i] and p[i] != 0.0:
                    room = ((upper[i] if p[i] > 0.0 else lower[i]) - d[i]) / p[i]
                    if room < step:
                        step = room if room > 0.0 else 0.0
                        hit = i
                        on_ball = False
            decrease -= step * (slope + 0.5 * step * curvature)
            before = size
            size = 0.0
            for i in range(n):
                d[i] = min(max(d[i] + step * p[i], lower[i]), upper[i])
                grad[i] += step * Hp[i]
                if free[i]:
                    size += grad[i] * grad[i]
            if hit >= 0:
                d[hit] = upper[hit] if p[hit] > 0.0 else lower[hit]
                free[hit] = False
                break
            if on_ball or size <= CONVERGED * first:
                break
            ratio = size / before
            for i in range(n):
                p[i] = ratio * p[i] - grad[i] if free[i] else 0.0
        if hit < 0 and not on_ball:
            # Converged among the free variables: one that was fixed may want to leave its bound.
            released = False
            for i in range(n):
                if not free[i] and ((d[i] <= lower[i] and grad[i] < 0.0) or (d[i] >= upper[i] and grad[i] > 0.0)):
                    if grad[i] * grad[i] > 1e-8 * first and upper[i] > lower[i]:
                        free[i] = True
                        released = True
            if not released:
                break
    if on_ball:
        decrease += _along_arcs(H, grad, free, lower, upper, d, p, Hp)
    return max(decrease, 0.0)


@kernel
def _along_arcs(
    H: FloatArray,
    grad: FloatArray,
    free: BoolArray,
    lower: FloatArray,
    upper: FloatArray,
    d: FloatArray,
    s: FloatArray,
    Hs: FloatArray,
) -> float:
    """Improve d in place along arcs of constant length in the free variables; returns the decrease.

    Notes
    -----
    d(t) = cos t d + sin t s with s orthogonal to d in the plane of d and the gradient; H d comes from differences of gradients.
    Source: after Powell 2009, section 3. Twin: tests/kernels/naive.py::_along_arcs.
    """
    n = d.shape[0]
    total = 0.0
    Hd = np.empty(n)
    for _round in range(n):
        dd = 0.0
        dg = 0.0
        gg = 0.0
        for i in range(n):
            if free[i]:
                dd += d[i] * d[i]
                dg += d[i] * grad[i]
                gg += grad[i] * grad[i]
        rest = dd * gg - dg * dg
        if dd <= 0.0 or not rest > 1e-8 * dd * gg:
            break
        # s of the length of d, downhill.
        scale = 1.0 / math.sqrt(rest)
        for i in range(n):
            s[i] = (dg * d[i] - dd * grad[i]) * scale if free[i] else 0.0
        sg = 0.0
        sHs = 0.0
        dHd = 0.0
        dHs = 0.0
        for i in range(n):
            one = 0.0
            two = 0.0
            for j in range(n):
                if free[j]:
                    one += H[i, j] * d[j]
                    two += H[i, j] * s[j]
            Hd[i] = one
            Hs[i] = two
            if free[i]:
                sg += s[i] * grad[i]
                dHd += d[i] * one
                dHs += d[i] * two
                sHs += s[i] * two
        # Angles up to a quarter turn, fewer where a bound is closer; the change is (cos - 1) d + sin s.
        best = 0.0
        best_cos = 0.0
        best_sin = 0.0
        widest = 0.5 * math.pi
        for _shrink in range(6):
            for k in range(1, ROTATIONS + 1):
                angle = widest * k / ROTATIONS
                a = math.cos(angle) - 1.0
                b = math.sin(angle)
                admissible = True
                for i in range(n):
                    if free[i]:
                        value = d[i] + a * d[i] + b * s[i]
                        if value < lower[i] or value > upper[i]:
                            admissible = False
                            break
                if not admissible:
                    break
                change = a * dg + b * sg + 0.5 * (a * a * dHd + 2.0 * a * b * dHs + b * b * sHs)
                if change < best:
                    best = change
                    best_cos = a
                    best_sin = b
            if best < 0.0:
                break
            widest *= 0.2
        if best >= 0.0:
            break
        for i in range(n):
            if free[i]:
                d[i] = min(max(d[i] + best_cos * d[i] + best_sin * s[i], lower[i]), upper[i])
            grad[i] += best_cos * Hd[i] + best_sin * Hs[i]
        total -= best
        if -best < 0.01 * total:
            break
    return total


@kernel
def augmented(
    c: FloatArray,
    g: FloatArray,
    H: FloatArray,
    equality: BoolArray,
    multipliers: FloatArray,
    penalty: float,
    s: FloatArray,
    out_values: FloatArray,
    out_g: FloatArray,
    out_H: FloatArray,
) -> float:
    """Value, gradient and Gauss-Newton Hessian at s of an augmented Lagrangian of quadratic models.

    Parameters
    ----------
    c, g, H : (m,), (m, n), (m, n, n)   models; 0 is the objective, the others constraints <= 0, or = 0 where `equality`
    equality : bool (m,)                entry 0 is ignored
    multipliers : float64 (m,)          entry 0 is ignored
    penalty : float                     > 0
    s : float64 (n,)
    out_values : float64 (m,)           overwritten with the values of the models
    out_g : float64 (n,);  out_H : float64 (n, n)   overwritten

    Returns
    -------
    value : float

    Notes
    -----
    Source: after Rockafellar 1973 (inequalities), Hestenes 1969. Twin: tests/kernels/naive.py::augmented.
    """
    m, n = g.shape
    row = np.empty(n)
    total = 0.0
    for i in range(n):
        out_g[i] = 0.0
        for j in range(n):
            out_H[i, j] = 0.0
    for k in range(m):
        value = c[k]
        for i in range(n):
            part = 0.0
            for j in range(n):
                part += H[k, i, j] * s[j]
            row[i] = g[k, i] + part
            value += s[i] * (g[k, i] + 0.5 * part)
        out_values[k] = value
        if k == 0:
            total += value
            for i in range(n):
                out_g[i] += row[i]
                for j in range(n):
                    out_H[i, j] += H[0, i, j]
            continue
        force = multipliers[k] + penalty * value
        if force <= 0.0 and not equality[k]:
            total -= 0.5 * multipliers[k] * multipliers[k] / penalty
            continue
        total += value * (multipliers[k] + 0.5 * penalty * value)
        for i in range(n):
            out_g[i] += force * row[i]
            for j in range(n):
                out_H[i, j] += force * H[k, i, j] + penalty * row[i] * row[j]
    return total


@kernel
def constrained_step(
    c: FloatArray,
    g: FloatArray,
    H: FloatArray,
    equality: BoolArray,
    lower: FloatArray,
    upper: FloatArray,
    radius: float,
    multipliers: FloatArray,
    out_s: FloatArray,
) -> float:
    """Approximately minimise model 0 subject to models k <= 0 (or = 0) in a ball round 0 cut by a box, from 0.

    Parameters
    ----------
    c, g, H : (m,), (m, n), (m, n, n)   models; 0 is the objective, m >= 2
    equality : bool (m,)                entry 0 is ignored
    lower, upper : float64 (n,)         lower <= 0 <= upper
    radius : float                      > 0
    multipliers : float64 (m,)          starting values, >= 0 for inequalities; overwritten with the final ones
    out_s : float64 (n,)                overwritten

    Returns
    -------
    violation : float                   largest violation of the models left

    Notes
    -----
    Augmented Lagrangian; every inner problem by trust-region steps on its Gauss-Newton model. Values are expected in units in which
    changes over the ball are of order one.
    Source: after Conn, Gould & Toint 1991. Twin: tests/kernels/naive.py::constrained_step.
    """
    m, n = g.shape
    s = out_s
    trial = np.empty(n)
    values = np.empty(m)
    new_values = np.empty(m)
    grad = np.empty(n)
    new_grad = np.empty(n)
    B = np.empty((n, n))
    new_B = np.empty((n, n))
    for i in range(n):
        s[i] = 0.0
    penalty = 10.0
    previous = math.inf
    violation = math.inf
    for _outer in range(OUTER):
        value = augmented(c, g, H, equality, multipliers, penalty, s, values, grad, B)
        reach = radius
        for _inner in range(INNER):
            decrease = _local_step(grad, B, s, lower, upper, radius, reach, trial)
            if not decrease > 1e-10 * (abs(value) + 1e-10):
                break
            new = augmented(c, g, H, equality, multipliers, penalty, trial, new_values, new_grad, new_B)
            if new < value:
                for i in range(n):
                    s[i] = trial[i]
                    grad[i] = new_grad[i]
                    for j in range(n):
                        B[i, j] = new_B[i, j]
                for k in range(m):
                    values[k] = new_values[k]
                if value - new > 0.5 * decrease:
                    reach = min(radius, 2.0 * reach)
                elif value - new < 0.1 * decrease:
                    reach *= 0.5
                value = new
            else:
                reach *= 0.25
                if reach < 1e-8 * radius:
                    break
        violation = 0.0
        for k in range(1, m):
            excess = abs(values[k]) if equality[k] else values[k]
            if excess > violation:
                violation = excess
            multipliers[k] += penalty * values[k]
            if multipliers[k] < 0.0 and not equality[k]:
                multipliers[k] = 0.0
        if violation <= FEASIBLE:
            break
        if violation > 0.25 * previous:
            penalty *= 10.0
        previous = violation
    return violation


@kernel
def _local_step(
    grad: FloatArray,
    B: FloatArray,
    s: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    radius: float,
    reach: float,
    out_trial: FloatArray,
) -> float:
    """Step of the quadratic (grad, B) at s inside ball and box and, coordinate by coordinate, at most `reach` away.

    Source: part of `constrained_step`. Twin: tests/kernels/naive.py::_local_step.
    """
    n = s.shape[0]
    low = np.empty(n)
    high = np.empty(n)
    for i in range(n):
        low[i] = max(lower[i], s[i] - reach)
        high[i] = min(upper[i], s[i] + reach)
    return trust_step(grad, B, s, low, high, radius, out_trial)
