"""Octet: many Claude Code sessions on one codebase, with no two on the same task, file or merge.

Importing it imports nothing else: a hook's failure policy does so on the bare interpreter.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in `typing`, whose import costs more than an interpreter's start
if TYPE_CHECKING:
    from typing import Any

    from octet.base.errors import (
        LockHeld,
        NothingThere,
        OctetError,
        StaleToken,
        Stopped,
        VersionConflict,
    )
    from octet.client.api import Octet, connect
    from octet.client.lease import Lease, LeaseLost
    from octet.core.messaging.events import Event
    from octet.patterns.counter import Counter
    from octet.patterns.errors import Errors, ReportedError
    from octet.patterns.key_values import KeyValues
    from octet.patterns.map import ItemResult, Map, Tally
    from octet.patterns.pipeline import Pipeline, Step, StepClaim
    from octet.patterns.progress import Progress, Reading
    from octet.patterns.queue import Item, Queue
    from octet.patterns.runs import Run
    from octet.patterns.state import Field, State

__version__ = "0.1.0"
_MODULES = {
    "client.api": ("Octet", "connect"),
    "patterns.counter": ("Counter",),
    "base.errors": (
        "LockHeld",
        "NothingThere",
        "OctetError",
        "StaleToken",
        "Stopped",
        "VersionConflict",
    ),
    "patterns.errors": ("Errors", "ReportedError"),
    "core.messaging.events": ("Event",),
    "patterns.key_values": ("KeyValues",),
    "client.lease": ("Lease", "LeaseLost"),
    "patterns.map": ("Map", "ItemResult", "Tally"),
    "patterns.pipeline": ("Pipeline", "Step", "StepClaim"),
    "patterns.progress": ("Progress", "Reading"),
    "patterns.queue": ("Item", "Queue"),
    "patterns.runs": ("Run",),
    "patterns.state": ("Field", "State"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
__all__ = [
    "Counter",
    "Errors",
    "Event",
    "Field",
    "Item",
    "ItemResult",
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
    "ReportedError",
    "Run",
    "StaleToken",
    "State",
    "Step",
    "StepClaim",
    "Stopped",
    "Tally",
    "VersionConflict",
    "__version__",
    "connect",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(f"octet.{_HOME[name]}"), name)
    raise AttributeError(f"module 'octet' has no attribute {name!r}")
