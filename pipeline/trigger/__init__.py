"""What makes a job run by itself: claims, batches that have settled, hints, and jobs on a cluster."""
