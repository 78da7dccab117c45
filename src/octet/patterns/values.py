"""Names, JSON values and times to live of the primitives.

A value is stored as JSON, except a text that is no JSON, which stands for itself. So the value of
`redis-cli LPUSH … analyze:src/app.ts` is that text, and of `HSET … 42` the number 42; the text "42"
is stored with its quotes. Every value comes back unchanged.
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
# Characters that change nothing in a shell, in a pattern of SCAN, or in another key's name.
NAME_PATTERN = re.compile(r"[A-Za-z0-9_./@][A-Za-z0-9_.:/@+=~,%-]{0,199}")
WORKER_PATTERN = re.compile(r"[!-~]{1,200}")


def check_key_name(kind: str, name: str) -> str:
    """The name, if it can be part of a key.

    Raises:
        UsageError: it cannot.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(
            f"{kind} {name[:80]!r}: use letters, digits and . : / @ _ + = ~ , % - (200 at most, "
            "with no - or : first)"
        )
    return name


def check_field(field: str) -> str:
    """The name, if it can be a field of a shared state: 1 to 1024 characters, no control character.

    Raises:
        UsageError: it cannot.
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
    """The stored form of a value.

    Raises:
        UsageError: it is no JSON, larger than 64 KiB, or no valid Unicode.
    """
    try:
        text = value if isinstance(value, str) and not _is_json(value) else to_json(value)
        size = len(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError as error:
        raise UsageError(
            "a text has characters that are not valid Unicode (lone surrogates): remove them"
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
    """The value of a stored text, which `encode` or redis-cli wrote."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return text


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: true is not 1, and the fields' order is irrelevant."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def ttl_ms(ttl_s: float | None) -> int:
    """A time to live as scripts take it: 0 for ever (`math.inf`), ms, or minus the ms to which a
    use renews it at least (None: 24 h).
    """
    if ttl_s is None:
        return -int(DEFAULT_TTL_S * 1000)
    return 0 if ttl_s == math.inf else span_ms("the time to live", ttl_s)


def span_ms(what: str, seconds: float, *, least_ms: int = 1) -> int:
    """A time in ms.

    Raises:
        UsageError: it is no number, too short, or more than ten years.
    """
    if not 0 <= seconds <= LONGEST_S or seconds * 1000 < least_ms:
        raise UsageError(
            f"{what} is a number of seconds, {least_ms / 1000:g} to {LONGEST_S:.0f}, not "
            f"{seconds!r}"
        )
    return int(seconds * 1000)


def whole_number(text: str) -> int | None:
    """The number from which INCR would count; None for a text from which it would not."""
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
