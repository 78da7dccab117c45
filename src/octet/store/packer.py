"""Words → one command of the Redis protocol.

Of redis-py's own two packers, one knows no `surrogateescape`, the other costs a third of a claim.
"""

from __future__ import annotations

from typing import Any

from redis.exceptions import DataError


class CommandPacker:
    """What redis-py's connections take as their `command_packer`."""

    def pack(self, *words: Any) -> list[bytes]:
        """The command as one piece; redis-py has names of two words, such as "SCRIPT LOAD", as one.

        Raises:
            UnicodeEncodeError: a text is not valid Unicode.
            redis.DataError: a word is neither text, bytes nor a number.
        """
        first, rest = words[0], words[1:]
        parts = first.encode().split() if isinstance(first, str) else [_encode(first)]
        parts += map(_encode, rest)
        body = b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])
        return [b"*%d\r\n%b" % (len(parts), body)]


def _encode(word: Any) -> bytes:
    # The two that nearly all words are come first.
    if type(word) is str:
        return word.encode("utf-8", "surrogateescape")
    if type(word) is bytes:
        return word
    if isinstance(word, (bytes, bytearray, memoryview)):
        return bytes(word)
    if isinstance(word, str):
        return str.encode(word, "utf-8", "surrogateescape")
    if isinstance(word, (int, float)) and not isinstance(word, bool):
        return repr(word).encode()
    raise DataError(f"a command cannot hold a {type(word).__name__}: convert it to text or bytes")
