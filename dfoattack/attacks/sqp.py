"""Polish by sequential quadratic programming with exact gradients, counted in vector-Jacobian products."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.attacks._local import Local
from dfoattack.attacks._polish import polish
from dfoattack.attacks._settings import real, whole
from dfoattack.attacks.base import AttackOperator, Displacements, Target, View


class SQP(AttackOperator):
    """Follow a quadratic model of the Lagrangian from each centre to a nearby constrained minimum.

    After Powell 1978 and Kraft 1988: l_1 merit, damped BFGS, strictly convex subproblem; with the second-order correction
    of Fletcher 1982 and the self-scaling of Al-Baali 1998. What is different: a Jacobian row costs a vjp, so only rows
    that the subproblem leans on are bought, and the values of all others, which a forward pass reveals anyway, guard the
    step. An iteration costs one or two passes, one vjp for F and one for each active curved constraint. A polish that
    crawls along kinks ends (`_polish._crawls`), and so does one that meets a jump of a constraint, along which no gradient
    leads; one whose first step was misled looks along every variable to the ends of the box, for 2 n passes at most (`_axes`).

    Rows returned for a centre, as far as they exist: the best strictly feasible inner point, one behind the jump that it has met,
    the last iterate if it is not feasible, and that iterate pulled back inside if it misses by less than 1e-6.

    Parameters
    ----------
    iterations : int|None   >= 1, subproblems solved from one centre at most; None: 60, or 2 n where that is more
    accuracy : float        > 0, relative gain of F below which an iteration is not worth its price
    """

    name: ClassVar[str] = "sqp"
    inner_points: ClassVar[bool] = True
    whole_box: ClassVar[bool] = True

    def __init__(self, iterations: int | None = None, accuracy: float = 1e-9) -> None:
        self.iterations = None if iterations is None else whole("iterations", iterations, 1)
        self.accuracy = real("accuracy", accuracy)

    def _propose(self, target: Target, radii: FloatArray, view: View, rng: np.random.Generator) -> Displacements:
        b, n = target.X.shape
        gradient = np.zeros((b, n))
        rows: list[tuple[FloatArray, int, float]] = []
        radius = float(np.max(radii))
        iterations = max(60, 2 * n) if self.iterations is None else self.iterations
        for i in range(b):
            known = np.isfinite(target.F[i]) and np.all(np.isfinite(target.C[i]))
            # The first trial must be affordable after the gradient, or the gradient is wasted.
            if not known or not view.has_gradient or not view.affords(1, 1):
                continue
            local = Local(target, i, radius, view)
            gradient[i] = local.gradient(local.centre)
            rows += [(d, i, radius) for d in polish(local, gradient[i], iterations, self.accuracy)]
        return Displacements.from_rows(n, rows, gradient)
