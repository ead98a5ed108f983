"""Find the input's files and read them, ahead of the model."""
