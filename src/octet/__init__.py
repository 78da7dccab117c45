"""Octet: many Claude Code sessions on one codebase, with no two on the same task, file or merge.

Importing this package imports nothing else: the hook's failure policy runs from it on the bare interpreter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from octet.api import Octet, connect

__version__ = "0.1.0"
__all__ = ["Octet", "__version__", "connect"]


def __getattr__(name: str) -> Any:
    if name in {"Octet", "connect"}:
        from octet import api

        return getattr(api, name)
    raise AttributeError(f"module 'octet' has no attribute {name!r}")
