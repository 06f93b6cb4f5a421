"""Largest errors found on the shipped autoencoders that answer in a continuous representation, made by `best_known.py`."""

WORST: dict[tuple[str, str], float] = {
    ("6d", "d28fa10853526121"): 3.185923,
    ("5d", "559ede719b35aaa8"): 3.919712,
    ("svd", "2806078ac302265c"): 2.995926,
    ("matrix", "83a0265ef6fddd3a"): 1.994825,
}
"""(representation, first 16 digits of the weights' SHA-256) -> degrees."""
