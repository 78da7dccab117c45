"""What git commands do to what is shared: a table of commands as models write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.guard.conftest import make_repository, opt_in, write

from octet.project.repository import Project

from .effects import BOTH, MAIN, MASTER, NOTHING, REFUSED, effects_of

# Run in the main checkout, which is on main.
IN_MAIN_CHECKOUT: list[tuple[str, set[str]]] = [
    # Reading moves nothing.
    ("git status", NOTHING),
    ("git log --oneline -5 main", NOTHING),
    ("git diff main...feature -- src", NOTHING),
    ("git fetch", NOTHING),
    ("git fetch origin main", NOTHING),
    ("git fetch --all --prune", NOTHING),
    ("git show HEAD:README.md", NOTHING),
    ("git branch", NOTHING),
    ("git branch -a --list 'm*'", NOTHING),
    ("git branch new-branch", NOTHING),
    ("git branch -u origin/main", NOTHING),
    ("git stash list", NOTHING),
    ("git worktree list", NOTHING),
    ("git worktree add .claude/worktrees/dev-9 -b dev-9", NOTHING),
    ("git remote -v", NOTHING),
    ("git tag v1.0", NOTHING),
    ("git rev-parse HEAD", NOTHING),
    ("git symbolic-ref --short HEAD", NOTHING),
    ("git reflog", NOTHING),
    ("git reflog show main", NOTHING),
    ("git config user.name", NOTHING),
    ("git config --get core.hooksPath", NOTHING),
    ("git add -A", NOTHING),
    ("git", NOTHING),
    ("git --version", NOTHING),
    ("git commit --dry-run", NOTHING),
    ("git gc --auto", NOTHING),
    ("git maintenance run --auto", NOTHING),
    ("git checkout release/1.0", NOTHING),
    ("git checkout feature", REFUSED),
    ("git switch feature", REFUSED),
    ("git checkout --ignore-other-worktrees feature", REFUSED),
    ("git checkout -B feature", REFUSED),
    ("git switch --detach feature", NOTHING),
    ("git checkout --detach feature", NOTHING),
    ("git checkout feature -- README.md", NOTHING),
    ("git checkout -b topic", NOTHING),
    ("git switch main", NOTHING),
    ("git merge-base main feature", NOTHING),
    # Words that only look like git.
    ("echo git push origin main", NOTHING),
    ("echo 'git push origin main' >> notes.md", NOTHING),
    ("grep -r 'git push' .", NOTHING),
    ("# git push origin main", NOTHING),
    ("cat <<'EOF'\ngit push origin main\nEOF", NOTHING),
    ("gitk push origin main", NOTHING),
    ("printf '%s' \"$(cat notes)\" # ; git push", NOTHING),
    # What others have in the shared checkout, and in git.
    ("git clean -fd", NOTHING),
    ("git clean -nfdx", NOTHING),
    ("git clean -fdx", REFUSED),
    ("git clean -ffd", REFUSED),
    ("git clean -d -f -f", REFUSED),
    ("git clean -fX", REFUSED),
    ("git clean -fdx -- build", NOTHING),
    ("git repack", NOTHING),
    ("git repack -ad", REFUSED),
    ("git fast-import < dump", REFUSED),
    # The current branch.
    ("git commit -m 'Fix it'", MAIN),
    ("git commit --amend --no-edit", MAIN),
    ("git commit -m \"$(cat <<'EOF'\nFix it\n\nWith a body; and more\nEOF\n)\"", MAIN),
    ("git merge feature", MAIN),
    ("git merge --no-ff feature -m 'Merge'", MAIN),
    ("git merge --abort", MAIN),
    ("git pull", MAIN),
    ("git pull --rebase origin main", MAIN),
    ("git cherry-pick abc123", MAIN),
    ("git revert HEAD", MAIN),
    ("git am < fix.patch", MAIN),
    ("git rebase feature", MAIN),
    ("git rebase -i HEAD~3", MAIN),
    ("git rebase --continue", MAIN),
    ("git rebase origin/main feature", NOTHING),
    ("git rebase feature main", MAIN),
    ("git rebase --onto feature HEAD~2 master", MASTER),
    ("git subtree pull --prefix lib https://example.org/lib.git main", MAIN),
    ("git reset --hard HEAD~1", MAIN),
    ("git reset --hard", MAIN),
    ("git reset --soft HEAD^", MAIN),
    ("git reset HEAD~1", MAIN),
    ("git reset feature", MAIN),
    ("git reset", NOTHING),
    ("git reset -q HEAD", NOTHING),
    ("git reset HEAD README.md", NOTHING),
    ("git reset README.md", NOTHING),
    ("git reset -- src", NOTHING),
    ("git reset -p", NOTHING),
    # Pushing.
    ("git push", MAIN),
    ("git push origin", MAIN),
    ("git push -u origin HEAD", MAIN),
    ("git push origin main", MAIN),
    ("git push origin feature", NOTHING),
    ("git push origin feature:main", MAIN),
    ("git push origin HEAD:refs/heads/main", MAIN),
    ("git push origin HEAD:refs/for/main", NOTHING),
    ("git push origin @:master", MASTER),
    ("git push origin feature main", MAIN),
    ("git push . feature:main", MAIN),
    ("git push --tags", NOTHING),
    ("git push origin tag main", NOTHING),
    ("git push origin v1.0 refs/tags/main", NOTHING),
    ("git push --all", BOTH),
    ("git push origin :", BOTH),
    ("git push origin 'refs/heads/*:refs/heads/*'", BOTH),
    ("git push --dry-run origin main", NOTHING),
    ("git push -o ci.skip origin main", MAIN),
    ("git push --push-option main origin feature", NOTHING),
    ("git push --force origin feature", NOTHING),
    ("git push --force-with-lease origin octet/T1", NOTHING),
    ("git push -f origin main", REFUSED),
    ("git push --force-with-lease=main:abc origin main", REFUSED),
    ("git push -uf origin main", REFUSED),
    ("git push origin +feature:main", REFUSED),
    ("git push --mirror", REFUSED),
    ("git push --delete origin main", REFUSED),
    ("git push -d origin feature", NOTHING),
    ("git push origin :main", REFUSED),
    ("git push origin --delete feature", NOTHING),
    ("git push origin $BRANCH", REFUSED),
    ('git push origin "HEAD:$(git branch --show-current)"', REFUSED),
    ("git push origin topic-$ID", NOTHING),
    ("git push origin m$ID", REFUSED),
    ("git push origin {main,feature}", REFUSED),
    ("git push $REMOTE feature", NOTHING),
    # Branches and refs by name.
    ("git branch -D main", REFUSED),
    ("git branch -d feature", REFUSED),
    ("git branch -d release/1.0", NOTHING),
    ("git branch -D release/1.0", NOTHING),
    ("git branch -D octet/T2", REFUSED),
    ("git branch -D octet/T1", REFUSED),
    ("git branch -d octet/T2", NOTHING),
    ("git update-ref -d refs/heads/octet/T2", REFUSED),
    ("git branch -D feature master", REFUSED),
    ("git branch --delete --force main", REFUSED),
    ("git branch -D $OLD", REFUSED),
    ("git branch -rd origin/main", NOTHING),
    ("git branch -m main trunk", REFUSED),
    ("git branch -m trunk", REFUSED),
    ("git branch -M feature main", REFUSED),
    ("git branch -m feature topic", REFUSED),
    ("git branch -m release/1.0 topic", NOTHING),
    ("git branch -f feature HEAD", REFUSED),
    ("git branch -f main feature", MAIN),
    ("git branch --force main HEAD~1", MAIN),
    ("git branch -f topic HEAD", NOTHING),
    ("git branch -C feature main", MAIN),
    ("git checkout -B main feature", MAIN),
    ("git switch -C main feature", MAIN),
    ("git switch --force-create=main", MAIN),
    ("git worktree add -B main ../x feature", MAIN),
    ("git fetch origin main:main", MAIN),
    ("git fetch origin +refs/heads/main:refs/heads/main", MAIN),
    ("git fetch . feature:master", MASTER),
    ("git fetch origin pull/$PR/head:pr-$PR", NOTHING),
    ("git pull origin feature:master", BOTH),
    ("git update-ref refs/heads/main HEAD~1", MAIN),
    ("git update-ref HEAD HEAD~1", MAIN),
    ("git update-ref -d refs/heads/main", REFUSED),
    ("git update-ref --stdin < refs", REFUSED),
    ("git update-ref refs/heads/topic HEAD", NOTHING),
    ("git symbolic-ref HEAD refs/heads/feature", REFUSED),
    ("git symbolic-ref refs/heads/main refs/heads/feature", REFUSED),
    # What takes away from others.
    ("git worktree remove .claude/worktrees/dev-1", REFUSED),
    ("git worktree remove --force ../far", REFUSED),
    ("git worktree prune", REFUSED),
    ("git worktree move ../far ../near", REFUSED),
    ("git gc", REFUSED),
    ("git gc --prune=now", REFUSED),
    ("git prune", REFUSED),
    ("git reflog expire --expire=now --all", REFUSED),
    ("git maintenance run", REFUSED),
    ("git filter-branch --tree-filter 'rm x' HEAD", REFUSED),
    ("git stash", NOTHING),
    # Ways around.
    ("git -c core.hooksPath=/dev/null commit -m x", {"main", "refused"}),
    ("git config core.hooksPath /dev/null", REFUSED),
    ("git config set --local core.hookspath x", REFUSED),
    (
        "GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=core.hooksPath GIT_CONFIG_VALUE_0=/x git status",
        REFUSED,
    ),
    ("git $SUB origin main", REFUSED),
    ("git -c alias.up=push up origin main", MAIN),
    ("git -c 'alias.up=!git push origin' up main", MAIN),
    ("git -c alias.a=b -c alias.b=a a main", NOTHING),
    # Where it runs.
    ("git -C .claude/worktrees/dev-1 commit -m x", NOTHING),
    ("git -C .claude/worktrees/dev-1 stash", REFUSED),
    ("git -C .claude -C worktrees/dev-1 stash pop", REFUSED),
    ("git -C ../other commit -m x", NOTHING),
    ("git -C ../other push --mirror", NOTHING),
    ("git -C vendor/lib commit -m x", NOTHING),
    ("git -C src commit -m x", MAIN),
    ("git -C $SOMEWHERE commit -m x", NOTHING),
    ("git -C $SOMEWHERE push origin main", MAIN),
    ("git --git-dir=.git commit -m x", MAIN),
    ("git --git-dir .git/worktrees/dev-1 --work-tree . commit -m x", NOTHING),
    ("GIT_DIR=../other/.git git push origin main", NOTHING),
    ("GIT_DIR=$PWD/.git git -C /tmp push origin main", MAIN),
    ("export GIT_DIR=../other/.git; git push origin main", NOTHING),
    ("cd .claude/worktrees/dev-1 && git commit -m x", NOTHING),
    ("cd ../other && git push origin main && cd - && git push origin main", MAIN),
    ("cd /no/such/place; git commit -m x", MAIN),
    ("cd /no/such/place && git commit -m x", NOTHING),
    ("(cd ../other && git commit -m x); git status", NOTHING),
    ("(cd ../other); git commit -m x", MAIN),
    ("cd ../other | git commit -m x", MAIN),
    ("if test -d x; then cd ../other; fi; git commit -m x", MAIN),
    ('cd "$(git rev-parse --show-toplevel)" && git commit -m x', MAIN),
    ('cd "$(mktemp -d)" && git init -q && git commit -m x', NOTHING),
    ("mkdir -p tmp/new && cd tmp/new && git init && git commit -m x", NOTHING),
    ("mkdir tmp2\ncd tmp2\ngit init\ngit commit -m x", NOTHING),
    ("git clone https://example.org/lib.git && cd lib && git commit -m x && git push", NOTHING),
    ("git clone ../other tmp/copy; cd tmp/copy; git push origin main", NOTHING),
    ("git init && git commit -m x", MAIN),
    # What came before.
    ("git checkout release/1.0 && git commit -m x", NOTHING),
    ("git checkout -b topic && git commit -m x && git push -u origin HEAD", NOTHING),
    ("git switch -c topic; git commit -m x", NOTHING),
    ("git checkout release/1.0 && git checkout main && git merge feature", MAIN),
    ("git checkout README.md && git commit -m x", MAIN),
    ("git checkout -- README.md && git commit -m x", MAIN),
    ("git checkout HEAD~1 README.md && git commit -m x", MAIN),
    ("git checkout --detach && git commit -m x", NOTHING),
    ("git checkout abc1234 && git commit -m x", NOTHING),
    ("git checkout feature; git checkout -; git commit -m x", REFUSED),
    ("git checkout $BRANCH && git commit -m x", REFUSED),
    # Wrapped.
    ("sudo git push origin main", MAIN),
    ("env A=1 git push origin main", MAIN),
    ("nohup git push origin main &", MAIN),
    ("time git push origin main", MAIN),
    ("timeout 60 git push origin main", MAIN),
    ("command git push origin main", MAIN),
    ("\\git push origin main", MAIN),
    ("/usr/bin/git push origin main", MAIN),
    ("bash -c 'git push origin main'", MAIN),
    ("bash -lc \"cd ../other && git commit -m 'x'\"", NOTHING),
    ("sh <<'EOF'\ngit push origin main\nEOF", MAIN),
    ("eval 'git push origin main'", MAIN),
    ("echo main | xargs git push origin", REFUSED),
    ("find . -name x -exec git push origin main \\;", MAIN),
    ("git status && git push origin main || true", MAIN),
    ("if git diff --quiet; then git push origin main; fi", MAIN),
    ("for b in feature; do git push origin $b; done", REFUSED),
    ("B=feature; git push origin $B", NOTHING),
    ('B=main; git push origin "$B"', MAIN),
    ("cmd='git push origin main'; $cmd", MAIN),
    ("x=$(git push origin main)", MAIN),
    ("echo `git push origin main`", MAIN),
    ("diff <(git push origin main) x", MAIN),
    ("case $1 in push) git push origin main ;; esac", MAIN),
    ("deploy() { git push origin main; }; deploy", MAIN),
    ("g\\it pu'sh' \"origin\" ma$'\\x69'n", MAIN),
    ("git bisect run sh -c 'git reset --hard x'", MAIN),
    ("git rebase --exec 'git push origin master' feature octet/T1", MASTER),
]


@pytest.mark.parametrize(("command", "expected"), IN_MAIN_CHECKOUT)
def test_in_the_main_checkout(shop: Project, command: str, expected: set[str]) -> None:
    """Each command of the table moves what it says and no more."""
    assert effects_of(command, shop) == expected


IN_WORKTREE: list[tuple[str, set[str]]] = [
    ("git commit -m x", NOTHING),
    ("git merge main", NOTHING),
    ("git rebase main", NOTHING),
    ("git reset --hard HEAD~1", NOTHING),
    ("git pull --rebase origin main", NOTHING),
    ("git push", NOTHING),
    ("git push -u origin HEAD", NOTHING),
    ("git push origin HEAD:main", MAIN),
    ("git push --force-with-lease", NOTHING),
    ("git stash", REFUSED),
    ("git stash push -m wip", REFUSED),
    ("git stash pop", REFUSED),
    ("git stash drop stash@{0}", REFUSED),
    ("git stash show -p", NOTHING),
    ("git checkout main && git merge feature", {"main", "refused"}),
    ("git clean -ffdx", NOTHING),
    ("cd ../../.. && git merge feature", MAIN),
    ("git -C ../../.. merge feature", MAIN),
    ("git -C '../../..' stash", NOTHING),
]


@pytest.mark.parametrize(("command", "expected"), IN_WORKTREE)
def test_in_a_linked_worktree(shop: Project, command: str, expected: set[str]) -> None:
    """A worktree's own branch is free, and what all worktrees share is not."""
    assert effects_of(command, shop, shop.root / ".claude/worktrees/dev-1") == expected


