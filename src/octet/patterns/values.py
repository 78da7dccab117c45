"""What people keep in queues, states and messages of their own: names, JSON values and how long
they live.

A value is stored as JSON, except a text that is no JSON, which stands for itself. So what
`redis-cli LPUSH … analyze:src/app.ts` left is that text, `HSET … 42` is the number 42, and every
value comes back as it went: the text "42" is stored with its quotes.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from octet.base.errors import UsageError
from octet.store.scripts import to_json

MAX_BYTES = 64 * 1024
MAX_FIELD = 1024
DEFAULT_TTL_S = 24 * 3600.0
LONGEST_S = 10 * 365 * 86400.0
# Nothing that a shell, a pattern of SCAN or another key's name would be changed by.
NAME_PATTERN = re.compile(r"[A-Za-z0-9_./@][A-Za-z0-9_.:/@+=~,%-]{0,199}")
WORKER_PATTERN = re.compile(r"[!-~]{1,200}")


def check_name(kind: str, name: str) -> str:
    """A name that can stand in a key.

    Raises:
        UsageError: it cannot.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(
            f"{kind} {name[:80]!r}: use letters, digits and . : / @ _ + = ~ , % - (200 at "
            "most, no - or : in front)"
        )
    return name


def check_field(field: str) -> str:
    """A field of a shared state: any text of 1 to 1024 characters, such as a file's name.

    Raises:
        UsageError: it is none.
    """
    if not 0 < len(field) <= MAX_FIELD or any(
        ord(character) < 32 or character == "\x7f" for character in field
    ):
        raise UsageError(
            f"field {field[:80]!r}: use 1 to {MAX_FIELD} characters, none of them a control "
            "character"
        )
    return field


def encode(value: Any) -> str:
    """How a value is stored.

    Raises:
        UsageError: it is no JSON, larger than 64 KiB, or no valid Unicode.
    """
    try:
        text = value if isinstance(value, str) and not _is_json(value) else to_json(value)
        size = len(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError as error:
        raise UsageError(
            "a text has characters in it that are not valid Unicode (lone surrogates): remove them"
        ) from error
    except (TypeError, ValueError) as error:
        raise UsageError(f"the value is not JSON: {error}") from error
    if size > MAX_BYTES:
        raise UsageError(
            f"a value has at most {MAX_BYTES} bytes, not {size}: store it in a file and "
            "send its name"
        )
    return text


def decode(text: str) -> Any:
    """The value that `encode`, or somebody with redis-cli, stored."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return text


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: true is not 1, and the order of an object's fields does
    not matter.
    """
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def ttl_ms(ttl_s: float | None) -> int:
    """How scripts are told a time to live: 0 for ever (`math.inf`), ms, or minus the ms to which a
    use renews it (None: 24 h).
    """
    if ttl_s is None:
        return -int(DEFAULT_TTL_S * 1000)
    return 0 if ttl_s == math.inf else span_ms("the time to live", ttl_s)


def span_ms(what: str, seconds: float, *, least_ms: int = 1) -> int:
    """A time in ms.

    Raises:
        UsageError: it is none, negative, or more than ten years.
    """
    if not 0 <= seconds <= LONGEST_S or seconds * 1000 < least_ms:
        raise UsageError(
            f"{what} is a number of seconds, {least_ms / 1000:g} to {LONGEST_S:.0f}, not "
            f"{seconds!r}"
        )
    return int(seconds * 1000)


def whole_number(text: str) -> int | None:
    """What INCR would count from; None for what it would not."""
    return int(text) if re.fullmatch(r"-?[0-9]{1,19}", text) else None


def _is_json(text: str) -> bool:
    return not isinstance(found := decode(text), str) or found != text


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} is too large")
    return number
