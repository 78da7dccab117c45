"""The words of the mission, each written once: roles, the stages and gates of a task's path, and
the form of names.

Standard library only: the settings and the guard read them inside a hook.
"""

from __future__ import annotations

import re

ORCHESTRATOR = "orchestrator"
ARCHITECT = "architect"
DEVELOPER = "developer"
CODE_SENTINEL = "code-sentinel"
SECURITY_AUDITOR = "security-auditor"
TEST_ORCHESTRATOR = "test-orchestrator"
REPOSITORY_GUARDIAN = "repository-guardian"
DOCUMENTATION_KEEPER = "documentation-keeper"
ROLES = (
    ORCHESTRATOR,
    ARCHITECT,
    DEVELOPER,
    CODE_SENTINEL,
    SECURITY_AUDITOR,
    TEST_ORCHESTRATOR,
    REPOSITORY_GUARDIAN,
    DOCUMENTATION_KEEPER,
)
# A session without a role: its writes are guarded, and no work is given to it.
GUEST = "guest"

# Where a task's path begins.
PLAN = "plan"
DESIGN = "design"
BUILD = "build"
DOCS = "docs"
WORK_STAGES = (PLAN, DESIGN, BUILD, DOCS)
# What submitted work passes, in this order, merge the last.
REVIEW = "review"
SECURITY = "security"
TEST = "test"
MERGE = "merge"
GATES = (REVIEW, SECURITY, TEST, MERGE)

ROLE_OF_STAGE = {
    PLAN: ORCHESTRATOR,
    DESIGN: ARCHITECT,
    BUILD: DEVELOPER,
    DOCS: DOCUMENTATION_KEEPER,
    REVIEW: CODE_SENTINEL,
    SECURITY: SECURITY_AUDITOR,
    TEST: TEST_ORCHESTRATOR,
    MERGE: REPOSITORY_GUARDIAN,
}

_WORD = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
# A project's name and a run's stand in every key, the project's in its hash tag.
PROJECT_NAME = RUN_NAME = re.compile(_WORD)
TASK_ID = re.compile(_WORD)
# A remote that git has by this name. `git push` would take a URL or a path as well, and run what
# `ext::` names.
REMOTE_NAME = re.compile(_WORD)
AGENT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")


def stage_of_role(role: str) -> str:
    """The stage that a role serves; "" for a guest or a role of one's own."""
    return next((stage for stage, server in ROLE_OF_STAGE.items() if server == role), "")
