"""Key names: one place, one hash tag, no project that could leave it."""

from __future__ import annotations

import inspect
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octet.base.errors import UsageError
from octet.base.vocabulary import PROJECT_NAME
from octet.store import keys as module
from octet.store.keys import Keys
from octet.store.script_files import load_script, script_names

OWN = Keys("p").own
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


def documented() -> dict[str, str]:
    """Key → type, as the list on top of the module has them."""
    assert module.__doc__ is not None
    rows = re.findall(
        r"^ {4}(\S.*?)\s+(STRING|HASH|SET|ZSET|LIST|STREAM|PUBSUB) ", module.__doc__, re.MULTILINE
    )
    return dict(rows)


def test_docstring_names_every_key() -> None:
    """The list on top of the module has a line for each kind of key."""
    made = [getattr(Keys("p"), name) for name in NAMES] + [
        getattr(Keys("p"), name)("<") for name in MAKERS
    ]
    listed = [f"workflow:{{p}}:{name}" for name in documented()]
    assert len(listed) == len(made) - 1  # all but the prefix for own use
    assert all(
        any(name.startswith(key.rstrip("<")) for name in listed) for key in made if key != OWN
    )


@pytest.mark.parametrize("script", script_names())
def test_a_script_s_keys_have_the_types_of_the_list(script: str) -> None:
    """What a Lua header says of a key is what the module says of it."""
    signature = load_script(script).signature
    for declared in (*signature.keys, *signature.channels):
        maker = getattr(Keys("p"), declared.name)
        key = maker if isinstance(maker, str) else maker("<")
        found = {
            kind
            for name, kind in documented().items()
            if f"workflow:{{p}}:{name}".startswith(key) and (key.endswith("<") or key[13:] == name)
        }
        assert found == {declared.type}, declared.name
