"""The story of a run: read `run.py` first, from top to bottom.

It finishes what is planned, plans what is new, has it tagged by a fleet, and says what came of it. Beside it: planning, files
that are tagged again, pipes as input, the result, `verify`, and the benchmark that compares whole runs. May import every room
below; only reports, nights and triggers stand above.
"""
