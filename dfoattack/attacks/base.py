"""The attack contract: what an operator receives, what it returns, and the public method that checks it.

An attack is a generator of displacements. It may use gradients, but it never decides: the barrier compares true values later, so a wrong or hostile
operator costs its trials and nothing else.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, final

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack.errors import BudgetSpent, DfoattackError

_SLACK = 1e-9  # relative overshoot of a radius that rounding may cause; anything larger is a broken promise


class View(Protocol):
    """The only way from an attack to the user's code: counted, cached, budget-checked (``evaluator.GradientView`` is the real one).

    Everything is in free space and in the minimised sign. A call that the budget does not afford raises ``BudgetSpent``; operators let it pass.
    """

    @property
    def n(self) -> int:
        """Number of free variables."""

    @property
    def p(self) -> int:
        """Number of constraint columns."""

    @property
    def has_gradient(self) -> bool:
        """False if no gradient of F is to be had; then every gradient method is unusable."""

    def outputs(self, Z: FloatArray) -> FloatArray:
        """Y (k, m) of the points Z (k, n); each point not seen before costs one pass."""

    def values(self, Z: FloatArray, Y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """F (k,) and C (k, p) from known outputs, free; F = +inf where something is not finite."""

    def grad(self, Z: FloatArray) -> FloatArray:
        """Gradient of F, (k, n); k vjps. Rows that are not finite come back as zeros."""

    def vjp_c(self, Z: FloatArray, W: FloatArray) -> FloatArray:
        """Gradient of sum_j W[:, j] c_j, (k, n); k vjps."""

    def grad_mix(self, Z: FloatArray, wf: FloatArray, W: FloatArray) -> FloatArray:
        """Gradient of wf F + sum_j W[:, j] c_j, (k, n); k vjps."""

    def constraint_jacobian(self, z: FloatArray, rows: IntArray) -> FloatArray:
        """Rows dc_j/dz (q, n) at one point; min(q, m) vjps."""

    def affords(self, vjps: int, passes: int) -> bool:
        """Whether the budget still covers so many vjps and passes together."""


@dataclass(frozen=True, eq=False)
class Target:
    """The centres of an attack and the space around them.

    Attributes
    ----------
    X : (b, n)              centres, b >= 1, inside the box, user units, free variables only
    F : (b,)                minimised values; +inf where the centre failed
    C : (b, p)              constraint values, feasible means C <= tol; NaN rows where the centre failed
    lower, upper : (n,)     the box, +-inf legal
    weights : (n,)          in (0, 1], frame size over the largest frame size: the ball of radius r is {d : abs(d_i) <= r weights_i}
    tol : (p,)              tolerances >= 0, units of c
    scale : (p,)            > 0, units of c: h = sum(max((c - tol) / scale, 0)^2)
    extreme : (p,) bool     columns that the extreme barrier guards
    granularity : (n,)|None     lattice step of every variable, 0 where it is continuous; None: all are
    multipliers : (b, p)|None   estimates >= 0 of the Lagrange multipliers of (c - tol) / scale <= 0, if an operator left some
    """

    X: FloatArray
    F: FloatArray
    C: FloatArray
    lower: FloatArray
    upper: FloatArray
    weights: FloatArray
    tol: FloatArray
    scale: FloatArray
    extreme: BoolArray
    multipliers: FloatArray | None = None
    granularity: FloatArray | None = None

    @property
    def excess(self) -> FloatArray:
        """c - tol, shape (b, p)."""
        return self.C - self.tol

    @property
    def feasible(self) -> BoolArray:
        """Whether each centre satisfies every constraint, (b,); False where a value is NaN."""
        ok: BoolArray = np.all(self.excess <= 0.0, axis=1)
        return ok

    @property
    def violation(self) -> FloatArray:
        """h of each centre over all columns, (b,); +inf where a value is NaN, > 0 exactly where the centre is infeasible."""
        return violation(self.C, self.tol, self.scale)


@dataclass(frozen=True, eq=False)
class Displacements:
    """What an operator proposes: D (k, n), k may be 0, the trial of row i is ``clip(X[centre[i]] + D[i], lower, upper)``.

    Attributes
    ----------
    D : (k, n)              displacements, user units
    centre : (k,) int       row of ``Target.X``
    radius : (k,)           radius that the row promises to keep: abs(D) <= radius weights
    gradient : (b, n)|None  gradient of F at the centres if one was computed (zero row: unknown); orders polls
    multipliers : (b, p)|None   of (c - tol) / scale <= 0 where the operator ended, for `Target` the next time
    unfinished : (b,) bool|None centres from which a longer search would have gone on; None: not known
    """

    D: FloatArray
    centre: IntArray
    radius: FloatArray
    gradient: FloatArray | None = None
    multipliers: FloatArray | None = None
    unfinished: BoolArray | None = None

    def __len__(self) -> int:
        return int(self.D.shape[0])

    @classmethod
    def none(cls, n: int, gradient: FloatArray | None = None) -> Displacements:
        """No rows."""
        return cls(np.zeros((0, n)), np.zeros(0, dtype=np.int64), np.zeros(0), gradient)

    @classmethod
    def from_rows(
        cls, n: int, rows: Sequence[tuple[FloatArray, int, float]], gradient: FloatArray | None = None
    ) -> Displacements:
        """Stack (displacement (n,), centre, radius) triples."""
        if not rows:
            return cls.none(n, gradient)
        D = np.array([row[0] for row in rows], dtype=np.float64)
        centre = np.array([row[1] for row in rows], dtype=np.int64)
        return cls(D, centre, np.array([row[2] for row in rows], dtype=np.float64), gradient)


class AttackOperator(ABC):
    """Base of every attack. A subclass sets ``name``, keeps hyper-parameters as attributes of the same name, and writes ``_propose``.

    The solver calls the operator once per attack step: ``operator(target, radii, view, rng)``. ``_propose`` must not keep state, must not evaluate
    anything except through ``view``, must draw nothing from ``rng`` when it returns nothing, and promises max_i abs(d_i) / weights_i <= radius.
    The public method clips to the box, drops rows that are zero or not finite, and turns a broken promise into an error that names the operator.
    """

    name: ClassVar[str] = ""
    inner_points: ClassVar[bool] = (
        False  # True: visits points of its own; granular variables are then held at the centre
    )
    lattice: ClassVar[bool] = False  # True: steps of granular variables, whatever the radius is
    needs_gradient: ClassVar[bool] = True  # False: proposes something without gradients too
    whole_box: ClassVar[bool] = False  # True: a polish; the step passes a radius that covers the box (+inf is legal)

    @final
    def __call__(self, target: Target, radii: FloatArray, view: View, rng: np.random.Generator) -> Displacements:
        """Propose displacements round the centres.

        Parameters
        ----------
        target : Target         centres and space
        radii : (q,)            > 0; finite unless ``whole_box``
        view : View             the only way to the user's code
        rng : Generator         the only source of randomness

        Returns
        -------
        Displacements           checked rows in the operator's order; none if the budget ran out inside the operator

        Raises
        ------
        ValueError              shapes or values that break the contract of the arguments
        DfoattackError          the operator broke its own promise
        """
        radii = np.atleast_1d(np.asarray(radii, dtype=np.float64))
        self._check_arguments(target, radii)
        try:
            found = self._propose(target, radii, view, rng)
        except BudgetSpent:
            return Displacements.none(target.X.shape[1])
        return self._checked(target, found)

    @abstractmethod
    def _propose(self, target: Target, radii: FloatArray, view: View, rng: np.random.Generator) -> Displacements:
        """Propose rows; see the class for what is promised."""

    def __repr__(self) -> str:
        names = [name for name in inspect.signature(type(self).__init__).parameters if name != "self"]
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in names if hasattr(self, name))
        return f"{type(self).__name__}({shown})"

    def _check_arguments(self, target: Target, radii: FloatArray) -> None:
        b, n = target.X.shape if target.X.ndim == 2 else (0, 0)
        if b < 1:
            raise ValueError(f"`target.X` must have shape (b, n) with b >= 1, got {target.X.shape}.")
        p = target.tol.shape[0]
        shapes = {"F": (b,), "C": (b, p), "lower": (n,), "upper": (n,), "weights": (n,), "scale": (p,), "extreme": (p,)}
        for label, shape in shapes.items():
            got = getattr(target, label).shape
            if got != shape:
                raise ValueError(f"`target.{label}` must have shape {shape} (b = {b}, n = {n}, p = {p}), got {got}.")
        if not np.all((target.weights > 0.0) & (target.weights <= 1.0)):
            raise ValueError(f"`target.weights` must lie in (0, 1], got {target.weights}.")
        if radii.ndim != 1 or radii.size == 0 or not np.all(radii > 0.0):
            raise ValueError(f"`radii` must be a non-empty vector of numbers > 0, got {radii}.")
        if not self.whole_box and not np.all(np.isfinite(radii)):
            raise ValueError(
                f"`radii` must be finite for the operator {self.name!r}, which stays in a ball, got {radii}."
            )

    def _checked(self, target: Target, found: Displacements) -> Displacements:
        b, n = target.X.shape
        D = np.array(found.D, dtype=np.float64)
        centre = np.asarray(found.centre, dtype=np.int64)
        radius = np.asarray(found.radius, dtype=np.float64)
        k = D.shape[0]
        if D.shape != (k, n) or centre.shape != (k,) or radius.shape != (k,):
            raise DfoattackError(
                f"Attack operator {self.name!r} must return D (k, n), centre (k,) and radius (k,) with n = {n}, "
                f"got {D.shape}, {centre.shape} and {radius.shape}."
            )
        if k and not (centre.min() >= 0 and centre.max() < b):
            raise DfoattackError(f"Attack operator {self.name!r} named a centre outside 0..{b - 1}: {centre}.")
        keep = np.all(np.isfinite(D), axis=1)
        D, centre, radius = D[keep], centre[keep], radius[keep]
        D = inside(target.X[centre], D, target.lower, target.upper)
        reach = radius[:, None] * target.weights
        worst = float(np.max(np.abs(D) / reach, initial=0.0))
        if worst > 1.0 + _SLACK:
            raise DfoattackError(
                f"Attack operator {self.name!r} broke its promise max_i |d_i| / weights_i <= radius: it used {worst:.6g} of the radius."
            )
        D = np.clip(D, -reach, reach)
        keep = np.any(D != 0.0, axis=1)
        return Displacements(D[keep], centre[keep], radius[keep], found.gradient, found.multipliers, found.unfinished)


def violation(C: FloatArray, tol: FloatArray, scale: FloatArray) -> FloatArray:
    """h = sum_j max((c_j - tol_j) / scale_j, 0)^2 of each row, (k,); +inf for NaN rows, at least the smallest double where some column is violated."""
    over = np.maximum((C - tol) / scale, 0.0)
    with np.errstate(over="ignore"):
        h = np.sum(over * over, axis=1)
    # Squares underflow: an excess of 1e-170 would read as feasible. The maximum decides.
    h = np.where((h == 0.0) & np.any(C > tol, axis=1), np.finfo(np.float64).smallest_subnormal, h)
    return np.where(np.isnan(h), np.inf, h)


def realise(x: FloatArray, D: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """The trial points of displacements: clip(x + D, lower, upper). Inner points are visited here, so that the evaluator finds them by their bits."""
    points: FloatArray = np.clip(x + D, lower, upper)
    return points


def inside(X: FloatArray, D: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """D with X + D moved into the box; coordinates that are inside already keep their bits."""
    Z = X + D
    moved = np.where(Z < lower, lower - X, np.where(Z > upper, upper - X, D))
    # A centre on its bound moves by exactly zero, never by -0.0.
    return moved + 0.0
