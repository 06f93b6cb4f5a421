"""Steps of an iteration: each proposes trial points and updates its own part of the state."""
