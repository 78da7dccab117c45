"""The questions of git's hooks before a ref moves, and the answer without a daemon."""
