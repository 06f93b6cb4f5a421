"""Where attacks get gradients from when the network does not give them: differences, smoothing, or points evaluated anyway.

An estimate is a Jacobian of (F, c) at one point: the same passes serve the objective and every constraint. `view.SourceView` hands estimates out in
place of exact gradients, so that no operator knows the difference; `choice` decides which source a run uses.
"""
