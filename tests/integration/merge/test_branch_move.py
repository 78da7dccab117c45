"""What a look at a checkout leaves there: nothing, so that a git that is killed while it looks
leaves no lock on the index.
"""

from __future__ import annotations

import os

from tests.support.repositories import commit

from octet.git.program import Git
from octet.git.worktrees import list_worktrees
from octet.merge.branch_move import check_can_follow, find_checkout

LONG_AGO = (1_000_000_000, 1_000_000_000)


def test_looking_takes_no_lock(git: Git) -> None:
    """A file that was only touched is no change, for the status as for the move; and the index
    itself is not written for that.
    """
    old = commit(git, {"touched.txt": "as it was\n"})
    git.out("checkout", "--quiet", "-b", "ahead")
    new = commit(git, {"touched.txt": "new\n"})
    git.out("checkout", "--quiet", "main")
    os.utime(git.directory / "touched.txt", LONG_AGO)
    index = git.directory / ".git" / "index"
    before = index.read_bytes()
    (index.parent / "index.lock").write_text("another git's")
    place = find_checkout(git, "main", list_worktrees(git))
    assert place.checkout
    check_can_follow(place, old, new)
    assert index.read_bytes() == before
