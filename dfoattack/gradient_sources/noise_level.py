"""How noisy a black box is that nobody has called noisy: from a few values on a short line.

After Moré & Wild (2011), "Estimating computational noise", SIAM Journal on Scientific Computing 33(3).
"""

from __future__ import annotations

import math

import numpy as np

from dfoattack._typing import FloatArray

VALUES = 7  # on the line
ALIKE = 4.0  # ratio of three estimates in a row that agree


def noise_level(values: FloatArray) -> float:
    """Standard deviation of the noise in values (k,), k >= 5, of a function at equal distances, 0 where none is seen.

    Differences of order j of a smooth function vanish fast with j; those of independent noise have the variance (2j)! / (j!)^2 times that
    of the noise. The first of three orders in a row that give nearly the same estimate decides, if its differences change sign. Values half
    of which repeat their neighbour are steps, of which such differences say nothing (section 3, equations 3.1 and 3.2).
    """
    differences, factor = np.asarray(values, dtype=np.float64), 1.0
    if not np.isfinite(differences).all() or 2 * np.count_nonzero(np.diff(differences) == 0.0) >= len(differences) - 1:
        return 0.0
    levels, changes = [], []
    for j in range(1, len(values)):
        differences = np.diff(differences)
        factor *= j / (2.0 * (2.0 * j - 1.0))
        levels.append(math.sqrt(factor * float(np.mean(differences**2))))
        changes.append(bool(differences.min() < 0.0 < differences.max()))
    for j in range(len(levels) - 2):
        three = levels[j : j + 3]
        if changes[j] and max(three) <= ALIKE * min(three):
            return levels[j]
    return 0.0
