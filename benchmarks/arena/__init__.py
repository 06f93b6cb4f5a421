"""The arena: solvers on suites at equal counted evaluations, one SQLite file a folder, reports drawn from that file."""
