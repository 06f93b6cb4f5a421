"""Test problems with networks in them, one folder a family; installed as ``dfoattack_problems``, found by name through entry points."""
