"""Does a set of directions positively span the space? Scaling, rank, and a non-negative least squares problem."""

from __future__ import annotations

import math

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.kernels._jit import kernel


@kernel
def equilibrate(Z: FloatArray, out_A: FloatArray) -> int:
    """Scale columns to largest entry 1 and rows to length 1, leaving zero rows out.

    Parameters
    ----------
    Z : float64 (k, n)          directions, one a row
    out_A : float64 (k, n)      the first rows are overwritten with the scaled non-zero rows, in order

    Returns
    -------
    count : int                 rows written; -1 if some entry is not finite or some column is zero

    Notes
    -----
    Positive factors on rows and on columns change neither the rank nor whether the rows positively span.
    Source: standard. Twin: tests/kernels/naive.py::equilibrate.
    """
    k, n = Z.shape
    factor = np.empty(n)
    for j in range(n):
        largest = 0.0
        for r in range(k):
            if not math.isfinite(Z[r, j]):
                return -1
            if abs(Z[r, j]) > largest:
                largest = abs(Z[r, j])
        if largest == 0.0:
            return -1
        factor[j] = largest
    count = 0
    for r in range(k):
        total = 0.0
        for j in range(n):
            out_A[count, j] = Z[r, j] / factor[j]
            total += out_A[count, j] * out_A[count, j]
        if total > 0.0:
            length = math.sqrt(total)
            for j in range(n):
                out_A[count, j] /= length
            count += 1
    return count


@kernel
def numerical_rank(A: FloatArray, tol: float) -> int:
    """Count the pivots of Gaussian elimination with complete pivoting that exceed tol times the first.

    Parameters
    ----------
    A : float64 (k, n)          finite; not changed
    tol : float                 relative, in (0, 1)

    Returns
    -------
    rank : int                  in [0, min(k, n)]

    Notes
    -----
    Source: Golub & Van Loan, Matrix Computations, section 3.4. Twin: tests/kernels/naive.py::numerical_rank.
    """
    k, n = A.shape
    M = A.copy()
    steps = k if k < n else n
    first = 0.0
    for s in range(steps):
        pivot = 0.0
        row = s
        column = s
        for i in range(s, k):
            for j in range(s, n):
                if abs(M[i, j]) > pivot:
                    pivot = abs(M[i, j])
                    row = i
                    column = j
        if s == 0:
            first = pivot
        if pivot == 0.0 or pivot <= tol * first:
            return int(s)
        for j in range(n):
            M[s, j], M[row, j] = M[row, j], M[s, j]
        for i in range(k):
            M[i, s], M[i, column] = M[i, column], M[i, s]
        for i in range(s + 1, k):
            ratio = M[i, s] / M[s, s]
            if ratio != 0.0:
                for j in range(s + 1, n):
                    M[i, j] -= ratio * M[s, j]
    return int(steps)


