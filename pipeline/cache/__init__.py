"""Tags of texts that were tagged before: in this process, and in a Redis that all workers and runs share."""
