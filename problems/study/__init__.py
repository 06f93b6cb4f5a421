"""The directional-attack study rebuilt: its four methods by its own rules, dfoattack beside them, figures and tables."""