@kernel
def nonnegative_least_squares(A: FloatArray, b: FloatArray, out_x: FloatArray) -> float:
    """Minimise |A^T x - b| over x >= 0 (Lawson-Hanson active set, orthogonal factors of the chosen rows).

    Parameters
    ----------
    A : float64 (k, n)          generators of the cone, one a row, finite; rows of length about 1
    b : float64 (n,)            finite
    out_x : float64 (k,)        overwritten with weights >= 0, at most n of them positive

    Returns
    -------
    residual : float            |A^T x - b|, Euclidean; where the iteration limit stops it, an upper bound of the
                                minimum

    Notes
    -----
    The chosen rows are orthogonalised twice (Gram-Schmidt), which keeps Q orthogonal to round-off, so that a residual
    of round-off size is reached whenever b lies in the cone. Ties go to the lowest index.
    Source: after Lawson & Hanson 1974, chapter 23. Twin: tests/kernels/naive.py::nonnegative_least_squares.
    """
    k, n = A.shape
    length = np.empty(k)
    for r in range(k):
        out_x[r] = 0.0
        total = 0.0
        for j in range(n):
            total += A[r, j] * A[r, j]
        length[r] = math.sqrt(total)
    residual = b.copy()
    size_b = 0.0
    for j in range(n):
        size_b += b[j] * b[j]
    size_b = math.sqrt(size_b)
    norm = size_b
    chosen = np.zeros(n + 1, dtype=np.int64)
    closed = np.zeros(k, dtype=np.bool_)  # chosen already, or refused since the last move
    Q = np.zeros((n + 1, n))
    R = np.zeros((n + 1, n + 1))
    solution = np.zeros(n + 1)
    count = 0
    for _ in range(10 * k + 10):
        size = size_b
        for p in range(count):
            size += out_x[chosen[p]] * length[chosen[p]]
        if norm <= 1e-14 * size or count == n:
            break
        newest = -1
        largest = 1e-11 * norm
        for r in range(k):
            if not closed[r] and length[r] > 0.0:
                gain = 0.0
                for j in range(n):
                    gain += A[r, j] * residual[j]
                gain /= length[r]
                if gain > largest:
                    largest = gain
                    newest = r
        if newest < 0:
            break
        closed[newest] = True
        chosen[count] = newest
        count += 1
        start = count - 1
        accepted = True
        while True:
            dependent = False
            for p in range(start, count):
                for j in range(n):
                    Q[p, j] = A[chosen[p], j]
                for i in range(p):
                    R[i, p] = 0.0
                for _sweep in range(2):
                    for i in range(p):
                        product = 0.0
                        for j in range(n):
                            product += Q[i, j] * Q[p, j]
                        R[i, p] += product
                        for j in range(n):
                            Q[p, j] -= product * Q[i, j]
                total = 0.0
                for j in range(n):
                    total += Q[p, j] * Q[p, j]
                R[p, p] = math.sqrt(total)
                if R[p, p] <= 1e-10 * length[chosen[p]]:
                    dependent = True
                    break
                for j in range(n):
                    Q[p, j] /= R[p, p]
            if dependent:
                # in exact arithmetic a row with a positive gain is independent of the chosen ones: refuse this one,
                # keep the rest
                count -= 1
                for p in range(count + 1):
                    if chosen[p] == newest:
                        for i in range(p, count):
                            chosen[i] = chosen[i + 1]
                        break
                out_x[newest] = 0.0
                accepted = False
                break
            for p in range(count - 1, -1, -1):
                value = 0.0
                for j in range(n):
                    value += Q[p, j] * b[j]
                for i in range(p + 1, count):
                    value -= R[p, i] * solution[i]
                solution[p] = value / R[p, p]
            step = 1.0
            leaving = -1
            for p in range(count):
                if solution[p] <= 0.0:
                    old = out_x[chosen[p]]
                    ratio = old / (old - solution[p]) if old > 0.0 else 0.0
                    if leaving < 0 or ratio < step:
                        step = ratio
                        leaving = p
            if leaving < 0:
                for p in range(count):
                    out_x[chosen[p]] = solution[p]
                break
            kept = 0
            start = count
            for p in range(count):
                r = chosen[p]
                value = out_x[r] + step * (solution[p] - out_x[r])
                if p == leaving or value <= 0.0:
                    out_x[r] = 0.0
                    if p < start:
                        start = p
                    if r == newest:
                        accepted = False
                    else:
                        closed[r] = False
                else:
                    out_x[r] = value
                    chosen[kept] = r
                    kept += 1
            count = kept
        if accepted:
            for r in range(k):
                closed[r] = False
            for p in range(count):
                closed[chosen[p]] = True
        total = 0.0
        for j in range(n):
            value = b[j]
            for p in range(count):
                value -= out_x[chosen[p]] * A[chosen[p], j]
            residual[j] = value
            total += value * value
        norm = math.sqrt(total)
    return norm


@kernel
def positive_basis_status(Z: FloatArray) -> int:
    """Decide whether the rows of Z positively span R^n.

    Parameters
    ----------
    Z : float64 (k, n)          directions, one a row; zero rows are ignored

    Returns
    -------
    status : int                1: every vector is a non-negative combination of the rows; 0: not, or too close to call

    Notes
    -----
    The rows positively span iff they have rank n and 0 = sum lambda_i z_i with every lambda_i > 0. With lambda = 1 +
    mu the second condition reads: -sum z_i lies in the cone of the rows, one non-negative least squares problem. A set
    with opposite pairs has sum zero and costs one elimination. "Too close to call" is pivots below 1e-10 of the first,
    a residual above 1e-11 or lambda spread over more than 1e8; answering 0 then only makes the caller poll a larger
    set.
    Source: after Davis 1954; Conn, Scheinberg & Vicente 2009, chapter 2. Twin:
    tests/kernels/naive.py::positive_basis_status.
    """
    k, n = Z.shape
    if k < n + 1:
        return 0
    A = np.zeros((k, n))
    count = equilibrate(Z, A)
    if count < n + 1:
        return 0
    if numerical_rank(A[:count], 1e-10) < n:
        return 0
    b = np.zeros(n)
    for r in range(count):
        for j in range(n):
            b[j] -= A[r, j]
    weights = np.zeros(count)
    residual = nonnegative_least_squares(A[:count], b, weights)
    total = 0.0
    largest = 0.0
    for r in range(count):
        total += 1.0 + weights[r]
        if weights[r] > largest:
            largest = weights[r]
    if residual > 1e-11 * total or 1.0 + largest >= 1e8:
        return 0
    return 1
