"""The raw log of a run: what tables and pictures are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from dfoattack._typing import FloatArray

OK, FAILED, NONFINITE = 0, 1, 2


@dataclass
class Log:
    """Everything that one run asked for, in order, in the user's units and sense.

    Attributes
    ----------
    X : float64 (N, n)         points as asked
    f : float64 (N,)           objective, NaN where the point failed
    C : float64 (N, p)         constraint values as returned, rows of NaN where the point failed
    status : int8 (N,)         0 answered, 1 raised, 2 not finite
    spent : float64 (N,)       counted evaluations when this answer was known, this point included
    wall, cpu : float64 (N,)   seconds since the run began
    nfev, nphi, ngev, hits     points evaluated, forward passes, vector-Jacobian products (points each), repeats
    seconds_user               wall seconds inside the problem's own code
    seconds_cpu                CPU seconds of the whole run, child processes included
    cpu_user                   CPU seconds inside the problem's own code
    error                      why the solver broke down before its budget was spent; empty if it did not
    notes                      what the adaptor has to say (restarts, crashes of a solver, aggregated constraints)
    """

    X: FloatArray
    f: FloatArray
    C: FloatArray
    status: npt.NDArray[np.int8]
    spent: FloatArray
    wall: FloatArray
    cpu: FloatArray
    nfev: int
    nphi: int
    ngev: int
    hits: int
    budget: float
    gradient_cost: float
    seconds_user: float
    seconds_cpu: float
    notes: tuple[str, ...] = ()
    cpu_user: float = 0.0
    error: str = ""

    def __len__(self) -> int:
        return int(self.f.shape[0])
