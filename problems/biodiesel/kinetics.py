"""The true reactor: reaction rates, heating, and integrators for constant and for scheduled power.

Four glycerides react in a chain, each step giving one methyl ester (ME):

    TG -> DG -> MG -> G
    r1 = k1 TG - k2 DG ME     r2 = k3 DG - k4 MG ME     r3 = k5 MG - k6 G ME
    TG' = -r1   DG' = r1 - r2   MG' = r2 - r3   G' = r3   ME' = r1 + r2 + r3
    T'  = (7 Q - (T - 22)) / 15
    k_j = kref_j exp(-(Ea_j / R) (1 / (T + 273.15) - 1 / 323.15))

Units: mol/L, minutes, degC, W. The form follows the microwave reactor in Bouchet & Vidal, "Optimization by Directional
Attacks"; the constants are our own and are not fitted to a plant. The conversions xi_1 = TG0 - TG, xi_2 = xi_1 - DG,
xi_3 = xi_2 - MG carry the same information in three numbers, with xi_j' = r_j.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.integrate import solve_ivp

if TYPE_CHECKING:
    import torch

FloatArray = npt.NDArray[np.float64]

TG0 = 0.833  # mol/L of triglyceride at the start; every other species starts at 0
T0 = 22.0  # degC, also the temperature of the surroundings
HEATING = 7.0  # degC that one watt holds against the losses
TIME_CONSTANT = 15.0  # min, of the temperature
K_REF = (0.050, 0.020, 0.080, 0.030, 0.060, 0.008)  # at 50 degC; 1/min forwards, L/(mol min) backwards
E_A = (55.0, 42.0, 60.0, 50.0, 45.0, 40.0)  # kJ/mol
GAS_CONSTANT = 8.314e-3  # kJ/(mol K); four digits, part of the definition: more would move the optimum by 6e-5
SPECIES = ("TG", "DG", "MG", "G", "ME")

TIME_MAX = 120.0  # min, upper end of the batch time
POWER_MAX = 20.0  # W
ENERGY_MAX = 500.0  # W min
TEMPERATURE_MIN = 20.0  # degC
TEMPERATURE_MAX = 65.0  # degC
DURATION = 60.0  # min, of a schedule
WATTS = 10.0  # W, largest power of a schedule
MEAN_POWER_MAX = 5.0  # W, of a schedule
RAMP_MAX = 3.0  # W between neighbouring segments of a schedule
NODES = 100  # instants t_i = i t / 100 at which a trajectory is read


def rates(
    species: torch.Tensor, temperature: torch.Tensor, k_ref: torch.Tensor, e_a: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Reaction rates r1, r2, r3 in mol/(L min), written in torch for the residual of the training.

    Parameters
    ----------
    species : tensor (..., 5)       TG, DG, MG, G, ME in mol/L
    temperature : tensor (...)      degC
    k_ref, e_a : tensors (6,)       rate constants at 50 degC and activation energies in kJ/mol
    """
    inverse = 1.0 / (temperature + 273.15) - 1.0 / 323.15
    k = k_ref * (-(e_a / GAS_CONSTANT) * inverse.unsqueeze(-1)).exp()
    tg, dg, mg, g, me = species.unbind(-1)
    return (
        k[..., 0] * tg - k[..., 1] * dg * me,
        k[..., 2] * dg - k[..., 3] * mg * me,
        k[..., 4] * mg - k[..., 5] * g * me,
    )


