"""Documents in, files out. Importing this package imports no model and no torch."""
