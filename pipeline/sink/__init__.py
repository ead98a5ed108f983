"""Parts, plans and records of an output: how they are written so that a kill at any moment loses nothing and doubles nothing."""
