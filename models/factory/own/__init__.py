"""Training on a user's own labels: documents in, a model folder out."""
