"""One task: an initial map, a wanted route, and the functions of the problem with their derivatives.

Outputs of the network: y = (x, C), a row of 64 + 144 numbers. All functions take rows Y (k, 208) in NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .model import LATENT, MapNet
from .routes import BoolArray, FloatArray, cheapest, contest

OVERLAP = 0.4
"""The wanted route shares less than this part of its tiles with the cheapest one of the initial map."""
TOTAL_UNIT, COST_UNIT = 100.0, 10.0
SLACK = 0.01
"""What the wanted route may cost more than the cheapest one, in units of `COST_UNIT`."""
TEMPERATURE = 0.03
"""Of the contest between routes: routes that cost so much more than the cheapest still have a say."""
NORM, HALF_WIDTH = float(np.sqrt(LATENT)), 1.0


@dataclass(frozen=True)
class Task:
    """What is asked for, and f and c of it.

    Attributes
    ----------
    x_initial, x_alternative : float64 (64,)    codes of the initial map and of one on which the wanted route is cheapest
    costs : float64 (144,)                      tile costs of the initial map
    initial, wanted : bool (144,)               tiles of its cheapest route, and of the wanted one
    ratio : float > 0                           `cost`: the wanted route costs at most this part of the initial one
    """

    x_initial: FloatArray
    x_alternative: FloatArray
    costs: FloatArray
    initial: BoolArray
    wanted: BoolArray
    ratio: float = 0.5

    def f(self, Y: FloatArray) -> FloatArray:
        """Minus the squared change of the code and of the map's total cost in hundreds, (k,)."""
        change = Y[:, :LATENT] - self.x_initial
        return np.asarray(-(change**2).sum(1) - (self._total(Y) / TOTAL_UNIT) ** 2)

    def f_gradient(self, Y: FloatArray) -> FloatArray:
        """Gradient of f by y, (k, 208). Every tile cost gets the same number."""
        gradient = np.empty_like(Y)
        gradient[:, :LATENT] = -2.0 * (Y[:, :LATENT] - self.x_initial)
        gradient[:, LATENT:] = (-2.0 / TOTAL_UNIT**2) * self._total(Y)[:, None]
        return gradient

    def _total(self, Y: FloatArray) -> FloatArray:
        return np.asarray(Y[:, LATENT:].sum(1) - self.costs.sum())

    # ---------------------------------------------------------------- constraints, each with the gradient of W c by y

    def annulus(self, Y: FloatArray) -> FloatArray:
        """(|x| - 7) (|x| - 9) / 10: codes of maps lie where standard normal vectors of length 64 do."""
        norm = np.linalg.norm(Y[:, :LATENT], axis=1)
        return np.asarray(((norm - NORM) ** 2 - HALF_WIDTH**2) / 10.0)

    def annulus_gradient(self, X: FloatArray, Y: FloatArray, W: FloatArray) -> tuple[None, FloatArray]:
        """See `dfoattack.Constraint`. Zero at x = 0, where the norm has no derivative."""
        gradient = np.zeros_like(Y)
        norm = np.linalg.norm(Y[:, :LATENT], axis=1, keepdims=True)
        slope = np.divide(2.0 * (norm - NORM), 10.0 * norm, out=np.zeros_like(norm), where=norm > 0.0)
        gradient[:, :LATENT] = W * slope * Y[:, :LATENT]
        return None, gradient

    def cost(self, Y: FloatArray) -> FloatArray:
        """(wanted / ratio - initial) / 10: on the new map the wanted route costs at most `ratio` of the initial one."""
        return np.asarray(Y[:, LATENT:] @ self._cost_weights())

    def cost_gradient(self, X: FloatArray, Y: FloatArray, W: FloatArray) -> tuple[None, FloatArray]:
        """See `dfoattack.Constraint`."""
        return None, _on_costs(Y, W * self._cost_weights())

    def _cost_weights(self) -> FloatArray:
        return np.asarray((self.wanted / self.ratio - self.initial) / COST_UNIT)

    def value(self, Y: FloatArray) -> FloatArray:
        """(wanted - cheapest) / 10 - 0.01: the wanted route is as good as the cheapest; kinks where the latter changes."""
        costs = Y[:, LATENT:]
        return np.asarray((costs @ self.wanted - cheapest(costs)[0]) / COST_UNIT - SLACK)

    def value_gradient(self, X: FloatArray, Y: FloatArray, W: FloatArray) -> tuple[None, FloatArray]:
        """See `dfoattack.Constraint`; of the side of a kink on which the point lies."""
        _, on = cheapest(Y[:, LATENT:])
        return None, _on_costs(Y, W * (self.wanted.astype(np.float64) - on) / COST_UNIT)

    def path(self, Y: FloatArray) -> FloatArray:
        """Number of tiles that belong to one of the wanted and the cheapest route but not to both; 0: they are equal."""
        _, on = cheapest(Y[:, LATENT:])
        return np.asarray((on != self.wanted).sum(1), dtype=np.float64)

    def contest(self, Y: FloatArray) -> FloatArray:
        """See `routes.contest`, in units of `COST_UNIT`: a smooth stand-in for `path`, not positive only where `path` is 0."""
        return contest(Y[:, LATENT:], self.wanted, TEMPERATURE)[0] / COST_UNIT

    def contest_gradient(self, X: FloatArray, Y: FloatArray, W: FloatArray) -> tuple[None, FloatArray]:
        """See `dfoattack.Constraint`."""
        return None, _on_costs(Y, W * contest(Y[:, LATENT:], self.wanted, TEMPERATURE)[1] / COST_UNIT)


def make_task(net: MapNet, codes: FloatArray, pair: int, ratio: float = 0.5) -> Task:
    """The task number `pair`: two random codes whose cheapest routes share less than 40 % of the second one's tiles.

    Raises
    ------
    ValueError      no such pair among 1000 (weights that are hardly trained)
    """
    rng = np.random.default_rng(pair)
    for _ in range(1000):
        X = codes[rng.choice(len(codes), 2, replace=False)]
        costs = map_costs(net, X)
        _, on = cheapest(costs)
        if (on[0] & on[1]).sum() < OVERLAP * on[1].sum():
            return Task(X[0].copy(), X[1].copy(), costs[0], on[0], on[1], ratio)
    raise ValueError(f"No two of {len(codes)} codes have routes that overlap by less than {OVERLAP:.0%}.")


def map_costs(net: MapNet, X: FloatArray) -> FloatArray:
    """Tile costs (k, 144) of the decoded maps of codes X (k, 64)."""
    with torch.inference_mode():
        return np.asarray(net(torch.from_numpy(X)).numpy()[:, LATENT:])


def _on_costs(Y: FloatArray, weights: FloatArray) -> FloatArray:
    """(k, 208) with zeros for the code."""
    return np.hstack([np.zeros((len(Y), LATENT)), weights])
