"""Blocks of the sizes that a model accepts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dfoattack._typing import FloatArray

__all__ = ["in_batches", "padded", "padded_size"]


def in_batches(work: Callable[..., FloatArray], batch: int | None, *arrays: FloatArray) -> FloatArray:
    """Call `work` on blocks of exactly `batch` rows, the last one padded, and return the rows that were asked for.

    Parameters
    ----------
    work : callable, arrays (b, ...) -> (b, q), row by row
    batch : int or None         rows that the model insists on; None: any number, one call
    arrays : float64 (k, ...)   of the same length k
    """
    k = arrays[0].shape[0]
    if batch is None and k:
        return work(*arrays)
    batch = batch or 1
    parts = []
    for start in range(0, max(k, 1), batch):
        rows = min(batch, k - start)
        block = [padded(array[start : start + rows], batch) for array in arrays]
        parts.append(work(*block)[:rows])
    return np.concatenate(parts)


def padded(array: FloatArray, rows: int) -> FloatArray:
    """The array (k, ...), filled up to `rows` rows with copies of its last one (zeros if it has none)."""
    missing = rows - array.shape[0]
    if missing <= 0:
        return array
    last = array[-1:] if array.shape[0] else np.zeros((1, *array.shape[1:]))
    return np.concatenate([array, np.repeat(last, missing, axis=0)])


def padded_size(k: int) -> int:
    """The next power of two: compiled programs then know few block sizes."""
    return 1 << max(0, k - 1).bit_length()
