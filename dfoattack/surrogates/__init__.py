"""Trained models of other libraries as surrogates. Each file needs its library only when an object of it has been passed."""
