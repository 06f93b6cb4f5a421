"""The worst value of f in balls round designs: an attack against the design, with the operator the solver itself attacks with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfoattack._typing import BoolArray, FloatArray
from dfoattack.attacks.base import Target, View, realise
from dfoattack.attacks.pgd import PGD
from dfoattack.problem import Problem

__all__ = ["Adversary", "Worst", "adverse", "reach_of"]


@dataclass(frozen=True, eq=False)
class Worst:
    """What an adversary found round k designs within q radii.

    Attributes
    ----------
    f : float64 (k, q)          least favourable value found, user's sense; NaN where nothing could be evaluated
    Z : float64 (k, q, n)       where, free variables
    """

    f: FloatArray
    Z: FloatArray


class Adversary:
    """Searches the ball {z : abs(z_i - x_i) <= r reach_i} in the box for the worst f, by projected gradient steps.

    A lower bound of the loss: there may be worse points that the steps do not find. Exact where f is affine in the ball. Granular and
    categorical variables are held.

    Parameters
    ----------
    problem : Problem           the one that is attacked, see `adverse`
    reach : float64 (n_free,)   > 0, what radius 1 means for each free variable, user units
    steps, restarts : int       of projected gradient ascent for every ball; the first start is the centre, the others are uniform in the ball
    """

    def __init__(self, problem: Problem, reach: FloatArray, steps: int = 10, restarts: int = 1) -> None:
        self.problem = problem
        self.reach = reach
        self.operator = PGD(steps=steps, restarts=restarts)
        space = problem.space
        held: BoolArray = (space.free_granularity > 0.0) | np.isin(space.free, list(space.categories))
        self._held = held

    def worst(self, Z: FloatArray, radii: FloatArray, view: View, rng: np.random.Generator) -> Worst:
        """Attack the designs Z (k, n_free) within every radius of `radii` (q,), in units of `reach`.

        At most steps x restarts products and as many passes a ball, a pass a design, and one a ball for its end where rounding moved it.
        `view` must belong to the attacked problem.
        """
        F, _ = view.values(Z, view.outputs(Z))
        q = radii.shape[0]
        found = np.tile(F[:, None], (1, q))
        where = np.tile(Z[:, None, :], (1, q, 1))
        if view.has_gradient and not self._held.all():
            groups = [np.arange(Z.shape[0])] if not self._held.any() else [np.array([i]) for i in range(Z.shape[0])]
            for rows in groups:
                self._attack(rows, Z, F, radii, view, rng, found, where)
        value = np.where(np.isfinite(found), self.problem.sign * found, np.nan)
        return Worst(value, where)

    def _attack(
        self,
        rows: np.ndarray,
        Z: FloatArray,
        F: FloatArray,
        radii: FloatArray,
        view: View,
        rng: np.random.Generator,
        found: FloatArray,
        where: FloatArray,
    ) -> None:
        """Attack some rows in one block and keep what is worse than `found`, in place."""
        space, longest = self.problem.space, float(self.reach.max())
        lower, upper = space.free_lower, space.free_upper
        if self._held.any():
            lower, upper = np.where(self._held, Z[rows[0]], lower), np.where(self._held, Z[rows[0]], upper)
        none = np.zeros(0)
        target = Target(
            Z[rows],
            F[rows],
            np.zeros((rows.shape[0], 0)),
            lower,
            upper,
            self.reach / longest,
            none,
            none,
            np.zeros(0, bool),
        )
        moved = self.operator(target, radii * longest, view, rng)
        if not len(moved):
            return
        centre = rows[moved.centre]
        points = realise(Z[centre], moved.D, lower, upper)
        values, _ = view.values(points, view.outputs(points))
        place = np.argmin(np.abs(moved.radius[:, None] - radii * longest), axis=1)
        for i, j, value, point in zip(centre, place, values, points, strict=True):
            # A larger ball holds the smaller ones.
            for column in np.flatnonzero(radii >= radii[j]):
                if value < found[i, column]:
                    found[i, column], where[i, column] = value, point


def adverse(problem: Problem) -> Problem:
    """The same network and objective seen by an adversary: the sense turned round, nothing constrained but the box.

    It attacks f itself, also where the problem declares a stand-in for its own attacks.
    """
    opposite = "minimize" if problem.sense == "maximize" else "maximize"
    stand_in = {"f_soft": None, "objective_grad": None} if "objective" in problem.softened else {}
    # Also of a robust problem the plain one.
    return Problem.replace(
        problem,
        **stand_in,
        sense=opposite,
        surrogate=problem.surrogate,
        constraints=(),
        linear=(),
        x0=None,
        support=None,
        verify=None,
        picture=None,
    )


def reach_of(problem: Problem, inputs: FloatArray | None = None) -> FloatArray:
    """What radius 1 means for each variable (n,), user units: the width of the box, where it is infinite that of the training inputs, else
    the size of the start (at least 1)."""
    width = problem.space.upper - problem.space.lower
    trained = np.full(problem.n, np.nan) if inputs is None else np.ptp(inputs, axis=0)
    start = np.ones(problem.n) if problem.x0 is None else np.maximum(1.0, np.abs(problem.x0[0]))
    reach = np.where(np.isfinite(width) & (width > 0.0), width, np.where(trained > 0.0, trained, start))
    return np.asarray(reach, dtype=np.float64)
