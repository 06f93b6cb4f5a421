"""Measurements of dfoattack: its own overhead, and itself against other solvers at equal counted evaluations.

Not installed with the package; run from the repository's root, e.g. `python -m benchmarks.micro`.
"""
