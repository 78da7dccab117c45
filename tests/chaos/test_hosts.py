"""Two machines on one store: a cut link, a machine that stands still. What each may do meanwhile,
and what it finds afterwards.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from tests.chaos.hosts import LEASE_S, Field, Host, ip, remove_leftovers, seconds_until
from tests.support.redis_fixtures import wait_for

from octet.base.errors import StaleToken
from octet.core.tasks.record import Task

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]


@pytest.fixture
def namespaces(missing: Callable[[str], NoReturn]) -> None:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    for program in ("ip", "unshare", "hostname"):
        if not shutil.which(program):
            missing(f"needs {program}")
    if subprocess.run(
        ["unshare", "--net", "--uts", "true"], capture_output=True, check=False
    ).returncode:
        missing("network namespaces are not permitted here")
    remove_leftovers()


@pytest.fixture
def field(namespaces: None, short_directory: Path) -> Iterator[Field]:
    assert namespaces is None
    with Field(short_directory) as found:
        yield found


def at_work(host: Host, field: Field) -> tuple[Task, Path]:
    """The machine's agent claims a task, with a worktree and unfinished work in it, and holds the
    lock of main.
    """
    host.octet("task", "claim")
    task = field.octet.tasks.held_by(name_of(host, field))[0]
    path = Path(host.octet("worktree", "add", task.id)["path"])
    assert host.run(f"git -C {path} commit -q --allow-empty -m Work").code == 0
    (path / "half").write_text("of it\n")
    host.octet("lock", "acquire", "repository:main")
    host.octet("lock", "acquire", "path:a.py")
    assert host.write(path / "more") == ""
    wait_for(lambda: lease_left_s(field, name_of(host, field)) <= LEASE_S, "the daemon's heartbeat")
    return task, path


def name_of(host: Host, field: Field) -> str:
    return next(agent.id for agent in field.octet.agents.list() if agent.pid == host.agent.pid)


def lease_left_s(field: Field, agent: str) -> float:
    left_ms: int = field.octet.store.client.pttl(field.octet.store.keys.heartbeat(agent))
    return max(0, left_ms) / 1000


def test_a_cut_link(field: Field) -> None:
    """While cut: guard and fence refuse what is shared. Locks and task pass on after the lease, not
    before; the old tokens are stale.
    """
    one, two, octet = field.one, field.two, field.octet
    octet.tasks.add("contested")
    task, path = at_work(one, field)
    name = name_of(one, field)
    token = octet.locks.get("repository:main").token
    one.cut()
    left_s = lease_left_s(field, name)
    assert 0 < left_s <= LEASE_S
    passed_s = seconds_until(
        lambda: octet.tasks.get(task.id).state == "pending", "the task passes on"
    )
    assert passed_s > left_s - 0.2
    assert passed_s < left_s + LEASE_S, "the server tells of it, or the next round sees it"
    # Cut off: shared things are refused, its own worktree is open.
    assert "Redis" in one.write(one.root / "a.py")
    assert one.write(path / "more") == ""
    for command in ("git commit --allow-empty -m x", f"git push -q origin octet/{task.id}:main"):
        refused = one.run(command, OCTET_FENCE_TOKEN=token)
        assert refused.code, refused
        assert "Redis" in refused.text
    # The other machine goes on.
    two.octet("task", "claim")
    two.octet("lock", "acquire", "repository:main")
    two.octet("lock", "acquire", "path:a.py")
    successor = name_of(two, field)
    one.heal()
    wait_for(
        lambda: "was silent for too long" in str(one.hook("UserPromptSubmit", prompt="x")),
        "the link is there again",
    )
    check_stale(field, one, task, token)
    assert f"{successor} has it now" in one.write(path / "more")
    assert octet.tasks.get(task.id).holder == successor
    assert octet.locks.get("path:a.py").holder == successor


def check_stale(field: Field, host: Host, task: Task, token: str) -> None:
    """Nothing that the machine's agent still shows is accepted."""
    before = field.octet.tasks.get(task.id)
    with pytest.raises(StaleToken):
        field.octet.tasks.complete(task.id, task.token)
    host.octet("task", "progress", task.id, "50", code=1)
    refused = host.run("git commit --allow-empty -m x", OCTET_FENCE_TOKEN=token)
    assert refused.code
    assert "is lost (developer-2 holds it now)" in refused.text
    pushed = host.run(f"git push -q origin octet/{task.id}:main", OCTET_FENCE_TOKEN=token)
    assert pushed.code
    assert "is lost (developer-2 holds it now)" in pushed.text
    assert field.octet.tasks.get(task.id) == before


def test_a_machine_that_stands_still(field: Field) -> None:
    """For a moment: nothing changes. For longer than the lease: another machine takes over, and the
    first hook after SIGCONT says so.
    """
    one, two, octet = field.one, field.two, field.octet
    octet.tasks.add("contested")
    task, path = at_work(one, field)
    stand_still_for_a_moment(one, field)
    assert octet.tasks.get(task.id).token == task.token
    assert one.write(path / "more") == ""
    token = octet.locks.get("repository:main").token
    one.signal(signal.SIGSTOP)
    seconds_until(lambda: octet.tasks.get(task.id).state == "pending", "the task passes on")
    assert octet.tasks.get(task.id).ended[0].reason == "expired"
    two.octet("task", "claim")
    two.octet("lock", "acquire", "repository:main")
    successor = name_of(two, field)
    one.signal(signal.SIGCONT)
    said = one.write(path / "more")
    for part in ("declared dead", f"{successor} has it now", str(path)):
        assert part in said
    wait_for(
        lambda: f"refs/octet/rescue/{task.id}/1" in one.write(path / "more"), "its work is kept"
    )
    assert (path / "half").read_text() == "of it\n"
    check_stale(field, one, task, token)
    stopped = one.hook("Stop", stop_hook_active=False, last_assistant_message="Done.")
    assert f"{successor} has it now" in stopped["hookSpecificOutput"]["additionalContext"]
    assert octet.tasks.get(task.id).holder == successor


def stand_still_for_a_moment(host: Host, field: Field) -> None:
    """All its processes, for less than the lease that they have just renewed."""
    name = name_of(host, field)
    wait_for(lambda: lease_left_s(field, name) > LEASE_S - 0.5, "a fresh heartbeat")
    host.signal(signal.SIGSTOP)
    wait_for(lambda: lease_left_s(field, name) < LEASE_S * 0.7, "time passes")
    host.signal(signal.SIGCONT)
    wait_for(lambda: lease_left_s(field, name) > LEASE_S * 0.7, "the next heartbeat")


def test_what_a_killed_test_left_is_removed(namespaces: None) -> None:
    """Namespaces by the pid in their names, with their processes; a living test's stay."""
    assert namespaces is None
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    old, own = (f"octet-test-{pid}-probe" for pid in (ended.pid, os.getpid()))
    for name in (old, own):
        ip("netns", "add", name)
    try:
        with subprocess.Popen(["ip", "netns", "exec", old, "sleep", "60"]) as left:
            wait_for(lambda: str(left.pid) in ip("netns", "pids", old).split(), "it runs there")
            remove_leftovers()
        assert left.returncode == -signal.SIGKILL
        known = ip("netns", "list")
        assert old not in known
        assert own in known
    finally:
        ip("netns", "delete", own)
