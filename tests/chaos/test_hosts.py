"""Two machines on one store: a cut link, a machine that stands still. What each may do meanwhile, and what it finds afterwards."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from tests.chaos.hosts import LEASE_S, Field, Host, remove_leftovers, seconds_until
from tests.redis_fixtures import wait_for

from octet.errors import StaleToken
from octet.tasks import Task

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]


@pytest.fixture
def field(missing: Callable[[str], NoReturn], short_directory: Path) -> Iterator[Field]:
    if os.geteuid() != 0:
        pytest.skip("network namespaces are root's")
    for program in ("ip", "unshare", "hostname"):
        if not shutil.which(program):
            missing(f"{program} is not on PATH")
    remove_leftovers()
    with Field(short_directory) as found:
        yield found


def at_work(host: Host, field: Field) -> tuple[Task, Path]:
    """The machine's agent claims a task, with a worktree and unfinished work in it, and holds the lock of main."""
    host.octet("task", "claim")
    task = field.octet.tasks.held_by(name_of(host, field))[0]
    path = Path(host.octet("worktree", "add", task.id)["path"])
    (path / "half").write_text("of it\n")
    host.octet("lock", "acquire", "repository:main")
    host.octet("lock", "acquire", "path:a.py")
    assert host.write(path / "more") == ""
    wait_for(lambda: lease_left_s(field, name_of(host, field)) <= LEASE_S, "the daemon's heartbeat")
    return task, path


def name_of(host: Host, field: Field) -> str:
    return next(agent.id for agent in field.octet.agents.list() if agent.pid == host.agent.pid)


def lease_left_s(field: Field, agent: str) -> float:
    return max(0, field.octet.store.client.pttl(field.octet.store.keys.heartbeat(agent))) / 1000


def test_a_cut_link(field: Field) -> None:
    """While cut: guard and fence refuse what is shared. Locks and task pass on after the lease, not before; then the old tokens are stale."""
    one, two, octet = field.one, field.two, field.octet
    octet.tasks.add("contested")
    task, path = at_work(one, field)
    name = name_of(one, field)
    token = octet.locks.get("repository:main").token
    one.cut()
    left_s = lease_left_s(field, name)
    assert 0 < left_s <= LEASE_S
    passed_s = seconds_until(lambda: octet.tasks.get(task.id).state == "pending", "the task passes on")
    assert passed_s > left_s - 0.2
    assert passed_s < left_s + LEASE_S, "the server tells of it, or the next round sees it"
    # Cut off: shared things are refused, its own worktree is open.
    assert "Redis" in one.write(one.root / "a.py")
    assert one.write(path / "more") == ""
    commit = "git commit --allow-empty -m x"
    for command in (commit, "git push -q origin HEAD:main", "git update-ref refs/heads/main HEAD~0 HEAD"):
        refused = one.run(command, OCTET_FENCE_TOKEN=token)
        assert (refused.code != 0) == ("update-ref" not in command), refused  # that one moves nothing
    # The other machine goes on.
    two.octet("task", "claim")
    two.octet("lock", "acquire", "repository:main")
    two.octet("lock", "acquire", "path:a.py")
    successor = name_of(two, field)
    one.heal()
    wait_for(lambda: "heard of for too long" in str(one.hook("UserPromptSubmit", prompt="x")) or told(one), "the link is there again")
    check_stale(field, one, task, token)
    assert f"{successor} has it now" in one.write(path / "more")
    assert octet.tasks.get(task.id).holder == successor
    assert octet.locks.get("path:a.py").holder == successor


def told(host: Host) -> bool:
    return "heard of for too long" in str(host.hook("SessionStart", source="resume"))


def check_stale(field: Field, host: Host, task: Task, token: str) -> None:
    """Nothing that the machine's agent still shows is accepted."""
    before = field.octet.tasks.get(task.id)
    with pytest.raises(StaleToken):
        field.octet.tasks.complete(task.id, task.token)
    host.octet("task", "progress", task.id, "50", code=1)
    refused = host.run("git commit --allow-empty -m x", OCTET_FENCE_TOKEN=token)
    assert refused.code
    assert "passed on" in refused.text
    pushed = host.run("git push -q origin HEAD:main", OCTET_FENCE_TOKEN=token)
    assert pushed.code
    assert field.octet.tasks.get(task.id) == before


def test_a_machine_that_stands_still(field: Field) -> None:
    """Daemon and agent get SIGSTOP for longer than the lease. Another machine takes over; the first hook after SIGCONT says so."""
    one, two, octet = field.one, field.two, field.octet
    octet.tasks.add("contested")
    task, path = at_work(one, field)
    token = octet.locks.get("repository:main").token
    one.signal(signal.SIGSTOP)
    seconds_until(lambda: octet.tasks.get(task.id).state == "pending", "the task passes on")
    assert octet.tasks.get(task.id).ended[0].reason == "expired"
    two.octet("task", "claim")
    two.octet("lock", "acquire", "repository:main")
    successor = name_of(two, field)
    one.signal(signal.SIGCONT)
    said = one.write(path / "more")
    for part in ("declared dead", f"{successor} has it now", f"refs/octet/rescue/{task.id}/1", str(path)):
        assert part in said
    assert (path / "half").read_text() == "of it\n"
    check_stale(field, one, task, token)
    stopped = one.hook("Stop", stop_hook_active=False, last_assistant_message="Done.")
    assert stopped["decision"] == "block"
    assert f"{successor} has it now" in stopped["reason"]
    assert octet.tasks.get(task.id).holder == successor


def test_a_machine_that_only_stood_still_for_a_moment(field: Field) -> None:
    """Shorter than the lease: nobody takes anything, and nothing is said."""
    one, octet = field.one, field.octet
    octet.tasks.add("contested")
    task, path = at_work(one, field)
    wait_for(lambda: lease_left_s(field, name_of(one, field)) > LEASE_S - 0.5, "a fresh heartbeat")
    one.signal(signal.SIGSTOP)
    wait_for(lambda: lease_left_s(field, name_of(one, field)) < LEASE_S / 2, "time passes")
    one.signal(signal.SIGCONT)
    wait_for(lambda: lease_left_s(field, name_of(one, field)) > LEASE_S / 2, "the next heartbeat")
    assert octet.tasks.get(task.id).token == task.token
    assert one.write(path / "more") == ""
