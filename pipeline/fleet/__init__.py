"""Who does the work: this process, or actors on Ray."""
