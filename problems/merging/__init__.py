"""Merging task vectors, standard and linearised: coefficients of task arithmetic as decision variables."""
