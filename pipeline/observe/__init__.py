"""What a user sees of a run: progress, what limits it, warnings, metrics, and whether an output is healthy."""
