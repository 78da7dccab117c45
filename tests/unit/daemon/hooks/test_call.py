"""What a hook call says of its sender."""

from __future__ import annotations

from tests.unit.daemon.fakes import call


def test_a_sub_agent_is_named_with_its_session() -> None:
    """And its event can be taken for its session's."""
    child = call("PostToolBatch", agent_id="x1", agent_type="octet:developer")
    assert (child.session_key, child.event_name) == ("s#x1", "PostToolBatch")
    session = child.of_session()
    assert (session.session_key, session.event.agent_type) == ("s", "")
    assert (session.project, session.pid, session.source) == (child.project, 7, "plugin")
