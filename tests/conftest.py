"""Hypothesis profiles (few examples on every commit, many with HYPOTHESIS_PROFILE=thorough) and interrupts."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

# No deadline: the first example of a test may compile a kernel. Derandomized: every run sees the same examples.
settings.register_profile(
    "ci", max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# A job started in the background of a shell ignores interrupts; the tests that send some would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
