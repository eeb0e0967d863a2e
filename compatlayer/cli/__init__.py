"""The command line: one module per group of verbs. It reads arguments, calls, prints; it decides nothing."""
