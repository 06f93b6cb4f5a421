"""Tests of dfoattack.analysis."""
