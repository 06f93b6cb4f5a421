"""Microwave-heated bio-diesel reactor: a physics-informed network (n = 2) and a power schedule (n = 10, 30, 50)."""
