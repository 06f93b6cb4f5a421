"""Names of what attacks get gradients from."""

from __future__ import annotations

EXACT = ("vjp", "jac")
POLL = "poll"
GRADIENT_SOURCES = ("auto", "exact", POLL, "forward", "central", "subspace", "spsa", "nes", "none")

_WORDS = {
    "vjp": "exact, through the network",
    "jac": "exact",
    POLL: "regression on points evaluated anyway",
    "forward": "forward differences",
    "central": "central differences",
    "subspace": "differences in random subspaces",
    "spsa": "antithetic simultaneous perturbations",
    "nes": "antithetic Gaussian smoothing",
}


def described(name: str, softened: tuple[str, ...]) -> str:
    """The source in words: "vjp (exact, through the network), of the stand-ins for objective"."""
    if name not in _WORDS:
        return name
    aim = f", of the stand-ins for {', '.join(softened)}" if softened else ""
    return f"{name} ({_WORDS[name]}){aim}"
