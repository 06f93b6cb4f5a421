"""The process that PyNomad runs in, started as a file so that it imports nothing else: two descriptors, one JSON line.

Standard input, first line: start and parameter lines. Then it asks for values through a pipe, pickled floats as
`multiprocessing.connection` sends them, and reads answers from it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from multiprocessing.connection import Connection
from typing import Any


def main() -> None:
    """Run NOMAD once; its blackbox asks through the pipe, a float message is CPU seconds spent here."""
    import PyNomad

    questions: Connection[Any, Any] = Connection(int(sys.argv[1]))
    task = json.loads(sys.stdin.readline())
    asked = time.process_time()

    def blackbox(x: Any) -> int:
        nonlocal asked
        try:
            questions.send([x.get_coord(i) for i in range(x.size())])
            answer = questions.recv()
            now = time.process_time()
            if now - asked > 0.01:
                questions.send(now - asked)
                asked = now
        except (EOFError, OSError):
            os._exit(1)  # nobody asks any more; PyNomad would take an exception for a failed point and go on
        if answer is None:
            return 0
        x.setBBO(answer)
        return 1

    PyNomad.optimize(blackbox, task["start"], [], [], task["params"])
    questions.send(time.process_time() - asked)
    questions.close()


if __name__ == "__main__":
    main()
