"""Slow, obvious twins of all kernels: same names, same inputs, results returned instead of written into ``out_*``."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
from scipy.optimize import linprog, minimize, nnls

# ---------------------------------------------------------------------------------------------------------- directions


def householder(v):
    v = np.asarray(v, dtype=float)
    n = len(v)
    if not v.any():
        return np.eye(n)
    v = v / np.abs(v).max()
    v = v / np.linalg.norm(v)
    return np.eye(n) - 2.0 * np.outer(v, v)


def scale_directions(H, rho):
    Z = np.zeros(H.shape)
    for r, d in enumerate(H):
        if d.any():
            Z[r] = np.rint(np.maximum(rho, 1.0) * (d / np.abs(d).max())) + 0.0
    return Z


def complete_negative(K, rho):
    total = [sum(column) for column in K.T.tolist()]
    shrink = max([1.0, *(abs(t) / max(r, 1.0) for t, r in zip(total, rho, strict=True))])
    return np.array([np.rint(-t / shrink) + 0.0 for t in total])


def _solve_exactly(A, b):
    """The solution of a square system in rational numbers, None if it is singular."""
    n = len(b)
    M = [[Fraction(float(value)) for value in row] + [Fraction(float(b[i]))] for i, row in enumerate(A)]
    for s in range(n):
        row = next((i for i in range(s, n) if M[i][s] != 0), None)
        if row is None:
            return None
        M[s], M[row] = M[row], M[s]
        M[s] = [value / M[s][s] for value in M[s]]
        for i in range(n):
            if i != s and M[i][s] != 0:
                M[i] = [value - M[i][s] * pivot for value, pivot in zip(M[i], M[s], strict=True)]
    return [M[i][n] for i in range(n)]


def completes(K, z_last):
    c = _solve_exactly(K.T, -z_last)
    return c is not None and min(c) > 0 and min(c) > Fraction(1, 10**8) * max(c)


# ---------------------------------------------------------------------------------------------------------------- cone


def equilibrate(Z):
    if not np.isfinite(Z).all() or not np.abs(Z).max(axis=0).all():
        return None
    A = Z / np.abs(Z).max(axis=0)
    A = A[np.abs(A).max(axis=1) > 0]
    return A / np.linalg.norm(A, axis=1, keepdims=True)


def numerical_rank(A):
    return int(np.linalg.matrix_rank(A))


def nonnegative_least_squares(A, b):
    return nnls(A.T, b)


def positive_basis_status(Z):
    """By linear programming: rank n, and 0 = sum lambda_i z_i with all lambda_i >= 1."""
    Z = Z[np.abs(Z).max(axis=1) > 0]
    k, n = Z.shape
    if k == 0 or np.linalg.matrix_rank(Z / np.abs(Z).max(axis=0).clip(1e-300)) < n:
        return 0
    A = Z / np.linalg.norm(Z, axis=1, keepdims=True)
    answer = linprog(np.ones(k), A_eq=A.T, b_eq=np.zeros(n), bounds=[(1.0, None)] * k, method="highs")
    return int(answer.status == 0)


def positive_basis_status_exactly(Z):
    """In whole numbers, for small n: no half-space {y : Z y >= 0} contains all rows.

    If the rows have rank n and some y != 0 has Z y >= 0, then so has a y that is orthogonal to n - 1 independent rows;
    those y are vectors of minors and can be enumerated.
    """
    rows = [[int(value) for value in row] for row in Z if row.any()]
    n = Z.shape[1]
    if not any(_determinant(list(square)) for square in itertools.combinations(rows, n)):
        return 0
    for chosen in itertools.combinations(rows, n - 1):
        y = [(-1) ** j * _determinant([[*row[:j], *row[j + 1 :]] for row in chosen]) for j in range(n)]
        products = [sum(a * b for a, b in zip(row, y, strict=True)) for row in rows]
        if any(y) and (min(products) >= 0 or max(products) <= 0):
            return 0
    return 1


def _determinant(rows):
    if not rows:
        return 1
    return sum(
        (-1) ** j * rows[0][j] * _determinant([[*row[:j], *row[j + 1 :]] for row in rows[1:]]) for j in range(len(rows))
    )


# ---------------------------------------------------------------------------------------------------------------- mesh


def pow10(k):
    return float(f"1e{min(max(k, -323), 308)}")


def decimal(a, b):
    return float(f"{a}e{b}")


def floor_exponent(q):
    """The largest k with 10^k <= q, read off the table of float64 powers."""
    return max([k for k in range(-323, 309) if float(f"1e{k}") <= q], default=-323)


def frame_from_request(request, g):
    out = []
    for wanted, grain in zip(request, g, strict=True):
        unit = grain if grain > 0 else 1.0
        if not (wanted > 0 and math.isfinite(wanted)):
            out.append((1, 0))
            continue
        sizes = [(a, b) for b in range(-300, 301) for a in (1, 2, 5)]
        below = [(a, b) for a, b in sizes if float(f"{a}e{b}") <= wanted / unit * (1 + 2.0**-50)]
        a, b = max(below, key=lambda size: float(f"{size[0]}e{size[1]}"), default=(1, -300))
        out.append((1, 0) if grain > 0 and b < 0 else (a, b))
    return np.array([a for a, b in out]), np.array([b for a, b in out])


def mesh_sizes(a, b, b0, g, x, scale):
    delta, Delta = np.empty(len(a)), np.empty(len(a))
    for i in range(len(a)):
        power = b[i] - abs(b[i] - b0[i])
        if g[i] > 0:
            Delta[i] = g[i] * float(f"{a[i]}e{b[i]}")
            delta[i] = g[i] * max(1.0, float(f"1e{power}"))
        else:
            Delta[i] = float(f"{a[i]}e{b[i]}")
            least = 2.0**-46 * max(abs(x[i]), scale[i])
            delta[i] = max(
                float(f"1e{power}"), min(float(f"1e{k}") for k in range(-323, 309) if float(f"1e{k}") >= least)
            )
    return delta, Delta


def enlarge_one(a, b):
    if (a, b) == (5, 300):
        return 5, 300
    return {1: (2, b), 2: (5, b), 5: (1, b + 1)}[a]


def refine_one(a, b, granular):
    if a == 1 and ((granular and b == 0) or b == -300):
        return 1, b
    return {5: (2, b), 2: (1, b), 1: (5, b - 1)}[a]


def enlarge(a, b, b0, g, step, Delta, anisotropy):
    rho = [Fraction(int(a[i])) * 10 ** abs(int(b[i]) - int(b0[i])) for i in range(len(a))]
    least = min([rho[i] for i in range(len(a)) if g[i] == 0], default=None)
    out = []
    for i in range(len(a)):
        behind = g[i] == 0 and b[i] < b0[i] and rho[i] > least**2
        chosen = abs(step[i]) > anisotropy * Delta[i] or behind
        out.append(enlarge_one(int(a[i]), int(b[i])) if chosen else (a[i], b[i]))
    return np.array([a for a, b in out]), np.array([b for a, b in out])


def refine(a, b, g):
    out = [refine_one(int(a[i]), int(b[i]), g[i] > 0) for i in range(len(a))]
    return np.array([a for a, b in out]), np.array([b for a, b in out])


def round_steps(D, delta):
    Z, lifted = np.rint(D / delta) + 0.0, 0
    for r in range(len(D)):
        if not Z[r].any():
            i = int(np.argmax(np.abs(D[r] / delta)))
            Z[r, i] = -1.0 if D[r, i] < 0 else 1.0
            lifted += 1
    return Z, lifted


def snap_one(value, lower, upper, g, inverse):
    if g > 0:
        value = (np.rint(value * inverse) / inverse if inverse > 0 else np.rint(value / g) * g) + 0.0
    return min(max(value, lower), upper)


def snap(X, lower, upper, g, inverse):
    return np.array([[snap_one(*entry) for entry in zip(x, lower, upper, g, inverse, strict=True)] for x in X])


def mesh_points(x, Z, delta, lower, upper, g, inverse):
    return snap(x + delta * Z, lower, upper, g, inverse)


# ------------------------------------------------------------------------------------------------------------ covering


def reciprocals(scale):
    return np.array([1.0 / s for s in scale])


def _squared(y, t, scale):
    total = 0.0
    for a, b, s in zip(y, t, scale, strict=True):
        total += ((a - b) / s) ** 2
    return total


def bounded_distance(A, i, B, j, weight):
    return _squared(A[i], B[j], 1.0 / weight)


def pool_update(Y, d2, T, scale):
    return np.array([min([d, *(_squared(y, t, scale) for t in T)]) for y, d in zip(Y, d2, strict=True)])


def pool_refresh(Y, d2, rows, V, n_history, scale):
    out = d2.copy()
    for row in rows:
        out[row] = min([_squared(Y[row], v, scale) for v in V[:n_history]], default=math.inf)
    return out


def ball_points(centre, radius, scale, lower, upper, normals, uniforms):
    n = len(centre)
    directions = [normal / np.linalg.norm(normal) for normal in normals]
    X = [centre + scale * radius * u ** (1.0 / n) * d for u, d in zip(uniforms, directions, strict=True)]
    return np.array([x for x in X if (lower <= x).all() and (x <= upper).all()]).reshape(-1, n)


def farthest(Y, d2, centre, radius, scale):
    inside = [j for j in range(len(Y)) if _squared(Y[j], centre, scale) <= radius**2 * (1 + 1e-12) and d2[j] > 0]
    return max(inside, key=lambda j: d2[j], default=-1)


def fill_distance(T, V, scale):
    return np.array([min([_squared(t, v, scale) for v in V], default=math.inf) for t in T])


# ------------------------------------------------------------------------------------------------------------- barrier

MOST = Fraction(float(np.finfo(float).max))


def add_square(h, violation):
    return _sum_of_squares([violation], start=Fraction(h))


def _sum_of_squares(violations, start=Fraction(0)):
    """Exact, then rounded; never 0 for a violation and never above the largest float64."""
    total = start + sum(Fraction(violation) ** 2 for violation in violations)
    value = float(min(total, MOST))
    return value if value > 0 or total == 0 else 5e-324


def violations(C, tol, scale, extreme, equality):
    h, heb, most = [], [], []
    for c in C:
        if not np.isfinite(c).all():
            h, heb, most = [*h, math.inf], [*heb, math.inf], [*most, math.inf]
            continue
        excess = [float(value) for value in np.where(equality, np.abs(c), c) - tol]
        over = [max(e, 0.0) / s for e, s in zip(excess, scale, strict=True)]
        h.append(_sum_of_squares([v for v, is_extreme in zip(over, extreme, strict=True) if not is_extreme]))
        heb.append(_sum_of_squares([v for v, is_extreme in zip(over, extreme, strict=True) if is_extreme]))
        most.append(max(excess, default=-math.inf))
    return np.array(h), np.array(heb), np.array(most)


def classify(f, h, f_feas, f_inf, h_inf, h_max):
    failed = not (math.isfinite(f) and math.isfinite(h))
    feasible = not failed and h == 0
    allowed = not failed and 0 < h <= h_max
    first = allowed and h_inf == math.inf
    dominates = f <= f_inf and h <= h_inf and (f, h) != (f_inf, h_inf)
    if (feasible and f < f_feas) or (allowed and not first and dominates):
        return 2
    if first or (allowed and h < h_inf):
        return 1
    return 0


def infeasible_incumbent(F, H, start, stop, h_max):
    allowed = [i for i in range(start, stop) if np.isfinite(F[i]) and np.isfinite(H[i]) and 0 < H[i] <= h_max]
    undominated = [
        i for i in allowed if not any(F[j] <= F[i] and H[j] <= H[i] and (F[j], H[j]) != (F[i], H[i]) for j in allowed)
    ]
    return min(undominated, key=lambda i: (F[i], H[i], i), default=-1)


def shrink_h_max(H, F, start, stop, h_old):
    return max([H[i] for i in range(start, stop) if np.isfinite(F[i]) and 0 < H[i] < h_old], default=h_old)


# ------------------------------------------------------------------------------------------------------- interpolation


def system_row(S, s):
    return np.array([0.5 * float(point @ s) ** 2 for point in S] + [1.0, *s])


def system(S):
    """The whole matrix W of the points S (p, n)."""
    p, n = S.shape
    W = np.zeros((p + 1 + n, p + 1 + n))
    for i, s in enumerate(S):
        W[i] = W[:, i] = system_row(S, s)[: p + 1 + n]
    W[p:, p:] = 0.0
    return W


def replacement_weights(inverse, w, squared, p):
    Hw = inverse @ w
    beta = 0.5 * squared**2 - w @ Hw
    return Hw, np.array([inverse[t, t] * beta + Hw[t] ** 2 for t in range(p)]), beta


def replace_inverse(inverse, Hw, beta, t):
    """W is recovered, its row and column t are exchanged, and it is inverted anew."""
    W = np.linalg.inv(inverse)
    w = W @ Hw
    W[t, :] = W[:, t] = w
    W[t, t] = beta + w @ Hw
    return np.linalg.inv(W)


def append_inverse(inverse, Hw, beta, p):
    W = np.linalg.inv(inverse)
    w = W @ Hw
    W = np.insert(np.insert(W, p, w, axis=0), p, np.insert(w, p, beta + w @ Hw), axis=1)
    return np.linalg.inv(W)


def model_values(c, g, H, s):
    return np.array([c[k] + g[k] @ s + 0.5 * s @ H[k] @ s for k in range(len(c))])


def update_models(column, residual, S, c, g, H):
    p = len(S)
    lagrange = sum(weight * np.outer(s, s) for weight, s in zip(column[:p], S, strict=True))
    models = [(c[k] + r * column[p], g[k] + r * column[p + 1 :], H[k] + r * lagrange) for k, r in enumerate(residual)]
    return tuple(np.array(part) for part in zip(*models, strict=True))


# -------------------------------------------------------------------------------------------------------- trust region


def _best_of(fun, jac, constraints, lower, upper, radius, begin, tries=12):
    """Least value that SLSQP finds in ball and box from many starts, with its point; only admissible points count."""
    rng, n = np.random.default_rng(3), len(lower)
    ball = {"type": "ineq", "fun": lambda d: radius**2 - d @ d, "jac": lambda d: -2.0 * d}
    low, high = np.maximum(lower, -radius), np.minimum(upper, radius)
    found = []
    for start in [begin, *(rng.uniform(-1.0, 1.0, (tries, n)) * radius)]:
        answer = minimize(
            fun,
            np.clip(start, low, high),
            jac=jac,
            bounds=list(zip(low, high, strict=True)),
            constraints=[ball, *constraints],
            method="SLSQP",
            options={"maxiter": 300, "ftol": 1e-14},
        )
        x = np.clip(answer.x, low, high)
        x = x * min(1.0, radius / max(float(np.linalg.norm(x)), 1e-300))
        x = np.clip(x, low, high)
        if np.isfinite(x).all() and all(np.min(c["fun"](x)) >= -1e-7 for c in constraints):
            found.append((float(fun(x)), x))
    return min(found, key=lambda pair: pair[0], default=(math.inf, begin))


def trust_step(g, H, start, lower, upper, radius, tries=12):
    """The decrease of the quadratic from `start`, by SLSQP from many starts."""

    def change(d):
        return g @ (d - start) + 0.5 * (d - start) @ H @ (d - start)

    value, d = _best_of(change, lambda d: g + H @ (d - start), [], lower, upper, radius, start, tries)
    return max(-value, 0.0), d


def _along_arcs(H, grad, free, lower, upper, d, rotations):
    """The same arcs with whole vectors; the quadratic is evaluated as it is."""
    d, grad, total = d.copy(), grad.copy(), 0.0
    for _ in range(len(d)):
        z, q = d[free], grad[free]
        rest = (z @ z) * (q @ q) - (z @ q) ** 2
        if z @ z <= 0.0 or not rest > 1e-8 * (z @ z) * (q @ q):
            break
        s = np.zeros(len(d))
        s[free] = ((z @ q) * z - (z @ z) * q) / math.sqrt(rest)
        widest, best, move = 0.5 * math.pi, 0.0, None
        for _ in range(6):
            for k in range(1, rotations + 1):
                angle = widest * k / rotations
                delta = np.where(free, (math.cos(angle) - 1.0) * d + math.sin(angle) * s, 0.0)
                if ((d + delta < lower) | (d + delta > upper))[free].any():
                    break
                change = grad @ delta + 0.5 * delta @ H @ delta
                if change < best:
                    best, move = change, delta
            if move is not None:
                break
            widest *= 0.2
        if move is None:
            break
        d, grad, total = np.clip(d + move, lower, upper), grad + H @ move, total - best
        if -best < 0.01 * total:
            break
    return total, d


def augmented(c, g, H, equality, multipliers, penalty, s):
    values = model_values(c, g, H, s)
    slopes = np.array([g[k] + H[k] @ s for k in range(len(c))])
    total, gradient, hessian = values[0], slopes[0].copy(), H[0].copy()
    for k in range(1, len(c)):
        force = multipliers[k] + penalty * values[k]
        if equality[k] or force > 0.0:
            total += multipliers[k] * values[k] + 0.5 * penalty * values[k] ** 2
            gradient += force * slopes[k]
            hessian += force * H[k] + penalty * np.outer(slopes[k], slopes[k])
        else:
            total -= 0.5 * multipliers[k] ** 2 / penalty
    return values, gradient, hessian, total


def constrained_step(c, g, H, equality, lower, upper, radius, tries=12):
    """Least value of model 0 by SLSQP from many starts (inf where none is feasible), and the point."""

    def constraint(k):
        sign = 1.0 if equality[k] else -1.0
        kind = "eq" if equality[k] else "ineq"
        return {
            "type": kind,
            "fun": lambda s: sign * (c[k] + g[k] @ s + 0.5 * s @ H[k] @ s),
            "jac": lambda s: sign * (g[k] + H[k] @ s),
        }

    def fun(s):
        return c[0] + g[0] @ s + 0.5 * s @ H[0] @ s

    rows = [constraint(k) for k in range(1, len(c))]
    return _best_of(fun, lambda s: g[0] + H[0] @ s, rows, lower, upper, radius, np.zeros(len(lower)), tries)


def _local_step(grad, B, s, lower, upper, radius, reach, tries=12):
    low, high = np.maximum(lower, s - reach), np.minimum(upper, s + reach)
    return trust_step(grad, B, s, low, high, radius, tries)


# ------------------------------------------------------------------------------------------------------------ wrapping


def wrap_one(value, lower, upper, period):
    """In rational numbers, rounded once; upper is lower."""
    if period <= 0 or lower <= value < upper:
        return value
    inside = float(Fraction(lower) + (Fraction(value) - Fraction(lower)) % Fraction(period))
    return lower if inside >= upper else inside


def snap_periodic(value, lower, upper, period, g, inverse):
    snapped = snap_one(wrap_one(value, lower, upper, period), lower, upper, g, inverse)
    return lower if period > 0 and snapped >= upper else snapped


def mesh_points_wrapped(x, Z, delta, lower, upper, period, g, inverse):
    return snap_wrapped(x + delta * Z, lower, upper, period, g, inverse)


def snap_wrapped(X, lower, upper, period, g, inverse):
    columns = list(zip(lower, upper, period, g, inverse, strict=True))
    return np.array([[snap_periodic(v, *columns[i]) for i, v in enumerate(row)] for row in X])


def wrapped_distance(A, i, B, j, weight, metric):
    total = 0.0
    for a, b, w, m in zip(A[i], B[j], weight, metric, strict=True):
        if m < 0:
            t = 0.0 if a == b else -m
        elif m > 0:
            t = w * min(abs(a - b + k * m) for k in range(-3, 4))
        else:
            t = w * (a - b)
        total += t * t
    return total


def pool_update_wrapped(Y, d2, T, scale, metric):
    return np.array(
        [
            min([d2[j], *(wrapped_distance(Y, j, T, r, 1.0 / scale, metric) for r in range(len(T)))])
            for j in range(len(Y))
        ]
    )


def pool_refresh_wrapped(Y, d2, rows, V, n_history, scale, metric):
    out = d2.copy()
    for j in rows:
        out[j] = min([math.inf, *(wrapped_distance(Y, j, V, v, 1.0 / scale, metric) for v in range(n_history))])
    return out


def fill_distance_wrapped(T, V, scale, metric):
    return pool_update_wrapped(T, np.full(len(T), np.inf), V, scale, metric)


def linear_inside(X, A, b, E, d, slack):
    def total(row, x):
        return sum((float(a) * float(v) for a, v in zip(row, x, strict=True)), 0.0)

    def met(row, x, right):
        size = abs(right) + sum(abs(float(a) * float(v)) for a, v in zip(row, x, strict=True))
        return abs(sum((float(a) * float(v) for a, v in zip(row, x, strict=True)), -float(right))) <= slack * size

    return np.array(
        [
            all(total(row, x) <= right for row, right in zip(A, b, strict=True))
            and all(met(row, x, right) for row, right in zip(E, d, strict=True))
            for x in X
        ],
        dtype=bool,
    )


# --------------------------------------------------------------------------------------------------------- hypervolume


def nondominated(F):
    def dominates(a, b):
        return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))

    rows = [tuple(row) for row in np.asarray(F, dtype=float).tolist()]
    return np.array(
        [not any(dominates(other, row) for other in rows) and row not in rows[:i] for i, row in enumerate(rows)],
        dtype=bool,
    )


def longest_step(x, step, A, b, lower, upper):
    rows = np.vstack([A, np.eye(len(x)), -np.eye(len(x))])
    right = np.concatenate([b, upper, -lower])
    t = 1.0
    for row, limit in zip(rows, right, strict=True):
        rate = float(row @ step)
        if rate > 0.0 and np.isfinite(limit):
            t = min(t, max(float(limit - row @ x), 0.0) / rate)
    return t


def hypervolume(F, ref):
    """Cut the space at every coordinate and add up the cells that some point dominates."""
    points = [row for row in np.asarray(F, dtype=float).tolist() if all(x < r for x, r in zip(row, ref, strict=True))]
    cuts = [sorted({row[c] for row in points} | {float(r)}) for c, r in enumerate(ref)]
    total = 0.0
    for cell in itertools.product(*(range(len(cut) - 1) for cut in cuts)):
        corner = [cut[i] for cut, i in zip(cuts, cell, strict=True)]
        if any(all(x <= c for x, c in zip(row, corner, strict=True)) for row in points):
            total += math.prod(cut[i + 1] - cut[i] for cut, i in zip(cuts, cell, strict=True))
    return total


def insert_sorted(F, column, row, size, order):
    return sorted([*order[:size].tolist(), row], key=lambda i: F[i, column])


def add_to_stairs(x, y, size, sx, sy):
    points = [*zip(sx[:size].tolist(), sy[:size].tolist(), strict=True), (x, y)]
    return sorted(p for p, keep in zip(points, nondominated(points), strict=True) if keep)


def stairs_area(rx, ry, size, sx, sy):
    return hypervolume(np.column_stack([sx[:size], sy[:size]]), [rx, ry])


def sweep(F, order, count, ref, sx, sy):
    return hypervolume(F[order[:count], :3], ref[:3])
