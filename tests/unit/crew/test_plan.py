"""Whom `octet up` starts, as a function of the machine, the settings, what was asked for and who
runs already.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from octet.base.errors import ConfigError, Refused
from octet.crew.capacity import Machine
from octet.crew.plan import (
    RESERVE_MB,
    SESSION_MB,
    SESSIONS_PER_CORE,
    CrewPlan,
    Member,
    plan_crew,
    roles_of,
)
from octet.project import config as settings
from octet.project.config import Config

LARGE = Machine(cores=64, load=0, memory_mb=256_000)
ROLES_USUAL = (
    "orchestrator",
    "developer",
    "code-sentinel",
    "test-orchestrator",
    "repository-guardian",
)


def room_for(sessions: int, **changes: float) -> Machine:
    return replace(LARGE, memory_mb=RESERVE_MB + sessions * SESSION_MB, **changes)


def names(plan: CrewPlan) -> list[str]:
    return [member.name for member in plan.new]


class TestRoles:
    def test_of_the_gates(self) -> None:
        """Who plans, who builds, and who serves the gates that there are."""
        assert roles_of(Config("shop")) == ROLES_USUAL
        assert roles_of(Config("shop", gates=("merge",))) == (
            "orchestrator",
            "developer",
            "repository-guardian",
        )
        assert "security-auditor" in roles_of(Config("shop", security_paths=("src/auth/**",)))

    def test_of_the_settings(self, tmp_path: Path) -> None:
        """`[crew]` names them; a role that does not exist, twice the same, or no number is an error
        with its line.
        """
        path = tmp_path / ".claude" / "octet.toml"
        read = settings.parse(
            'project = "shop"\n[crew]\nroles = ["architect", "developer"]\ndevelopers = 3\n', path
        )
        assert (roles_of(read), read.crew_developers) == (("architect", "developer"), 3)
        for line in (
            'roles = ["plumber"]',
            'roles = ["developer", "developer"]',
            "developers = 0",
            "developers = 17",
            "developers = true",
        ):
            with pytest.raises(ConfigError, match=":3: crew"):
                settings.parse(f'project = "shop"\n[crew]\n{line}\n', path)


class TestPlan:
    def test_a_large_machine(self) -> None:
        """One of each, as many developers as asked for, who plans first."""
        plan = plan_crew(LARGE, ROLES_USUAL, 3)
        assert names(plan)[:4] == ["orchestrator-1", "developer-1", "developer-2", "developer-3"]
        assert (len(plan.new), plan.notices) == (7, ())

    def test_little_memory_means_fewer_developers(self) -> None:
        """All other roles and those developers that there is room for; it is said."""
        plan = plan_crew(room_for(6), ROLES_USUAL, 5)
        assert names(plan).count("developer-3") == 0
        assert len(plan.new) == 6
        assert plan.notices[0].startswith("2 developers in place of 5")

    def test_a_busy_machine_means_fewer_developers_never_none(self) -> None:
        """A load beyond the cores leaves one developer: the rest of the crew waits most of the
        time.
        """
        plan = plan_crew(replace(LARGE, cores=2, load=9), ROLES_USUAL, 4)
        assert len(plan.new) == 5
        assert "1 developer in place of 4" in plan.notices[0]
        assert (
            names(plan_crew(replace(LARGE, cores=2, load=0), ROLES_USUAL, 9)).count("developer-4")
            == 1
        )
        assert (
            len(plan_crew(replace(LARGE, cores=2, load=0), ROLES_USUAL, 9).new)
            == 2 * SESSIONS_PER_CORE
        )

    def test_no_room_at_all(self) -> None:
        """Not even one of each: nothing is started, unless it is forced."""
        with pytest.raises(
            Refused, match=r"room for 4 more sessions, and the crew needs 5.*--force"
        ):
            plan_crew(room_for(4), ROLES_USUAL, 2)
        assert len(plan_crew(room_for(0), ROLES_USUAL, 2, force=True).new) == 6

    def test_memory_that_nobody_knows(self) -> None:
        """Where a system does not tell, the cores decide."""
        assert len(plan_crew(replace(LARGE, memory_mb=None), ROLES_USUAL, 2).new) == 6

    def test_who_runs_stays(self) -> None:
        """Only missing members are new; fewer developers than run is reported, none is ended."""
        running = plan_crew(LARGE, ROLES_USUAL, 2).new
        more = plan_crew(LARGE, ROLES_USUAL, 4, running=running)
        assert names(more) == ["developer-3", "developer-4"]
        assert more.members == (*running, *more.new)
        fewer = plan_crew(LARGE, ROLES_USUAL, 1, running=running)
        assert (names(fewer), fewer.members) == ([], running)
        assert "2 developers run already" in fewer.notices[0]

    def test_no_room_for_more_beside_those_that_run(self) -> None:
        """Developers run: none is added, and it is no error."""
        running = (Member("developer-1", "developer"),)
        plan = plan_crew(room_for(0), ("developer",), 2, running=running)
        assert (names(plan), plan.members) == ([], running)
        assert "1 developer in place of 2" in plan.notices[0]
