"""Key names: one place, one hash tag, no project that could leave it."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octet.base.errors import UsageError
from octet.base.vocabulary import PROJECT_NAME
from octet.store.keys import Keys

NAMES = [name for name, kind in inspect.getmembers(Keys) if isinstance(kind, property)]
MAKERS = [
    name for name, kind in inspect.getmembers(Keys, inspect.isfunction) if not name.startswith("_")
]


def test_every_key_is_another() -> None:
    """No two kinds of key have the same name, or a prefix that the other's begins with."""
    keys = Keys("p")
    made = [getattr(keys, name) for name in NAMES] + [getattr(keys, name)("") for name in MAKERS]
    assert len(set(made)) == len(made)
    prefixes = [getattr(keys, name)("") for name in MAKERS]
    inside = {
        (prefix, key)
        for prefix in prefixes
        for key in made
        if key != prefix and key.startswith(prefix)
    }
    # A resource always has a kind before a colon, so that no lock can be called "names"; and "turn"
    # and "denied" are no kinds.
    assert inside == {
        (keys.lock(""), key) for key in (keys.locks_index, keys.turn(""), keys.denied(""))
    }


@given(st.text(), st.text())
def test_the_hash_tag_is_the_project(project: str, rest: str) -> None:
    """Whatever a task or session is called, a cluster hashes the project alone; another project's
    keys are never met.
    """
    if not PROJECT_NAME.fullmatch(project):
        with pytest.raises(UsageError):
            Keys(project)
        return
    for name in MAKERS:
        key = getattr(Keys(project), name)(rest)
        assert key[key.index("{") + 1 : key.index("}")] == project
        assert key.startswith(f"workflow:{{{project}}}:")


@pytest.mark.parametrize(
    "project", ["", "a}b", "{a}", "a b", "a\n", "-a", ".a", "é", "a" * 65, "a:b", "*"]
)
def test_projects_that_cannot_be(project: str) -> None:
    """A name that would change the tag, or a pattern, is refused."""
    with pytest.raises(UsageError):
        Keys(project)


def test_docstring_names_every_key() -> None:
    """The table on top of the module has a line for each kind of key."""
    from octet.store import keys as module

    assert module.__doc__ is not None
    made = [getattr(Keys("p"), name) for name in NAMES] + [
        getattr(Keys("p"), name)("<") for name in MAKERS
    ]
    lines = [line.split("`")[1] for line in module.__doc__.splitlines() if line.startswith("| `")]
    assert len(lines) == len(made)
    assert all(any(line.startswith(key.rstrip("<")) for line in lines) for key in made)
