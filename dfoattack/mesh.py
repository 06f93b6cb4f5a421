"""The granular anisotropic mesh: mesh size delta and frame size Delta of every variable, and how they change.

After the granular mesh of Audet, Le Digabel & Tribes (2019): Delta = G a 10^b with mantissa a in {1, 2, 5}; the mesh size shrinks
like Delta^2 below the first frame size, so that the number of directions the mesh allows grows as the frame shrinks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfoattack._typing import FloatArray, IntArray
from dfoattack._values import evolve
from dfoattack.kernels import mesh as kernels

FRAME_MAX = 1e6  # in units of the scale: frames must be bounded for the theory to hold
ANISOTROPY = 0.1  # a coordinate that moved less than this share of its frame is not enlarged


@dataclass(frozen=True)
class Mesh:
    """Mesh and frame of all free variables.

    Attributes
    ----------
    a, b, b0 : int64 (n,)              mantissa, exponent, exponent at the start
    granularity : float64 (n,)         0 for continuous variables
    scale : float64 (n,)               the fixed metric: the frame size at the start of the run, user units, > 0
    mesh_size, frame_size : (n,)       delta and Delta, user units, mesh_size <= frame_size except where a floating-point
                                       floor keeps delta representable beside x
    unit : float64 (n,) or None        sizes are unit * a 10^b; the period of a continuous periodic variable, so that mesh
                                       sizes divide it and the mesh closes on itself at the seam; None: 1 everywhere
    """

    a: IntArray
    b: IntArray
    b0: IntArray
    granularity: FloatArray
    scale: FloatArray
    mesh_size: FloatArray
    frame_size: FloatArray
    unit: FloatArray | None = None

    @classmethod
    def start(
        cls,
        request: FloatArray,
        granularity: FloatArray,
        x: FloatArray,
        scale: FloatArray | None = None,
        unit: FloatArray | None = None,
    ) -> Mesh:
        """A mesh whose frame is the largest of {1, 2, 5} 10^k units that does not exceed `request` (n,) (granular: at
        least g)."""
        n = request.shape[0]
        a, b = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
        kernels.frame_from_request(_in_units(request, unit), granularity, a, b)
        empty = np.empty(n)
        # One power of ten finer than the frame from the start: rounding then leaves n + 1 directions a positive basis.
        mesh = cls(a, b, np.where(granularity > 0, b, b + 1), granularity, empty, empty, empty, unit)
        if scale is None:
            scale = np.where(granularity > 0, granularity, 1.0) * a * 10.0**b
            scale = scale if unit is None else unit * scale
        return evolve(mesh, scale=scale)._sized(x)

    def _sized(self, x: FloatArray) -> Mesh:
        delta, frame = np.empty_like(x), np.empty_like(x)
        if self.unit is None:
            kernels.mesh_sizes(self.a, self.b, self.b0, self.granularity, x, self.scale, delta, frame)
        else:
            scaled = self.scale / self.unit
            kernels.mesh_sizes(self.a, self.b, self.b0, self.granularity, x / self.unit, scaled, delta, frame)
            delta, frame = self.unit * delta, self.unit * frame
        return evolve(self, mesh_size=delta, frame_size=frame)

    @property
    def rho(self) -> FloatArray:
        """Frame size / mesh size, >= 1 (n,)."""
        return np.maximum(np.rint(self.frame_size / self.mesh_size), 1.0)

    @property
    def size(self) -> float:
        """Largest frame size of the continuous variables in units of the scale; 0 if there are none."""
        continuous = self.granularity == 0.0
        return float(np.max(self.frame_size / self.scale, where=continuous, initial=0.0))

    @property
    def finest(self) -> bool:
        """True when every granular variable is at its lattice step."""
        granular = self.granularity > 0.0
        return bool(np.all((self.a[granular] == 1) & (self.b[granular] == 0)))

    def enlarged(self, step: FloatArray, x: FloatArray, span: FloatArray) -> Mesh:
        """One notch up in the coordinates that contributed to the successful `step` (n,); `x` is the new incumbent.

        A frame stays as it is where it already is as wide as the box (`span` (n,), +inf legal) or 10^6 times the first one.
        """
        a, b = np.empty_like(self.a), np.empty_like(self.b)
        kernels.enlarge(self.a, self.b, self.b0, self.granularity, step, self.frame_size, ANISOTROPY, a, b)
        wide = self.frame_size >= np.minimum(span, FRAME_MAX * self.scale)
        return evolve(self, a=np.where(wide, self.a, a), b=np.where(wide, self.b, b))._sized(x)

    def refined(self, x: FloatArray) -> Mesh:
        """One notch down in every coordinate."""
        a, b = np.empty_like(self.a), np.empty_like(self.b)
        kernels.refine(self.a, self.b, self.granularity, a, b)
        return evolve(self, a=a, b=b)._sized(x)

    def moved(self, x: FloatArray) -> Mesh:
        """The same sizes seen from another incumbent (only the floating-point floor can change)."""
        return self._sized(x)

    def reset(self, request: FloatArray, x: FloatArray) -> Mesh:
        """Frames set anew to at most `request` (n,), e.g. the length of a step found after convergence."""
        a, b = np.empty_like(self.a), np.empty_like(self.b)
        kernels.frame_from_request(_in_units(request, self.unit), self.granularity, a, b)
        return evolve(self, a=a, b=b)._sized(x)


def _in_units(request: FloatArray, unit: FloatArray | None) -> FloatArray:
    return request if unit is None else request / unit


def first_frame(x0: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Default first frame size: a tenth of the range; else of the distance to the finite bound; else of |x0|; else 1."""
    span = upper - lower
    to_bound = np.maximum(np.where(np.isfinite(lower), x0 - lower, 0.0), np.where(np.isfinite(upper), upper - x0, 0.0))
    size = np.where(np.isfinite(span), span / 10.0, 0.0)
    size = np.where(size > 0.0, size, to_bound / 10.0)
    size = np.where(size > 0.0, size, np.abs(x0) / 10.0)
    return np.where(size > 0.0, size, 1.0)
