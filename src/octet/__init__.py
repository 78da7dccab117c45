"""Octet: many Claude Code sessions on one codebase, with no two on the same task, file or merge.

Importing this package imports nothing else: the hook's failure policy runs from it on the bare interpreter.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in `typing`, the import of which costs more than an interpreter's start
if TYPE_CHECKING:
    from typing import Any

    from octet.api import Octet, connect
    from octet.counters import Counter
    from octet.error_lists import Errors, Report
    from octet.errors import LockHeld, NothingThere, OctetError, StaleToken, Stopped, VersionConflict
    from octet.events import Event
    from octet.key_values import KeyValues
    from octet.lease import Lease, LeaseLost
    from octet.maps import Map, Result, Tally
    from octet.pipelines import Pipeline, Step, Turn
    from octet.progress import Progress, Reading
    from octet.queues import Item, Queue
    from octet.runs import Run
    from octet.shared_state import Field, State

__version__ = "0.1.0"
_MODULES = {
    "api": ("Octet", "connect"),
    "counters": ("Counter",),
    "errors": ("LockHeld", "NothingThere", "OctetError", "StaleToken", "Stopped", "VersionConflict"),
    "error_lists": ("Errors", "Report"),
    "events": ("Event",),
    "key_values": ("KeyValues",),
    "lease": ("Lease", "LeaseLost"),
    "maps": ("Map", "Result", "Tally"),
    "pipelines": ("Pipeline", "Step", "Turn"),
    "progress": ("Progress", "Reading"),
    "queues": ("Item", "Queue"),
    "runs": ("Run",),
    "shared_state": ("Field", "State"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
__all__ = [
    "Counter",
    "Errors",
    "Event",
    "Field",
    "Item",
    "KeyValues",
    "Lease",
    "LeaseLost",
    "LockHeld",
    "Map",
    "NothingThere",
    "Octet",
    "OctetError",
    "Pipeline",
    "Progress",
    "Queue",
    "Reading",
    "Report",
    "Result",
    "Run",
    "StaleToken",
    "State",
    "Step",
    "Stopped",
    "Tally",
    "Turn",
    "VersionConflict",
    "__version__",
    "connect",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(f"octet.{_HOME[name]}"), name)
    raise AttributeError(f"module 'octet' has no attribute {name!r}")
