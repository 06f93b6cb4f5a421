"""User code in other processes: the points of a block side by side, each with its own clock, answers in order.

A process that is late is ended, not abandoned, and another one takes its place; so does one that died. Processes are started afresh
("spawn"), so that what they run must be importable: functions of a module, no lambdas; scripts need `if __name__ == "__main__":`.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection, wait
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from dfoattack._typing import FloatArray
from dfoattack.errors import OptionError
from dfoattack.user_call import LateError, UserCall

if TYPE_CHECKING:
    from dfoattack.problem import Problem

Executor = Callable[[Callable[[FloatArray], Any], Sequence[FloatArray]], Iterable[Any]]
Workers = int | Executor | None
_GRACE = 0.5  # seconds an ended process has to go before it is killed


class Answer(NamedTuple):
    """What user code answered at one point, in its own sense and units."""

    f: float
    C: FloatArray  # (p,)
    Y: FloatArray | None  # (m,) output of Phi; None where Phi is the identity
    forward_s: float
    outer_s: float
    shapes: tuple[
        int | None, tuple[int, ...] | None
    ]  # m and the widths of the constraints, which only the other process has learnt


class Died(RuntimeError):
    """A worker process ended while it was at work on a point."""


class PointTask:
    """f and c at one point x (n,), to be called anywhere; exceptions of user code come back as values."""

    def __init__(self, problem: Problem, identity: bool) -> None:
        self.problem, self.identity = problem, identity

    def __call__(self, x: FloatArray) -> Answer | Exception:
        call = UserCall(self.problem, self.identity, x[None, :])
        try:
            call.run()
        except Exception as error:
            return _portable(error)
        Y = None if self.identity or call.Y is None else call.Y[0]
        widths = self.problem.widths
        shapes = (self.problem.m, None if widths is None else tuple(widths))
        return Answer(float(call.f[0]), call.C[0], Y, call.forward_s, call.outer_s, shapes)


class Worker:
    """One process and the pipe to it."""

    def __init__(self, task: bytes) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, task), name="dfoattack-worker", daemon=True)
        self.process.start()
        other.close()
        self.row, self.since, self.ready = -1, 0.0, False

    def end(self) -> None:
        self.process.terminate()
        self.process.join(_GRACE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()


class Pool:
    """A number of processes that evaluate points; started with the first block, ended by `close` or an exception.

    Parameters
    ----------
    problem : Problem           must be picklable
    identity : bool             Phi is the identity
    count : int                 processes, >= 1
    timeout : float or None     seconds a point, its process being ready; then the process is ended
    """

    def __init__(self, problem: Problem, identity: bool, count: int, timeout: float | None) -> None:
        try:
            self._task = pickle.dumps(PointTask(problem, identity))
        except Exception as error:
            raise OptionError(
                f"`workers` = {count} needs a problem that can be pickled (functions of a module, no lambdas): {error}"
            ) from error
        self._count, self._timeout = count, timeout
        self._workers: list[Worker] = []

    def __call__(self, X: FloatArray) -> list[Answer | Exception]:
        """Answers to the points X (k, n) in order: `Answer`, the exception user code raised, `LateError` or `Died`."""
        k, sent, done = X.shape[0], 0, 0
        answers: list[Answer | Exception | None] = [None] * k
        try:
            while done < k:
                while len(self._workers) < min(self._count, k - done):
                    self._workers.append(Worker(self._task))
                for worker in self._workers:
                    if worker.row < 0 and worker.ready and sent < k:
                        worker.row, worker.since = sent, perf_counter()
                        sent += 1
                        with contextlib.suppress(OSError):  # a dead process is found below
                            worker.pipe.send(X[worker.row])
                for worker in self._heard():
                    try:
                        told = worker.pipe.recv()
                    except (EOFError, OSError):
                        if worker.row < 0 and not worker.ready:
                            raise OptionError(
                                "A worker process did not start; is the script guarded by `if __name__ == '__main__':`?"
                            ) from None
                        told = Died(f"the worker process ended with exit code {self._dropped(worker)}")
                    if worker.row >= 0:
                        answers[worker.row], worker.row = told, -1
                        done += 1
                    worker.ready = True
                for worker in [w for w in self._workers if self._late(w)]:
                    answers[worker.row] = LateError()
                    done += 1
                    self._dropped(worker)
        except BaseException:
            self.close()
            raise
        return [answer for answer in answers if answer is not None]

    def _heard(self) -> list[Worker]:
        by_pipe: dict[Any, Worker] = {worker.pipe: worker for worker in self._workers}
        left = None
        if self._timeout is not None:
            clocks = [self._timeout - (perf_counter() - w.since) for w in self._workers if w.row >= 0]
            left = max(0.0, min(clocks)) if clocks else None
        return [by_pipe[pipe] for pipe in wait([w.pipe for w in self._workers if w.row >= 0 or not w.ready], left)]

    def _late(self, worker: Worker) -> bool:
        return self._timeout is not None and worker.row >= 0 and perf_counter() - worker.since >= self._timeout

    def _dropped(self, worker: Worker) -> int | None:
        self._workers.remove(worker)
        worker.end()
        return worker.process.exitcode

    def close(self) -> None:
        """End all processes; the next block starts new ones."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.end()


class Mapped:
    """The same through a function like `map`: executor(task, points) -> results in order."""

    def __init__(self, problem: Problem, identity: bool, executor: Executor) -> None:
        self._task, self._executor = PointTask(problem, identity), executor

    def __call__(self, X: FloatArray) -> list[Answer | Exception]:
        """Answers to the points X (k, n) in order. Raises `OptionError` when the executor loses or invents some."""
        answers = list(self._executor(self._task, list(X)))
        if len(answers) != X.shape[0]:
            raise OptionError(f"`workers` must give one result a point, {X.shape[0]}, got {len(answers)}.")
        return answers

    def close(self) -> None:
        """Nothing to end: the executor belongs to the caller."""


def pool_of(problem: Problem, identity: bool, workers: Workers, timeout: float | None) -> Pool | Mapped | None:
    """What `workers` stands for. Raises `OptionError` for anything but None, an integer >= 1 or a callable."""
    if workers is None:
        return None
    if isinstance(workers, int) and not isinstance(workers, bool) and workers >= 1:
        return Pool(problem, identity, workers, timeout)
    if callable(workers):
        if timeout is not None:
            raise OptionError(
                "The option `timeout` needs processes of our own: `workers` must be a number, not a function."
            )
        return Mapped(problem, identity, workers)
    raise OptionError(f"`workers` must be None, an integer >= 1 or a function like `map`, got {workers!r}.")


def _serve(pipe: Connection, task: bytes) -> None:
    """Answer points until the pipe closes; an interrupt is the business of the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    call: PointTask = pickle.loads(task)
    with contextlib.suppress(EOFError, OSError):
        pipe.send(None)
        while True:
            pipe.send(call(pipe.recv()))


def _portable(error: Exception) -> Exception:
    """The exception if it survives the way to another process, else one of a base class that does, with the same words."""
    for kind in type(error).__mro__:
        try:
            copy = error if kind is type(error) else kind(f"{type(error).__name__}: {error}")
            pickle.loads(pickle.dumps(copy))
        except Exception:
            continue
        if isinstance(copy, Exception):
            return copy
    return RuntimeError(f"{type(error).__name__}: {error}")
