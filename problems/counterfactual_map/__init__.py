"""Counterfactual terrain maps: change a map as little as possible so that a wanted route becomes cheap, or cheapest."""
