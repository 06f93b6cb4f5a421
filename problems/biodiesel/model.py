"""The two networks as float64 torch modules, and their weights as plain arrays (no pickle)."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from .kinetics import DURATION, NODES, T0, TG0, TIME_MAX

Head = Literal["hard", "soft"]
FOLDER = Path(__file__).resolve().parent


class Reactor(nn.Module):
    """Trajectory at constant power: x = (t / 120, Q / 20) -> the six outputs at t_i = i t / 100.

    ``forward`` maps (k, 2) to (k, 600); reshaped to (k, 100, 6) they are TG, DG, MG, G, ME in mol/L and T in degC.
    The inner network is 2-64-64-64-6 (soft) or 2-64-64-64-4 (hard) with tanh.

    Parameters
    ----------
    head : "hard" | "soft"
        "soft": six free outputs, as published. "hard": with s = sigmoid(first three outputs), e = 1 - exp(-t / 10) and
        z the fourth,

            xi_1 = TG0 e s_1,  xi_2 = xi_1 e s_2,  xi_3 = xi_2 e s_3,  T = 22 + 50 e z,

        so the start, the signs and the mass balances hold exactly.
    """

    def __init__(self, head: Head = "hard") -> None:
        super().__init__()
        self.head: Head = head
        sizes = (2, 64, 64, 64, 4 if head == "hard" else 6)
        self.layers = nn.ModuleList(nn.Linear(a, b, dtype=torch.float64) for a, b in itertools.pairwise(sizes))
        self.register_buffer("fractions", torch.arange(1, NODES + 1, dtype=torch.float64) / NODES, persistent=False)
        # The wide support reaches 8 of 20 W. For the hard head powers are stretched so that these data, not the box,
        # fill [-1, 1], which lowers its errors; the soft head sees the whole box as [-1, 1].
        stretch = [2.0, 5.0 if head == "hard" else 2.0]
        self.register_buffer("stretch", torch.tensor(stretch, dtype=torch.float64), persistent=False)
        scale = [TG0] * 3 + [TG0, 3.0 * TG0, 50.0]
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float64), persistent=False)
        self.register_buffer("shift", torch.tensor([0.0] * 5 + [T0], dtype=torch.float64), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(k, 2) in [0, 1]^2 -> (k, 600)."""
        # In blocks that stay in the cache: 256 points at once take 1.5 times as long.
        return torch.cat([self._trajectories(block) for block in x.split(16)]) if len(x) > 16 else self._trajectories(x)

    def _trajectories(self, x: Tensor) -> Tensor:
        k = x.shape[0]
        time = (x[:, :1] * self.fractions).reshape(-1, 1)  # in units of 120 min
        power = x[:, 1:].expand(k, NODES).reshape(-1, 1)
        return self.outputs(torch.cat([time, power], 1)).reshape(k, 6 * NODES)

    def outputs(self, inputs: Tensor) -> Tensor:
        """Six outputs (q, 6) at single instants; ``inputs`` (q, 2) holds t / 120 and Q / 20."""
        hidden = inputs * self.stretch - 1.0
        for layer in self.layers[:-1]:
            hidden = torch.tanh(layer(hidden))
        return self._head(inputs[:, :1], self.layers[-1](hidden))

    def outputs_and_slopes(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (q, 6) and their time derivatives (q, 6) per minute, by forward mode."""
        slope = torch.zeros_like(inputs)
        slope[:, 0] = 2.0 / TIME_MAX  # 2: the stretch of the time below
        hidden = inputs * self.stretch - 1.0
        for layer in self.layers[:-1]:
            hidden = torch.tanh(layer(hidden))
            slope = (slope @ layer.weight.t()) * (1.0 - hidden * hidden)
        last = self.layers[-1]
        raw, raw_slope = last(hidden), slope @ last.weight.t()
        values = self._head(inputs[:, :1], raw)
        if self.head == "soft":
            return values, raw_slope * self.scale
        e = -torch.expm1(inputs[:, :1] * (-TIME_MAX / 10.0))
        e_slope = (1.0 - e) / 10.0
        sigma = torch.sigmoid(raw[:, :3])
        s, s_slope = sigma * e, raw_slope[:, :3] * sigma * (1.0 - sigma) * e + sigma * e_slope
        x1, d1 = s[:, 0:1] * TG0, s_slope[:, 0:1] * TG0
        x2, d2 = x1 * s[:, 1:2], d1 * s[:, 1:2] + x1 * s_slope[:, 1:2]
        d3 = d2 * s[:, 2:3] + x2 * s_slope[:, 2:3]
        warming = 50.0 * (raw_slope[:, 3:] * e + raw[:, 3:] * e_slope)
        return values, torch.cat([-d1, d1 - d2, d2 - d3, d3, d1 + d2 + d3, warming], 1)

    def _head(self, time: Tensor, raw: Tensor) -> Tensor:
        """Physical outputs (q, 6) from the raw ones; ``time`` (q, 1) in units of 120 min."""
        if self.head == "soft":
            return torch.addcmul(self.shift, raw, self.scale)
        e = -torch.expm1(time * (-TIME_MAX / 10.0))
        s = torch.sigmoid(raw[:, :3]) * e
        x1 = s[:, 0:1] * TG0
        x2 = x1 * s[:, 1:2]
        x3 = x2 * s[:, 2:3]
        temperature = torch.addcmul(self.shift[5:], raw[:, 3:], e, value=50.0)
        return torch.cat([TG0 - x1, x1 - x2, x2 - x3, x3, x1 + x2 + x3, temperature], 1)


class Schedule(nn.Module):
    """Trajectory under a power schedule: x_k = Q_k / 10 in K equal segments -> conversions and temperature at the ends.

    A 6-96-96-4 tanh net maps (xi_1, xi_2, xi_3, T, Q, h) to the change over a step of h minutes (0.5 to 6); it is
    applied ceil(segment / 6) times per segment. ``forward`` maps (k, K) to (k, 4 K); reshaped to (k, K, 4) they are
    xi / TG0 and T in degC.
    """

    WIDTH = 96

    def __init__(self, segments: int = 10, duration: float = DURATION) -> None:
        super().__init__()
        self.segments = segments
        self.duration = duration
        segment = duration / segments
        self.repeats = max(1, int(np.ceil(segment / 6.0 - 1e-9)))
        self.step = segment / self.repeats
        w = self.WIDTH
        self.first = nn.Linear(6, w, dtype=torch.float64)
        self.second = nn.Linear(w, w, dtype=torch.float64)
        self.third = nn.Linear(w, 4, dtype=torch.float64)

    def advance(self, state: Tensor, drive: Tensor, step: Tensor) -> Tensor:
        """One step in the net's own units.

        state (q, 4) = xi / TG0 and (T - 22) / 50, drive (q, 1) = Q / 10, step (q, 1) = h / 6; returns the next state.
        """
        hidden = torch.tanh(self.first(2.0 * torch.cat([state, drive, step], 1) - 1.0))
        return state + step * self.third(torch.tanh(self.second(hidden)))

    def forward(self, x: Tensor) -> Tensor:
        """(k, K) in [0, 1]^K -> (k, 4 K)."""
        k, step = x.shape[0], self.step / 6.0
        # The same numbers as `advance` applied in a loop, with all that does not depend on the state taken out: a
        # single point is bound by the cost of launching operations, and this leaves six a step.
        weight = 2.0 * self.first.weight
        w1, w2, w3 = weight[:, :4].t(), self.second.weight.t(), self.third.weight.t() * step
        b1, b2, b3 = (
            self.first.bias - self.first.weight.sum(1) + weight[:, 5] * step,
            self.second.bias,
            self.third.bias * step,
        )
        drives = x.t().unsqueeze(-1) * weight[:, 4] + b1  # (K, k, width)
        state = x.new_zeros(k, 4)
        ends = []
        for drive in drives.unbind(0):
            for _ in range(self.repeats):
                hidden = torch.tanh(torch.addmm(drive, state, w1))
                state = torch.addmm(state + b3, torch.tanh(torch.addmm(b2, hidden, w2)), w3)
            ends.append(state)
        unit = x.new_tensor([1.0, 1.0, 1.0, 50.0])
        return torch.addcmul(x.new_tensor([0.0, 0.0, 0.0, T0]), torch.stack(ends, 1), unit).reshape(
            k, 4 * self.segments
        )


def weights_path(kind: str) -> Path:
    """Shipped file of one network: "hard_wide", "soft_narrow", ..., or "schedule"."""
    return FOLDER / "weights" / f"{kind}.npz"


def save_weights(module: nn.Module, path: Path | str) -> None:
    """Write the parameters as float64 arrays under their own names."""
    np.savez(path, **{name: value.detach().cpu().numpy() for name, value in module.state_dict().items()})


def load_weights(module: nn.Module, path: Path | str) -> str:
    """Fill ``module`` from an ``.npz`` file, freeze it, and return the SHA-256 of names and numbers.

    Raises
    ------
    ValueError
        when a name or a shape in the file is not the module's
    """
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: np.ascontiguousarray(file[name], dtype=np.float64) for name in file.files}
    own = module.state_dict()
    shapes = {name: tuple(value.shape) for name, value in own.items()}
    found = {name: value.shape for name, value in arrays.items()}
    if shapes != found:
        raise ValueError(f"`weights_path` must hold arrays {shapes}, got {found} in {path}.")
    module.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    module.eval().requires_grad_(False)
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()
