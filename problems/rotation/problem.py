"""The rotation problems as `dfoattack.Problem`, under the names that the entry points use."""

from .fit import make_cut, make_fit
from .kinematics import make_ik_fk, make_ik_net
from .matrices import make_similarity_fit, make_so_n, make_stiefel
from .worst import make_pose_attack, make_worst

__all__ = [
    "make_cut",
    "make_fit",
    "make_ik_fk",
    "make_ik_net",
    "make_pose_attack",
    "make_similarity_fit",
    "make_so_n",
    "make_stiefel",
    "make_worst",
]
