"""Attack analysis: how often each attack operator improves a point, by radius and by how good the point is already.

The figure of the published study (arXiv 2510.01461), for any problem and any operator: `dfoattack analyse PROBLEM`.
"""

from __future__ import annotations

from dfoattack.analysis.points import Points, draw
from dfoattack.analysis.rates import RADII, Rates, analyse

__all__ = ["RADII", "Points", "Rates", "analyse", "draw"]