def conversion_field(state: FloatArray, power: FloatArray | float) -> FloatArray:
    """Time derivative of (xi_1, xi_2, xi_3, T), any number of reactors at once.

    Parameters
    ----------
    state : float64 (..., 4)        conversions in mol/L and temperature in degC
    power : float64 (...)           W

    Returns
    -------
    float64 (..., 4)                mol/(L min), degC/min
    """
    x1, x2, x3, temperature = np.moveaxis(state, -1, 0)
    inverse = 1.0 / (temperature + 273.15) - 1.0 / 323.15
    k = [kr * np.exp(-(ea / GAS_CONSTANT) * inverse) for kr, ea in zip(K_REF, E_A, strict=True)]
    tg, dg, mg, g, me = TG0 - x1, x1 - x2, x2 - x3, x3, x1 + x2 + x3
    return np.stack(
        [
            k[0] * tg - k[1] * dg * me,
            k[2] * dg - k[3] * mg * me,
            k[4] * mg - k[5] * g * me,
            (HEATING * power - (temperature - T0)) / TIME_CONSTANT,
        ],
        axis=-1,
    )


def species_of(conversions: FloatArray) -> FloatArray:
    """Concentrations (..., 5) in mol/L from the three conversions (..., 3)."""
    x1, x2, x3 = np.moveaxis(conversions, -1, 0)
    return np.stack([TG0 - x1, x1 - x2, x2 - x3, x3, x1 + x2 + x3], axis=-1)


def simulate(power: float, times: FloatArray) -> FloatArray:
    """Trajectory at constant power, by LSODA with relative tolerance 1e-8.

    Parameters
    ----------
    power : float               W
    times : float64 (q,)        increasing, >= 0, in minutes

    Returns
    -------
    float64 (q, 6)              TG, DG, MG, G, ME in mol/L and T in degC
    """
    state = _integrate(np.array([0.0, 0.0, 0.0, T0]), power, np.asarray(times, dtype=np.float64))
    return np.column_stack([species_of(state[:, :3]), state[:, 3]])


def simulate_schedule(powers: FloatArray, duration: float, per_segment: int = 1) -> FloatArray:
    """Trajectory under piecewise constant power, restarted at every switch, by LSODA with relative tolerance 1e-8.

    Parameters
    ----------
    powers : float64 (K,)       W, one value per segment of length ``duration / K``
    duration : float            min
    per_segment : int           instants read inside each segment, its end included

    Returns
    -------
    float64 (K * per_segment, 4)        conversions in mol/L and temperature in degC
    """
    step = duration / len(powers)
    times = np.arange(1, per_segment + 1) * (step / per_segment)
    state = np.array([0.0, 0.0, 0.0, T0])
    rows = []
    for power in powers:
        rows.append(_integrate(state, float(power), times))
        state = rows[-1][-1]
    return np.concatenate(rows)


def _integrate(state: FloatArray, power: float, times: FloatArray) -> FloatArray:
    """Rows (q, 4) at ``times`` counted from the given state; repeated and zero times are legal."""
    if times[-1] <= 0.0:
        return np.repeat(state[None], len(times), axis=0)
    solution = solve_ivp(
        lambda _, y: conversion_field(y, power), (0.0, float(times[-1])), state,
        method="LSODA", t_eval=times, rtol=1e-8, atol=1e-10,
    )  # fmt: skip
    if not solution.success:
        raise ArithmeticError(f"The reactor could not be integrated at power {power} W: {solution.message}")
    return np.ascontiguousarray(solution.y.T)


def runge_kutta(state: FloatArray, power: FloatArray, step: FloatArray, substeps: int = 12) -> FloatArray:
    """One segment of constant power for many reactors at once, by the classical fourth-order method.

    Parameters
    ----------
    state : float64 (k, 4)          conversions in mol/L and temperature in degC
    power, step : float64 (k,)      W and min
    substeps : int                  12 keep the error of a 6-minute segment below 1e-7

    Returns
    -------
    float64 (k, 4)
    """
    h = (step / substeps)[:, None]
    for _ in range(substeps):
        a = conversion_field(state, power)
        b = conversion_field(state + 0.5 * h * a, power)
        c = conversion_field(state + 0.5 * h * b, power)
        d = conversion_field(state + h * c, power)
        state = state + (h / 6.0) * (a + 2.0 * b + 2.0 * c + d)
    return state
