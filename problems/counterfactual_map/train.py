"""Train both networks: ``python -m dfoattack_problems.counterfactual_map.train --seed 0 --device cpu``.

The autoencoder learns to draw maps from 64 numbers; the cost net learns to read tile costs off drawn maps and off what
the autoencoder makes of them. Both are written to ``--out`` (default ``weights.npz`` in the current folder) with the
codes of test maps that neither has seen.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from .model import LATENT, CostNet, Decoder, Encoder, FloatArray, MapNet, load, save
from .routes import cheapest
from .terrain import IntArray, costs, maps, pictures

BATCH = 64
SPREAD = 0.10
"""Standard deviation of a decoded pixel: it weighs reconstruction against the size of the codes."""
N_CODES = 400
INSIDE = (7.0, 9.0)
"""Norms of the codes that are kept: the shell sqrt(64) +- 1, where standard normal vectors lie."""


@dataclass(frozen=True)
class Quality:
    """How good the networks are on maps that they have not seen.

    Attributes
    ----------
    picture : float             mean squared error of a reconstructed pixel (the noise alone makes 0.0025)
    cost, cost_rebuilt : float  mean absolute error of a tile cost, on pictures and on reconstructions
    regret : float              how much dearer the route read off the reconstruction is on the true map, relative
    norms : tuple               5, 50 and 95 % quantiles of the norm of a code
    inside : float              part of the codes inside the shell `INSIDE`
    """

    picture: float
    cost: float
    cost_rebuilt: float
    regret: float
    norms: tuple[float, float, float]
    inside: float


def train_autoencoder(
    drawn: Tensor, steps: int, generator: torch.Generator, log: bool = True
) -> tuple[Encoder, Decoder]:
    """Fit encoder and decoder: squared error / (2 SPREAD^2) + KL, its weight 0 for 10 % of the steps, 1 after 50 %.

    Without the slow start of the KL term all codes become equal.
    """
    encoder, decoder = Encoder().to(drawn.device), Decoder().to(drawn.device)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    began = time.perf_counter()
    for step in range(steps):
        rows = torch.randint(len(drawn), (BATCH,), generator=generator).to(drawn.device)
        batch = drawn[rows]
        mean, log_variance = encoder(batch)
        noise = torch.randn(mean.shape, generator=generator).to(drawn.device)
        rebuilt = decoder(mean + noise * (0.5 * log_variance).exp())
        error = (rebuilt - batch).square().sum() / (2.0 * SPREAD**2 * BATCH)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum() / BATCH
        weight = min(1.0, max(0.0, (step / steps - 0.1) / 0.4))
        optimiser.zero_grad()
        (error + weight * kl).backward()
        optimiser.step()
        schedule.step()
        if log and (step + 1) % max(1, steps // 10) == 0:
            seconds = time.perf_counter() - began
            print(
                f"autoencoder step {step + 1} error {error.item():.1f} KL {kl.item():.1f} {seconds:.0f} s", flush=True
            )
    return encoder.eval().requires_grad_(False), decoder.eval().requires_grad_(False)


def whiten(encoder: Encoder, decoder: Decoder, drawn: Tensor) -> None:
    """Change the coordinates of the codes so that those of the pictures have mean 0 and covariance I; maps stay the same.

    The KL term alone leaves codes too large, outside the shell where standard normal vectors lie. z = mean + A x with
    A the symmetric root of the covariance is exact: the first layer of the decoder and the last one of the encoder are
    linear. The encoder's log variances, which only training needs, keep belonging to z.
    """
    with torch.inference_mode():
        codes = torch.cat([encoder(part)[0] for part in drawn.split(500)]).double().clone()
    mean = codes.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov(codes.T))
    root = vectors * values.sqrt() @ vectors.T
    inverse = vectors / values.sqrt() @ vectors.T
    first, last = decoder[0], encoder.body[-1]
    assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
    first.bias.data += (first.weight.double() @ mean).to(first.bias)
    first.weight.data = (first.weight.double() @ root).to(first.weight)
    last.weight.data[:LATENT] = (inverse @ last.weight[:LATENT].double()).to(last.weight)
    last.bias.data[:LATENT] = (inverse @ (last.bias[:LATENT].double() - mean)).to(last.bias)


def train_cost(drawn: Tensor, rebuilt: Tensor, labels: Tensor, steps: int, generator: torch.Generator) -> CostNet:
    """Fit the cost net on pictures and on their reconstructions, half of each batch each."""
    net = CostNet().to(drawn.device)
    optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, total_steps=steps)
    for _ in range(steps):
        rows = torch.randint(len(drawn), (BATCH,), generator=generator).to(drawn.device)
        inputs = torch.cat([drawn[rows], rebuilt[rows]])
        loss = mse_loss(net(inputs), labels[rows].repeat(2, 1))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return net.eval().requires_grad_(False)


def train(
    seed: int = 0, device: str = "cpu", steps: int = 1500, count: int = 16_000, log: bool = True
) -> tuple[MapNet, FloatArray, Quality]:
    """Everything from one seed: data, both networks, codes of test maps inside the shell, and the quality."""
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    codes, test = maps(rng, count), maps(rng, 4 * N_CODES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # the initial parameters are drawn from the global generator
        drawn, labels = _tensor(pictures(rng, codes), device), _tensor(costs(codes), device)
        encoder, decoder = train_autoencoder(drawn, steps, generator, log)
        whiten(encoder, decoder, drawn)
        with torch.inference_mode():
            parts = [decoder(encoder(part)[0]) for part in drawn.split(500)]
        rebuilt = torch.cat(parts).clone()  # out of inference mode
        cost = train_cost(drawn, rebuilt, labels, max(50, 3 * steps // 10), generator)
    net = MapNet()
    net.decoder.load_state_dict(decoder.cpu().state_dict())
    net.cost.load_state_dict(cost.cpu().state_dict())
    return _judged(net.eval().requires_grad_(False), encoder.cpu(), rng, test)


def _judged(
    net: MapNet, encoder: Encoder, rng: np.random.Generator, test: IntArray
) -> tuple[MapNet, FloatArray, Quality]:
    drawn, true = _tensor(pictures(rng, test), "cpu"), costs(test)
    with torch.inference_mode():
        mean = torch.cat([encoder(part)[0] for part in drawn.split(200)])
        rebuilt = torch.cat([net.decoder(part) for part in mean.split(200)])
        read = torch.cat([net.cost(part) for part in drawn.split(200)]).numpy()
        again = torch.cat([net.cost(part) for part in rebuilt.split(200)]).numpy().astype(np.float64)
    _, route = cheapest(again)
    least, _ = cheapest(true)
    norms = mean.norm(dim=1).numpy()
    low, middle, high = (float(q) for q in np.quantile(norms, (0.05, 0.5, 0.95)))
    kept = (norms > INSIDE[0]) & (norms < INSIDE[1])
    quality = Quality(
        picture=float(mse_loss(rebuilt, drawn)),
        cost=float(np.abs(read - true).mean()),
        cost_rebuilt=float(np.abs(again - true).mean()),
        regret=float(((true * route).sum(1) / least - 1.0).mean()),
        norms=(low, middle, high),
        inside=float(kept.mean()),
    )
    return net, mean.numpy()[kept][:N_CODES].astype(np.float64), quality


def _tensor(array: FloatArray, device: str) -> Tensor:
    return torch.from_numpy(array.astype(np.float32)).to(device)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Train the networks of the counterfactual maps.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=1500, help="of the autoencoder; fewer for a trial run")
    parser.add_argument("--maps", type=int, default=16_000, help="training maps")
    parser.add_argument("--out", type=Path, default=Path("weights.npz"))
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    net, codes, quality = train(options.seed, options.device, options.steps, options.maps)
    print(quality)
    print(f"{len(codes)} codes of length {LATENT} inside the shell; {time.perf_counter() - began:.0f} s")
    save(net, codes, options.out)
    print(f"written to {options.out}, {options.out.stat().st_size / 1e6:.2f} MB, SHA-256 {load(options.out)[2]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