def test_protected_branches_may_be_patterns(tmp_path: Path) -> None:
    """A pattern protects all branches that it matches, and whatever might turn out to be one."""
    project = opt_in(make_repository(tmp_path / "shop"), 'protected = ["trunk", "release/*"]')
    for command, expected in [
        ("git push origin release/1.0", {"release/1.0"}),
        ("git push origin main", NOTHING),
        ("git commit -m x", NOTHING),
        ("git checkout release/1.0 && git commit -m x", {"release/1.0"}),
        ("git push origin release/$V", REFUSED),
        ("git push origin topic/$V", NOTHING),
        ("git push --all", {"trunk"}),
    ]:
        assert effects_of(command, project) == expected, command


def test_a_rebase_in_progress_moves_its_branch(tmp_path: Path) -> None:
    """While main is being rebased HEAD is detached, and going on moves main all the same."""
    project = opt_in(make_repository(tmp_path / "shop"))
    write(project.root / ".git/HEAD", "2" * 40 + "\n")
    assert effects_of("git commit -m x", project) == NOTHING
    write(project.root / ".git/rebase-merge/head-name", "refs/heads/main\n")
    assert effects_of("git rebase --continue", project) == MAIN


def test_a_branch_that_cannot_be_read_counts_as_protected(tmp_path: Path) -> None:
    """In a reftable repository HEAD is no help: the command is refused, not let through."""
    project = opt_in(make_repository(tmp_path / "shop"))
    write(project.root / ".git/HEAD", "ref: refs/heads/.invalid\n")
    assert effects_of("git commit -m x", project) == REFUSED
