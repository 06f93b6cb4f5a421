"""Largest errors found on the shipped autoencoders that answer in a continuous representation."""

WORST: dict[tuple[str, str], float] = {}
"""(representation, first 16 digits of the weights' SHA-256) -> degrees."""
