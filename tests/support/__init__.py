"""What several tests need: runs, inputs, servers and worlds. No test imports another test."""
