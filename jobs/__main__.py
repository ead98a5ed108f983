"""`python -m jobs` is the command `textmill`."""

from jobs.cli import command

command()
