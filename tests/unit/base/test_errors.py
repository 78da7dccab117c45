"""The tree of errors, and the exit code of each."""

from __future__ import annotations

import inspect
import re

from octet.base import errors

CODES = {"Refused": 1, "UsageError": 2, "StoreUnreachable": 3}


def classes() -> dict[str, type[errors.OctetError]]:
    found = inspect.getmembers(errors, inspect.isclass)
    return {name: kind for name, kind in found if issubclass(kind, errors.OctetError)}


def test_the_page_at_the_top_draws_the_tree() -> None:
    """Each line of the drawing is a class below the class that it is drawn under."""
    above: list[type[errors.OctetError]] = [errors.OctetError]
    drawn = {"OctetError"}
    for line in (errors.__doc__ or "").splitlines():
        if not (match := re.match(r"([│ ├└─]+)(\w+)", line)):
            continue
        depth, name = len(match[1]) // 4, match[2]
        kind = classes()[name]
        assert kind.__bases__ == (above[depth - 1],), name
        above[depth:] = [kind]
        drawn.add(name)
    assert drawn == set(classes())


def test_exit_codes_follow_the_branch() -> None:
    for name, kind in classes().items():
        branch = next((b.__name__ for b in kind.__mro__ if b.__name__ in CODES), "Refused")
        assert kind.exit_code == CODES[branch], name
