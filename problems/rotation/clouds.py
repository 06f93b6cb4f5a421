"""Point clouds: sampled from meshes, shipped (40 objects), or made by procedure."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["POINTS", "mesh_of_obj", "procedural_cloud", "sample_surface", "shipped_clouds"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
POINTS = 48
"""Points of a cloud as the networks see it."""
SIZE = 1.5
"""Largest absolute coordinate of a centred cloud."""


@functools.cache
def shipped_clouds() -> FloatArray:
    """Return the shipped objects, (40, 256, 3), centred, largest absolute coordinate 1.5 (rounded to float16)."""
    with np.load(Path(__file__).with_name("clouds.npz"), allow_pickle=False) as file:
        clouds = file["clouds"].astype(np.float64)
    clouds.flags.writeable = False
    return clouds


def mesh_of_obj(text: str) -> tuple[FloatArray, IntArray]:
    """Return vertices (v, 3) and triangles (t, 3) of a Wavefront .obj text; polygons become fans."""
    vertices: list[list[float]] = []
    triangles: list[tuple[int, int, int]] = []
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "v":
            vertices.append([float(word) for word in words[1:4]])
        elif words[0] == "f":
            corners = [int(word.partition("/")[0]) for word in words[1:]]
            corners = [c - 1 if c > 0 else len(vertices) + c for c in corners]
            triangles += [(corners[0], b, c) for b, c in itertools.pairwise(corners[1:])]
    return np.array(vertices).reshape(-1, 3), np.array(triangles, dtype=np.int64).reshape(-1, 3)


def sample_surface(vertices: FloatArray, triangles: IntArray, count: int, rng: np.random.Generator) -> FloatArray:
    """Return `count` points (count, 3) uniform on the surface, then centred and scaled to `SIZE`."""
    corners = vertices[triangles]
    u, v = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.linalg.norm(np.cross(u, v), axis=1)
    chosen = rng.choice(len(triangles), count, p=area / area.sum())
    s, t = np.sort(rng.random((2, count)), axis=0)
    points = corners[chosen, 0] + s[:, None] * u[chosen] + (t - s)[:, None] * v[chosen]
    # (s, t - s) of two sorted uniforms is uniform on the triangle s, t >= 0, s + t <= 1.
    return _normalised(points)


def procedural_cloud(count: int, rng: np.random.Generator) -> FloatArray:
    """Return `count` points (count, 3) on four random ellipsoids put together at random: an object without symmetry."""
    centres = rng.uniform(-1.0, 1.0, (4, 3))
    radii = rng.uniform(0.15, 0.9, (4, 3))
    which = rng.integers(0, 4, count)
    directions = rng.standard_normal((count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return _normalised(centres[which] + radii[which] * directions)


def _normalised(points: FloatArray) -> FloatArray:
    points = points - points.mean(axis=0)
    return points * (SIZE / np.abs(points).max())
