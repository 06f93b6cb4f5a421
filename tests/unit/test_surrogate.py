"""What counts as a surrogate, and fingerprints of everything that is not torch."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from dfoattack.errors import ProblemError
from dfoattack.surrogate import CallableSurrogate, Identity, Surrogate, as_surrogate, fingerprint_of, has_vjp

SCALE = 2.0
CALLS = 0


class Quadratic:
    def __init__(self, a=1.0):
        self.a = a
        self.calls = 0
        self.log = []

    def predict(self, X):
        self.calls += 1
        self.log.append(len(X))
        return self.a * X**2


class TestAsSurrogate:
    def test_nothing_is_the_identity(self):
        phi = as_surrogate(None)
        X = np.ones((2, 3))
        Y = phi.predict(X)
        assert isinstance(phi, Identity)
        assert np.array_equal(Y, X)
        assert Y is not X
        assert has_vjp(phi)
        assert phi.vjp(X, 2 * X).tolist() == (2 * X).tolist()

    def test_an_object_with_predict_is_taken_as_it_is(self):
        phi = Quadratic()
        assert as_surrogate(phi) is phi
        assert isinstance(phi, Surrogate)
        assert not has_vjp(phi)

    def test_a_function_is_wrapped(self):
        phi = as_surrogate(np.sin)
        assert isinstance(phi, CallableSurrogate)
        assert phi.predict(np.zeros((1, 2))).tolist() == [[0.0, 0.0]]
        assert not has_vjp(phi)
        assert repr(phi) == "CallableSurrogate(sin)"

    def test_a_function_with_its_vjp(self):
        phi = CallableSurrogate(lambda X: X**2, vjp=lambda X, V: 2 * X * V)
        assert has_vjp(phi)

    @pytest.mark.parametrize("thing", [3, [1, 2]])
    def test_anything_else_is_refused(self, thing):
        with pytest.raises(ProblemError, match=r"`surrogate` must be a torch.nn.Module, an object with `predict`"):
            as_surrogate(thing)

    def test_a_class_is_refused(self):
        with pytest.raises(ProblemError, match=r"must be an object, got the class `Quadratic`. Give an instance"):
            as_surrogate(Quadratic)


class TestFingerprint:
    def test_same_code_same_text(self):
        def make(a):
            return lambda X: a * X

        assert fingerprint_of(make(2.0)) == fingerprint_of(make(2.0))
        assert fingerprint_of(make(2.0)) != fingerprint_of(make(3.0))
        assert fingerprint_of(lambda X: 2 * X) != fingerprint_of(lambda X: 2 + X)
        assert fingerprint_of(lambda X: 2 * X) != fingerprint_of(lambda X: 3 * X)

    def test_arrays_and_containers_by_value(self):
        a, b = np.arange(3.0), np.arange(3.0)
        assert fingerprint_of(a) == fingerprint_of(b)
        assert fingerprint_of(a) != fingerprint_of(a.astype(np.float32))
        assert fingerprint_of(a.reshape(3, 1)) != fingerprint_of(a)
        assert fingerprint_of([1, 2]) != fingerprint_of([2, 1])
        assert fingerprint_of({"a": 1}) != fingerprint_of({"a": 2})
        assert fingerprint_of(np.empty(0)) == fingerprint_of(np.empty(0))
        assert fingerprint_of(np.array(["a", None], dtype=object)) == fingerprint_of(
            np.array(["a", None], dtype=object)
        )

    def test_defaults_partials_and_methods(self):
        def f(x, a=1):
            return a * x

        def g(x, a=2):
            return a * x

        assert fingerprint_of(f) != fingerprint_of(g)
        assert fingerprint_of(functools.partial(f, a=3)) != fingerprint_of(functools.partial(f, a=4))
        assert fingerprint_of(Quadratic(1.0).predict) != fingerprint_of(Quadratic(2.0).predict)
        assert fingerprint_of(np.sin) != fingerprint_of(np.cos)

    def test_values_read_from_the_module(self, monkeypatch):
        def f(x):
            return SCALE * x

        before = fingerprint_of(f)
        monkeypatch.setattr(sys.modules[__name__], "SCALE", 3.0)
        assert fingerprint_of(f) != before

    def test_what_a_function_writes_is_not_its_definition(self):
        seen, count = [], [0]
        total = 0

        def f(x):
            nonlocal total
            global CALLS
            CALLS += 1
            total += 1
            count[0] += 1
            seen.append(x)
            return x

        before = fingerprint_of(f)
        f(1.0)
        assert (total, count[0], len(seen)) == (1, 1, 1)
        assert fingerprint_of(f) == before

    def test_objects_by_code_and_attributes_without_counters(self):
        phi = Quadratic()
        before = fingerprint_of(phi)
        phi.predict(np.zeros((1, 1)))
        assert phi.calls == 1
        assert fingerprint_of(phi) == before
        assert fingerprint_of(Quadratic(2.0)) != before

    def test_functions_that_call_themselves(self):
        def fact(n):
            return 1 if n == 0 else n * fact(n - 1)

        assert fingerprint_of(fact) == fingerprint_of(fact)

    def test_the_objects_own_word_counts(self):
        class Named:
            def fingerprint(self):
                return "v1"

        assert fingerprint_of(Named()) == fingerprint_of(Named())

    def test_other_process_other_hash_seed(self, tmp_path):
        script = tmp_path / "definition.py"
        script.write_text(
            textwrap.dedent(
                """
                import numpy as np
                from dfoattack.surrogate import fingerprint_of
                words = frozenset(["a", "b", "c", "d"])
                W = np.arange(6.0).reshape(2, 3)
                def f(x):
                    return x @ W if x in {"p", "q", "r"} else words
                print(fingerprint_of(f))
                """
            )
        )
        root = str(Path(__file__).resolve().parents[2])
        answers = set()
        for seed in ("1", "2"):
            environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root}
            run = subprocess.run(
                [sys.executable, str(script)], env=environment, capture_output=True, text=True, check=True
            )
            answers.add(run.stdout.strip())
        assert len(answers) == 1
