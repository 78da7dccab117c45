"""The daemon's log: rotated, and harmless when it cannot be written."""

from __future__ import annotations

import logging
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

MAX_BYTES = 1_000_000
BACKUPS = 2  # three files with the current one
NAME = "daemon.log"


def configure(state: Path, *, level: str = "INFO") -> logging.Logger:
    """Send the logger `octet` to `daemon.log` in `state`. A full disk or a lost directory costs
    lines, and raises nothing.
    """
    # Otherwise a failed write is reported to standard error, which is closed.
    logging.raiseExceptions = False
    handler = RotatingFileHandler(
        state / NAME,
        maxBytes=MAX_BYTES,
        backupCount=BACKUPS,
        encoding="utf-8",
        errors="backslashreplace",
        delay=True,
    )
    formatter = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logger = logging.getLogger("octet")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(level if level in logging.getLevelNamesMapping() else "INFO")
    return logger
