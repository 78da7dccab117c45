"""Where git hooks installed by 0.1.0 look for `octet.fence.client`; goes with the next release."""

from octet.fence.client import main

__all__ = ["main"]
