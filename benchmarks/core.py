"""The comparisons behind the claims, made by one command: `python -m benchmarks.core --out DIR`.

    python -m benchmarks.core --out DIR --part quick      # what the committed report holds: hours on two cores
    python -m benchmarks.core --out DIR --part full       # every size and budget: a day
    python -m benchmarks.core --out DIR --part networks   # networks, with and without gradients: two hours
    python -m benchmarks.core --out DIR --ours            # our own runs only, e.g. after a change

It calls the arena once per line of a plan, so it goes on where it was stopped, and ends with the report.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.__main__ import main as arena

OURS = "dfoattack"
PEERS = "nomad,cma-es,cobyqa,pybobyqa"
# Each search off in turn (nelder-mead and vns, which are off, on in turn), so that nothing stays in the defaults that does not pay.
ABLATIONS = ",".join(
    f"dfoattack:{change}"
    for change in (
        "searches=()",
        "searches=('cma','subspace')",
        "searches=('model','subspace')",
        "searches=('model','cma','subspace','nelder-mead')",
        "searches=('model','cma','subspace','vns')",
        "covering=False",
        "speculative=False",
        "restarts=False",
    )
)


@dataclass(frozen=True)
class Line:
    """One call of the arena: suite, sizes, budget, peers, seeds, which instances."""

    suite: str
    n: str
    budget: str
    peers: str
    seeds: int = 3
    only: str = ""


QUICK = (
    Line("bbob", "2,5", "200n", PEERS, only="*-i1"),
    Line("bbob", "10", "200n", PEERS, seeds=1, only="*-i1"),
    Line("more-wild", "", "50(n+1)", PEERS, seeds=1),
    Line("more-wild-noisy", "", "50(n+1)", "cma-es,cobyqa,pybobyqa", seeds=1),
    Line("more-wild-nonsmooth", "", "50(n+1)", "cma-es,cobyqa,pybobyqa", seeds=1),
    Line("bbob-constrained", "5", "200n", "nomad,cma-es,cobyqa,cobyla", seeds=1, only="*-i1"),
    Line("scalable", "50,100,200,500", "50(n+1)", "cma-es,subspace,lbfgsb-fd", seeds=1, only="*-i1"),
    Line("textbook", "", "100(n+1)", "cma-es,cobyqa,cobyla", seeds=1),
    Line("mixed-integer", "", "200n", "nomad,cma-es", seeds=1),
)
FULL = (
    Line("bbob", "2,5,10,20", "200n", PEERS),
    Line("more-wild", "", "50(n+1)", PEERS),
    Line("more-wild-noisy", "", "50(n+1)", PEERS),
    Line("more-wild-nonsmooth", "", "50(n+1)", PEERS),
    Line("bbob-constrained", "5,10", "100n", "nomad,cma-es,cobyqa,cobyla"),
    Line("bbob-constrained", "5,10", "200n", "nomad,cma-es,cobyqa,cobyla"),
    Line("scalable", "50,100,200,500", "50(n+1)", "nomad,cma-es,subspace,lbfgsb-fd"),
    Line("textbook", "", "200(n+1)", "nomad,cma-es,cobyqa,cobyla"),
    Line("mixed-integer", "", "200n", "nomad,cma-es"),
    Line("discontinuous", "", "200n", "nomad,cma-es"),
)
# Plug-ins and three instances of every random family: small and large, smooth, kinked, in half-spaces, with an equality, discontinuous.
RANDOM = "relu-box-n10,tanh-box-n100,relu-polytope-n10,tanh-polytope-n100,approximation-relu,approximation-tanh,digits-tanh,digits-label,treatment"
WHITE_BOX = ",".join(
    (
        "biodiesel,schedule,airfoil-cd,airfoil-robust,airfoil-multipoint,relu-box-n1000-i1",
        *(f"{family}-i{i}" for family in RANDOM.split(",") for i in (1, 2, 3)),
    )
)
BLACK_BOX = "biodiesel,schedule,airfoil-cd,relu-box-n10-i1,tanh-polytope-n100-i1,approximation-tanh-i1,digits-label-i1,treatment-i1"
NETWORKS = (
    Line("networks", "", "1000", "slsqp,lbfgsb,adam,ipopt,cma-es,study-hybrid", seeds=5, only=WHITE_BOX),
    Line("networks-blackbox", "", "1000", "slsqp,cma-es,cobyqa,nomad", only=BLACK_BOX),
)
PARTS = {"quick": QUICK, "full": FULL, "networks": NETWORKS}
# A peer that cannot do a thousand variables in this time is shown with what it has found.
SECONDS = "60"


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status of the first call that failed, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.core", description="dfoattack beside its peers, without and with gradients."
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--part", choices=tuple(PARTS), default="quick")
    parser.add_argument("--ours", action="store_true", help="run dfoattack only, and again where it has run before")
    parser.add_argument(
        "--ablations", action="store_true", help="also variants of ours with single parts off, on bbob n = 2 and 5"
    )
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time; more than one spoils the seconds")
    a = parser.parse_args(argv)
    lines = PARTS[a.part]
    calls = [(line, OURS if a.ours else f"{OURS},{line.peers}") for line in lines]
    if a.ablations:
        calls.append((QUICK[0], ABLATIONS))
    for line, solvers in calls:
        words = ["run", line.suite, "--solvers", solvers, "--budget", line.budget, "--seeds", str(line.seeds)]
        words += ["--jobs", str(a.jobs), "--out", str(a.out)]
        words += ["--n", line.n] if line.n else []
        words += ["--only", line.only] if line.only else []
        words += ["--again", OURS] if a.ours else []
        words += ["--seconds", SECONDS] if a.part == "networks" else []
        status = arena(words)
        if status > 1:  # 1: a run failed, which is a result
            return status
    return arena(["report", str(a.out)])


if __name__ == "__main__":
    sys.exit(main())
