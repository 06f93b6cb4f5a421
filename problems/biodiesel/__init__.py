"""Microwave-heated bio-diesel reactor: a physics-informed network (n = 2) and a power schedule (n = 10, 20, 30, 50)."""
