"""A split in, a part out: the worker reads documents, has the model tag them, and publishes one part.

Beside it: blocks into rows, the Tagger in a process of its own, HTML cleaned, and counts of what came of a block. Knows nothing
of other workers.
"""
