"""Steps in ball and box for many rows at once, in torch: the l_inf part of `attacks.projection`, row by row the same arithmetic."""

from __future__ import annotations

import math

import torch

__all__ = ["steepest_linf", "two_goal_linf"]

Tensor = torch.Tensor


def steepest_linf(g: Tensor, lo: Tensor, hi: Tensor) -> Tensor:
    """Minimiser of g . d over lo <= d <= hi, each (k, n); coordinates with g_i = 0 stay."""
    return torch.where(g > 0.0, lo, torch.where(g < 0.0, hi, torch.zeros_like(g)))


def two_goal_linf(g_1: Tensor, g_2: Tensor, lo: Tensor, hi: Tensor) -> Tensor:
    """Steps (k, n) with the largest common relative decrease of two linear goals, zero rows where there is none; see `attacks.projection`."""
    g_1, g_2 = _unit(g_1), _unit(g_2)
    best_1, best_2 = -_dot(g_1, steepest_linf(g_1, lo, hi)), -_dot(g_2, steepest_linf(g_2, lo, hi))
    possible = (best_1 > 0.0) & (best_2 > 0.0)
    one = torch.ones_like(best_1)
    p = g_1 / torch.where(possible, best_1, one)[:, None]
    q = g_2 / torch.where(possible, best_2, one)[:, None]
    left, right = steepest_linf(q, lo, hi), steepest_linf(p, lo, hi)
    edges, end = _edges(p, q)

    def step(i: Tensor) -> Tensor:
        share = 0.5 * (edges.gather(1, (i - 1).clamp(min=0)[:, None]) + edges.gather(1, i.clamp(max=end - 1)[:, None]))
        d = steepest_linf(share * p + (1.0 - share) * q, lo, hi)
        return torch.where((i == 0)[:, None], left, torch.where((i == end)[:, None], right, d))

    first, last = torch.zeros_like(end), end.clone()
    for _ in range(math.ceil(math.log2(edges.shape[1])) + 1):
        middle = (first + last) // 2
        falling = _dot(p - q, step(middle)) > 0.0
        going = last - first > 1
        first, last = torch.where(going & falling, middle, first), torch.where(going & ~falling, middle, last)
    at_left, at_right = (_dot(p - q, left) <= 0.0)[:, None], (_dot(p - q, right) >= 0.0)[:, None]
    before = torch.where(at_left, left, torch.where(at_right, right, step(first)))
    after = torch.where(at_left, left, torch.where(at_right, right, step(last)))
    return torch.where(possible[:, None], _common(p, q, before, after), torch.zeros_like(p))


def _edges(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """0, the distinct breakpoints in ascending order, then ones, (k, n + 2); and the number of steps between them plus one, (k,)."""
    crossing = p * q < 0.0
    far = torch.full_like(p, math.inf)
    breaks = torch.where(crossing, q / torch.where(crossing, q - p, torch.ones_like(p)), far).sort(dim=1).values
    again = torch.zeros_like(crossing)
    again[:, 1:] = breaks[:, 1:] == breaks[:, :-1]
    breaks = torch.where(again, far, breaks).sort(dim=1).values
    known = torch.isfinite(breaks)
    zero, one = torch.zeros_like(p[:, :1]), torch.ones_like(p[:, :1])
    edges = torch.cat([zero, torch.where(known, breaks, torch.ones_like(p)), one], dim=1)
    return edges, known.sum(dim=1) + 2


def _common(p: Tensor, q: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """The mix of two steps that decreases p and q equally; zero where that is no decrease."""
    gap_left, gap_right = _dot(p - q, left), _dot(p - q, right)
    mixed = (gap_left > 0.0) & (gap_right < 0.0)
    share = torch.where(
        mixed,
        gap_left / torch.where(mixed, gap_left - gap_right, torch.ones_like(gap_left)),
        (gap_left > 0.0).to(gap_left.dtype),
    )[:, None]
    d = (1.0 - share) * left + share * right
    both = ((_dot(p, d) < 0.0) & (_dot(q, d) < 0.0))[:, None]
    return torch.where(both, d, torch.zeros_like(d))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=1)


def _unit(g: Tensor) -> Tensor:
    size = g.abs().amax(dim=1, keepdim=True)
    usable = (size > 0.0) & torch.isfinite(size)
    return torch.where(usable, g / torch.where(usable, size, torch.ones_like(size)), g)
