"""Tests of dfoattack.trust."""
