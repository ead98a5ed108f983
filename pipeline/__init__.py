"""Documents in, files out. Importing this package imports no model and no torch."""

from textmill_names import check_names

# Here, since a Ray worker comes by no other way: on its machine a name may mean something else.
check_names()
