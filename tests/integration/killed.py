"""A run that is killed many times and resumed each time, as a program: python -m tests.integration.killed FOLDER KILLS.

Every session is a process of its own (a fork, so that imports are paid once). Half of them die by SIGKILL in the middle of a call of
user code, the others by a timer, wherever they are: inside the solver, inside a transaction. Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np

import dfoattack as da
from tests.integration.cases import Network, digest, network_problem

BUDGET, SEED = 420.0, 5
OPTIONS = {"attacks": ("sign", "l2"), "block_size": 2}
DONE = "done.json"


class Mortal(Network):
    """The network, which notes every call in a file and kills its process in the middle of the `life`-th one."""

    def __init__(self, tally: Path, life: int) -> None:
        self.tally, self.life = tally, life

    def _called(self) -> None:
        with self.tally.open("ab") as stream:
            stream.write(b".")
        self.life -= 1
        if self.life == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def predict(self, X: np.ndarray) -> np.ndarray:
        self._called()
        return super().predict(X)

    def vjp(self, X: np.ndarray, V: np.ndarray) -> np.ndarray:
        self._called()
        return super().vjp(X, V)


def session(folder: Path, tally: Path, life: int, delay: float) -> None:
    """One life of the run; writes what it found if it reaches the end."""
    problem = network_problem(surrogate=Mortal(tally, life))
    store = folder / "run.db"
    if delay:
        signal.setitimer(signal.ITIMER_REAL, delay)  # nobody handles the alarm: it ends the process
    if store.exists():
        try:
            result = da.resume(store, problem)
        except da.StoreError as error:
            if "holds no run" not in str(error) and "is empty" not in str(error):
                raise
            store.unlink()  # killed while the file was begun: nothing had been paid for
            return
    else:
        result = da.solve(problem, budget=BUDGET, seed=SEED, options=OPTIONS, store=store)
    (folder / DONE).write_text(json.dumps({"digest": digest(result), "nfev": result.nfev, "ngev": result.ngev}))


def main(folder: Path, kills: int) -> dict[str, object]:
    tally = folder / "calls"
    tally.touch()
    plain = da.solve(network_problem(surrogate=Mortal(tally, 10**9)), budget=BUDGET, seed=SEED, options=OPTIONS)
    calls = tally.stat().st_size
    tally.write_bytes(b"")
    rng = np.random.default_rng(0)
    died = sessions = 0
    while not (folder / DONE).exists():
        sessions += 1
        if sessions > 20 * kills:
            raise RuntimeError("no progress")
        mortal = died < kills
        by_timer = mortal and died % 2 == 1
        life = int(rng.integers(1, 7)) if mortal and not by_timer else 10**9
        delay = float(rng.uniform(0.002, 0.06)) if by_timer else 0.0
        child = os.fork()
        if child == 0:
            status = 1
            try:
                session(folder, tally, life, delay)
                status = 0
            finally:
                sys.stderr.flush()
                os._exit(status)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            died += 1
        elif os.WEXITSTATUS(status):
            raise RuntimeError("a session failed")
    found = json.loads((folder / DONE).read_text())
    return {
        "died": died,
        "sessions": sessions,
        "same": found["digest"] == digest(plain),
        "calls": calls,
        "calls_in_all_lives": tally.stat().st_size,
        "nfev": plain.nfev,
        "ngev": plain.ngev,
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
