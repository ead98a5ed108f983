"""One engine for many workers: an engine server on a GPU node computes the batches of all, and each worker has an engine
that sends them there. Both sides survive the other's death.
"""
