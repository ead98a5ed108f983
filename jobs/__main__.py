"""`python -m jobs` is the command `textmill`."""

from textmill_names import command

command()
