"""From a sentence to merged main by `octet up` alone: nobody types anything but that, and `octet down` leaves nothing."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from .crew_model import CrewModel
from .crew_players import Players
from .sandbox import Sandbox, git
from .test_crew import Crew
from .test_whole_flow import CODE, all_merged, assert_every_step_passes, assert_nothing_is_left, opt_in_with_tests
from .waiting import poll

FLOW_DEADLINE_S = 200.0
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def crew(sandbox: Sandbox) -> Iterator[Crew]:
    opt_in_with_tests(sandbox)
    with CrewModel() as model:
        made = Crew(sandbox, model)
        try:
            yield made
        finally:
            made.octet("down", "--now")
    assert model.errors == []


def test_a_feature_is_built_by_a_crew(crew: Crew) -> None:
    """Five roles, six sessions, three tasks, and no answer of a person."""
    begun = git(crew.sandbox.repository, "rev-parse", "main").strip()
    players = start(crew)
    poll(lambda: all_merged(crew.sandbox), "three merged tasks", FLOW_DEADLINE_S)
    assert players.refused == []
    end(crew, begun)


def test_a_feature_is_built_although_sessions_are_killed(crew: Crew) -> None:
    """One developer in the middle of its task, then the orchestrator: their work goes back, others come in their place, all is merged."""
    begun = git(crew.sandbox.repository, "rev-parse", "main").strip()
    start(crew)
    poll(lambda: {crew.sandbox.task(task).get("state") for task in ("price", "tax")} & {"claimed"}, "a task being built", FLOW_DEADLINE_S)
    for name in ("developer-1", "orchestrator-1"):
        os.kill(poll(lambda: crew.pid(name), name), signal.SIGKILL)  # noqa: B023 - asked at once
    poll(lambda: all_merged(crew.sandbox), "three merged tasks", FLOW_DEADLINE_S)
    restarts = {name: one["restarts"] for name, one in crew.members().items()}
    assert {name for name, count in restarts.items() if count} == {"developer-1", "orchestrator-1"}
    end(crew, begun)


def start(crew: Crew) -> Players:
    """`octet up --feature`, and who plays the roles."""
    players = Players(
        crew.sandbox.repository,
        Path(crew.dry_run()["settings"]["orchestrator"]["permissions"]["additionalDirectories"][0]),
        lambda: all_merged(crew.sandbox),
    )
    players.enter(crew.model)
    crew.up("--headless", "--feature", "The bill: prices, tax, and their sum")
    return players


def end(crew: Crew, begun: str) -> None:
    """`octet down`; then nothing is there but the merged work."""
    kept = json.loads(crew.octet("down", "--json").stdout)["kept"]
    crew.assert_gone()
    for tree in kept:  # of a killed session: what it left stays on purpose, and is named
        assert tree["changed"] or tree["unmerged"]
        crew.octet("worktree", "remove", tree["name"])
    for task in CODE:
        assert git(crew.sandbox.repository, "show", f"main:shop/{task}.py") == CODE[task]
    assert_every_step_passes(crew.sandbox, begun)
    for ref in git(crew.sandbox.repository, "for-each-ref", "--format=%(refname)", "refs/octet", "refs/heads/octet").split():
        assert kept, f"{ref} is left, and nobody was killed"
        git(crew.sandbox.repository, "update-ref", "-d", ref)
    assert_nothing_is_left(crew.sandbox)
