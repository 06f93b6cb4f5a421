"""Polish by sequential quadratic programming with exact gradients, counted in vector-Jacobian products.

After Powell 1978 and Kraft 1988 (l_1 merit, damped BFGS, least-squares subproblem), with the second-order correction of Fletcher 1982. What is
different: a Jacobian row costs a vjp, so only rows that the subproblem leans on are ever computed; the others are guarded by true values.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.attacks._rows import Rows
from dfoattack.attacks.base import AttackOperator, Displacements, Target, View, realise
from dfoattack.attacks.qp import QpSolution, solve_qp

P = dict(
    first=0.1, grow=10.0, wall=0.9, cut=0.1, newcap=3, scale="yy", smin=1e-2, smax=1e2, damp=0.2, guard=1, restore=1
)
P.update(eval(os.environ.get("SQPP", "{}")))
DEBUG = bool(os.environ.get("SQPD"))


class SQP(AttackOperator):
    name: ClassVar[str] = "sqp"
    whole_box: ClassVar[bool] = True

    def __init__(self, iterations: int = 30, accuracy: float = 1e-9) -> None:
        self.iterations = int(iterations)
        self.accuracy = float(accuracy)

    def _propose(self, target: Target, radii: FloatArray, view: View, rng: np.random.Generator) -> Displacements:
        b, n = target.X.shape
        gradient = np.zeros((b, n))
        rows: list[tuple[FloatArray, int, float]] = []
        radius = float(np.max(radii))
        for i in range(b):
            if not view.has_gradient or not np.all(np.isfinite(target.C[i])) or not view.affords(1, 1):
                continue
            polish = _Polish(self, target, i, radius, view)
            for d in polish.run(gradient[i]):
                rows.append((d, i, radius))
        return Displacements.from_rows(n, rows, gradient)


@dataclass(frozen=True, eq=False)
class _Point:
    d: FloatArray  # displacement from the centre, user units
    F: float
    c: FloatArray  # (c - tol) / scale


class _Polish:
    def __init__(self, op: SQP, target: Target, i: int, radius: float, view: View) -> None:
        self.op, self.target, self.view = op, target, view
        self.x = target.X[i]
        self.a = np.maximum(target.lower - self.x, -radius * target.weights)
        self.b = np.minimum(target.upper - self.x, radius * target.weights)
        width = target.upper - target.lower
        w = np.maximum(target.weights, 1e-3) * max(1.0, float(np.max(np.abs(self.x))))
        self.s = np.where(np.isfinite(width), width, w)
        self.start = _Point(np.zeros_like(self.x), float(target.F[i]), (target.C[i] - target.tol) / target.scale)
        self.visited: list[_Point] = []

    def z(self, d):
        return realise(self.x, d, self.target.lower, self.target.upper)

    def visit(self, d) -> _Point:
        Z = self.z(d)[None]
        Y = self.view.outputs(Z)
        F, C = self.view.values(Z, Y)
        pt = _Point(d, float(F[0]), (C[0] - self.target.tol) / self.target.scale)
        self.m = Y.shape[1]
        self.visited.append(pt)
        return pt

    def fetch(self, pt, rows, want) -> bool:
        """Exact rows at the point."""
        if want.size == 0:
            return True
        m = getattr(self, "m", 10**9)
        if want.size >= m:
            want = np.flatnonzero(~rows.exact)
        cost = min(want.size, m)
        if not self.view.affords(cost, 0):
            return False
        J = self.view.constraint_jacobian(self.z(pt.d), want) * self.s / self.target.scale[want][:, None]
        rows.learn(want, J)
        return True

    def run(self, out_gradient):
        n, p = self.x.size, self.target.tol.size
        view, s, op = self.view, self.s, self.op
        cur = self.start
        g0 = view.grad(self.z(cur.d)[None])[0]
        out_gradient[:] = g0
        fs = float(np.linalg.norm(g0 * s))
        fs = 1.0 / fs if fs > 0 else 1.0
        g = g0 * s * fs
        B = np.eye(n) * (np.linalg.norm(g) / P["first"] if np.any(g) else 1.0)
        fresh_B = True
        rows = Rows(p, n)
        rows.all = bool(P['guard'])
        mu = np.zeros(p)
        margin = P['margin']
        delta = np.inf
        F0 = cur.F
        fails = 0
        for it in range(op.iterations):
            c = cur.c + margin
            lo, hi = (self.a - cur.d) / s, (self.b - cur.d) / s
            lo, hi = np.minimum(np.maximum(lo, -delta), 0), np.maximum(np.minimum(hi, delta), 0)
            # rows that must be there: violated
            self.want_violated(cur, rows, c)
            sol = self.subproblem(cur, rows, B, g, c, lo, hi)
            if sol is None:
                break
            d, lam = sol.d, sol.multipliers
            viol = np.maximum(c, 0.0)
            true_viol = float(np.max(cur.c, initial=-1))
            fscale = fs * max(abs(cur.F), abs(F0 - cur.F), 1e-300)
            gd = float(g @ d)
            pred = -(gd + 0.5 * d @ B @ d) + float(lam @ viol)
            if DEBUG:
                print(
                    f"it {it} F {cur.F:.10g} viol {true_viol:.2e} |d| {np.max(np.abs(d)):.2e} gd {gd:.2e} pred {pred:.2e} relaxed {sol.relaxed:.1e} act {np.flatnonzero(lam > 0)} passes {view.passes} vjps {view.vjps}"
                )
            if abs(gd) + float(lam @ np.abs(np.minimum(c, 0))) * 0 <= op.accuracy * fscale or np.max(np.abs(d)) < 1e-12:
                if true_viol <= 0:
                    break
                if np.max(np.abs(d)) < 1e-12 or true_viol < 1e-6:
                    margin = max(10 * margin, 2 * true_viol)
                    if margin > 1e-5:
                        break
            mu = np.maximum(lam, 0.5 * (mu + lam))
            new = self.search(cur, rows, B, g, c, d, mu, sol, fs, margin, lo, hi)
            if new is None:
                fails += 1
                if fails > 1 or not view.affords(1, 2):
                    break
                B = np.eye(n) * max(np.linalg.norm(g) / P["first"] * 10, 1e-8)
                fresh_B = True
                continue
            if isinstance(new, str):
                continue  # rows were added: solve again at the same point
            J_old = rows.J.copy()
            exact_old = rows.exact.copy()
            rows.move((new.d - cur.d) / s, new.c - cur.c)
            if P["restore"] and np.max(new.c, initial=-1) > 0 and np.any(lam > 0) and view.affords(0, 1):
                c1 = new.c + margin
                work = np.flatnonzero(rows.paid)
                lo1, hi1 = np.minimum((self.a - new.d) / s, 0), np.maximum((self.b - new.d) / s, 0)
                sol1 = solve_qp(B, np.zeros(n), rows.J[work], -c1[work], lo1, hi1)
                if sol1 is not None and sol1.relaxed == 0:
                    new1 = self.visit(np.clip(new.d + sol1.d * s, self.a, self.b))
                    rows.secant(sol1.d, new1.c - new.c)
                    m_ = lambda pt: (
                        fs * pt.F + float(mu @ np.maximum(pt.c + margin, 0.0)) if np.isfinite(pt.F) else np.inf
                    )
                    if DEBUG:
                        print("   restore", new1.F, new1.c.max(), m_(new1) - m_(new))
                    if m_(new1) <= m_(new):
                        rows.move((new1.d - new.d) / s, new1.c - new.c)
                        new = new1
            step = (new.d - cur.d) / s
            if not view.affords(1, 0):
                cur = new
                break
            g_new = view.grad(self.z(new.d)[None])[0] * s * fs
            lean = np.flatnonzero((lam > 0) & ~rows.exact)
            if not self.fetch(new, rows, lean):
                break
            y = g_new - g + lam @ (rows.J - J_old)
            B, fresh_B = bfgs(B, step, y, fresh_B)
            delta = P["grow"] * max(np.max(np.abs(step)), P["first"] * 0.1)
            cur, g = new, g_new
            fails = 0
        return self.candidates(cur, rows)

    def want_violated(self, cur, rows, c):
        new = np.flatnonzero((c > 0) & ~rows.paid)
        if new.size:
            order = new[np.argsort(-c[new], kind="stable")]
            self.fetch(cur, rows, np.sort(order[: P["newcap"]]))

    def subproblem(self, cur, rows, B, g, c, lo, hi):
        for _ in range(20):
            work = np.flatnonzero(rows.paid | (rows.known & (c <= 0)))
            sol = solve_qp(B, g, rows.J[work], -c[work], lo, hi)
            if sol is None:
                return None
            lam = np.zeros(c.size)
            lam[work] = sol.multipliers
            need = np.flatnonzero((lam > 0) & ~rows.exact)
            if need.size == 0 or not self.fetch(cur, rows, need):
                break
        return QpSolution(sol.d, lam, sol.relaxed)

    def search(self, cur, rows, B, g, c, d, mu, sol, fs, margin, lo, hi):
        s = self.s

        def merit(pt):
            return fs * pt.F + float(mu @ np.maximum(pt.c + margin, 0.0)) if np.isfinite(pt.F) else np.inf

        m0 = merit(cur)
        slope = float(g @ d) - (1 - sol.relaxed) * float(mu @ np.maximum(c, 0.0))
        slope = min(slope, 0.0)
        alpha = 1.0
        tried_soc = False
        noise = 1e-14 * (abs(m0) + 1e-30)
        for k in range(12):
            if not self.view.affords(0, 1):
                return None
            trial = self.visit(np.clip(cur.d + alpha * d * s, self.a, self.b))
            if not np.isfinite(trial.F):
                alpha *= 0.25
                continue
            # walls: rows outside the subproblem that the step ran into
            hit = np.flatnonzero((trial.c > 0) & (~rows.exact if P["guard"] else ~rows.known))
            if hit.size:
                frac = -np.minimum(c[hit], 0) / (trial.c[hit] + margin - np.minimum(c[hit], 0))
                f = float(np.min(frac))
                if DEBUG:
                    print("   wall", alpha, f, hit.size, trial.c[hit].max())
                if f < P["wall"]:
                    if P["guard"]:
                        rows.secant(alpha * d, trial.c - cur.c)
                        if f < P["cut"]:
                            return "again"
                        alpha *= f
                        continue
                    if f < P["cut"]:
                        order = hit[np.argsort(frac, kind="stable")][: P["newcap"]]
                        if self.fetch(cur, rows, np.sort(order)):
                            return "again"
                        return None
                    alpha *= f
                    continue
            mt = merit(trial)
            if DEBUG:
                print("   trial", alpha, trial.F, trial.c.max(initial=-1), mt - m0, slope)
            if mt <= m0 + 1e-4 * alpha * slope + noise:
                return trial
            if alpha == 1.0 and not tried_soc and np.any(np.maximum(trial.c + margin, 0) > np.maximum(c, 0)):
                tried_soc = True
                work = np.flatnonzero(rows.paid)
                rhs = -(trial.c[work] + margin - rows.J[work] @ d)
                soc = solve_qp(B, g, rows.J[work], rhs, lo, hi)
                if (
                    soc is not None
                    and soc.relaxed == 0
                    and np.linalg.norm(soc.d - d) <= 1.0 * np.linalg.norm(d)
                    and self.view.affords(0, 1)
                ):
                    second = self.visit(np.clip(cur.d + soc.d * s, self.a, self.b))
                    if DEBUG:
                        print("   soc", second.F, second.c.max(initial=-1), merit(second) - m0)
                    if merit(second) <= m0 + 1e-4 * slope + noise:
                        return second
            if -alpha * slope <= 1e-13 * abs(m0):
                return None
            q = -0.5 * alpha * alpha * slope / (mt - m0 - alpha * slope)
            alpha = float(np.clip(q, 0.1 * alpha, 0.5 * alpha))
        return None

    def candidates(self, cur, rows):
        out = []
        feas = [p for p in self.visited if p.c.max(initial=-1) <= 0 and np.isfinite(p.F)]
        if feas:
            out.append(min(feas, key=lambda p: p.F).d)
        if cur.c.max(initial=-1) > 0:
            out.append(cur.d)
        return out


def bfgs(B, s, y, fresh):
    sy = float(s @ y)
    ss = float(s @ s)
    yy = float(y @ y)
    if ss == 0:
        return B, fresh
    b0 = float(np.trace(B)) / s.size
    if fresh:
        mode = P["scale"]
        if sy > 1e-8 * np.sqrt(ss * yy) and yy > 0:
            gamma = yy / sy if mode == "yy" else sy / ss if mode == "ss" else np.sqrt(yy / ss) if mode == "geo" else b0
            gamma = np.clip(gamma, P["smin"] * b0, P["smax"] * b0)
        else:
            gamma = P["smin"] * b0 if np.sqrt(yy) < 0.1 * b0 * np.sqrt(ss) else b0
            return np.eye(s.size) * gamma, True
        B = np.eye(s.size) * gamma
    Bs = B @ s
    sBs = float(s @ Bs)
    if sBs <= 0:
        return B, fresh
    damp = P["damp"]
    if sy < damp * sBs:
        theta = (1 - damp) * sBs / (sBs - sy)
        y = theta * y + (1 - theta) * Bs
        sy = float(s @ y)
    return B - np.outer(Bs, Bs) / sBs + np.outer(y, y) / sy, False
