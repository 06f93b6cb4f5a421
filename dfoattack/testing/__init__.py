"""Contract tests for authors of plug-ins: subclass one, override its fixture, and pytest runs it on your object.

>>> class TestMySurrogate(SurrogateContract):            # doctest: +SKIP
...     @pytest.fixture
...     def surrogate(self):
...         return MySurrogate()

Needs pytest. Import the submodule you need: `dfoattack.testing.surrogates`, `dfoattack.testing.problems`.
"""
