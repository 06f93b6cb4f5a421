"""The projected gradient attack with all its steps on the network's device: one transfer to it, one back.

Displacements are float64 whatever the network's precision, so that the points are those of the NumPy operator up to the rounding of the
gradients' signs. A step is one forward pass that keeps its graph, which gives values and gradients, where the NumPy operator needs two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from dfoattack._typing import FloatArray
from dfoattack.cache import point_keys
from dfoattack.errors import ProblemError
from dfoattack.native import Functions, Tally, WalkRecord, WalkRequest
from dfoattack.torch_backend.steps import steepest_linf, two_goal_linf

__all__ = ["walk"]

Tensor = torch.Tensor


def walk(
    phi: Callable[[Tensor], Tensor],
    device: torch.device,
    dtype: torch.dtype,
    request: WalkRequest,
    functions: Functions,
    tally: Tally,
) -> WalkRecord:
    """Make all steps of the request; phi maps (k, n_full) in `dtype` on `device` to (k, m)."""
    return _Walk(phi, device, dtype, request, functions, tally).run()


class _Walk:
    def __init__(
        self,
        phi: Callable[[Tensor], Tensor],
        device: torch.device,
        dtype: torch.dtype,
        request: WalkRequest,
        functions: Functions,
        tally: Tally,
    ) -> None:
        self.phi, self.device, self.dtype, self.tally, self.functions = phi, device, dtype, tally, functions
        self.active, self.count = request.active, request.steps
        up = self._up
        self.X, self.D = up(request.X), up(request.D)
        self.lower, self.upper, self.w = up(request.lower), up(request.upper), up(request.weights)
        self.tol, self.scale = up(request.tol), up(request.scale)
        self.base, self.free = up(functions.base), torch.tensor(functions.free, device=device)
        self.eta = up(request.eta)[:, None]
        reach = up(request.radius)[:, None] * self.w
        self.lo = torch.maximum(self.lower - self.X, -reach)
        self.hi = torch.minimum(self.upper - self.X, reach)
        self.stride = self.eta * self.w
        places: dict[bytes, int] = {}  # rows that begin at the same point
        keys = point_keys(np.clip(request.X + request.D, request.lower, request.upper))
        self.copy = torch.tensor([places.setdefault(key, len(places)) for key in keys], device=device)
        first = dict(zip(reversed(keys), reversed(range(len(keys))), strict=True))
        self.first = torch.tensor([first[key] for key in places], device=device)
        self.all_free = functions.free.size == functions.base.size
        k, n = request.X.shape
        self.best = torch.zeros((k, n), dtype=torch.float64, device=device)
        self.best_h, self.best_f = (torch.full((k,), torch.inf, dtype=torch.float64, device=device) for _ in range(2))
        self.gradient = self.outputs = torch.zeros_like(self.best)

    def run(self) -> WalkRecord:
        points, of_f, of_h = [], [], []
        for k in range(self.count):
            Z = self._points()
            Y, F, C, g_f, g_h, wanted = self._beginning(Z) if k == 0 else self._look(Z)
            if k == 0:
                self.gradient, self.outputs = g_f, torch.zeros_like(Y)
            else:
                self._remember(Y, F, C)
            points.append(Z)
            of_f.append(wanted[0])
            of_h.append(wanted[1])
            self._advance(g_f, g_h, *wanted[1:])
        Z = self._points()
        with torch.no_grad():
            Y, F, C = self._values(Z)
        self._remember(Y, F, C)
        down = _down
        return WalkRecord(
            down(torch.stack([*points, Z])),
            down(self.outputs),
            down(torch.stack(of_f)) != 0.0,
            down(torch.stack(of_h)) != 0.0,
            down(self.best),
            down(self.best_h),
            down(self.best_f),
            down(self.gradient),
        )

    # ---------------------------------------------------------------- values and gradients

    def _points(self) -> Tensor:
        return torch.clamp(self.X + self.D, self.lower, self.upper)

    def _beginning(self, Z: Tensor) -> tuple[Any, ...]:
        """Rows that begin at the same point share its pass and its product."""
        first, copy = self.first, self.copy
        if first.shape[0] == Z.shape[0]:
            return self._look(Z)
        Y, F, C, g_f, g_h, wanted = self._look(Z[first])
        return Y[copy], F[copy], C[copy], g_f[copy], g_h[copy], tuple(mask[copy] for mask in wanted)

    def _look(self, Z: Tensor) -> tuple[Any, ...]:
        """Y, F, C, gradients of F and h at Z, and which rows need the one and the other, and which are infeasible."""
        with torch.enable_grad():
            leaf = Z.detach().clone().requires_grad_(True)
            Y, F, C = self._values(leaf)
            over = (C.detach() - self.tol) / self.scale
            usable = torch.isfinite(over).all(dim=1)
            infeasible = usable & (over > 0.0).any(dim=1)
            shift = self.active * (~infeasible).to(over.dtype)[:, None]
            W = torch.where(
                usable[:, None], 2.0 * torch.clamp(over + shift, min=0.0) / self.scale, torch.zeros_like(over)
            )
            largest = W.amax(dim=1) if W.shape[1] else torch.zeros_like(F.detach())
            of_f, of_h = usable & torch.isfinite(F.detach()), largest > 0.0
            V = W / torch.where(of_h, largest, torch.ones_like(largest))[:, None]
            g_f = self._gradient(F, of_f.to(F.dtype), leaf, of_f, retain=bool(C.shape[1]))
            g_h = self._gradient(C, V, leaf, of_h, retain=False) if C.shape[1] else torch.zeros_like(g_f)
        return Y.detach(), F.detach(), C.detach(), g_f, g_h, (of_f, of_h, infeasible)

    def _gradient(self, values: Tensor, weights: Tensor, leaf: Tensor, rows: Tensor, retain: bool) -> Tensor:
        self.tally.products += int(leaf.shape[0])
        if not values.requires_grad:
            return torch.zeros_like(leaf)
        parts: tuple[Tensor | None, ...] = torch.autograd.grad(
            values, leaf, grad_outputs=weights, retain_graph=retain, allow_unused=True
        )
        back = parts[0]
        if back is None:
            return torch.zeros_like(leaf)
        good = rows & torch.isfinite(back.sum(dim=1))
        return back.masked_fill_(~good[:, None], 0.0)

    def _values(self, Z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Y as float64, F (k,) and C (k, p); +inf where something is not finite."""
        k = Z.shape[0]
        self.tally.passes += k
        X = Z if self.all_free else self.base.expand(k, -1).index_copy(1, self.free, Z)
        Y = self.phi(X.to(self.dtype)).to(torch.float64)
        columns = [self._outer(fn, X if takes_x else None, Y, dtype) for fn, takes_x, dtype in self.functions.outer]
        table = torch.cat(columns, dim=1)
        good = torch.isfinite(table).all(dim=1) & torch.isfinite(Y).all(dim=1)
        table = torch.where(good[:, None], table, torch.full_like(table, torch.inf))
        F = torch.where(good, self.functions.sign * table[:, 0], table[:, 0])
        return Y, F, table[:, 1:]

    def _outer(self, fn: Callable[..., Any], X: Tensor | None, Y: Tensor, name: str) -> Tensor:
        kind = getattr(torch, name)
        arguments = [part.to(kind).clone() for part in (X, Y) if part is not None]  # it may change them in place
        result = fn(*arguments)
        k = Y.shape[0]
        if not isinstance(result, Tensor) or result.ndim not in (1, 2) or result.shape[0] != k:
            raise ProblemError(f"An outer function must return a tensor (k,) or (k, q) with k = {k}, got {result!r}.")
        return result.to(torch.float64).reshape(k, -1)

    # ---------------------------------------------------------------- steps

    def _advance(self, g_f: Tensor, g_h: Tensor, guarded: Tensor, infeasible: Tensor) -> None:
        """The best step of length eta inside the box, for both goals where a row minds constraints; then back into the ball."""
        if self.tol.shape[0]:
            self.D = self.D + self._guarded_step(g_f, g_h, guarded, infeasible)
        else:
            self.D = self.D - torch.sign(g_f).mul_(
                self.stride
            )  # what leaves the box is cut off with what leaves the ball
        self.D.clamp_(self.lo, self.hi)

    def _guarded_step(self, g_f: Tensor, g_h: Tensor, guarded: Tensor, infeasible: Tensor) -> Tensor:
        a = torch.clamp(self.lower - self.X - self.D, max=0.0)
        b = torch.clamp(self.upper - self.X - self.D, min=0.0)
        lo, hi = torch.maximum(a, -self.stride), torch.minimum(b, self.stride)
        plain = steepest_linf(g_f, lo, hi)
        both = two_goal_linf(g_f, g_h, lo, hi)
        alone = ~both.any(dim=1) & infeasible
        both = torch.where(alone[:, None], steepest_linf(g_h, lo, hi), both)
        return torch.where(guarded[:, None], both, plain)

    def _remember(self, Y: Tensor, F: Tensor, C: Tensor) -> None:
        over = torch.clamp((C - self.tol) / self.scale, min=0.0)
        h = (over * over).sum(dim=1)
        tiny = torch.full_like(h, np.finfo(np.float64).smallest_subnormal)
        h = torch.where((h == 0.0) & (C > self.tol).any(dim=1), tiny, h)
        less = (h < self.best_h) | ((h == self.best_h) & (F < self.best_f))
        less &= torch.isfinite(F)
        self.best = torch.where(less[:, None], self.D, self.best)
        self.outputs = torch.where(less[:, None], Y, self.outputs)
        self.best_h, self.best_f = torch.where(less, h, self.best_h), torch.where(less, F, self.best_f)

    def _up(self, array: FloatArray) -> Tensor:
        return torch.tensor(np.ascontiguousarray(array), dtype=torch.float64, device=self.device)


def _down(tensor: Tensor) -> FloatArray:
    return np.asarray(tensor.detach().cpu().to(torch.float64).numpy())
