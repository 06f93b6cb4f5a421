"""Airfoil design with the NeuralFoil networks (Sharpe 2023): least drag at a given lift, or most lift over drag."""
