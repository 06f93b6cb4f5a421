"""Compiled inner loops: arrays in, preallocated ``out_*`` arrays last, a count or a status back.

Rules (a syntax-tree test checks them): the one decorator ``kernel``, no fastmath (infinities and NaN are part of the
barrier's logic), no random numbers (they are drawn in Python and passed in), no callbacks, prints or exceptions, sums
in plain loops so that the numbers are the same with ``NUMBA_DISABLE_JIT=1``. Every division is guarded, because a
division by zero would raise. Nothing is compiled at import: the first call of a kernel compiles it, later processes
read it from disk.

A kernel is compiled once per combination of argument types. Read-only and writable, contiguous and strided arrays are
different types; passing the same kinds of array everywhere keeps the number of versions small.
"""
