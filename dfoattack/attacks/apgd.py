"""Projected gradient steps whose size halves when they stop paying (after APGD of Croce & Hein 2020)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.attacks._walk import Walk, Walker
from dfoattack.attacks.goals import Goals
from dfoattack.errors import OptionError

_PAYING = 0.75  # share of the steps since the last checkpoint that must have improved
_INERTIA = 0.75  # weight of the new step beside the last one


class APGD(Walker):
    """y = P(z - eta step), z+ = P(z + 0.75 (y - z) + 0.25 (z - z_prev)), eta = 2 r at first.

    At checkpoints (after shares 0.22, 0.41, 0.57, .. of the K steps) eta halves and the row starts again from its best point if fewer
    than three quarters of the steps since the last one improved, or if neither eta nor the best value has changed since then. Each row
    returns its best inner point.

    Parameters
    ----------
    steps : int             K >= 1
    norm : "linf" or "l2"   shape of ball and step
    active : float          >= 0, in units of h's scale
    """

    name: ClassVar[str] = "apgd"

    def __init__(self, steps: int = 20, norm: Literal["linf", "l2"] = "linf", active: float = 1e-3) -> None:
        super().__init__(steps, active)
        if norm not in ("linf", "l2"):
            raise OptionError(f'`norm` must be "linf" or "l2", got {norm!r}.')
        self.norm: Literal["linf", "l2"] = norm

    def _begin(self, walk: Walk, rng: np.random.Generator) -> dict[str, FloatArray]:
        k = walk.rows
        return {
            "eta": 2.0 * walk.radius,
            "previous": walk.D.copy(),
            "improved": np.zeros(k),
            "halved": np.ones(k),  # whether eta changed at the last checkpoint
            "last_h": walk.best_h.copy(),
            "last_f": walk.best_f.copy(),
            "checked_h": walk.best_h.copy(),
            "checked_f": walk.best_f.copy(),
        }

    def _move(self, walk: Walk, goals: Goals, k: int, memory: dict[str, FloatArray]) -> None:
        self._count(walk, memory)
        restarted = np.zeros(walk.rows, dtype=bool)
        checkpoints = [0, *_checkpoints(self.steps)]
        if k in checkpoints[1:]:
            restarted = self._check(walk, memory, k - checkpoints[checkpoints.index(k) - 1])
        for row in range(walk.rows):
            if restarted[row] and not np.array_equal(walk.D[row], walk.best[row]):
                # Its gradient is not known here: stand there now, step from there next time.
                walk.D[row] = memory["previous"][row] = walk.best[row]
                continue
            z = walk.D[row].copy()
            step = walk.step(row, goals.g_f[row], goals, float(memory["eta"][row]), self.norm)
            y = walk.project(row, z + step, self.norm)
            blend = z + _INERTIA * (y - z) + (1.0 - _INERTIA) * (z - memory["previous"][row]) if k > 0 else y
            memory["previous"][row] = z
            walk.D[row] = walk.project(row, blend, self.norm)

    @staticmethod
    def _count(walk: Walk, memory: dict[str, FloatArray]) -> None:
        better = (walk.best_h < memory["last_h"]) | (walk.best_f < memory["last_f"])
        memory["improved"] += better
        memory["last_h"][:], memory["last_f"][:] = walk.best_h, walk.best_f

    @staticmethod
    def _check(walk: Walk, memory: dict[str, FloatArray], since: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Halve eta where steps do not pay; which rows start again from their best."""
        same = (walk.best_h == memory["checked_h"]) & (walk.best_f == memory["checked_f"])
        halve = (memory["improved"] < _PAYING * since) | ((memory["halved"] == 0.0) & same)
        memory["eta"][halve] *= 0.5
        memory["halved"][:] = halve
        memory["improved"][:] = 0.0
        memory["checked_h"][:], memory["checked_f"][:] = walk.best_h, walk.best_f
        rows: np.ndarray[tuple[int], np.dtype[np.bool_]] = halve & np.isfinite(walk.best_f)
        return rows


def _checkpoints(steps: int) -> list[int]:
    """Steps at which a row is judged: shares p_1 = 0.22, p_j+1 = p_j + max(p_j - p_j-1 - 0.03, 0.06)."""
    shares = [0.0, 0.22]
    while shares[-1] < 1.0:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    found = {int(np.ceil(share * steps)) for share in shares[1:]}
    return sorted(k for k in found if 0 < k < steps)
