"""Pre-training with joint heads, and fine-tuning of an encoder behind frozen heads, standard and linearised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .data import Split, TaskFamily
from .linearize import linear_forward, standard_forward
from .model import SCALE, cosine_logits
from .task_vectors import TaskVector

__all__ = ["FineTuning", "PreTraining", "fine_tune", "parameters_of", "pre_train"]

Parameters = dict[str, Tensor]


@dataclass(frozen=True)
class PreTraining:
    """How an encoder is pre-trained: few samples of the tasks, all of the control, so that zero-shot is mediocre."""

    steps: int = 400
    rate: float = 1e-3
    decay: float = 0.01
    per_task: int = 32  # samples of each task in a step
    per_class: int = 6  # samples that a class of the four tasks has


@dataclass(frozen=True)
class FineTuning:
    """How a task is fine-tuned; the same for standard and linear.

    Attributes
    ----------
    steps, batch, warm_up : int     AdamW, warm-up, then cosine to 0, gradients clipped at 1
    rate : float
    decay : float                   weight decay
    towards : "zero" | "start"      what decay pulls to: 0 as in AdamW, or theta_0
    """

    steps: int = 250
    batch: int = 64
    rate: float = 3e-3
    warm_up: int = 50
    decay: float = 0.0
    towards: str = "zero"


def parameters_of(module: nn.Module) -> Parameters:
    """Copies of a module's parameters, name by name."""
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def pre_train(
    encoder: nn.Module, family: TaskFamily, settings: PreTraining, seed: int
) -> tuple[Parameters, tuple[Tensor, ...]]:
    """Train encoder and cosine heads of all tasks and the control together; return theta_0 and the heads (C, d)."""
    draw = torch.Generator().manual_seed(seed)
    samples = [task.train.per_class(settings.per_class) for task in family.tasks] + [family.control.train]
    theta = {name: value.requires_grad_() for name, value in parameters_of(encoder).items()}
    width = standard_forward(encoder, theta, samples[0].X[:1]).shape[1]
    heads = [
        torch.randn(int(split.y.max()) + 1, width, generator=draw).div_(width**0.5).requires_grad_()
        for split in samples
    ]
    optimizer = torch.optim.AdamW([*theta.values(), *heads], lr=settings.rate, weight_decay=settings.decay)
    for _ in range(settings.steps):
        batches = [_batch(split, settings.per_task, draw) for split in samples]
        features = standard_forward(encoder, theta, torch.cat([batch.X for batch in batches]))
        parts = features.split([len(batch) for batch in batches])
        losses = [
            F.cross_entropy(cosine_logits(z, head), batch.y)
            for z, head, batch in zip(parts, heads, batches, strict=True)
        ]
        optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        optimizer.step()
    return {name: value.detach() for name, value in theta.items()}, tuple(head.detach() for head in heads)


def fine_tune(
    encoder: nn.Module,
    theta_0: Parameters,
    head: Tensor,
    split: Split,
    settings: FineTuning,
    seed: int,
    *,
    linear: bool = False,
    scale: float = SCALE,
    progress: Callable[[int], None] | None = None,
) -> TaskVector:
    """Fine-tune from theta_0 behind a frozen head and return tau = theta - theta_0.

    Parameters
    ----------
    encoder : torch.nn.Module       gives the arithmetic; its own parameters are not used
    theta_0 : dict                  where training starts, and where `linear` linearises
    head : Tensor (C, d)            frozen
    split : Split                   training samples
    linear : bool                   train the linearised encoder, f(x; theta_0) + J(x; theta_0) (theta - theta_0)
    scale : float                   of the cosine head
    progress : callable, optional   called with the step after each one
    """
    draw = torch.Generator().manual_seed(seed)
    tau = {name: torch.zeros_like(value).requires_grad_() for name, value in theta_0.items()}
    optimizer = torch.optim.AdamW(tau.values(), lr=settings.rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, settings))
    for step in range(settings.steps):
        batch = _batch(split, settings.batch, draw)
        if linear:
            value, slope = linear_forward(encoder, theta_0, tau, batch.X)
            features = value + slope
        else:
            features = standard_forward(encoder, {name: theta_0[name] + t for name, t in tau.items()}, batch.X)
        loss = F.cross_entropy(cosine_logits(features, head, scale), batch.y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(tau.values(), 1.0)
        _decay(tau, theta_0, settings, schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
        if progress is not None:
            progress(step + 1)
    return TaskVector(tau)


def _decay(tau: Parameters, theta_0: Parameters, settings: FineTuning, rate: float) -> None:
    """Decoupled weight decay of theta = theta_0 + tau, towards 0 or towards theta_0."""
    if settings.decay == 0.0:
        return
    with torch.no_grad():
        for name, value in tau.items():
            weights = value + theta_0[name] if settings.towards == "zero" else value
            value.sub_(rate * settings.decay * weights)


def _rate(step: int, settings: FineTuning) -> float:
    """Share of the full rate: linear warm-up, then a cosine to 0."""
    if step < settings.warm_up:
        return (step + 1) / settings.warm_up
    angle = torch.pi * (step - settings.warm_up) / max(1, settings.steps - settings.warm_up)
    return 0.5 * (1.0 + float(torch.cos(torch.tensor(angle))))


def _batch(split: Split, size: int, draw: torch.Generator) -> Split:
    rows = torch.randint(len(split), (size,), generator=draw)
    return Split(split.X[rows], split.y[rows])
