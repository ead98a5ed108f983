"""The verbs that a user types, one file each; `cli` wires them."""
