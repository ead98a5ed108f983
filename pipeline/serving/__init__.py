"""One engine for many workers: an engine server on a GPU node computes the batches of all of them.

Each worker has an engine that sends its batches there. Both sides survive the other's death.
"""
