"""Several objectives at once: an archive of nondominated points in the place of one incumbent.

After Bigeon, Le Digabel & Salomon (2021), "DMulti-MADS: mesh adaptive direct multisearch for bound-constrained blackbox multiobjective
optimization", and (2024), "Handling of constraints in multiobjective blackbox optimization".
"""

from __future__ import annotations
