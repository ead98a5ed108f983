"""How large the scale tests are: small, unless TEXTMILL_FULL=1 or a variable of its own says otherwise."""

import os


def size(name: str, small: int, full: int) -> int:
    """`full` is the size that the target in docs/benchmarks.md is stated for; the variable `name` sets any other."""
    return int(os.environ.get(name) or (full if os.environ.get("TEXTMILL_FULL") else small))
